"""Packets to Frames: what every source that FFmpeg opens shares.

In: an open PyAV container.  Out: Frames whose time strictly increases, whatever the stream's own clock does; their
planes are the decoder's own buffers where the kernels can read them, so that no picture is converted or copied whole.
A packet that cannot be decoded costs only itself; what follows is suspect until the next key frame.
"""

import time
from collections import deque
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING

import numpy as np

from vedette.runtime.frame import Array, Colour, Frame, PixelFormat
from vedette.runtime.sources import END, TIMEOUT, Read, SourceOptions

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

DEFAULT_RATE = 25.0  # what FFmpeg assumes where a stream does not say
BAD_PACKETS_IN_A_ROW = 1000  # then it is not a video any more
NUDGE_S = 1e-3  # between two frames with the same time
REWIND_S = 1.0  # a larger step back is a new clock, a smaller one is jitter
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


class Clock:
    """Seconds since the first frame, strictly increasing over missing, repeated and rewound time stamps."""

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self._origin: float | None = None
        self._last = -inf

    def seconds(self, index: int, stamp_s: float | None) -> float:
        """The time of frame number `index`, which the stream says is stamp_s on a clock of its own."""
        if stamp_s is None:
            now = index / self.rate
        else:
            if self._origin is None:
                self._origin = stamp_s - index / self.rate
            now = stamp_s - self._origin
            if now < self._last - REWIND_S:  # joined files, or a camera that set its clock
                now = self._last + 1 / self.rate
                self._origin = stamp_s - now
        self._last = max(now, self._last + NUDGE_S)
        return self._last


def video_stream(container: "InputContainer") -> "VideoStream | None":
    """The first stream of pictures that is not the cover of an album."""
    from av.stream import Disposition

    streams = container.streams.video
    return next((stream for stream in streams if not stream.disposition & Disposition.attached_pic), None)


def rate_of(stream: "VideoStream") -> float:
    """Frames per second; variable-rate streams may claim thousands, which is no rate."""
    rate = float(stream.average_rate or stream.guessed_rate or 0)
    return rate if 0 < rate <= 1000 else DEFAULT_RATE


@dataclass(frozen=True, slots=True)
class _Decoded:
    """A picture that waits for its colours, as Frame describes it."""

    picture: "VideoFrame"
    index: int
    time_s: float
    received_ns: int
    suspect: bool


class FrameReader:
    """Reads one video stream of an open container.

    Attributes:
        decoded: frames so far, skipped ones included.
        bad_packets: how many could not be decoded.
    """

    def __init__(
        self, container: "InputContainer", stream: "VideoStream", options: SourceOptions, *, source: str
    ) -> None:
        from av.video.reformatter import VideoReformatter

        self.decoded = 0
        self.bad_packets = 0
        self._container, self._stream, self._options, self._source = container, stream, options, source
        self._clock = Clock(rate_of(stream))
        self._packets = container.demux(stream)
        self._bad_in_a_row = 0
        self._suspect = False
        self._pending: deque[_Decoded] = deque()
        self._reformatter = VideoReformatter()  # one for all frames: a frame's own is made anew each time

    def read(self, deadline: float = inf) -> Read:
        """The next frame, END, or TIMEOUT if only packets came until the deadline (time.monotonic)."""
        while not self._pending:
            if not self._decode_packet():
                return END
            if not self._pending and time.monotonic() > deadline:
                return TIMEOUT
        return self._frame(self._pending.popleft())

    def _decode_packet(self) -> bool:
        """Decode one packet into pending frames; False at the end."""
        from av.error import FFmpegError, InvalidDataError

        try:
            packet = next(self._packets)
        except StopIteration:
            return False
        except InvalidDataError:  # the reader has ended with it; a new one goes on behind the damage
            self._packets = self._container.demux(self._stream)
            return self._count_bad()
        try:
            frames = packet.decode()
        except FFmpegError:
            return self._count_bad()
        self._bad_in_a_row = 0
        self._suspect = self._suspect or packet.is_corrupt
        for frame in frames:
            self._take(frame)
        return True

    def _count_bad(self) -> bool:
        self.bad_packets += 1
        self._bad_in_a_row += 1
        self._suspect = True
        return self._bad_in_a_row < BAD_PACKETS_IN_A_ROW

    def _take(self, frame: "VideoFrame") -> None:
        if frame.is_corrupt:
            self._suspect = True
        elif frame.key_frame:
            self._suspect = False
        index, self.decoded = self.decoded, self.decoded + 1
        time_s = self._clock.seconds(index, frame.time)
        if index % self._options.stride == 0:
            self._pending.append(_Decoded(frame, index, time_s, time.monotonic_ns(), self._suspect))

    def _frame(self, decoded: _Decoded) -> Frame:
        pixel_format, colour, full_range = _kind(decoded.picture)
        return Frame(
            planes=self._bgr(decoded.picture) if pixel_format == "bgr24" else _planes(decoded.picture),
            format=pixel_format,
            stream=self._options.stream,
            source=self._source,
            index=decoded.index,
            time_s=decoded.time_s,
            received_ns=decoded.received_ns,
            suspect=decoded.suspect,
            rate=self._clock.rate,
            colour=colour,
            full_range=full_range,
        )

    def _bgr(self, picture: "VideoFrame") -> tuple[Array]:
        image = self._reformatter.reformat(picture, format="bgr24").to_ndarray()
        return (_upright(image, picture.rotation),)


def _kind(picture: "VideoFrame") -> tuple[PixelFormat, Colour, bool]:
    """How a picture's own planes are to be read; bgr24 where FFmpeg must convert and this must turn it."""
    pixel_format, matrix = YUV_FORMATS.get(picture.format.name), MATRICES.get(int(picture.colorspace))
    if pixel_format is None or matrix is None or picture.rotation or picture.planes[0].line_size <= 0:
        return "bgr24", "bt601", False
    return pixel_format, matrix, picture.format.name == "yuvj420p" or int(picture.color_range) == FULL_RANGE


def _planes(picture: "VideoFrame") -> tuple[Array, ...]:
    """Views of the decoder's buffers, which live as long as the views do; rows are line_size bytes apart."""
    luma, *chroma = (
        np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[: plane.height]  # type: ignore[call-overload]
        for plane in picture.planes
    )
    blocks = (picture.width + 1) // 2
    if len(chroma) == 1:  # NV12: U and V side by side
        return luma[:, : picture.width], chroma[0][:, : 2 * blocks].reshape(-1, blocks, 2)
    return luma[:, : picture.width], *(plane[:, :blocks] for plane in chroma)


def _upright(image: Array, rotation: int) -> Array:
    """Turn a picture as its metadata asks, in degrees counter-clockwise; phones write quarter turns only."""
    turns = round(rotation / 90) % 4
    return np.ascontiguousarray(np.rot90(image, turns)) if turns else image
