"""FFmpeg's pictures as the kernels read them.

In: a decoded picture of any format.  Out: what its planes are, views of them, and turned ones.  Next: frame.py.
"""

from typing import TYPE_CHECKING

import numpy as np

from vedette.runtime.frame import Array, Colour, PixelFormat

if TYPE_CHECKING:
    from av.video.frame import VideoFrame
    from av.video.plane import VideoPlane

YUV_FORMATS: dict[str, PixelFormat] = {
    "yuv420p": "yuv420p",
    "yuvj420p": "yuv420p",
    "nv12": "nv12",
}  # by FFmpeg's name
MATRICES: dict[int, Colour] = {
    1: "bt709",
    2: "bt601",
    5: "bt601",
    6: "bt601",
}  # by AVColorSpace; 2 is not specified
FULL_RANGE = 2  # AVCOL_RANGE_JPEG


def kind(picture: "VideoFrame") -> tuple[PixelFormat, Colour, bool]:
    """How a picture's own planes are to be read; bgr24 where FFmpeg must convert and this must turn it."""
    pixel_format, matrix = YUV_FORMATS.get(picture.format.name), MATRICES.get(int(picture.colorspace))
    if pixel_format is None or matrix is None or picture.rotation or picture.planes[0].line_size <= 0:
        return "bgr24", "bt601", False
    return pixel_format, matrix, picture.format.name == "yuvj420p" or int(picture.color_range) == FULL_RANGE


def planes(picture: "VideoFrame") -> tuple[Array, ...]:
    """Views of the decoder's buffers, which live as long as the views do; rows are line_size bytes apart."""
    found = picture.planes
    pixels, blocks = picture.width, (picture.width + 1) // 2
    if len(found) == 2:  # NV12: U and V side by side
        return _view(found[0], pixels), _view(found[1], 2 * blocks).reshape(-1, blocks, 2)
    return _view(found[0], pixels), _view(found[1], blocks), _view(found[2], blocks)


def _view(plane: "VideoPlane", columns: int) -> Array:
    """The first bytes of every row."""
    return np.ndarray((plane.height, columns), np.uint8, plane, 0, (plane.line_size, 1))  # type: ignore[arg-type]


def upright(image: Array, rotation: int) -> Array:
    """Turn a picture as its metadata asks, in degrees counter-clockwise; phones write quarter turns only."""
    turns = round(rotation / 90) % 4
    return np.ascontiguousarray(np.rot90(image, turns)) if turns else image
