"""Time that only goes forward, and waiting until a time has come: shared by all sources of video.

In: the time stamps of a stream, which may be missing, repeated, rewound or an hour off.
Out: seconds since the first frame, strictly increasing.  Next: _decode.py, which asks for each frame.
"""

import time
from math import inf

NUDGE_S = 1e-3  # between two frames with the same time
REWIND_S = 1.0  # a larger step back is a new clock, a smaller one is jitter
LEAP_S = 3.0  # a live stream whose stamps run further ahead of their arrival than this has set its clock
LONGEST_S = 60.0  # until a frame is due: more is a broken stamp, and is not waited for


class Clock:
    """Seconds since the first frame, strictly increasing over missing, repeated and wrong time stamps.

    Of a file, stamps alone count: a pause that was recorded is a pause. Of a live stream, a stamp that leaps ahead
    of the moment it arrived at is a clock that was set, and time goes on as the arrivals do.
    """

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self._origin: float | None = None  # what the stream's clock showed at our 0
        self._last = -inf
        self._arrived: float | None = None

    def seconds(self, stamp_s: float | None, *, arrived_s: float | None = None) -> float:
        """The time of the next frame.

        Args:
            stamp_s: what the stream says, on a clock of its own.
            arrived_s: of a live stream: when it came, by time.monotonic().
        """
        guess = now = self._guess(arrived_s)
        if stamp_s is not None:
            if self._origin is None:
                self._origin = stamp_s - self._guess(None)
            now = stamp_s - self._origin
            if now < self._last - REWIND_S or (arrived_s is not None and now > guess + LEAP_S):
                now = guess  # joined files, or a camera that set its clock
                self._origin = stamp_s - now
        self._arrived = arrived_s
        self._last = max(now, self._last + NUDGE_S)
        return self._last

    def restart(self) -> None:
        """The next stamp is of another clock: a frame after the last, wherever it begins."""
        self._origin = self._arrived = None

    def _guess(self, arrived_s: float | None) -> float:
        """The next frame's time without its stamp."""
        if self._last == -inf:
            return 0.0
        if arrived_s is None or self._arrived is None:
            return self._last + 1 / self.rate
        return self._last + arrived_s - self._arrived


class Pace:
    """Holds frames back until their time has come, as a camera sends them."""

    def __init__(self) -> None:
        self._began: float | None = None

    def wait(self, due_s: float, deadline: float) -> bool:
        """Sleep until due_s after the first call's due_s, but not beyond the deadline (time.monotonic); whether it is due."""
        now = time.monotonic()
        if self._began is None or self._began + due_s > now + LONGEST_S:
            self._began = now - due_s
        due = self._began + due_s
        time.sleep(max(0.0, min(due, deadline) - now))
        return due <= max(deadline, now)
