"""GStreamer's Data Protocol 1.0: how its buffers go through a pipe with their times (read by gdpdepay, written by gdppay).

In: encoded pictures and times.  Out: bytes; and back, decoded ones.  Next: _nvv4l2.py, which has the pipe.
Written after the bytes that gdppay of GStreamer 1.22 writes.
"""

import re
import struct
from typing import NamedTuple

# Version (2), flags, padding, kind, length, time, duration, offset, end, buffer's flags, decoding time, padding, 2 CRC.
_HEADER = struct.Struct(">BBBxHIQQQQHQ6xHH")
_BUFFER, _CAPS = 1, 2
_STREAM_START, _SEGMENT = 64 + 10254, 64 + 17934  # events
UNKNOWN = 2**64 - 1  # of times
LARGEST = 1 << 28  # bytes; a picture of 8K x 8K has 100 MB
_BEGIN = b"GstEventStreamStart, stream-id=(string)camera, flags=(GstStreamFlags)GST_STREAM_FLAG_NONE, group-id=(uint)1;\0"
_TIMES = (
    b'GstEventSegment, segment=(GstSegment)"segment, flags=(GstSegmentFlags)GST_SEGMENT_FLAG_NONE, rate=(double)1, '
    b"applied-rate=(double)1, format=(GstFormat)time, base=(guint64)0, offset=(guint64)0, start=(guint64)0, "
    b'stop=(guint64)18446744073709551615, time=(guint64)0, position=(guint64)0, duration=(guint64)18446744073709551615;";\0'
)


class Raw(NamedTuple):
    """A picture.

    Attributes:
        data: its bytes.
        size: (width, height).
        time_ns: or UNKNOWN.
    """

    data: bytearray
    size: tuple[int, int]
    time_ns: int


def preamble(caps: str) -> bytes:
    """What comes before the first buffer."""
    return _packed(_STREAM_START, _BEGIN) + _packed(_CAPS, caps.encode() + b"\0") + _packed(_SEGMENT, _TIMES)


def buffer(data: bytes, time_ns: int) -> bytes:
    """One buffer."""
    return _packed(_BUFFER, data, time_ns)


class Reader:
    """Puts messages together: read into `place`, then tell `took` how much that was."""

    def __init__(self) -> None:
        self._buffer, self._filled = bytearray(_HEADER.size), 0
        self._kind, self._time_ns = 0, UNKNOWN  # of the message whose end is awaited; kind 0 for a header
        self._size = (0, 0)

    @property
    def place(self) -> memoryview:
        """Where the next bytes belong; never empty."""
        return memoryview(self._buffer)[self._filled :]

    def took(self, count: int) -> Raw | None:
        """The picture that these bytes complete.

        Raises:
            ValueError: they are no such messages.
        """
        self._filled += count
        if self._filled < len(self._buffer):
            return None
        data, kind = self._buffer, self._kind
        self._kind, length = (0, 0) if kind else self._begun(data)
        self._buffer, self._filled = bytearray(length or _HEADER.size), 0
        if kind == _CAPS:
            self._size = _size_in(data)
        return Raw(data, self._size, self._time_ns) if kind == _BUFFER else None

    def _begun(self, header: bytearray) -> tuple[int, int]:
        """Kind and length of what follows; kind 0 if nothing does."""
        major, _, _, kind, length, self._time_ns, *_ = _HEADER.unpack(header)
        if major != 1 or kind == 0 or length > LARGEST:
            raise ValueError("no header of GStreamer's Data Protocol 1.0")
        return (kind, length) if length else (0, 0)


def _size_in(caps: bytearray) -> tuple[int, int]:
    width, height = (re.search(rb"\b%s=\(int\)(\d{1,5})\b" % name, caps) for name in (b"width", b"height"))
    if width is None or height is None:
        raise ValueError("pictures without a size")
    return int(width[1]), int(height[1])


def _packed(kind: int, data: bytes, time_ns: int = UNKNOWN) -> bytes:
    rest = (UNKNOWN, UNKNOWN, UNKNOWN, 0, UNKNOWN, 0, 0)  # duration, offsets, flags, decoding time, no CRC
    return _HEADER.pack(1, 0, 0, kind, len(data), time_ns, *rest) + data
