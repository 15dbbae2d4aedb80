"""A thread of its own for a sink, so that a slow disk or window never holds up the frames of other sinks."""

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from vedette.runtime.errors import DiskError, redact
from vedette.runtime.frame import Frame
from vedette.runtime.results import Result
from vedette.runtime.sinks import Sink
from vedette.runtime.sinks._owed import Owed
from vedette.runtime.status import Event, SinkStatus

if TYPE_CHECKING:
    from vedette.runtime.packets import Tap

log = logging.getLogger(__name__)
Item = tuple[Frame, Sequence[Result]]
WORK_S = 0.1  # between two calls of work() while no frame comes
LOOK_S = 0.1  # between two looks at `stop` while waiting
STOPPED_S = (
    1.5  # for which a sink is waited for after it: of the two seconds in which a signal ends the program
)


class Background:
    """Queues what it is given and writes it from one thread, which also closes the sink.

    Lossless, write() waits for room, as reading a file may wait; otherwise the newest frame is dropped, as a
    camera does not wait. What the sink raises is raised again by the next write(), else by close(); it ends the run,
    unless it is one sink of many in a run that lasts: then it is logged, and the sink's status says so for good.

    Args:
        sink: may also have work(), which the thread calls now and then, tap(stream), event(event) and status().
        lossless: whether write() waits.
        capacity: frames in the queue.
        fatal: whether what the sink raises ends the run.
        stop: once it is set, a disk or a pipe that does not answer is waited for no longer than a moment.
    """

    def __init__(
        self,
        sink: Sink,
        *,
        lossless: bool,
        capacity: int = 4,
        fatal: bool = True,
        stop: threading.Event | None = None,
    ) -> None:
        self.sink = sink
        self._lossless, self._capacity, self._fatal = lossless, capacity, fatal
        self._stop = stop or threading.Event()
        self._owed = Owed()
        self._stopped: float | None = None  # when `stop` was first seen, time.monotonic()
        self._work: Callable[[], None] | None = getattr(sink, "work", None)
        self._items: deque[Item] = deque()
        self._dropped: Counter[str] = Counter()
        self._written = 0
        self._changed = threading.Condition()
        self._closed = False
        self._error: Exception | None = None
        self._error_raised = False
        # A daemon: a program that dies without close() is not kept alive by a disk that never answers.
        self._thread = threading.Thread(target=self._run, name=f"write {type(sink).__name__}", daemon=True)
        self._thread.start()

    @property
    def dropped(self) -> int:
        """Frames that were never written."""
        return sum(self._dropped.values())

    def tap(self, stream: str) -> "Tap | None":
        """Where a reader's thread puts the packets of one stream; None if the sink wants none."""
        tap: Callable[[str], Tap] | None = getattr(self.sink, "tap", None)
        return tap(stream) if tap is not None else None

    def event(self, event: Event) -> None:
        """Tell the sink, if it wants to know, that a stream changed its state; any thread, at once."""
        told: Callable[[Event], None] | None = getattr(self.sink, "event", None)
        if told is not None:
            told(event)

    def status(self) -> SinkStatus:
        """How it is; any thread."""
        own: Any = getattr(self.sink, "status", None)
        name = getattr(self.sink, "name", type(self.sink).__name__)
        status: SinkStatus = (
            own() if own is not None else SinkStatus(redact(str(name)), written=self._written)
        )
        with self._changed:
            status = replace(status, dropped=dict(Counter(status.dropped) + self._dropped))
        if self._error is None:
            return status
        return replace(status, state="failed", code="disk" if isinstance(self._error, DiskError) else "error")

    def write(self, frame: Frame, results: Sequence[Result]) -> None:
        """Queue one frame; drop it if there is no room and no waiting, or if closed or failed meanwhile.

        Raises:
            VedetteError: what the sink raised for an earlier frame.
        """
        with self._changed:
            while self._lossless and not self._changed.wait_for(self._has_room_or_ended, LOOK_S):
                if self._patience_ended():
                    break
            self._raise_error()
            if self._closed or self._error is not None or len(self._items) >= self._capacity:
                self._dropped["failed" if self._error is not None else "queue_full"] += 1
                self._owed.lost(frame, results)
                return
            self._items.append((frame, self._owed.told(frame, results)))
            self._changed.notify_all()

    def close(self) -> None:
        """Write what is queued, close the sink, end the thread. The second time does nothing.

        Raises:
            VedetteError: what the sink raised, unless a write() has raised it.
        """
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        while self._thread.is_alive() and not self._patience_ended():
            self._thread.join(LOOK_S)
        if self._thread.is_alive():
            log.warning("%s did not close in time", self._thread.name)
        if not self._error_raised:
            self._raise_error()

    def _patience_ended(self) -> bool:
        """Whether `stop` was seen STOPPED_S ago."""
        if self._stop.is_set():
            self._stopped = self._stopped or time.monotonic()
        return self._stopped is not None and time.monotonic() - self._stopped > STOPPED_S

    def _has_room_or_ended(self) -> bool:
        return len(self._items) < self._capacity or self._closed or self._error is not None

    def _raise_error(self) -> None:
        if self._error is not None and self._fatal:
            self._error_raised = True
            raise self._error

    def _run(self) -> None:
        try:
            while True:
                item = self._next()
                if item is not None:
                    self.sink.write(*item)
                    self._written += 1
                elif self._closed and not self._items:
                    break
                elif self._work is not None:
                    self._work()
        except Exception as error:  # noqa: BLE001 it crosses to the thread that writes
            self._fail(error)
        try:
            self.sink.close()
        except Exception as error:  # noqa: BLE001 as above
            self._fail(error)

    def _next(self) -> Item | None:
        """The oldest item; None when closed and empty, or when there is work to do meanwhile."""
        with self._changed:
            wait_s = None if self._work is None else WORK_S
            self._changed.wait_for(lambda: self._items or self._closed, wait_s)
            item = self._items.popleft() if self._items else None
            self._changed.notify_all()
            return item

    def _fail(self, error: Exception) -> None:
        """Keep the first error; nothing that is queued will be written."""
        with self._changed:
            if self._error is None and not self._fatal:
                log.warning("%s failed: %s", self._thread.name, error)
            self._error = self._error or error
            self._dropped["failed"] += len(self._items)
            self._items.clear()
            self._changed.notify_all()
