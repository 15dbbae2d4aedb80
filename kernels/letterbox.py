"""Letterbox: a uint8 picture of any size becomes one image of a network's input: resized, padded, reordered, normalised.

In: BGR, RGB, or YUV planes as decoders make them.  Out: one [3, h, w] image of a buffer, written whole, in one pass.
Used by runtime/preprocess.py and runtime/frame.py.  Next: native/letterbox.cpp, letterbox.cu.
"""

import ctypes
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from vedette.kernels import native
from vedette.kernels.native import INT
from vedette.kernels.picture import (
    Array,
    Layout,
    Picture,
    Size,
    fixed_tables,
    plane_shapes,
    resize_tables,
    yuv_coefficients,
)

Shape = tuple[int, ...]
Shapes = tuple[Shape, ...]
_FORMATS = {"bgr24": 0, "rgb24": 0, "yuv420p": 1, "nv12": 2}  # as native/letterbox.cpp numbers them
_RULES = {"linear": 0, "fixed": 1, "half": 2, "nearest": 3}
LARGEST = 1 << 20  # pixels a side, as of cv2.imread
_FLOATS = "fe"  # float32 and float16, as NumPy's characters
_PADDING = 16  # columns that a block of the C++ may read behind the last


def letterbox_reference(
    chw: Array,
    planes: Sequence[Array],
    layout: Layout,
    picture: Picture = Picture(),
    *,
    exact_cv2: bool = False,
    padded: bool = False,
) -> None:
    """Resize, pad, reorder and normalise one picture into an image of a network's input.

    A value is the bilinear one of four pixels, as float32, times gain, plus bias, rounded to float16 where `chw` is.
    YUV pixels are converted, and clamped to 0..255, before they are interpolated.

    Args:
        chw: float32 or float16 [3, h, w], C-contiguous, written whole unless padded.
        planes: uint8, as `picture` says; rows may be padded.
        layout: where, and how scaled.
        picture: what the planes hold.
        exact_cv2: interpolate as cv2.resize does uint8 pictures by INTER_LINEAR, bit for bit: in fixed point with whole
            levels as the result, and at exactly half the size the mean of 2 x 2. YUV pixels are rounded first.
        padded: what surrounds the picture in chw is there already, from a call with the same layout, and is left alone.

    Raises:
        ValueError: the planes are not such a picture, or do not fit; nothing was written.
    """
    size = _checked(chw.shape, chw.dtype.char, _shapes(planes), layout, picture)
    _check_arrays(planes, chw)
    pixels = _pixels(planes, picture)
    if exact_cv2:
        scaled = _resized_fixed(np.rint(pixels).astype(np.int32), size, layout.scaled)
    else:
        scaled = _resized(pixels, size, layout.scaled)
    if layout.channel_order == ("bgr" if picture.format == "rgb24" else "rgb"):
        scaled = scaled[:, :, ::-1]
    gain, bias = (np.array(values, np.float32).reshape(3, 1, 1) for values in (layout.gain, layout.bias))
    (left, top), (width, height) = layout.offset, layout.scaled
    with np.errstate(over="ignore"):  # float16 ends at 65504
        if not padded:
            chw[:] = np.float32(layout.pad) * gain + bias
        chw[:, top : top + height, left : left + width] = scaled.transpose(2, 0, 1) * gain + bias


def bgr_reference(planes: Sequence[Array], picture: Picture) -> Array:
    """The picture as uint8 [H, W, 3] BGR, each value the nearest whole level, ties to even."""
    pixels: Array = np.rint(_pixels(planes, picture)).astype(np.uint8)
    return pixels[:, :, ::-1] if picture.format == "rgb24" else pixels


def _pixels(planes: Sequence[Array], picture: Picture) -> Array:
    """float32 [H, W, 3]: BGR of YUV planes, not rounded; else the channels as they are."""
    if picture.format in {"bgr24", "rgb24"}:
        return planes[0].astype(np.float32)
    height, width = planes[0].shape
    chroma = planes[1:] if picture.format == "yuv420p" else (planes[1][..., 0], planes[1][..., 1])
    u, v = (plane.repeat(2, 0)[:height].repeat(2, 1)[:, :width].astype(np.float32) - 128 for plane in chroma)
    coefficients = yuv_coefficients(picture.matrix, full_range=picture.full_range)
    offset, gain, v_red, u_green, v_green, u_blue = coefficients
    luma = (planes[0].astype(np.float32) - offset) * gain
    bgr = np.stack([luma + u_blue * u, luma + u_green * u + v_green * v, luma + v_red * v], axis=-1)
    clipped: Array = np.clip(bgr, np.float32(0), np.float32(255))
    return clipped


def _resized(pixels: Array, size: Size, scaled: Size) -> Array:
    """float32 [height, width, 3] by `bilinear` of arithmetic.h."""
    x0, x1, wx = resize_tables(size[0], scaled[0])
    y0, y1, wy = resize_tables(size[1], scaled[1])
    left, right = (
        pixels[y0][:, x] + wy[:, None, None] * (pixels[y1][:, x] - pixels[y0][:, x]) for x in (x0, x1)
    )
    value: Array = left + wx[:, None] * (right - left)
    return value


def _resized_fixed(pixels: Array, size: Size, scaled: Size) -> Array:
    """float32 [height, width, 3] of whole levels, by `bilinear_cv2` of arithmetic.h; pixels int32."""
    if size == (2 * scaled[0], 2 * scaled[1]):
        blocks = pixels.reshape(scaled[1], 2, scaled[0], 2, 3).sum(axis=(1, 3))
        means: Array = ((blocks + 2) >> 2).astype(np.float32)
        return means
    x0, x1, across = fixed_tables(size[0], scaled[0], rows=False)
    y0, y1, down = fixed_tables(size[1], scaled[1], rows=True)
    top, bottom = (
        (pixels[y][:, x0] * across[:, :1].astype(np.int32) + pixels[y][:, x1] * across[:, 1:]) >> 4
        for y in (y0, y1)
    )
    upper, lower = down.astype(np.int32).T[:, :, None, None]
    levels: Array = ((((upper * top) >> 16) + ((lower * bottom) >> 16) + 2) >> 2).astype(np.float32)
    return levels


def letterbox(
    chw: Array,
    planes: Sequence[Array],
    layout: Layout,
    picture: Picture = Picture(),
    *,
    exact_cv2: bool = False,
    padded: bool = False,
) -> None:
    """letterbox_reference by the C++ kernel where it is built: the same bits, for the same arguments."""
    kernel = native.function("vedette_letterbox", [ctypes.c_void_p, *_PLANES, ctypes.c_void_p])
    if kernel is None:
        letterbox_reference(chw, planes, layout, picture, exact_cv2=exact_cv2, padded=padded)
        return
    plan = _letterbox_plan(
        layout, picture, _shapes(planes), chw.shape, chw.dtype.char, exact_cv2=exact_cv2, padded=padded
    )
    _check_arrays(planes, chw)
    rows = [_rows(plane) for plane in planes]
    kernel(plan.address, *_addresses(rows), chw.ctypes.data)


def bgr(planes: Sequence[Array], picture: Picture) -> Array:
    """bgr_reference by the C++ kernel where it is built: the same bits."""
    kernel = native.function("vedette_bgr", [ctypes.c_void_p, *_PLANES, ctypes.c_void_p])
    if kernel is None or picture.format in {"bgr24", "rgb24"}:
        return bgr_reference(planes, picture)
    size = _checked_size(_shapes(planes), picture)
    _check_arrays(planes)
    plan = _planned(Layout(size), picture, size, size, half_precision=False, exact_cv2=True)
    rows = [_rows(plane) for plane in planes]
    pixels = np.empty((size[1], size[0], 3), np.uint8)
    kernel(plan.address, *_addresses(rows), pixels.ctypes.data)
    return pixels


def _shapes(planes: Sequence[Array]) -> Shapes:
    return tuple([plane.shape for plane in planes])


def _check_arrays(planes: Sequence[Array], *written: Array) -> None:
    """What shapes do not say."""
    for plane in planes:
        if plane.dtype.char != "B":
            raise ValueError(f"want uint8 planes, not {plane.dtype}")
    for chw in written:
        if not chw.flags.carray:
            raise ValueError("want a C-contiguous array to write to")


def _checked(chw: Shape, dtype: str, planes: Shapes, layout: Layout, picture: Picture) -> Size:
    """The picture's size, of shapes that the C++ may trust."""
    if len(chw) != 3 or chw[0] != 3 or dtype not in _FLOATS:
        raise ValueError(f"want float32 or float16 [3, h, w] to write to, not {dtype} {list(chw)}")
    for offset, scaled, whole in zip(layout.offset, layout.scaled, chw[:0:-1], strict=True):
        if offset < 0 or scaled < 1 or offset + scaled > whole or whole > LARGEST:
            raise ValueError(f"{layout.scaled} at {layout.offset} does not lie in {chw[:0:-1]}")
    return _checked_size(planes, picture)


def _checked_size(planes: Shapes, picture: Picture) -> Size:
    height, width = planes[0][:2] if len(planes) and len(planes[0]) >= 2 else (0, 0)
    if list(planes) != plane_shapes((width, height), picture.format):
        raise ValueError(f"want planes of {picture.format}, not {list(planes)}")
    if not (0 < width <= LARGEST and 0 < height <= LARGEST):
        raise ValueError(f"want a picture of 1 to {LARGEST} pixels a side, not {width} x {height}")
    return width, height


def _rows(plane: Array) -> tuple[Array, int]:
    """The plane, copied unless only its rows are apart, and the bytes from row to row."""
    apart, *within = plane.strides
    channels = plane.shape[2] if plane.ndim == 3 else 1
    if apart >= plane.shape[1] * channels and tuple(within) == (channels, 1)[2 - len(within) :]:
        return plane, apart
    plane = np.ascontiguousarray(plane)
    return plane, plane.size // len(plane)


_PLANES = [ctypes.c_void_p, INT] * 3


def _addresses(rows: Sequence[tuple[Array, int]]) -> list[int]:
    """Address and stride of three planes; those that a format does not have are nowhere."""
    values = [value for plane, stride in rows for value in (plane.ctypes.data, stride)]
    return values + [0] * (6 - len(values))


class _Plan(ctypes.Structure):
    """struct Plan of native/letterbox.cpp."""

    _fields_ = [
        *((name, INT) for name in ("width", "height", "scaled_width", "scaled_height", "left", "top")),
        *((name, INT) for name in ("out_width", "out_height", "format", "rule", "whole", "half_precision")),
        ("contiguous", INT),
        ("padded", INT),
        *((name, ctypes.c_void_p) for name in ("columns", "rows", "across", "down")),
        ("plane_of", INT * 3),
        *((name, ctypes.c_float * 3) for name in ("gain", "bias", "pad")),
        ("yuv", ctypes.c_float * 6),
    ]


class _Planned:
    """A plan, its address, and the tables that it points into."""

    def __init__(self, plan: _Plan, *tables: Array) -> None:
        self.plan, self.tables = plan, tables
        self.address = ctypes.addressof(plan)


@lru_cache(maxsize=64)
def _letterbox_plan(
    layout: Layout, picture: Picture, planes: Shapes, chw: Shape, dtype: str, *, exact_cv2: bool, padded: bool
) -> _Planned:
    """The plan for arrays of these shapes, which are checked only once.

    Raises:
        ValueError: they do not fit.
    """
    size = _checked(chw, dtype, planes, layout, picture)
    return _planned(
        layout, picture, size, chw[:0:-1], half_precision=dtype == "e", exact_cv2=exact_cv2, padded=padded
    )


@lru_cache(maxsize=64)
def _planned(
    layout: Layout,
    picture: Picture,
    size: Size,
    out: Size,
    *,
    half_precision: bool,
    exact_cv2: bool,
    padded: bool = False,
) -> _Planned:
    rule = _rule(size, layout.scaled, exact_cv2=exact_cv2)
    columns, rows, across, down = _plan_tables(size, layout.scaled, rule)
    if _FORMATS[picture.format] == 0:
        columns *= 3  # bytes
    gain, bias = np.array(layout.gain, np.float32), np.array(layout.bias, np.float32)
    swapped = layout.channel_order == ("bgr" if picture.format == "rgb24" else "rgb")
    plan = _Plan(
        *size, *layout.scaled, *layout.offset, *out, _FORMATS[picture.format], _RULES[rule], exact_cv2,
        half_precision, layout.scaled[0] == size[0], padded,
        *(table.ctypes.data for table in (columns, rows, across, down)), (2, 1, 0) if swapped else (0, 1, 2),
        tuple(gain), tuple(bias), tuple(np.float32(layout.pad) * gain + bias),
        tuple(yuv_coefficients(picture.matrix, full_range=picture.full_range)),
    )  # fmt: skip
    return _Planned(plan, columns, rows, across, down)


def _plan_tables(size: Size, scaled: Size, rule: str) -> tuple[Array, Array, Array, Array]:
    """Columns [width…], rows [height, 2], across [width…], down [height]; a block may read behind the columns."""
    if rule == "fixed":
        x0, _, across = fixed_tables(size[0], scaled[0], rows=False)
        y0, y1, down = fixed_tables(size[1], scaled[1], rows=True)
    else:
        x0, _, across = resize_tables(size[0], scaled[0])
        y0, y1, down = resize_tables(size[1], scaled[1])
    columns, across = (np.concatenate([table, table[[-1] * _PADDING]]) for table in (x0, across))
    return columns, np.stack([y0, y1], axis=1), across, down


def _rule(size: Size, scaled: Size, *, exact_cv2: bool) -> str:
    """The fastest way to the values."""
    if not any(resize_tables(*sides)[2].any() for sides in zip(size, scaled, strict=True)):
        return "nearest"
    if not exact_cv2:
        return "linear"
    return "half" if size == (2 * scaled[0], 2 * scaled[1]) else "fixed"
