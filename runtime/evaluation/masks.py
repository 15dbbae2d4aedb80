"""Masks as COCO's tools take them: RLE, compressed or not, and polygons.

faster-coco-eval's mask code does the work.
"""

from collections.abc import Sequence
from importlib import import_module
from typing import Any

import numpy as np

from vedette.runtime.errors import UsageError
from vedette.runtime.frame import Array


def library() -> Any:
    """The mask functions of faster-coco-eval.

    Raises:
        UsageError: it is not installed.
    """
    return _imported("faster_coco_eval.core.mask")


def evaluator() -> Any:
    """faster-coco-eval itself.

    Raises:
        UsageError: it is not installed.
    """
    return _imported("faster_coco_eval")


def _imported(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError:
        raise UsageError(
            "COCO's metrics need faster-coco-eval",
            why="it is not installed",
            cure="pip install 'vedette[eval]'",
        ) from None


def rle_of(segmentation: Any, size: tuple[int, int] | None) -> dict[str, Any]:
    """A compressed RLE, checked: COCO's code would run for ever on some that are wrong.

    Args:
        segmentation: polygons, or an RLE, compressed or not.
        size: (width, height) of the picture; polygons need it.

    Raises:
        ValueError: it is neither, or not of that size, or the size is not known.
    """
    if not isinstance(segmentation, dict):
        return _rle_of_polygons(segmentation, size)
    shape: Any = segmentation.get("size")
    counts: Any = segmentation.get("counts")
    if not _is_shape(shape) or (size is not None and [*size][::-1] != list(shape)):
        raise ValueError(f"its size {shape} is not [height, width] of its image, {size and [*size][::-1]}")
    runs = runs_of(counts) if isinstance(counts, str | bytes) else np.array(counts or [-1])
    if runs.dtype.kind not in "iu" or runs.ndim != 1 or runs.min() < 0 or runs.sum() != shape[0] * shape[1]:
        raise ValueError("its counts are not runs that fill its size")
    if isinstance(counts, str | bytes):
        return segmentation
    return dict(library().frPyObjects(segmentation, *shape))


def _is_shape(shape: Any) -> bool:
    whole = isinstance(shape, list | tuple) and len(shape) == 2
    return whole and all(type(side) is int and 0 < side < 1 << 16 for side in shape)


def runs_of(counts: str | bytes) -> Array:
    """The runs of a compressed RLE, int64; [-1] where it is none.

    Source: cocoapi common/maskApi.c, rleFrString; vedette/runtime/rle.py has the same for one mask, letter by letter.
    """
    data = counts if isinstance(counts, bytes) else counts.encode("utf-8")
    codes = np.frombuffer(data, np.uint8).astype(np.int64) - 48
    ends = np.flatnonzero((codes & 32) == 0)
    lengths = np.diff(ends, prepend=-1)
    if not len(codes) or codes.min() < 0 or codes.max() > 63 or codes[-1] & 32 or lengths.max() > 6:
        return np.array([-1])
    starts = ends - lengths + 1
    shifts = 5 * (np.arange(len(codes)) - np.repeat(starts, lengths))
    values = np.add.reduceat((codes & 31) << shifts, starts)
    values -= np.where(codes[ends] & 16, 1 << (5 * lengths), 0)  # the last group has the sign
    values[1::2] = np.cumsum(values[1::2])  # from the third on, each is the difference to the one two before
    values[2::2] = np.cumsum(values[2::2])
    return values


def _rle_of_polygons(polygons: Any, size: tuple[int, int] | None) -> dict[str, Any]:
    if not isinstance(polygons, list):
        raise ValueError("it is neither an RLE nor polygons")  # noqa: TRY004  (what a file holds is a value here)
    if size is None:
        raise ValueError("polygons need the width and height of their image")
    if not all(isinstance(part, list) and len(part) >= 6 and len(part) % 2 == 0 for part in polygons):
        raise ValueError("a polygon is a list of at least three x, y")
    if polygons:
        points = np.concatenate([np.array(part) for part in polygons])
        if points.dtype.kind not in "iuf" or not np.isfinite(points).all():
            raise ValueError("a polygon has something that is no number")
        if np.abs(points).max() > 10 * max(size):
            raise ValueError("a polygon goes far beyond its image")
    code = library()
    parts = polygons or [[0.0] * 6]
    return dict(code.merge(code.frPyObjects(parts, size[1], size[0])))


def area_and_box(segmentation: Any, size: tuple[int, int] | None) -> tuple[float, list[float]]:
    """Pixels, and left, top, width, height.

    Raises:
        ValueError: it is no mask.
    """
    rle = rle_of(segmentation, size)
    return float(library().area(rle)), [float(side) for side in library().toBbox(rle)]


def overlaps(found: Sequence[Any], true: Sequence[Any], crowd: Array) -> Array:
    """float64 [D, G] of RLEs; over a crowd the share of what was found."""
    if not found or not true:
        return np.zeros((len(found), len(true)))
    return np.asarray(library().iou(list(found), list(true), [int(flag) for flag in crowd]), np.float64)
