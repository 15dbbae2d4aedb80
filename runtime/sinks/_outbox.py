"""What waits to be sent to a broker or a web server that may be away: bounded, the oldest goes first when it is full.

In: items from the sink's thread.  Out: items to the sender's thread; counts for SinkStatus.
"""

import threading
from collections import Counter, deque
from collections.abc import Callable
from typing import Generic, TypeVar

from vedette.runtime.status import SinkStatus

Item = TypeVar("Item")


class Outbox(Generic[Item]):
    """Items with their sizes. Nothing here waits but take().

    Args:
        name: of the target, for status(); without secrets.
        items: most that wait.
        room: most bytes that wait; a single larger item still goes.

    Attributes:
        wake: called, in any thread, when something was put in or it was closed; for a sender that cannot wait in take().
    """

    def __init__(self, name: str, *, items: int, room: int = 8_000_000) -> None:
        self._name, self._items, self._room = name, items, room
        self._waiting: deque[tuple[Item, int]] = deque()
        self._size = 0
        self._changed = threading.Condition()
        self._dropped: Counter[str] = Counter()
        self._written = 0
        self._trouble = ("writing", "")
        self._closed = False
        self.wake: Callable[[], None] = lambda: None

    def put(self, item: Item, size: int) -> None:
        """Add the newest; what is too much falls out at the other end and is counted."""
        with self._changed:
            if self._closed:
                self._dropped["closed"] += 1
                return
            self._waiting.append((item, size))
            self._size += size
            while len(self._waiting) > 1 and (len(self._waiting) > self._items or self._size > self._room):
                self._size -= self._waiting.popleft()[1]
                self._dropped["queue_full"] += 1
            self._changed.notify_all()
        self.wake()

    def take(self, timeout_s: float | None = None) -> tuple[Item, int] | None:
        """The oldest and its size; None when none came in time, or when it is closed and empty."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed, timeout_s)
            if not self._waiting:
                return None
            item, size = self._waiting.popleft()
            self._size -= size
            return item, size

    def put_back(self, item: Item, size: int) -> None:
        """What was taken but could not be sent is the oldest again, unless its place was taken meanwhile."""
        with self._changed:
            if len(self._waiting) >= self._items or (self._waiting and self._size + size > self._room):
                self._dropped["queue_full"] += 1
                return
            self._waiting.appendleft((item, size))
            self._size += size

    def sent(self) -> None:
        """Count one item that reached its target."""
        with self._changed:
            self._written += 1
            self._trouble = ("writing", "")

    def dropped(self, reason: str) -> None:
        """Count one item that never will."""
        with self._changed:
            self._dropped[reason] += 1

    def trouble(self, code: str) -> bool:
        """The target does not take anything now; whether that is news. An empty code is the end of it."""
        with self._changed:
            before = self._trouble
            self._trouble = ("paused", code) if code else ("writing", "")
            return self._trouble != before

    def close(self) -> None:
        """Take nothing more in; what waits may still be taken out."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self.wake()

    def abandon(self) -> None:
        """Count all that waits as lost; the second time does nothing."""
        with self._changed:
            self._dropped["closed"] += len(self._waiting)
            self._waiting.clear()
            self._size = 0
            self._changed.notify_all()

    @property
    def empty(self) -> bool:
        return not self._waiting

    @property
    def closed(self) -> bool:
        return self._closed

    def status(self) -> SinkStatus:
        with self._changed:
            state, code = self._trouble
            counts = {reason: number for reason, number in self._dropped.items() if number}
            return SinkStatus(self._name, state, code, self._written, counts)
