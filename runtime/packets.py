"""Encoded video on its way past the decoder: what a recorder keeps without encoding anything again.

In: packets from sources/_decode.py.  Out: a Tap's plain bytes, which outlive their connection.  Next: sinks/segments.py.
"""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True, slots=True)
class Encoding:
    """How the packets of one connection are to be read; compare by value: a new one needs a new file.

    Attributes:
        codec: FFmpeg's name, h264.
        extradata: parameter sets of the codec, as its container gave them.
        size: (width, height) in pixels.
        time_base: seconds a tick of pts and dts.
        rate: frames per second.
    """

    codec: str
    extradata: bytes
    size: tuple[int, int]
    time_base: Fraction
    rate: float


@dataclass(frozen=True, slots=True)
class Packet:
    """One encoded picture.

    Attributes:
        pts: when it is shown, in ticks of the encoding, None where the stream does not say.
        dts: when it is decoded.
        key: decoding can begin here.
        received_ns: time.monotonic_ns() of its arrival.
    """

    encoding: Encoding
    data: bytes
    pts: int | None
    dts: int | None
    key: bool
    received_ns: int


Tap = Callable[[Packet], None]
