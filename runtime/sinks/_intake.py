"""Encoded packets on their way from a reader's thread to a writer's: bounded, and never in the reader's way."""

import threading
from collections import deque
from enum import Enum
from typing import Final

from vedette.runtime.packets import Packet

MAX_BYTES = 32 << 20  # of one stream: half a minute of a good camera
MAX_PACKETS = 8192


class Cut(Enum):
    """Between two packets: what follows is of another connection."""

    CUT = "cut"


CUT: Final = Cut.CUT
Item = Packet | Cut


class Intake:
    """One stream's. Full, it drops everything up to the next key frame, as one lost packet spoils those behind it.

    Attributes:
        dropped: packets that found no room.
    """

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self.dropped = 0
        self._max_bytes = max_bytes
        self._items: deque[Item] = deque()
        self._bytes = 0
        self._skipping = False
        self._lock = threading.Lock()

    def put(self, packet: Packet) -> None:
        """Take a packet or count it as dropped; any thread."""
        with self._lock:
            room = self._bytes + len(packet.data) <= self._max_bytes and len(self._items) < MAX_PACKETS
            self._skipping = not room or (self._skipping and not packet.key)
            if self._skipping:
                self.dropped += 1
                return
            self._items.append(packet)
            self._bytes += len(packet.data)

    def cut(self) -> None:
        """The connection broke off; any thread."""
        with self._lock:
            if not self._items or self._items[-1] is not CUT:
                self._items.append(CUT)

    def take(self) -> list[Item]:
        """All that came since; the writer's thread."""
        with self._lock:
            items, self._items, self._bytes = list(self._items), deque(), 0
        return items
