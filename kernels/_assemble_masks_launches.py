"""How the kernels of assemble_masks.cu are launched: their memory and their grids, as its head says. See launches.py.

In: device addresses by name.  Out: launches, in order.
"""

import numpy as np

from vedette.kernels.launches import Addresses, Fields, Launch
from vedette.kernels.packed_masks import WORD, Array, Axis, Size

MOST_BLOCKS = 32  # an object: enough for a few objects to fill a GPU, few enough for 300 that are not there
AXES = tuple(f"{way}.{name}" for way in ("across", "down") for name in Axis._fields)
_POINTERS = [(name, np.uint64) for name in AXES]
_MAPS = [("count", np.int32), ("map_size", np.int32, 2)]  # height, width
# struct Mask of assemble_masks.cu
MASK = np.dtype(
    [
        *(("coefficients", np.uint64), ("maps", np.uint64), *_POINTERS, ("words", np.uint64), *_MAPS),
        *(("window", np.int32, 4), ("threshold", np.float32)),
    ],
    align=True,
)
# struct MaskPicture
PICTURE = np.dtype(
    [
        *(("maps", np.uint64), *_POINTERS, ("words", np.uint64), *_MAPS),
        ("size", np.int32, 2),  # width, height
        *(("unit", np.float32, 2), ("corner", np.float32, 2), ("gain", np.float32, 2)),  # x, y
    ],
    align=True,
)


def words_of(size: Size) -> int:
    """Words of a mask that covers a picture of this (width, height)."""
    return size[0] * -(-size[1] // WORD)


def axes_of(across: Axis, down: Axis) -> dict[str, Array]:
    """What a struct points to for its axes, by the names of its members."""
    return dict(zip(AXES, (*across, *down), strict=True))


def set_axes(block: Array, at: Addresses, *, prefix: str = "") -> None:
    """Fill the axes of a MASK or PICTURE, whose tables lie at `prefix` and their names."""
    for name in AXES:
        block[name] = at[prefix + name]


def window_fields(batch: int, max_det: int, room: int) -> Fields:
    """What the host needs to know of masks, of which an image has room for so many words."""
    shapes = {
        "windows": ((batch, max_det, 4), np.int32),
        "starts": ((batch, max_det), np.int64),
        "totals": ((batch,), np.int64),
        "words": ((batch, room), np.uint64),
    }
    return {name: (shape, np.dtype(dtype)) for name, (shape, dtype) in shapes.items()}


def launch_windows(
    launch: Launch, at: Addresses, *, batch: int, max_det: int, columns: int, room: int
) -> None:
    """From mask_pictures, taken_boxes, kept_counts and taken_columns, so many an object, to window_fields and masks."""
    inputs = [at[name] for name in ("mask_pictures", "taken_boxes", "kept_counts", "taken_columns")]
    numbers = np.int32(columns), np.int32(max_det), np.int64(room)
    outputs = [at[name] for name in ("windows", "starts", "totals", "masks")]
    launch("mask_windows", (batch,), 256, *inputs, *numbers, *outputs)


def launch_masks(launch: Launch, at: Addresses, *, objects: int, size: Size, batch: int = 1) -> None:
    """The words of `masks`, a MASK [batch, objects], on pictures of at most this (width, height)."""
    tiles = -(-size[0] // 32) * -(-size[1] // WORD)
    launch("assemble_masks", (min(MOST_BLOCKS, max(tiles, 1)), objects, batch), 256, at["masks"])
