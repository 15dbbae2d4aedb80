"""Masks of objects, a bit a pixel of the picture: small maps, or coefficients times prototypes, enlarged, then cropped.

In: maps and the boxes that they end at.  Out: PackedMasks, bits of packed_masks.py.

A value lies between four of its map's, bilinearly, pixel centres at halves; beyond the outer centres the outermost count.
First down, then across, in float32. A pixel is set where the value is above the threshold, in the window of its box.
"""

import numpy as np

from vedette.kernels import native
from vedette.kernels._assemble_masks_cases import CASES as CASES
from vedette.kernels.native import F32, FLOAT, I32, I64, INT
from vedette.kernels.packed_masks import U64, WORD, Array, Axis, PackedMasks, Size, axis, packed

_AXIS = I32, I32, F32
_ARGUMENTS = F32, F32, INT, INT, INT, INT, I64, *_AXIS, *_AXIS, FLOAT, U64


def assemble_masks_reference(
    coefficients: Array,
    prototypes: Array,
    windows: Array,
    across: Axis,
    down: Axis,
    *,
    threshold: float = 0.0,
) -> PackedMasks:
    """Masks of the sums of prototypes, each times its coefficient, in their order.

    Args:
        coefficients: float32 [N, M].
        prototypes: float32 [M, h, w].
        windows: int64 [N, 4] left, top, width, height in the picture, which the axes span.
        across: for every column of the picture.
        down: for every row of it.
        threshold: a value must be above it; what is no number is not.

    Raises:
        ValueError: the shapes disagree.
    """
    _check(coefficients, prototypes, windows, across, down)
    size = len(across.first), len(down.first)
    words = [
        packed(_enlarged(_summed(row, prototypes), window, across, down) > np.float32(threshold))
        for row, window in zip(coefficients, windows, strict=True)
    ]
    return PackedMasks(size, windows, tuple(words))


def _summed(coefficients: Array, prototypes: Array) -> Array:
    """float32 [h, w], one prototype after the other."""
    total = np.zeros(prototypes.shape[1:], np.float32)
    with np.errstate(all="ignore"):
        for coefficient, prototype in zip(coefficients, prototypes, strict=True):
            total += coefficient * prototype
    return total


def _enlarged(values: Array, window: Array, across: Axis, down: Axis) -> Array:
    """float32 [height, width] of the window."""
    left, top, width, height = window
    columns, rows = slice(left, left + width), slice(top, top + height)
    with np.errstate(all="ignore"):
        upper, lower = values[down.first[rows]], values[down.second[rows]]
        between = upper + (lower - upper) * down.share[rows, None]  # [height, w]
        before, after = between[:, across.first[columns]], between[:, across.second[columns]]
        enlarged: Array = before + (after - before) * across.share[columns]
    return enlarged


def _check(coefficients: Array, prototypes: Array, windows: Array, across: Axis, down: Axis) -> None:
    if coefficients.ndim != 2 or prototypes.ndim != 3 or coefficients.shape[1] != len(prototypes):
        raise ValueError(f"want [N, M] and [M, h, w], not {coefficients.shape} and {prototypes.shape}")
    if windows.shape != (len(coefficients), 4) or not prototypes.size:
        raise ValueError(f"want {len(coefficients)} windows and a prototype, not {windows.shape}")
    ends = windows[:, :2] + windows[:, 2:]
    if (windows < 0).any() or (ends > [len(across.first), len(down.first)]).any():
        raise ValueError("a window leaves the picture")
    for table, values in ((across, prototypes.shape[2]), (down, prototypes.shape[1])):
        if len(table.second) and not 0 <= table.first.min() <= table.second.max() < values:
            raise ValueError(f"an axis leaves its map of {values} values")


def assemble_masks(
    coefficients: Array,
    prototypes: Array,
    windows: Array,
    across: Axis,
    down: Axis,
    *,
    threshold: float = 0.0,
) -> PackedMasks:
    """assemble_masks_reference by the C++ kernel where it is built: the same bits."""
    kernel = native.function("vedette_assemble_masks", _ARGUMENTS)
    if kernel is None:
        return assemble_masks_reference(coefficients, prototypes, windows, across, down, threshold=threshold)
    _check(coefficients, prototypes, windows, across, down)
    shapes = _words_of(windows)
    ends = np.cumsum([0, *(width * rows for width, rows in shapes)]).tolist()
    words = np.empty(ends[-1], np.uint64)
    arrays = [np.ascontiguousarray(array, np.float32) for array in (coefficients, prototypes)]
    sizes = len(windows), *prototypes.shape
    kernel(*arrays, *sizes, np.ascontiguousarray(windows, np.int64), *across, *down, threshold, words)
    parts = [
        words[start:end].reshape(shape) for start, end, shape in zip(ends, ends[1:], shapes, strict=False)
    ]
    return PackedMasks((len(across.first), len(down.first)), windows, tuple(parts))


def _words_of(windows: Array) -> list[tuple[int, int]]:
    """Columns, and words of each, of every window."""
    return [(width, -(-height // WORD)) for _, _, width, height in windows.tolist()]


ONE = np.ones((1, 1), np.float32)


def enlarge_masks(
    values: Array, windows: Array, across: Axis, down: Axis, *, threshold: float
) -> PackedMasks:
    """Masks of maps [N, h, w], each an object's own, as assemble_masks makes them."""
    masks = [
        assemble_masks(ONE, value[None], window[None], across, down, threshold=threshold)
        for value, window in zip(values, windows, strict=True)
    ]
    return PackedMasks((len(across.first), len(down.first)), windows, tuple(mask.words[0] for mask in masks))


def paste_masks(values: Array, boxes_xyxy: Array, size: Size, *, threshold: float) -> PackedMasks:
    """Masks of maps [N, h, w] that lie over boxes [N, 4], as Mask R-CNN's authors paste theirs.

    A map gets a margin of zeros, one value wide, and its box grows with it; the box's corners are then cut to whole pixels,
    both of which it covers.

    Source: torchvision models/detection/roi_heads.py, paste_masks_in_image (facts, no code).
    """
    margin = np.pad(values, ((0, 0), (1, 1), (1, 1)))
    placed = pasted(boxes_xyxy, (margin.shape[1], margin.shape[2]), size)
    masks = [
        assemble_masks(ONE, value[None], window[None], across, down, threshold=threshold)
        for value, (window, across, down) in zip(margin, placed, strict=True)
    ]
    windows = np.concatenate([mask.windows for mask in masks]) if masks else np.zeros((0, 4), np.int64)
    return PackedMasks(size, windows, tuple(mask.words[0] for mask in masks))


def pasted(boxes_xyxy: Array, shape: tuple[int, int], size: Size) -> list[tuple[Array, Axis, Axis]]:
    """Where maps [h, w] with a margin lie in a picture: the window and the axes of each box."""
    inside = np.array(shape[::-1]) - 2
    low, high = np.split(np.asarray(boxes_xyxy, np.float64).reshape(-1, 4), 2, axis=1)
    centres, halves = (low + high) / 2, (high - low) / 2 * (inside + 2) / inside
    first, last = (centres - halves).astype(np.int64), (centres + halves).astype(np.int64)  # [N, 2] towards 0
    return [_pasted(*each, shape, size) for each in zip(first, last, strict=True)]


def _pasted(first: Array, last: Array, shape: tuple[int, int], size: Size) -> tuple[Array, Axis, Axis]:
    sides = np.maximum(last - first + 1, 1)
    across, down = (
        axis(size[way], shape[1 - way], gain=gain, start=-first[way] * gain)
        for way, gain in enumerate(np.array(shape[::-1]) / sides)
    )
    low = np.clip(first, 0, size)
    return np.concatenate([low, np.maximum(np.clip(first + sides, 0, size) - low, 0)]), across, down
