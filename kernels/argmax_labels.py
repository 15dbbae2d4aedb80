"""The likeliest class of every pixel at the picture's size, from maps at the network's; and their colours over the picture.

In: logits or probabilities [C, h, w] and where the picture lies in them.  Out: labels uint8 [H, W]; a BGR picture, changed.
Used by runtime/tasks/segmentation.py.  Next: native/argmax_labels.cpp, argmax_labels.cu.
"""

import ctypes
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from vedette.kernels import native
from vedette.kernels.native import FLOAT, INT, U8
from vedette.kernels.picture import Array, Size, resize_tables

NONE = 255  # the label where no value is above the limit
MOST = 255  # classes: 0 to 254
_PADDING = 16  # columns that a block of the C++ may read behind the last
_POINTER = ctypes.c_void_p
_ARGMAX = (*[_POINTER, *[INT] * 6, _POINTER, *[INT] * 3, *[_POINTER] * 4], FLOAT)


@dataclass(frozen=True, slots=True)
class Window:
    """The part of the maps that holds the picture, in their pixels."""

    size: Size  # (width, height)
    offset: Size = (0, 0)  # (left, top)


def argmax_labels_reference(maps: Array, window: Window, size: Size, *, above: float | None = None) -> Array:
    """The class of the greatest value at every pixel of a picture that fills a window of the maps.

    Equal values go to the lower class. NaN counts as less than every number: pixels without a number are of class 0. Where the
    window is as large as the picture its values are compared as they are; else they are interpolated by `bilinear` of
    arithmetic.h, pixel centre to pixel centre, and never with what lies outside the window.

    Args:
        maps: float32 or float16 [C, h, w], C at most 255; float16 is interpolated as float32.
        window: where the picture is.
        size: (width, height) of the picture.
        above: a label of NONE where no value is greater than this.

    Returns:
        uint8 [height, width].

    Raises:
        ValueError: no such maps, or a window that does not lie in them.
    """
    _check(maps, window, size)
    (left, top), (columns, rows) = window.offset, window.size
    values = maps[:, top : top + rows, left : left + columns].astype(np.float32)
    if window.size != size:
        values = _resized(values, size)
    values = np.where(np.isnan(values), -np.inf, values)
    labels: Array = values.argmax(axis=0).astype(np.uint8)
    if above is not None:
        labels[~(values.max(axis=0) > np.float32(above))] = NONE
    return labels


def _resized(values: Array, size: Size) -> Array:
    """float32 [C, height, width] by `bilinear` of arithmetic.h."""
    x0, x1, wx = resize_tables(values.shape[2], size[0])
    y0, y1, wy = resize_tables(values.shape[1], size[1])
    with np.errstate(over="ignore", invalid="ignore"):
        rows = values[:, y0] + wy[:, None] * (values[:, y1] - values[:, y0])
        between: Array = rows[:, :, x0] + wx * (rows[:, :, x1] - rows[:, :, x0])
    return between


def overlay_labels_reference(image: Array, labels: Array, palette: Array) -> None:
    """Blend the colour of every pixel's label into a picture: `blended` of labels.h, in whole numbers.

    Args:
        image: uint8 [H, W, 3], changed in place.
        labels: uint8 [H, W].
        palette: uint8 [256, 4] blue, green, red, alpha; alpha 0 leaves the pixel as it is, 255 gives the colour.

    Raises:
        ValueError: arrays of another kind.
    """
    _check_overlay(image, labels, palette)
    alpha = palette[:, 3:].astype(np.int32)
    share = (alpha + (alpha >> 7))[labels]  # of 256
    colours = palette[:, :3].astype(np.int32)[labels]
    image[:] = (image * (256 - share) + colours * share + 128) >> 8


def argmax_labels(maps: Array, window: Window, size: Size, *, above: float | None = None) -> Array:
    """argmax_labels_reference by the C++ kernel where it is built: the same labels, for the same arguments."""
    kernel = native.function("vedette_argmax_labels", _ARGMAX)
    if kernel is None:
        return argmax_labels_reference(maps, window, size, above=above)
    _check(maps, window, size)
    maps = np.ascontiguousarray(maps)
    labels = np.empty(size[::-1], np.uint8)
    first, none = (-np.inf, 0) if above is None else (above, NONE)
    tables = _tables(window.size, size)
    kernel(
        maps.ctypes.data, *_layout(maps, window), none, labels.ctypes.data, *size, window.size[0],
        *(table.ctypes.data if table.size else None for table in tables), first,
    )  # fmt: skip
    return labels


def overlay_labels(image: Array, labels: Array, palette: Array) -> None:
    """overlay_labels_reference by the C++ kernel where it is built: the same pixels."""
    kernel = native.function("vedette_overlay_labels", [U8, U8, INT, U8])
    if kernel is None or not image.flags.c_contiguous:
        overlay_labels_reference(image, labels, palette)
        return
    _check_overlay(image, labels, palette)
    kernel(image, np.ascontiguousarray(labels), labels.size, np.ascontiguousarray(palette))


def _check(maps: Array, window: Window, size: Size) -> None:
    """Arguments that the C++ may trust."""
    if maps.ndim != 3 or not 1 <= len(maps) <= MOST or maps.dtype not in (np.float32, np.float16):
        raise ValueError(
            f"want float32 or float16 [C, h, w], C in 1..{MOST}, not {maps.dtype} {list(maps.shape)}"
        )
    for offset, inside, whole in zip(window.offset, window.size, maps.shape[:0:-1], strict=True):
        if offset < 0 or inside < 1 or offset + inside > whole:
            raise ValueError(f"{window.size} at {window.offset} does not lie in {maps.shape[:0:-1]}")
    if min(size) < 1:
        raise ValueError(f"want a picture of 1 pixel a side or more, not {size}")


def _check_overlay(image: Array, labels: Array, palette: Array) -> None:
    found = [(array.dtype.name, array.shape) for array in (image, labels, palette)]
    wanted = [("uint8", (*labels.shape, 3)), ("uint8", labels.shape), ("uint8", (256, 4))]
    if found != wanted or labels.ndim != 2 or not image.flags.writeable:
        raise ValueError(f"want a picture, its labels and a palette, {wanted}, not {found}")


def _layout(maps: Array, window: Window) -> tuple[int, int, int, int, int]:
    """Where the window starts, the values from class to class and row to row, the classes, and whether they are float16."""
    classes, height, width = maps.shape
    start = window.offset[1] * width + window.offset[0]
    return start, height * width, width, classes, int(maps.dtype == np.float16)


@lru_cache(maxsize=64)
def _tables(inside: Size, size: Size) -> tuple[Array, Array, Array, Array]:
    """Columns [width…], rows [height, 2], across [width…], down [height]; empty where nothing is interpolated."""
    if inside == size:
        nothing = np.zeros(0, np.int32)
        return nothing, nothing, nothing, nothing
    x0, _, across = resize_tables(inside[0], size[0])
    y0, y1, down = resize_tables(inside[1], size[1])
    columns, across = (np.concatenate([table, table[[-1] * _PADDING]]) for table in (x0, across))
    return columns, np.stack([y0, y1], axis=1), across, down


Case = tuple[Array, Window, Size]


def noise(classes: int, size: Size, *, half_precision: bool = False) -> Array:
    """Seeded maps of few values, so that ties are common, and of some that are no numbers: [classes, height, width]."""
    random = np.random.default_rng((classes, *size))
    maps = (random.integers(-4, 5, (classes, *size[::-1])) / 4).astype(np.float32)
    maps[random.random(maps.shape) < 0.02] = np.nan
    maps[random.random(maps.shape) < 0.01] = random.choice([np.inf, -np.inf])
    return maps.astype(np.float16) if half_precision else maps


def _case(
    classes: int, inside: Size, size: Size, margins: Size = (0, 0), *, half_precision: bool = False
) -> Case:
    """A window with `margins` of the maps on every side of it."""
    whole = inside[0] + 2 * margins[0], inside[1] + 2 * margins[1]
    return noise(classes, whole, half_precision=half_precision), Window(inside, margins), size


CASES: Mapping[str, Callable[[], Case]] = {
    "one pixel": lambda: _case(1, (1, 1), (1, 1)),
    "one pixel enlarged": lambda: _case(3, (1, 1), (9, 5), (2, 1)),
    "equal sizes": lambda: _case(21, (67, 41), (67, 41)),
    "equal sizes, over a block": lambda: _case(5, (83, 61), (83, 61), half_precision=True),
    "equal sizes in a letterbox": lambda: _case(6, (64, 35), (64, 35), (0, 7)),
    "equal sizes in a pillarbox": lambda: _case(4, (33, 40), (33, 40), (9, 0)),
    "one class": lambda: _case(1, (20, 11), (53, 40)),
    "most classes": lambda: _case(255, (9, 7), (31, 20)),
    "enlarged": lambda: _case(6, (40, 30), (133, 97)),
    "enlarged from a letterbox": lambda: _case(6, (64, 36), (320, 180), (0, 14)),
    "reduced": lambda: _case(6, (133, 97), (40, 31), (3, 5)),
    "one side is equal": lambda: _case(3, (50, 20), (50, 61)),
    "half precision": lambda: _case(7, (37, 29), (90, 64), (1, 2), half_precision=True),
    "half precision, reduced": lambda: _case(2, (90, 64), (37, 29), half_precision=True),
    "one column": lambda: _case(3, (1, 40), (1, 24), (2, 0)),
    "to one pixel": lambda: _case(3, (77, 90), (1, 1)),
}
