"""Pictures to a video file by FFmpeg, playable at every moment.

In: uint8 BGR pictures and their times.  Out: H.264 in .mp4, .mov, .mkv or .avi.
MP4 is written in fragments, one a key frame, so that a kill loses the last seconds and not the file; closing
turns them into a plain MP4 where this FFmpeg can.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vedette.runtime.ffmpeg import load_ffmpeg
from vedette.runtime.frame import Array

if TYPE_CHECKING:
    from fractions import Fraction

    from av import VideoFrame
    from av.video.stream import VideoStream

SUFFIXES = (".mp4", ".mov", ".mkv", ".avi")
# By version, not by trial: FFmpeg 8 crashes on closing a hybrid file that has a header and not one packet.
HYBRID_SINCE = (61, 7)  # libavformat of FFmpeg 7.1
HYBRID = "hybrid_fragmented+negative_cts_offsets"  # the offsets: so that the first picture is at 0 s
FRAGMENTED = "frag_keyframe+empty_moov+default_base_moof+negative_cts_offsets"
H264 = {"preset": "veryfast", "crf": "23"}


class Encoder:
    """One video file. The first picture's size, made even, is every picture's. FFmpeg's errors pass."""

    def __init__(self, path: Path, size: tuple[int, int], rate: float) -> None:
        load_ffmpeg()
        from fractions import Fraction

        import av

        self._size = size
        # Even, because 4:2:0 has one colour sample for 2 x 2 pixels.
        self._canvas = (size[0] + size[0] % 2, size[1] + size[1] % 2)
        # AVI has no time stamps: FFmpeg would fill a gap with copies.
        self._constant_rate = path.suffix.lower() == ".avi"
        # Absolute, so that no name is read as a protocol.
        self._container = av.open(str(path.absolute()), "w", container_options=container_options(path))
        exact_rate = max(Fraction(rate).limit_denominator(1001), Fraction(1, 1001))  # 29.97 is 30000/1001
        name = codec_name()
        ticks = 90_000 if name == "libx264" else 60_000  # MPEG-4 has 16 bits for it
        self._tick_s = 1 / exact_rate if self._constant_rate else Fraction(1, ticks)
        self._stream = self._add_stream(name, exact_rate)
        self._first_s: float | None = None
        self._last_pts = -1
        self._packets = 0

    def add(self, image: Array, time_s: float) -> None:
        """Write one picture, uint8 BGR [H, W, 3] of any size."""
        from av import VideoFrame

        frame = VideoFrame.from_ndarray(fitted(image, self._size, self._canvas), format="bgr24")
        frame.pts = self._next_pts(time_s)
        frame.time_base = self._tick_s
        self._encode(frame)

    def close(self) -> None:
        """Write what the encoder still holds and complete the file."""
        if self._last_pts >= 0:
            self._encode(None)
        self.abandon()

    def abandon(self) -> None:
        """Complete the file without what the encoder still holds."""
        if self._packets:  # see HYBRID_SINCE
            self._packets = 0
            self._container.close()

    def _encode(self, frame: "VideoFrame | None") -> None:
        for packet in self._stream.encode(frame):
            self._container.mux(packet)
            self._packets += 1

    def _add_stream(self, name: str, rate: "Fraction") -> "VideoStream":
        stream: VideoStream = self._container.add_stream(name, rate=rate)  # type: ignore[assignment]
        context = stream.codec_context
        context.width, context.height = self._canvas
        context.pix_fmt = "yuv420p"
        context.gop_size = max(1, round(rate))  # a key frame a second at least: what a kill may cost
        context.time_base = self._tick_s
        if self._constant_rate:
            context.max_b_frames = 0  # they would need time stamps of their own
        if name == "libx264":
            # A kill loses the frames that wait here; and the cores are the models' too.
            context.options = H264 | {"rc-lookahead": str(min(10, round(rate / 4)))}
            context.thread_count = 4
        else:
            context.bit_rate = round(self._canvas[0] * self._canvas[1] * min(float(rate), 60) * 0.15)
        return stream

    def _next_pts(self, time_s: float) -> int:
        """The time since the first picture in ticks; more than the last even where both round to the same."""
        self._first_s = time_s if self._first_s is None else self._first_s
        ticks = 0 if self._constant_rate else round((time_s - self._first_s) / self._tick_s)
        self._last_pts = max(self._last_pts + 1, ticks)
        return self._last_pts


def container_options(path: Path) -> dict[str, str]:
    import av

    options = {"flush_packets": "1"}  # else FFmpeg keeps 256 KiB to itself: minutes, where little moves
    if path.suffix.lower() == ".mkv":
        options["cluster_time_limit"] = "500"  # ms
    if path.suffix.lower() in {".mp4", ".mov"}:
        hybrid = av.library_versions["libavformat"] >= HYBRID_SINCE
        options["movflags"] = HYBRID if hybrid else FRAGMENTED
        options["frag_duration"] = "500000"  # us
    return options


def codec_name() -> str:
    """H.264 by x264, or MPEG-4 where this FFmpeg was built without it."""
    load_ffmpeg()
    from av.codec import Codec
    from av.codec.codec import UnknownCodecError

    try:
        Codec("libx264", "w")
    except UnknownCodecError:
        return "mpeg4"
    return "libx264"


def fitted(image: Array, size: tuple[int, int], canvas: tuple[int, int]) -> Array:
    """A picture on the video's canvas: its edge repeated if it has the first size, letterboxed if not.

    Args:
        image: uint8 BGR [H, W, 3].
        size: (width, height) of the first picture.
        canvas: the same made even.
    """
    import cv2

    height, width = image.shape[:2]
    if (width, height) == size:
        extra = ((0, canvas[1] - height), (0, canvas[0] - width), (0, 0))
        return np.ascontiguousarray(np.pad(image, extra, "edge") if canvas != size else image)
    scale = min(canvas[0] / width, canvas[1] / height)
    new = (max(1, round(width * scale)), max(1, round(height * scale)))
    shrunk = cv2.resize(image, new, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    letterboxed = np.zeros((canvas[1], canvas[0], 3), np.uint8)
    left, top = (canvas[0] - new[0]) // 2, (canvas[1] - new[1]) // 2
    letterboxed[top : top + new[1], left : left + new[0]] = shrunk
    return letterboxed
