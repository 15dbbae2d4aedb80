"""One picture of one stream, as its decoder made it: sources make Frames, Runners take them.

Next: preprocess.py, which takes the planes as they are; kernels/letterbox.py, which reads YUV.
"""

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal

from numpy.typing import NDArray

from vedette.kernels.letterbox import bgr
from vedette.kernels.picture import Picture

Array = NDArray[Any]
PixelFormat = Literal["bgr24", "yuv420p", "nv12"]
Colour = Literal["bt601", "bt709"]


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One picture. It holds its decoder's buffer: copy what must outlive it.

    Attributes:
        planes: bgr24: one uint8 [H, W, 3]; yuv420p: uint8 [H, W], [H/2, W/2], [H/2, W/2]; nv12: [H, W], [H/2, W/2, 2].
            Halves are rounded up; rows may be padded.
        stream: the stream's name, cam0, cam1 … unless a config names it.
        source: the file or redacted URI it came from.
        index: number in its source, skipped frames included.
        time_s: media time in seconds, strictly increasing within a stream.
        received_ns: time.monotonic_ns() when the decoder handed it over.
        suspect: the decoder complained about this frame or one it is predicted from.
        rate: frames per second of a video or camera, None for single pictures.
        colour: the matrix of YUV planes; BT.601 is what cameras and files without colour tags mean.
        full_range: of YUV planes: 0..255 is black to white, not 16..235.
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
    colour: Colour = "bt601"
    full_range: bool = False
    prepared: dict[Any, Any] = field(
        default_factory=dict, repr=False
    )  # by intake.py, for models that want the same
    _bgr: list[Array] = field(default_factory=list, repr=False)

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        height, width = self.planes[0].shape[:2]
        return width, height

    @property
    def picture(self) -> Picture:
        """What the bytes of the planes are."""
        return _picture(self.format, self.colour, self.full_range)

    def bgr(self) -> Array:
        """The picture as uint8 [H, W, 3] BGR; made once, not to be written to."""
        if not self._bgr:
            self._bgr.append(self.planes[0] if self.format == "bgr24" else bgr(self.planes, self.picture))
        return self._bgr[0]


@lru_cache(maxsize=16)
def _picture(pixel_format: PixelFormat, colour: Colour, full_range: bool) -> Picture:  # noqa: FBT001
    return Picture(pixel_format, colour, full_range)
