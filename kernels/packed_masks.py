"""Masks of objects as bits, and where the pixels of a picture lie on a smaller map: what assemble_masks.py takes and makes.

From the bits COCO's run lengths are written without unpacking them.  Next: assemble_masks.py, runtime/rle.py.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vedette.kernels import native
from vedette.kernels.native import INT, U8

Array = NDArray[Any]
Size = tuple[int, int]  # (width, height)
WORD = 64
ROUNDING = 2e-4  # pixels: what float32 adds to an edge on its way from the network to the picture
U64 = native.Array("uint64")
_RLE_ARGUMENTS = U64, INT, INT, INT, INT, INT, INT, U8, INT


class Axis(NamedTuple):
    """For each pixel of one axis of the picture, between which values of a map it lies."""

    first: Array  # int32, the value at or before
    second: Array  # int32, the next one, or the same at the end
    share: Array  # float32, of the second


def axis(
    length: int, values: int, *, gain: float, start: float, within: tuple[float, float] | None = None
) -> Axis:
    """An axis of `length` pixels over a map of so many values: pixel x has its centre at (x + 0.5) * gain + start - 0.5.

    Beyond the centres of the first and the last value `within` which the picture lies, or of the map, those count.
    """
    low, high = within or (0, values - 1)
    at = np.clip((np.arange(length) + 0.5) * gain + start - 0.5, max(low, 0), min(max(low, high), values - 1))
    first = np.minimum(np.floor(at), values - 1).astype(np.int32)
    share = (at - first).astype(np.float32)
    return Axis(first, np.minimum(first + 1, values - 1).astype(np.int32), share)


@dataclass(frozen=True, slots=True, eq=False)
class PackedMasks:
    """A bit a pixel, of the part of the picture where a mask may be; the rest of it is empty."""

    size: Size  # of the picture
    windows: Array  # int64 [N, 4] left, top, width, height
    words: tuple[
        Array, ...
    ]  # of each uint64 [width, ceil(height / 64)]; bit i of word j is row 64 * j + i of a column

    def __len__(self) -> int:
        return len(self.windows)

    def __getitem__(self, index: Any) -> "PackedMasks":
        rows = np.arange(len(self))[index].tolist()
        return PackedMasks(self.size, self.windows[rows], tuple(self.words[row] for row in rows))

    def window(self, index: int) -> Array:
        """Bool [height, width] of one mask's part of the picture."""
        width, height = self.windows[index, 2:]
        if not width * height:
            return np.zeros((height, width), bool)
        rows = np.unpackbits(self.words[index].view(np.uint8), axis=1, count=height, bitorder="little")
        return rows.T.view(bool)

    def whole(self, index: int) -> Array:
        """Bool [H, W] of one mask."""
        left, top, width, height = self.windows[index]
        mask = np.zeros(self.size[::-1], bool)
        mask[top : top + height, left : left + width] = self.window(index)
        return mask


def packed(mask: Array) -> Array:
    """Bool [height, width] as words: uint64 [width, ceil(height / 64)]."""
    height, width = mask.shape
    columns = np.zeros((width, -(-height // WORD) * WORD), bool)
    columns[:, :height] = mask.T
    words: Array = np.packbits(columns, axis=1, bitorder="little").view(np.uint64)
    return words


def windows_of(boxes_xyxy: Array, size: Size) -> Array:
    """int64 [N, 4] left, top, width, height of the pixels that masks of boxes [N, 4] may have.

    Those are columns x with x1 <= x < x2, and rows alike: as Ultralytics' crop_mask counts them, so that masks are equal.
    An edge is taken for the whole number that it is less than ROUNDING above.
    """
    limits = np.array([*size, *size])
    finite = np.nan_to_num(np.asarray(boxes_xyxy, np.float64), nan=0.0).reshape(-1, 4)
    edges = np.clip(np.ceil(finite - ROUNDING), 0, limits).astype(np.int64)
    return np.concatenate([edges[:, :2], np.maximum(edges[:, 2:] - edges[:, :2], 0)], axis=1)


def rle_text(masks: PackedMasks, index: int) -> str:
    """COCO's compressed run lengths of one mask, or nothing where the C++ is not built."""
    kernel = native.function("vedette_mask_rle", _RLE_ARGUMENTS, INT)
    if kernel is None:
        return ""
    words, room = np.ascontiguousarray(masks.words[index]), 4096
    while True:
        text = np.empty(room, np.uint8)
        length = kernel(words, *masks.windows[index].tolist(), *masks.size, text, room)
        if length <= room:
            return text[:length].tobytes().decode("ascii")
        room = length
