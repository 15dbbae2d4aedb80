"""Pictures for the letterbox's tests and benchmarks, all seeded."""

from collections.abc import Callable, Mapping

import numpy as np

from vedette.kernels.picture import Array, Layout, Picture, PixelFormat, Size, plane_shapes

Case = tuple[tuple[Array, ...], Picture, Size, Layout]  # planes, what they are, (width, height) of the input


def noise(size: Size, pixel_format: PixelFormat, *, row_padding: int = 0) -> tuple[Array, ...]:
    """Seeded planes, each row followed by `row_padding` bytes, as decoders align rows."""
    random = np.random.default_rng(size)
    planes = []
    for height, *row in plane_shapes(size, pixel_format):
        row_bytes = int(np.prod(row))
        bytes_ = random.integers(0, 256, (height, row_bytes + row_padding), np.uint8)
        inner = np.empty(row, np.uint8).strides
        planes.append(np.lib.stride_tricks.as_strided(bytes_, (height, *row), (bytes_.strides[0], *inner)))
    return tuple(planes)


_UNIT = ((1 / 255,) * 3, (0.0,) * 3)
_IMAGENET = ((0.017, 0.0175, 0.0174), (-2.118, -2.036, -1.804))
CASES: Mapping[str, Callable[[], Case]] = {
    "one pixel": lambda: _case((1, 1), (1, 1), Layout((1, 1))),
    "one pixel enlarged": lambda: _case((1, 1), (9, 7), Layout((5, 3), (2, 1)), Picture("nv12")),
    "identity": lambda: _case((75, 13), (80, 16), Layout((75, 13), (3, 2), *_UNIT)),
    "identity yuv": lambda: _case((75, 13), (80, 16), Layout((75, 13), (3, 2), *_UNIT), Picture("yuv420p")),
    "identity nv12": lambda: _case((75, 13), (75, 13), Layout((75, 13)), Picture("nv12", "bt709", True)),
    "a third": lambda: _case((192, 108), (64, 64), Layout((64, 36), (0, 14), *_UNIT, 114, "rgb")),
    "a third yuv": lambda: _case((99, 33), (33, 11), Layout((33, 11)), Picture("yuv420p", "bt709")),
    "half": lambda: _case((100, 62), (64, 64), Layout((50, 31), (7, 16), *_IMAGENET, 114, "rgb")),
    "half yuv": lambda: _case((100, 62), (50, 31), Layout((50, 31)), Picture("yuv420p")),
    "odd": lambda: _case((127, 73), (64, 64), Layout((64, 37), (0, 13), *_UNIT, 114, "rgb")),
    "odd yuv": lambda: _case(
        (127, 73), (64, 64), Layout((64, 37), (0, 13), *_UNIT), Picture("yuv420p", "bt709"), row_padding=33
    ),
    "odd nv12": lambda: _case(
        (127, 73), (64, 40), Layout((57, 40), (7, 0), *_UNIT), Picture("nv12", full_range=True), row_padding=1
    ),
    "rgb, padded rows": lambda: _case(
        (31, 50), (40, 40), Layout((25, 40), (15, 0), *_IMAGENET, 0, "rgb"), Picture("rgb24"), row_padding=7
    ),
    "enlarged": lambda: _case((20, 11), (70, 50), Layout((70, 39), (0, 5), *_UNIT)),
    "stretched": lambda: _case((300, 7), (33, 48), Layout((33, 48)), Picture("yuv420p")),
    "one column": lambda: _case((1, 40), (8, 24), Layout((1, 24), (7, 0))),
    "one row": lambda: _case((41, 1), (24, 8), Layout((24, 1), (0, 7)), Picture("yuv420p")),
    "to one pixel": lambda: _case((90, 77), (1, 1), Layout((1, 1))),
    "huge to small": lambda: _case((3000, 5), (17, 2), Layout((17, 2)), Picture("nv12")),
}


def _case(
    size: Size, out: Size, layout: Layout, picture: Picture = Picture(), *, row_padding: int = 0
) -> Case:
    return noise(size, picture.format, row_padding=row_padding), picture, out, layout
