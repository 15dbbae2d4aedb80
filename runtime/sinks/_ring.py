"""The last seconds of one stream, encoded, in memory: where a clip's beginning comes from."""

from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

from vedette.runtime.packets import Packet
from vedette.runtime.sinks._stamps import Stamp

MAX_BYTES = 64 << 20  # of one stream


class Kept(NamedTuple):
    """A packet and its number in order of arrival."""

    number: int
    packet: Packet
    stamp: Stamp


class Ring:
    """Begins at a key frame, always; so it may hold more than was asked for, and never more than max_bytes.

    Attributes:
        dropped: packets in front of the first key frame, or of a group of pictures that is larger than max_bytes.
    """

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self.dropped = 0
        self._max_bytes = max_bytes
        self._kept: deque[Kept] = deque()
        self._keys: deque[Kept] = deque()
        self._bytes = 0
        self._next = 0

    def add(self, packet: Packet, stamp: Stamp) -> None:
        """Take the next packet."""
        kept = Kept(self._next, packet, stamp)
        self._next += 1
        if packet.key:
            self._keys.append(kept)
        if not self._keys:
            self.dropped += 1
            return
        self._kept.append(kept)
        self._bytes += len(packet.data)
        while self._bytes > self._max_bytes:
            if len(self._keys) == 1:
                self.dropped += len(self._kept)
            self._forget_group()

    def trim(self, until: int) -> None:
        """Forget what is not needed to begin a clip at `until` ticks."""
        while len(self._keys) > 1 and self._keys[1].stamp.pts <= until:
            self._forget_group()

    def clear(self) -> None:
        """Forget everything."""
        self._kept.clear()
        self._keys.clear()
        self._bytes = 0

    def key_before(self, ticks: int) -> Kept | None:
        """The last key frame that is not after a time, else the first; None if there is none."""
        before = [key for key in self._keys if key.stamp.pts <= ticks]
        return before[-1] if before else next(iter(self._keys), None)

    def since(self, number: int) -> Iterator[Kept]:
        """The packets from a number on."""
        start = max(0, number - self._kept[0].number) if self._kept else 0
        return (self._kept[index] for index in range(start, len(self._kept)))

    def at(self, received_ns: int) -> Stamp | None:
        """The time of the last packet that had come by a moment (time.monotonic_ns), else of the first."""
        came = (kept.stamp for kept in reversed(self._kept) if kept.packet.received_ns <= received_ns)
        return next(came, self._kept[0].stamp if self._kept else None)

    def _forget_group(self) -> None:
        """The first key frame and what is predicted from it."""
        self._keys.popleft()
        until = self._keys[0].number if self._keys else self._next
        while self._kept and self._kept[0].number < until:
            self._bytes -= len(self._kept.popleft().packet.data)
