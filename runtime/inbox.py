"""Frames of several streams, waiting to be run: lossless and bounded, or newest only.

In: frames from reader threads.  Out: batches, one frame a stream, in turn.  Next: pipeline.py.
"""

import threading
import time
from collections import deque
from dataclasses import dataclass, field

from vedette.runtime.frame import Frame


@dataclass(slots=True)
class _Lane:
    lossless: bool
    frames: deque[Frame] = field(default_factory=deque)
    dropped: int = 0
    open: bool = True


class Inbox:
    """A bounded queue per stream, emptied fairly by one consumer."""

    def __init__(self, *, capacity: int = 4) -> None:
        self._capacity = capacity
        self._lanes: dict[str, _Lane] = {}
        self._changed = threading.Condition()
        self._stopped = False

    def add(self, stream: str, *, lossless: bool) -> None:
        """Expect a stream: lossless makes put wait when full, otherwise the newest frame replaces the one waiting."""
        with self._changed:
            self._lanes[stream] = _Lane(lossless)

    def put(self, frame: Frame) -> bool:
        """Hand over a frame; False when nobody wants frames any more."""
        with self._changed:
            lane = self._lanes[frame.stream]
            if lane.lossless:
                self._changed.wait_for(lambda: self._stopped or len(lane.frames) < self._capacity)
            elif lane.frames:
                lane.frames.clear()
                lane.dropped += 1
            if self._stopped:
                return False
            lane.frames.append(frame)
            self._changed.notify_all()
            return True

    def finish(self, stream: str) -> None:
        """No more frames will come from this stream."""
        with self._changed:
            self._lanes[stream].open = False
            self._changed.notify_all()

    def take(self, timeout_s: float) -> list[tuple[Frame, int]]:
        """At most one waiting frame of each stream, with how many were dropped before it; empty after a time-out."""
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while not (batch := self._waiting()) and self._any_open():
                if not self._changed.wait(max(0.0, deadline - time.monotonic())):
                    break
            if batch:
                self._changed.notify_all()
            return batch

    @property
    def exhausted(self) -> bool:
        """Every stream has finished and nothing waits."""
        with self._changed:
            return not self._any_open() and not any(lane.frames for lane in self._lanes.values())

    def stop(self) -> None:
        """Wake every reader and refuse what they bring."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def _any_open(self) -> bool:
        return any(lane.open for lane in self._lanes.values())

    def _waiting(self) -> list[tuple[Frame, int]]:
        batch = []
        for lane in self._lanes.values():
            if lane.frames:
                batch.append((lane.frames.popleft(), lane.dropped))
                lane.dropped = 0
        return batch
