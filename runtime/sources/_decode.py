"""Packets to Frames: what every source that FFmpeg opens shares.

In: an open PyAV container.  Out: Frames whose time strictly increases, whatever the stream's own clock does; their
planes are the decoder's own buffers where the kernels can read them, so that no picture is converted or copied whole.
A packet that cannot be decoded costs only itself; what follows is suspect until the next key frame.
Next: _clock.py for time, _complaints.py for suspicion, _encoding.py for recorders, _network.py for connections.
"""

import time
from collections import deque
from contextlib import nullcontext
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Any

from vedette.runtime.ffmpeg import load_ffmpeg
from vedette.runtime.frame import Array, Frame
from vedette.runtime.sources import END, TIMEOUT, Read, SourceOptions
from vedette.runtime.sources._clock import Clock, Pace
from vedette.runtime.sources._complaints import Doubt, damage, listen
from vedette.runtime.sources._decoders import Decoder, decoder_of
from vedette.runtime.sources._encoding import Packets
from vedette.runtime.sources._nvv4l2 import Picture
from vedette.runtime.sources._picture import kind, planes, upright

if TYPE_CHECKING:
    from av import Packet
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

DEFAULT_RATE = 25.0  # what FFmpeg assumes where a stream does not say
BAD_PACKETS_IN_A_ROW = 1000  # then it is not a video any more
UNSTAMPED = {"mpjpeg", "mjpeg", "h264", "hevc"}  # formats without time stamps: FFmpeg's are made up


def video_stream(container: "InputContainer") -> "VideoStream | None":
    """The first stream of pictures that can be decoded and is not the cover of an album."""
    from av.stream import Disposition

    for stream in container.streams.video:
        has_decoder = (
            getattr(stream, "codec_context", None) is not None
        )  # PyAV has None for a codec that is unknown
        if has_decoder and not stream.disposition & Disposition.attached_pic:
            return stream
    return None


def rate_of(stream: "VideoStream") -> float:
    """Frames per second; variable-rate streams may claim thousands, which is no rate."""
    rate = float(stream.average_rate or stream.guessed_rate or 0)
    return rate if 0 < rate <= 1000 else DEFAULT_RATE


def faults() -> tuple[type[Exception], ...]:
    """All that PyAV is known to raise for damaged bytes: FFmpeg's errors, and Python's over nonsense in a header."""
    load_ffmpeg()
    from av.error import FFmpegError

    return (
        FFmpegError,
        ValueError,
        LookupError,
        OverflowError,
        AssertionError,
        MemoryError,
        RuntimeError,
        TypeError,
    )


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
        suspect: how many of them may be wrong.
        bad_packets: how many could not be decoded.
        heard_s: time.monotonic() when the last packet came.
    """

    def __init__(
        self,
        container: "InputContainer",
        stream: "VideoStream",
        options: SourceOptions,
        *,
        source: str,
        live: bool = False,
        watched: bool = False,
        pace: Pace | None = None,
    ) -> None:
        """Read `stream`.

        Args:
            container: an open one that holds it.
            stream: of pictures.
            options: the source's.
            source: its name, as frames are to carry it.
            live: where its stamps fail, the moment of arrival counts.
            watched: one thread decodes it, and what that complains about makes frames suspect.
            pace: holds frames back until their time.
        """
        from av.video.reformatter import VideoReformatter

        self.decoded = self.suspect = self.bad_packets = 0
        self._options, self._source = options, source
        self._live, self._watched, self._pace = live, watched, pace
        self.heard_s = time.monotonic()
        self._clock = Clock(rate_of(stream))
        self._doubt = Doubt()
        self._bad_in_a_row = 0
        self._decoder: Decoder | None = None
        self._pending: deque[_Decoded] = deque()
        self._reformatter = VideoReformatter()  # one for all frames: a frame's own is made anew each time
        self.begin(container, stream)
        if watched:
            listen()

    def begin(self, container: "InputContainer", stream: "VideoStream") -> None:
        """Read this one from now on; indices and times go on."""
        self._container, self._stream = container, stream
        self._packets = container.demux(stream)
        self._stamped = container.format.name not in UNSTAMPED
        tap, told = self._options.tap, self._stamped or not self._live
        self._tap = Packets(stream, tap, self._clock.rate, stamped=told) if tap else None
        self._clock.restart()
        if self._decoder is not None:
            self._decoder.close()
        patience_s = 0.5 / self._clock.rate if self._live else 0.0
        self._decoder = decoder_of(stream, self._options, source=self._source, patience_s=patience_s)

    def read(self, deadline: float = inf) -> Read:
        """The next frame, END, or TIMEOUT if only packets came until the deadline (time.monotonic).

        Raises:
            FFmpegError: the connection failed; what is merely damaged is counted and skipped.
        """
        while not self._pending:
            if not self._decode_packet():
                return END
            if not self._pending and time.monotonic() > deadline:
                return TIMEOUT
        if self._pace is not None and not self._pace.wait(self._pending[0].time_s, deadline):
            return TIMEOUT
        return self._frame(self._pending.popleft())

    def close(self) -> None:
        """Let the decoder come to rest; _complaints.py tells why it must before it is freed."""
        self._pending.clear()
        if self._decoder is not None:
            self._decoder.close()

    def _decode_packet(self) -> bool:
        """Decode one packet into pending frames; False at the end."""
        from av.logging import Capture

        with Capture() if self._watched else nullcontext([]) as messages:
            try:
                packet = self._demux()
            except StopIteration:
                return False
            self.heard_s = time.monotonic()
            frames = self._decode(packet)
        self.bad_packets += frames is None
        self._doubt.packet(
            key=not self._watched or (packet is not None and packet.is_keyframe),
            complained=frames is None or (packet is not None and packet.is_corrupt) or damage(messages),
        )
        for frame, is_key in frames or ():
            self._take(frame, key=is_key)
        if self._tap is not None and packet is not None:
            self._tap.hand_on(packet, round(self.heard_s * 1e9))
        return self._count_bad(bad=packet is None if self._live else frames is None)

    def _demux(self) -> "Packet[Any] | None":
        """The next packet, or None where the stream is damaged."""
        from av.error import InvalidDataError

        try:
            return next(self._packets)
        except InvalidDataError:
            if (
                time.monotonic() - self.heard_s > self._options.read_timeout_s
            ):  # FFmpeg calls some time-outs so
                raise
            self._packets = self._container.demux(self._stream)  # the old one has ended with it
            return None

    def _decode(self, packet: "Packet[Any] | None") -> list[Picture] | None:
        """A packet's frames, or None if it cannot be decoded."""
        try:
            return None if packet is None or self._decoder is None else self._decoder.decode(packet)
        except faults():
            return None

    def _count_bad(self, *, bad: bool) -> bool:
        """Whether to go on: not if it has been bad for too long. Live, a camera without key frames is not."""
        self._bad_in_a_row = self._bad_in_a_row + 1 if bad else 0
        return self._bad_in_a_row < BAD_PACKETS_IN_A_ROW

    def _take(self, frame: "VideoFrame", *, key: bool) -> None:
        suspect = self._doubt.frame(key=key, corrupt=frame.is_corrupt)
        index, self.decoded = self.decoded, self.decoded + 1
        self.suspect += suspect
        stamp_s = frame.time if self._stamped else None
        time_s = self._clock.seconds(stamp_s, arrived_s=self.heard_s if self._live else None)
        if index % self._options.stride == 0:
            self._pending.append(_Decoded(frame, index, time_s, time.monotonic_ns(), suspect))

    def _frame(self, decoded: _Decoded) -> Frame:
        pixel_format, colour, full_range = kind(decoded.picture)
        return Frame(
            planes=self._bgr(decoded.picture) if pixel_format == "bgr24" else planes(decoded.picture),
            format=pixel_format,
            stream=self._options.stream,
            source=self._source,
            index=decoded.index,
            time_s=decoded.time_s,
            received_ns=decoded.received_ns if self._pace is None else time.monotonic_ns(),
            suspect=decoded.suspect,
            rate=self._clock.rate,
            colour=colour,
            full_range=full_range,
        )

    def _bgr(self, picture: "VideoFrame") -> tuple[Array]:
        image = self._reformatter.reformat(picture, format="bgr24").to_ndarray()
        return (upright(image, picture.rotation),)
