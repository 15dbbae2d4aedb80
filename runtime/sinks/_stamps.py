"""A clock for packets that only goes forward, whatever the camera's does.

In: packets with times that are missing, repeated, wound back or an hour off.  Out: times in one unit, fit for a file.
"""

from typing import NamedTuple

from vedette.runtime.packets import Packet

TICKS = 90_000  # a second; what 25, 30 and 60 pictures a second divide
NUDGE = TICKS // 1000  # between two packets of one time: the finest step of Matroska
REWIND = TICKS  # a larger step back is a new clock, a smaller one is jitter
LEAP = 10 * TICKS  # so much more than passed here is a new clock as well
MAX_RATE = 1000.0


class Stamp(NamedTuple):
    """In ticks of 1/90,000 s since the stream's first packet."""

    pts: int
    dts: int


class Stamps:
    """Of one stream, over all its connections. dts strictly increases; pts is never before it."""

    def __init__(self) -> None:
        self._origin: int | None = None  # what the stream's clock said at 0 of this one
        self._last_dts: int | None = None
        self._last_said = 0
        self._last_ns = 0

    def restart(self) -> None:
        """What the next packet says is a new connection's clock."""
        self._origin = None

    def place(self, packet: Packet) -> Stamp:
        """When a packet, the next in order of arrival, is shown and decoded."""
        pts, dts = _ticks(packet, packet.pts), _ticks(packet, packet.dts)
        said = pts if dts is None else dts
        if said is None:
            now = shown = self._by_arrival(packet)
        else:
            now = self._by_clock(packet, said, start=said if pts is None else pts)
            shown = now if pts is None or not said <= pts <= said + LEAP else now + pts - said
        least = now if self._last_dts is None else self._last_dts + NUDGE
        self._last_dts, self._last_ns = max(now, least), packet.received_ns
        return Stamp(max(shown, self._last_dts), self._last_dts)

    def _by_clock(self, packet: Packet, said: int, *, start: int) -> int:
        if self._origin is None:
            # The first picture is shown at 0: with reordering it is decoded earlier.
            self._origin = start if self._last_dts is None else said - self._by_arrival(packet)
        elif self._leaps(packet, said - self._last_said):
            self._origin = said - self._by_arrival(packet)
        self._last_said = said
        return said - self._origin

    def _leaps(self, packet: Packet, step: int) -> bool:
        return not -REWIND <= step <= self._passed(packet) + LEAP

    def _by_arrival(self, packet: Packet) -> int:
        """One picture later, or as much later as it came; 0 for the first."""
        if self._last_dts is None:
            return 0
        return self._last_dts + max(step_of(packet), self._passed(packet))

    def _passed(self, packet: Packet) -> int:
        return (packet.received_ns - self._last_ns) * TICKS // 10**9


def step_of(packet: Packet) -> int:
    """The ticks of one picture."""
    return max(NUDGE, round(TICKS / min(max(packet.encoding.rate, 1 / 60), MAX_RATE)))


def _ticks(packet: Packet, stamp: int | None) -> int | None:
    return None if stamp is None else round(stamp * packet.encoding.time_base * TICKS)
