"""One picture of one stream, as its decoder made it: sources make Frames, Runners take them."""

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
PixelFormat = Literal["bgr24", "yuv420p", "nv12"]


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One picture. It holds its decoder's buffer: copy what must outlive it.

    Attributes:
        planes: bgr24: one uint8 [H, W, 3]; yuv420p: uint8 [H, W], [H/2, W/2], [H/2, W/2]; nv12: [H, W], [H/2, W/2, 2].
        stream: the stream's name, cam0, cam1 … unless a config names it.
        source: the file or redacted URI it came from.
        index: number in its source, skipped frames included.
        time_s: media time in seconds, strictly increasing within a stream.
        received_ns: time.monotonic_ns() when the decoder handed it over.
        suspect: the decoder complained about this frame or one it is predicted from.
        rate: frames per second of a video or camera, None for single pictures.
    """

    planes: tuple[Array, ...]
    format: PixelFormat = "bgr24"
    stream: str = "cam0"
    source: str = ""
    index: int = 0
    time_s: float = 0.0
    received_ns: int = 0
    suspect: bool = False
    rate: float | None = None
    _bgr: list[Array] = field(default_factory=list, repr=False)

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        height, width = self.planes[0].shape[:2]
        return width, height

    def bgr(self) -> Array:
        """The picture as uint8 [H, W, 3] BGR; made once, not to be written to."""
        if not self._bgr:
            self._bgr.append(_bgr_from_planes(self.planes, self.format))
        return self._bgr[0]


def _bgr_from_planes(planes: tuple[Array, ...], pixel_format: PixelFormat) -> Array:
    """BT.601 limited range, as cameras and files without colour tags mean it."""
    if pixel_format == "bgr24":
        return planes[0]
    import cv2

    height, width = planes[0].shape
    packed = np.concatenate([plane.reshape(-1) for plane in planes]).reshape(height * 3 // 2, width)
    code = cv2.COLOR_YUV2BGR_I420 if pixel_format == "yuv420p" else cv2.COLOR_YUV2BGR_NV12
    return cv2.cvtColor(packed, code)
