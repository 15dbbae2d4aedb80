"""H.264 and HEVC bytes as streams have them: units behind start codes, the parameter sets before the first picture.

In: packets as any container gives them.  Out: one form, from which FFmpeg's muxers make their own.
Source: ITU-T H.264 and H.265 annex B, tables 7-1; ISO/IEC 14496-15 for avcC and hvcC.
"""

from collections.abc import Iterator
from dataclasses import dataclass

START = b"\0\0\0\1"
UNITS = frozenset({"h264", "hevc"})  # the codecs that have them
_H264_SETS = {7: "sequence", 8: "picture"}
_HEVC_SETS = {32: "video", 33: "sequence", 34: "picture"}
_H264_PICTURES = range(1, 6)
_HEVC_PICTURES = range(32)


@dataclass(frozen=True, slots=True)
class Layout:
    """How a stream's packets are written.

    Attributes:
        parameters: its parameter sets behind start codes, from its container; may be empty.
        length_bytes: units are preceded by their length in so many bytes; 0: by start codes.
    """

    parameters: bytes = b""
    length_bytes: int = 0

    def plain(self, data: bytes) -> bytes:
        """A packet with start codes."""
        return _joined(_by_length(data, self.length_bytes)) if self.length_bytes else data


def layout_of(codec: str, extradata: bytes) -> Layout:
    """What a container's extradata says; codecs without such units pass as they are."""
    if codec == "h264" and extradata[:1] == b"\1" and len(extradata) >= 7:
        return Layout(_joined(_avcc_units(extradata)), (extradata[4] & 3) + 1)
    if codec == "hevc" and extradata[:1] == b"\1" and len(extradata) >= 23:
        return Layout(_joined(_hvcc_units(extradata)), (extradata[21] & 3) + 1)
    return Layout(extradata)


def parameter_sets(codec: str, data: bytes) -> dict[str, bytes]:
    """The parameter sets before the first picture of a packet with start codes, by kind.

    Returns:
        Every unit of a kind in one piece: sequence, picture, and of HEVC video. Empty for other codecs.
    """
    found: dict[str, bytes] = {}
    if codec not in UNITS:
        return found
    for unit in _by_start_code(data):
        kind = unit[0] & 31 if codec == "h264" else unit[0] >> 1 & 63
        if kind in (_H264_PICTURES if codec == "h264" else _HEVC_PICTURES):
            break
        name = (_H264_SETS if codec == "h264" else _HEVC_SETS).get(kind)
        if name is not None:
            found[name] = found.get(name, b"") + START + unit
    return found


def _joined(units: Iterator[bytes]) -> bytes:
    return b"".join(START + unit for unit in units)


def _by_length(data: bytes, length_bytes: int) -> Iterator[bytes]:
    at = 0
    while at + length_bytes < len(data):
        end = at + length_bytes + int.from_bytes(data[at : at + length_bytes], "big")
        yield data[at + length_bytes : end]
        at = end


def _by_start_code(data: bytes) -> Iterator[bytes]:
    """Lazily: a picture is long, and what is wanted lies before it."""
    at = data.find(b"\0\0\1")
    while at >= 0:
        following = data.find(b"\0\0\1", at + 3)
        unit = data[at + 3 : following if following >= 0 else len(data)].rstrip(b"\0")
        if unit:
            yield unit
        at = following


def _avcc_units(extradata: bytes) -> Iterator[bytes]:
    """The sequence parameter sets, counted in 5 bits, then the picture parameter sets, counted in 8."""
    at = 5
    for mask in (31, 255):
        if at >= len(extradata):
            return
        count, at = extradata[at] & mask, at + 1
        for _ in range(count):
            size, at = int.from_bytes(extradata[at : at + 2], "big"), at + 2
            yield extradata[at : at + size]
            at += size


def _hvcc_units(extradata: bytes) -> Iterator[bytes]:
    """Arrays of units of one kind each, behind 22 bytes of profile."""
    at = 23
    for _ in range(extradata[22]):
        count, at = int.from_bytes(extradata[at + 1 : at + 3], "big"), at + 3
        for _ in range(count):
            if at >= len(extradata):
                return
            size, at = int.from_bytes(extradata[at : at + 2], "big"), at + 2
            yield extradata[at : at + size]
            at += size
