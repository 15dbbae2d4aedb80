"""Frames of several streams, waiting to be run: lossless and bounded, or newest only.

In: frames from reader threads.  Out: batches, one frame a stream, the stream that waited longest first.
Next: pipeline.py.
"""

import threading
from collections import deque
from dataclasses import dataclass, field

from vedette.runtime.frame import Frame

Waiting = tuple[Frame, int]  # and how many of its stream were dropped since its last one


@dataclass(slots=True)
class _Lane:
    lossless: bool
    frames: deque[Frame] = field(default_factory=deque)
    dropped: int = 0  # since the last frame that was taken
    superseded: int = 0  # ever
    open: bool = True


class Inbox:
    """A bounded queue per stream, emptied fairly by one consumer."""

    def __init__(self, *, capacity: int = 4) -> None:
        self._capacity = capacity
        self._lanes: dict[str, _Lane] = {}  # the one that was served last is last
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
                if (
                    len(lane.frames) >= self._capacity
                ):  # and then until there is room for several: fewer awakenings
                    self._changed.wait_for(
                        lambda: self._stopped or not lane.open or 2 * len(lane.frames) <= self._capacity
                    )
            elif lane.frames:
                lane.frames.clear()
                lane.dropped += 1
                lane.superseded += 1
            if self._stopped or not lane.open:
                return False
            lane.frames.append(frame)
            self._changed.notify_all()
            return True

    def finish(self, stream: str) -> None:
        """No more frames will come from this stream."""
        with self._changed:
            self._lanes[stream].open = False
            self._changed.notify_all()

    def take(self, timeout_s: float, *, limit: int | None = None, fill_s: float = 0.0) -> list[Waiting]:
        """At most one waiting frame of each stream, those first that waited longest; empty after a time-out.

        Args:
            timeout_s: how long to wait for the first.
            limit: frames at most.
            fill_s: how long to wait for more, once there is one, while some open stream has none.
        """
        with self._changed:
            if not self._ready():
                self._changed.wait_for(lambda: self._ready() or not self._any_open(), timeout_s)
            wanted = min(limit or len(self._lanes), len(self._lanes))
            if fill_s and 0 < self._ready() < wanted:
                self._changed.wait_for(lambda: self._ready() >= min(wanted, self._able()), fill_s)
            return self._taken(wanted)

    def superseded(self, stream: str) -> int:
        """How many frames of a stream gave way to a newer one, ever."""
        with self._changed:
            return self._lanes[stream].superseded

    @property
    def exhausted(self) -> bool:
        """Every stream has finished and nothing waits."""
        with self._changed:
            return not self._any_open() and not self._ready()

    def stop(self) -> None:
        """Wake every reader and refuse what they bring."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def _any_open(self) -> bool:
        return any(lane.open for lane in self._lanes.values())

    def _ready(self) -> int:
        return sum(1 for lane in self._lanes.values() if lane.frames)

    def _able(self) -> int:
        """Streams that have a frame or may still bring one."""
        return sum(1 for lane in self._lanes.values() if lane.frames or lane.open)

    def _taken(self, limit: int) -> list[Waiting]:
        chosen = [name for name, lane in self._lanes.items() if lane.frames][:limit]
        batch, room = [], False
        for name in chosen:
            lane = self._lanes[name] = self._lanes.pop(name)  # to the end of the order
            batch.append((lane.frames.popleft(), lane.dropped))
            lane.dropped = 0
            room |= lane.lossless and 2 * len(lane.frames) <= self._capacity
        if room:
            self._changed.notify_all()
        return batch
