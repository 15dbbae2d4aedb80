"""Packets for streams that have none: pictures are encoded, and from there on are as a camera's."""

import time
from fractions import Fraction
from typing import TYPE_CHECKING

from vedette.runtime.frame import Array, Frame
from vedette.runtime.packets import Encoding, Packet
from vedette.runtime.sinks._encode import H264, codec_name, fitted

if TYPE_CHECKING:
    from av import VideoFrame
    from av.video.codeccontext import VideoCodecContext

TICKS = 60_000  # a second: MPEG-4 has 16 bits for it, and 25, 29.97, 30 and 60 divide it
KEY_FRAME_S = 1.0  # what a kill may cost, and how exactly a clip can begin
PICTURE_RATE = 1.0


class FrameEncoder:
    """One stream's; another size of picture is another encoder's. Every picture is a packet at once."""

    def __init__(self, size: tuple[int, int], rate: float | None) -> None:
        self.size = size
        self._canvas = (size[0] + size[0] % 2, size[1] + size[1] % 2)
        self._rate = rate or PICTURE_RATE
        self._codec = codec_name()
        self._context = self._open()
        codec = "h264" if self._codec == "libx264" else "mpeg4"
        self._encoding = Encoding(codec, b"", self._canvas, Fraction(1, TICKS), self._rate)
        self._last_pts = -1
        self._key_pts: int | None = None

    def add(self, frame: Frame) -> list[Packet]:
        """One frame's packet. FFmpeg's errors pass."""
        picture = self._picture(frame.bgr())
        pts = max(self._last_pts + 1, round(frame.time_s * TICKS))
        picture.pts, self._last_pts = pts, pts
        if self._key_pts is None or pts - self._key_pts >= KEY_FRAME_S * TICKS:
            from av.video.frame import PictureType

            self._key_pts, picture.pict_type = pts, PictureType.I
        received_ns = frame.received_ns or time.monotonic_ns()
        return [
            Packet(self._encoding, bytes(packet), packet.pts, packet.dts, packet.is_keyframe, received_ns)
            for packet in self._context.encode(picture)
        ]

    def _picture(self, image: Array) -> "VideoFrame":
        from av import VideoFrame

        picture = VideoFrame.from_ndarray(fitted(image, self.size, self._canvas), format="bgr24")
        picture.time_base = Fraction(1, TICKS)
        return picture

    def _open(self) -> "VideoCodecContext":
        from av.codec import CodecContext

        context: VideoCodecContext = CodecContext.create(self._codec, "w")  # type: ignore[assignment]
        context.width, context.height = self._canvas
        context.pix_fmt, context.time_base = "yuv420p", Fraction(1, TICKS)
        context.framerate = max(Fraction(self._rate).limit_denominator(1001), Fraction(1, 1001))
        context.gop_size, context.max_b_frames = 600, 0  # key frames are asked for by time
        if self._codec == "libx264":
            context.options = H264 | {"tune": "zerolatency"}
            context.thread_count = 2
        else:
            context.bit_rate = round(self._canvas[0] * self._canvas[1] * min(self._rate, 60) * 0.15)
        return context
