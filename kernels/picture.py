"""What a picture is, where it goes in a network's input, and how its pixels are interpolated: the letterbox's words.

In: sizes, formats and colour standards.  Out: Picture, Layout, and the tables that every form of the kernel reads.
Next: letterbox.py.
"""

from dataclasses import dataclass
from functools import lru_cache
from math import isfinite
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Size = tuple[int, int]  # (width, height)
PixelFormat = Literal["bgr24", "rgb24", "yuv420p", "nv12"]
Matrix = Literal["bt601", "bt709"]
_COEFFICIENT = 2048  # cv2's one, in fixed point
_DARKER = 0.49  # levels, of limited range


@dataclass(frozen=True, slots=True)
class Picture:
    """What the bytes of a picture are.

    Attributes:
        format: bgr24, rgb24: one plane uint8 [H, W, 3]; yuv420p: [H, W] and two of [ceil(H/2), ceil(W/2)]; nv12:
            [H, W] and [ceil(H/2), ceil(W/2), 2]. The chroma of a pixel is that of its block of 2 x 2.
        matrix: of YUV.
        full_range: of YUV; luma and chroma fill 0..255, not 16..235 and 16..240.
    """

    format: PixelFormat = "bgr24"
    matrix: Matrix = "bt601"
    full_range: bool = False


def plane_shapes(size: Size, pixel_format: PixelFormat) -> list[tuple[int, ...]]:
    """The shapes of the planes of a picture of (width, height)."""
    width, height = size
    chroma = (height + 1) // 2, (width + 1) // 2
    if pixel_format == "yuv420p":
        return [(height, width), chroma, chroma]
    if pixel_format == "nv12":
        return [(height, width), (*chroma, 2)]
    return [(height, width, 3)]


@dataclass(frozen=True, slots=True)
class Layout:
    """Where a picture goes in the network's input and what becomes of its values: y = pixel * gain + bias.

    Attributes:
        scaled: (width, height) that the picture is resized to.
        offset: (left, top) of it in the input.
        gain: by channel of the input, as `channel_order` has them.
        bias: the same.
        pad: the pixel, before gain and bias, where there is no picture.
        channel_order: of the input.
    """

    scaled: Size
    offset: Size = (0, 0)
    gain: tuple[float, float, float] = (1.0, 1.0, 1.0)
    bias: tuple[float, float, float] = (0.0, 0.0, 0.0)
    pad: float = 114.0
    channel_order: Literal["bgr", "rgb"] = "bgr"

    def __post_init__(self) -> None:
        values = (*self.gain, *self.bias, self.pad)
        if not all(isfinite(value) and abs(value) < 1e30 for value in values):
            raise ValueError(f"want three finite gains, three biases and a pad below 1e30, not {values}")


@lru_cache(maxsize=64)
def resize_tables(source: int, target: int) -> tuple[Array, Array, Array]:
    """Where each of `target` pixels lies between `source` pixels: cv2's INTER_LINEAR positions along one axis.

    Pixel centres map to pixel centres; beyond the first and the last centre there is only the border pixel.

    Returns:
        The pixel at or before the position, int32 [target]; the next one, int32 [target]; the weight of the next
        one, float32 [target] in [0, 1). Shared between callers: not to be written to.

    Source: OpenCV resize.cpp, cv::resize, the tables xofs and alpha.
    """
    first, weight = _positions(source, target)
    weight[(first < 0) | (first >= source - 1)] = 0
    first = np.clip(first, 0, source - 1)
    tables = first, np.minimum(first + 1, source - 1), weight
    _freeze(*tables)
    return tables


@lru_cache(maxsize=64)
def fixed_tables(source: int, target: int, *, rows: bool) -> tuple[Array, Array, Array]:
    """The same for `bilinear_cv2`: shares int16 [target, 2] of 2048 for the first and the next pixel.

    Beyond the border, cv2 gives a column the border pixel whole, but a row its two shares of the same border row,
    each rounded by itself.
    """
    first, second, weight = resize_tables(source, target)
    if rows:
        floor, weight = _positions(source, target)
        first, second = (np.clip(row, 0, source - 1).astype(np.int32) for row in (floor, floor + 1))
    shares = np.stack([np.float32(1) - weight, weight], axis=1) * np.float32(_COEFFICIENT)
    tables = first, second, np.rint(shares).astype(np.int16)
    _freeze(*tables)
    return tables


def _positions(source: int, target: int) -> tuple[Array, Array]:
    """int32 whole and float32 fractional part, not clamped."""
    scale = 1.0 / (target / source)  # as cv2 does it: not always the same as source / target
    position = ((np.arange(target) + 0.5) * scale - 0.5).astype(np.float32)
    floor = np.floor(position)
    return floor.astype(np.int32), position - floor


def _freeze(*tables: Array) -> None:
    for table in tables:
        table.setflags(write=False)


def yuv_coefficients(matrix: Matrix, full_range: bool) -> Array:  # noqa: FBT001
    """float32 [6] for bgr_from_yuv: luma offset and gain, then V to red, U to green, V to green, U to blue.

    At limited range all values are _DARKER than the standards say: docs/decisions/0006.

    Source: ITU-R BT.601-7 2.5 and BT.709-6 item 3, the inverse of their matrices.
    """
    red, blue = {"bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722)}[matrix]  # shares of luma
    green = 1 - red - blue
    luma, chroma = (1.0, 1.0) if full_range else (255 / 219, 255 / 224)
    v_red, u_blue = 2 * (1 - red), 2 * (1 - blue)
    v_green, u_green = -v_red * red / green, -u_blue * blue / green
    table = [
        0 if full_range else 16 + _DARKER / luma,
        luma,
        *(chroma * c for c in (v_red, u_green, v_green, u_blue)),
    ]
    return np.array(table, np.float32)
