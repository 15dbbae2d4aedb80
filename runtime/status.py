"""How a stream is: what is told of it in logs, on /metrics and /healthz, and to brokers.

In: a reader thread's news and the watchdog's.  Out: a Status that any thread may read.  Next: stream.py, which keeps it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum


class State(Enum):
    """Where a stream is in its life."""

    CONNECTING = "connecting"  # opening, or open and no picture yet
    LIVE = "live"
    STALLED = "stalled"  # open, but no picture for a while
    BACKOFF = "backoff"  # broken off; tried again soon
    ENDED = "ended"
    FAILED = "failed"  # given up


@dataclass(frozen=True, slots=True)
class Event:
    """A stream changed its state.

    Attributes:
        code: why, one word (SourceError.code, or empty where all is well).
        text: why, for people; redacted.
        time_ns: time.time_ns(), for logs and brokers.
    """

    stream: str
    state: State
    code: str
    text: str
    time_ns: int


@dataclass(frozen=True, slots=True)
class Status:
    """One stream at one moment.

    Attributes:
        frames: decoded so far, over all connections.
        suspect: of these, how many the decoder complained about.
        delivered: how many ran through the models.
        dropped: how many did not, by reason: superseded by a newer one.
        connections: how often it was opened with success.
        age_ms: of the frame that last ran, from its decoder to the start of inference; None before the first.
        quiet_s: since the last frame was decoded, or since the start.
    """

    stream: str
    source: str  # redacted
    state: State
    code: str = ""
    frames: int = 0
    suspect: int = 0
    delivered: int = 0
    dropped: Mapping[str, int] = field(default_factory=dict)
    connections: int = 0
    age_ms: float | None = None
    quiet_s: float = 0.0


@dataclass(frozen=True, slots=True)
class SinkStatus:
    """One sink at one moment.

    Attributes:
        name: what it writes, in a word or path; redacted.
        state: writing, paused (it waits for what `code` names and goes on by itself) or failed.
        code: why not writing: disk_full, read_only, unreachable …
        written: items that reached the target.
        dropped: items lost, by reason: queue_full, paused, refused …
    """

    name: str
    state: str = "writing"
    code: str = ""
    written: int = 0
    dropped: Mapping[str, int] = field(default_factory=dict)
