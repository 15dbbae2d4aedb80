"""A thread of its own for a sink, so that a slow disk or window never holds up the frames of other sinks."""

import threading
from collections import deque
from collections.abc import Sequence

from vedette.runtime.frame import Frame
from vedette.runtime.results import Result
from vedette.runtime.sinks import Sink

Item = tuple[Frame, Sequence[Result]]


class Background:
    """Queues what it is given and writes it from one thread, which also closes the sink.

    Lossless, write() waits for room, as reading a file may wait; otherwise the newest frame is dropped, as a
    camera does not wait. What the sink raises is raised again by the next write(), else by close().

    Attributes:
        dropped: frames that were never written.
    """

    def __init__(self, sink: Sink, *, lossless: bool, capacity: int = 4) -> None:
        self.dropped = 0
        self._sink, self._lossless, self._capacity = sink, lossless, capacity
        self._items: deque[Item] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._error: Exception | None = None
        self._error_raised = False
        # A daemon: a program that dies without close() is not kept alive by a disk that never answers.
        self._thread = threading.Thread(target=self._run, name=f"write {type(sink).__name__}", daemon=True)
        self._thread.start()

    def write(self, frame: Frame, results: Sequence[Result]) -> None:
        """Queue one frame; drop it if there is no room and no waiting, or if closed meanwhile.

        Raises:
            VedetteError: what the sink raised for an earlier frame.
        """
        with self._changed:
            if self._lossless:
                self._changed.wait_for(self._has_room_or_ended)
            self._raise_error()
            if self._closed or len(self._items) >= self._capacity:
                self.dropped += 1
                return
            self._items.append((frame, results))
            self._changed.notify_all()

    def close(self) -> None:
        """Write what is queued, close the sink, end the thread. The second time does nothing.

        Raises:
            VedetteError: what the sink raised, unless a write() has raised it.
        """
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join()
        if not self._error_raised:
            self._raise_error()

    def _has_room_or_ended(self) -> bool:
        return len(self._items) < self._capacity or self._closed or self._error is not None

    def _raise_error(self) -> None:
        if self._error is not None:
            self._error_raised = True
            raise self._error

    def _run(self) -> None:
        try:
            while (item := self._next()) is not None:
                self._sink.write(*item)
        except Exception as error:  # noqa: BLE001 it crosses to the thread that writes
            self._fail(error)
        try:
            self._sink.close()
        except Exception as error:  # noqa: BLE001 as above
            self._fail(error)

    def _next(self) -> Item | None:
        """The oldest item, or None when closed and empty."""
        with self._changed:
            self._changed.wait_for(lambda: self._items or self._closed)
            item = self._items.popleft() if self._items else None
            self._changed.notify_all()
            return item

    def _fail(self, error: Exception) -> None:
        """Keep the first error; nothing that is queued will be written."""
        with self._changed:
            self._error = self._error or error
            self.dropped += len(self._items)
            self._items.clear()
            self._changed.notify_all()
