"""Encoded packets for recorders: plain bytes, and how they are to be read.

In: PyAV's packets of one stream.  Out: packets.Packet to a Tap.  Next: sinks, which write them to files.
"""

import logging
import re
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from vedette.runtime.packets import Encoding, Packet, Tap

if TYPE_CHECKING:
    import av
    from av.video.stream import VideoStream

logger = logging.getLogger(__name__)

ARRIVAL = Fraction(1, 90_000)  # seconds a tick
START_CODE = b"\0\0\0\1"
# Parameter sets by the first byte of a NAL unit: H.264 (ITU-T H.264 table 7-1), H.265 (ITU-T H.265 table 7-1).
PARAMETER_SETS = {
    "h264": lambda first: first & 31 in {7, 8},
    "hevc": lambda first: first >> 1 & 63 in {32, 33, 34},
}
SEQUENCE = {
    "h264": lambda first: first & 31 == 7,
    "hevc": lambda first: first >> 1 & 63 == 33,
}  # without it, no set is whole


class Packets:
    """Hands the packets of one stream to a tap; a tap that fails is left out from then on.

    Args:
        stream: theirs.
        tap: takes them.
        rate: frames per second.
        stamped: their time stamps are the stream's; else FFmpeg made them up, and the time of arrival stands in.
    """

    def __init__(self, stream: "VideoStream", tap: Tap, rate: float, *, stamped: bool = True) -> None:
        self._stream, self._rate, self._stamped = stream, rate, stamped
        self._began_ns = 0
        self._tap: Tap | None = tap
        self._extradata = parameter_sets(self._codec, stream.codec_context.extradata or b"")

    def hand_on(self, packet: "av.Packet[Any]", received_ns: int) -> None:
        """Copy one packet, which was decoded already, to the tap."""
        if self._tap is None or not packet.size:  # the empty packet only flushes the decoder
            return
        data = bytes(packet)
        if packet.is_keyframe:  # its parameter sets count, where it brings some: a camera may change its size
            self._extradata = _in_band(self._codec, data) or self._extradata
        pts, dts = packet.pts, packet.dts
        if not self._stamped:
            self._began_ns = self._began_ns or received_ns
            pts = dts = (received_ns - self._began_ns) * ARRIVAL.denominator // 10**9
        try:
            self._tap(Packet(self._encoding(), data, pts, dts, packet.is_keyframe, received_ns))
        except Exception:  # a recorder's fault must not stop the camera
            logger.exception("a recorder failed; it gets no more packets of this connection")
            self._tap = None

    @property
    def _codec(self) -> str:
        return str(self._stream.codec_context.codec.canonical_name)

    def _encoding(self) -> Encoding:
        context = self._stream.codec_context
        time_base = (self._stream.time_base if self._stamped else None) or ARRIVAL
        return Encoding(self._codec, self._extradata, (context.width, context.height), time_base, self._rate)


def parameter_sets(codec: str, extradata: bytes) -> bytes:
    """The parameter sets of extradata with start codes, in one spelling; other kinds of extradata as they are."""
    return _in_band(codec, extradata) or extradata


def _in_band(codec: str, data: bytes) -> bytes:
    """The parameter sets before the picture of a packet with start codes; nothing where they are not complete."""
    is_one = PARAMETER_SETS.get(codec)
    if is_one is None or not data.startswith((b"\0\0\1", START_CODE)):
        return b""
    nals = re.split(rb"\x00*\x00\x00\x01", data[:4096])  # they stand in front
    sets = [nal.rstrip(b"\0") for nal in nals if nal and is_one(nal[0])]
    if not any(SEQUENCE[codec](one[0]) for one in sets):
        return b""
    return b"".join(START_CODE + one for one in sets)
