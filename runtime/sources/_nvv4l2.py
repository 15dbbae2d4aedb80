"""A Jetson's decoder: GStreamer's nvv4l2decoder in a process of its own, which is given packets and nothing else.

In: packets of H.264 or H.265.  Out: NV12 pictures with the packets' times.  Next: _gdp.py for the bytes between.
FFmpeg keeps the connection, its recovery and its recorders here, and the child never learns an address or a password.
A child that dies or hangs is killed; the source fails then and is opened again. Tried with GStreamer's software
decoder in that place, on no Jetson.
"""

import shutil
import time
from math import inf
from typing import TYPE_CHECKING, Any

import numpy as np

from vedette.runtime.errors import SourceError
from vedette.runtime.frame import Array
from vedette.runtime.sources import SourceOptions, _gdp
from vedette.runtime.sources._child import Child
from vedette.runtime.sources._nvdec import tell_software
from vedette.runtime.sources._picture import planes

if TYPE_CHECKING:
    from av import Packet
    from av.bitstream import BitStreamFilterContext
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

Picture = tuple["VideoFrame", bool]  # and whether it is a key frame
PROGRAM = "gst-launch-1.0"
DECODER = ("nvv4l2decoder", "!", "nvvidconv")
KINDS = {  # GStreamer's parser, FFmpeg's filter, GStreamer's name
    "h264": ("h264parse", "h264_mp4toannexb", "video/x-h264"),
    "hevc": ("h265parse", "hevc_mp4toannexb", "video/x-h265"),
}
HELD = 32  # packets that a decoder may hold back; after more, silence counts
MORE_S = 0.01  # after the last packet's picture, this one's may be ready
STEP_S = 1.0  # pictures are not reordered over more than that: a longer step is a clock that was set


class Nvv4l2:
    """Decodes one connection of one stream from its first key frame on."""

    def __init__(
        self, stream: "VideoStream", options: SourceOptions, *, source: str, patience_s: float
    ) -> None:
        self._stream, self._source, self._patience_s = stream, source, patience_s
        self._limit_s = max(options.open_timeout_s, options.read_timeout_s)
        self._child: Child | None = None
        self._filter: BitStreamFilterContext | None = None
        self._like: VideoFrame | None = None  # has the stream's colours
        self._lead = b""  # goes before the next packet
        self._reader = _gdp.Reader()
        self._interval_s = 1 / float(stream.average_rate or 25)
        self._shift_s = -inf  # from the stream's clock to GStreamer's, which begins anew
        self._shown_s = self._latest_s = 0.0  # the last packet, and the latest, on GStreamer's
        self._sent: dict[
            int, tuple[int | None, bool]
        ] = {}  # by its time in ns: a packet's stamp, is it a key
        self._unanswered = 0  # packets since the last picture
        self._since_s = 0.0  # time.monotonic() of the first of them
        self._software = stream.codec_context.codec.canonical_name not in KINDS
        if self._software:
            tell_software(source, "nvv4l2", "it is neither H.264 nor H.265")

    def decode(self, packet: "Packet[Any]") -> list[Picture]:
        """The pictures that have come by now.

        Raises:
            SourceError: the child died, fell silent or takes no more.
        """
        first = b""
        if self._child is None and not self._software and packet.is_keyframe:
            first = self._begin(packet)
        if self._software:
            return [(picture, picture.key_frame) for picture in packet.decode()]
        if self._child is None:
            return []  # no decoder can begin here
        if not packet.size:
            return self._rest(self._child)
        pictures = self._exchange(self._child, first + self._message(packet))
        self._check_silence()
        return pictures

    def close(self) -> None:
        """Kill the child."""
        if self._child is not None:
            self._child.close()
        self._stream.codec_context.flush_buffers()

    def _begin(self, packet: "Packet[Any]") -> bytes:
        """Start the child if it can show this stream; what is to be sent before the first packet."""
        context = self._stream.codec_context
        seen = [*packet.decode(), *context.decode(None)]  # decoded here for once, to see what it is
        context.flush_buffers()
        self._software = bool(seen) and seen[0].rotation != 0
        if self._software:
            tell_software(self._source, "nvv4l2", "its pictures are to be turned")
        if self._software or not seen:
            return b""
        from av.bitstream import BitStreamFilterContext

        parser, to_start_codes, caps = KINDS[context.codec.canonical_name]
        extradata = context.extradata or b""  # cameras may tell their parameter sets there alone
        self._lead = extradata if extradata.startswith(b"\0\0") else b""
        self._like, self._filter = seen[0], BitStreamFilterContext(to_start_codes, self._stream)
        self._start(parser)
        return _gdp.preamble(f"{caps}, stream-format=(string)byte-stream, alignment=(string)au")

    def _start(self, parser: str) -> None:
        if shutil.which(PROGRAM) is None:
            raise self._error(f"{PROGRAM} is not installed", "missing")
        ours = [PROGRAM, "-q", "fdsrc", "fd=0", "!", "gdpdepay", "!", parser, "!", *DECODER, "!"]
        theirs = ["video/x-raw,format=NV12", "!", "gdppay", "crc-header=false", "!", "fdsink", "sync=false"]
        try:
            self._child = Child(lambda pictures: [*ours, *theirs, f"fd={pictures}"], fed=True)
        except OSError as error:
            raise self._error(error.strerror or str(error)) from None

    def _message(self, packet: "Packet[Any]") -> bytes:
        """A packet with start codes and its time."""
        from av import Packet

        assert self._filter is not None
        data = b"".join(bytes(part) for part in self._filter.filter(Packet(bytes(packet))))
        data, self._lead = self._lead + data, b""
        time_ns = self._time_ns(packet)
        self._sent[time_ns] = (packet.pts, packet.is_keyframe)
        self._unanswered += 1
        if self._unanswered == 1:
            self._since_s = time.monotonic()
        return _gdp.buffer(data, time_ns)

    def _time_ns(self, packet: "Packet[Any]") -> int:
        """When it is shown, in whole microseconds; set clocks are evened out, since GStreamer drops what steps back."""
        stamp = packet.dts if packet.pts is None else packet.pts
        shown_s = self._latest_s + self._interval_s
        if stamp is not None:
            stamp_s = float(stamp * (packet.time_base or 0))
            if abs(stamp_s + self._shift_s - self._shown_s) > STEP_S:
                self._shift_s = self._latest_s + STEP_S - stamp_s
            shown_s = stamp_s + self._shift_s
        self._shown_s, self._latest_s = shown_s, max(shown_s, self._latest_s)
        return round(max(shown_s, 0.0) * 1e6) * 1000

    def _exchange(self, child: Child, message: bytes) -> list[Picture]:
        """Send all and take what comes meanwhile; then wait for this packet's picture as long as patience lasts."""
        pictures: list[Picture] = []
        left, deadline = memoryview(message), time.monotonic() + self._limit_s
        try:
            while left:
                read, written = self._step(child, left, deadline, pictures)
                left = left[written:]
                if not read and not written:
                    raise self._error(f"it took no data for {self._limit_s:g} s")
            until = time.monotonic() + self._patience_s
            while self._sent and self._step(child, left, until, pictures)[0]:
                if pictures:
                    until = min(until, time.monotonic() + MORE_S)
        except EOFError:
            raise self._error(f"{PROGRAM} said: {child.last_words() or 'nothing'}") from None
        return pictures

    def _rest(self, child: Child) -> list[Picture]:
        """What it gives when it is told that no more will come."""
        pictures: list[Picture] = []
        child.hang_up()
        try:
            while self._step(child, memoryview(b""), time.monotonic() + self._limit_s, pictures)[0]:
                pass
        except EOFError:
            return pictures
        raise self._error(f"it did not end within {self._limit_s:g} s")

    def _step(
        self, child: Child, data: memoryview, deadline: float, pictures: list[Picture]
    ) -> tuple[int, int]:
        """Read or write once: how many bytes."""
        read, written = child.exchange(self._reader.place, data, deadline)
        try:
            if read and (raw := self._reader.took(read)) is not None:
                pictures.append(self._picture(raw))
        except ValueError as error:
            raise self._error(f"it sent what is no picture: {error}") from None
        return read, written

    def _picture(self, raw: _gdp.Raw) -> Picture:
        from av import VideoFrame

        assert self._like is not None
        picture = VideoFrame(*raw.size, "nv12")
        for ours, theirs in zip(planes(picture), _planes(raw), strict=True):
            ours[...] = theirs
        picture.colorspace, picture.color_range = self._like.colorspace, self._like.color_range
        picture.pts, is_key = self._stamp(raw.time_ns)
        picture.time_base = self._stream.time_base
        self._unanswered = 0
        return picture, is_key

    def _stamp(self, time_ns: int) -> tuple[int | None, bool]:
        """That of the packet with the nearest time; those before it have no picture, being damaged."""
        if not self._sent:
            return None, False
        known = time_ns != _gdp.UNKNOWN
        found = min(self._sent, key=lambda sent_ns: abs(sent_ns - time_ns) if known else sent_ns)
        stamp = self._sent[found]
        self._sent = {sent_ns: later for sent_ns, later in self._sent.items() if sent_ns > found}
        return stamp

    def _check_silence(self) -> None:
        waited_s = time.monotonic() - self._since_s
        if self._unanswered > HELD and waited_s > self._limit_s:
            raise self._error(f"no picture for {waited_s:.1f} s")

    def _error(self, why: str, code: str = "failed") -> SourceError:
        cure = "gst-inspect-1.0 nvv4l2decoder tells whether it is there; decoder: software does without"
        return SourceError(f"the decoder of {self._source} failed", why=why, cure=cure, code=code)


def _planes(raw: _gdp.Raw) -> tuple[Array, Array]:
    """Of GStreamer's NV12: rows of a multiple of 4 bytes, an even number of them.

    Raises:
        ValueError: it has another number of bytes.
    """
    width, height = raw.size
    rows, columns = (height + 1) // 2, (width + 1) // 2
    image = np.frombuffer(raw.data, np.uint8).reshape(rows * 3, -(-width // 4) * 4)
    return image[:height, :width], image[rows * 2 :, : columns * 2].reshape(rows, columns, 2)
