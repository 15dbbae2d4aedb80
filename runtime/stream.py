"""One source, kept alive: opened, read, and opened again for ever when a camera breaks off.

CONNECTING -> LIVE <-> STALLED, and from each of them BACKOFF -> CONNECTING; ENDED and FAILED are for good.
In: a Source.  Out: Frames whose index and time go on over every connection; Events.
Next: status.py for what is told of it, pipeline.py, which runs each in its own thread and looks after it from another.
"""

import random
import threading
import time
from collections.abc import Callable
from dataclasses import replace

from vedette.runtime.errors import SourceError
from vedette.runtime.frame import Frame
from vedette.runtime.sources import END, TIMEOUT, Lasting, Source
from vedette.runtime.status import Event, State, Status

READ_S = 0.5  # a reader looks up at least so often, where its source lets it
STALL_S = 3.0  # without a picture, a stream that was live has stalled
FIRST_PICTURE_S = 8.0  # the same for one that connected and showed none yet
REOPEN_S = 15.0  # without a picture: the connection is thrown away
PAUSES_S = (0.5, 1.0, 5.0)  # the first pause, the longest of the first minute, and the longest after it
FIRST_MINUTE_S = 60.0
UNANSWERED = {"timeout", "silent"}  # codes after which a source that never showed a picture is tried again
OVER = {State.ENDED, State.FAILED}


class Stream:
    """A source and its state; `run` is the reader thread's, `check` the watchdog's, the rest anybody's.

    Args:
        source: not opened yet.
        patience_s: how long the first frame may take before it is given up; None for ever.
        tell: called with every change of state, from the thread that made it.

    Attributes:
        failure: why it was given up, once FAILED.
    """

    def __init__(
        self,
        name: str,
        source: Source,
        *,
        patience_s: float | None = None,
        tell: Callable[[Event], None] = lambda event: None,
    ) -> None:
        self.name, self.uri = name, source.uri
        self.failure: SourceError | None = None
        self._source, self._patience_s, self._tell = source, patience_s, tell
        self._lock = (
            threading.RLock()
        )  # of the state, and the order in which it is told; counters have one writer each
        self._state, self._code = State.CONNECTING, ""
        self._began = self._seen = self._heard = (
            time.monotonic()
        )  # the stream, its last picture, its connection
        self._pause_s = 0.0
        self._delivering = False
        self._frames = self._suspect = self._connections = 0
        self._first_index, self._first_s = 0, 0.0  # of this connection
        self._last: Frame | None = None

    def run(self, deliver: Callable[[Frame], bool], stop: threading.Event) -> None:
        """Read until it ends, is given up, stop is set, or deliver says False: nobody wants frames any more."""
        self._began = self._heard = time.monotonic()
        while True:
            source = self._source
            try:
                failure = self._read(source, deliver, stop)
            finally:
                source.close()
            if stop.is_set() or failure is None:
                self.end()
                return
            if not isinstance(source, Lasting) or not self._try_again(failure):
                self.give_up(failure)
                return
            self._become(State.BACKOFF, failure.code, failure.what)
            if stop.wait(self._next_pause()) or self.over:
                self.end()
                return
            self._source = source.again()
            self._connect()

    def check(self) -> bool:
        """Notice what the reader, which may be waiting inside a decoder, cannot; False once it is over."""
        now, state = time.monotonic(), self._state
        if self.over:
            return False
        if self._impatient(now):
            self.give_up(self._nothing_came())
        elif self._lasting and not self._delivering:
            if state is State.LIVE and now - self._seen > STALL_S:
                self._become(State.STALLED, "silent", f"no picture for {now - self._seen:.1f} s")
            elif state is State.CONNECTING and now - self._heard > FIRST_PICTURE_S:
                self._become(State.STALLED, "silent", "connected, but no picture yet: no key frame has come")
        return not self.over

    @property
    def over(self) -> bool:
        """Ended, or given up."""
        return self._state in OVER

    def end(self) -> None:
        """No more is wanted of it."""
        self._become(State.ENDED)

    def give_up(self, failure: SourceError) -> None:
        """FAILED, for good."""
        self.failure = failure
        self._become(State.FAILED, failure.code, failure.what)

    def status(self) -> Status:
        """How it is now; what only the pipeline knows is left at its default."""
        return Status(
            self.name,
            self.uri,
            self._state,
            self._code,
            frames=self._frames,
            suspect=self._suspect,
            connections=self._connections,
            quiet_s=time.monotonic() - self._seen,
        )

    def _read(
        self, source: Source, deliver: Callable[[Frame], bool], stop: threading.Event
    ) -> SourceError | None:
        """Read one connection until it ends (None) or fails."""
        try:
            return self._pump(source, deliver, stop)
        except SourceError as error:
            return error.with_traceback(None)  # which would hold the decoder and its last picture
        except Exception as error:  # noqa: BLE001  a fault of one source must not stop the others
            return SourceError(f"{self.uri} failed", why=f"{type(error).__name__}: {error}")

    def _pump(
        self, source: Source, deliver: Callable[[Frame], bool], stop: threading.Event
    ) -> SourceError | None:
        while not stop.is_set() and not self.over:
            frame = source.read(READ_S)
            if frame is END:
                return None if self._frames else self._empty()
            if frame is TIMEOUT:
                if self._useless():
                    return self._nothing_came()
                continue
            frame = self._continued(frame)
            self._delivering = True
            wanted = deliver(frame)
            self._delivering = False
            if not wanted:
                self._frames -= 1  # it came too late to count
                return None
        return None

    def _continued(self, frame: Frame) -> Frame:
        """Take note of a frame; its index and time follow those of the connections before."""
        self._seen = time.monotonic()
        if self._state is not State.LIVE:
            self._begin(frame)
        if self._first_index or self._first_s:
            index, time_s = frame.index + self._first_index, frame.time_s + self._first_s
            frame = replace(frame, index=index, time_s=time_s)
        self._last = frame
        self._frames += 1
        self._suspect += frame.suspect
        return frame

    def _begin(self, frame: Frame) -> None:
        """The first frame of a connection, or the first after a stall."""
        if self._pause_s or not self._connections:
            self._connections += 1
        if self._last is not None and self._pause_s:
            gap_s = (frame.received_ns - self._last.received_ns) / 1e9
            self._first_index = self._last.index + 1
            self._first_s = self._last.time_s + max(gap_s, 1 / (frame.rate or 1.0)) - frame.time_s
        self._pause_s = 0.0
        self._become(State.LIVE)

    def _connect(self) -> None:
        self._heard = time.monotonic()
        self._become(State.CONNECTING)

    @property
    def _lasting(self) -> bool:
        """Asked each time: what comes over HTTP may turn out to be a film."""
        return isinstance(self._source, Lasting) and self._source.lasting

    def _useless(self) -> bool:
        """A connection that has shown nothing for so long that another may do better."""
        return self._lasting and time.monotonic() - max(self._seen, self._heard) > REOPEN_S

    def _impatient(self, now: float) -> bool:
        """A file takes what it takes."""
        hurried = self._source.live and not self._frames and self._patience_s is not None
        return hurried and now - self._began > (self._patience_s or 0.0)

    def _try_again(self, failure: SourceError) -> bool:
        if not self._lasting or self.over:
            return False
        return bool(self._frames) or self._patience_s is None or failure.code in UNANSWERED

    def _next_pause(self) -> float:
        """Seconds until the next try, doubling, and never quite the same: cameras behind one switch return together."""
        first, soon, late = PAUSES_S
        longest = soon if time.monotonic() - self._seen < FIRST_MINUTE_S else late
        self._pause_s = min(2 * self._pause_s or first, longest)
        return self._pause_s * random.uniform(0.8, 1.0)

    def _become(self, state: State, code: str = "", text: str = "") -> None:
        with self._lock:
            if self._state in OVER or (state, code) == (self._state, self._code):
                return
            self._state, self._code = state, code
            self._tell(Event(self.name, state, code, text, time.time_ns()))

    def _empty(self) -> SourceError:
        return SourceError(
            f"{self.uri} holds no frame", why="it ended before the first", cure="check the file", code="empty"
        )

    def _nothing_came(self) -> SourceError:
        waited_s = time.monotonic() - (self._seen if self._frames else self._began)
        return SourceError(
            f"no frame from {self.uri} within {waited_s:.0f} s",
            why="it does not answer, or delivers nothing that can be decoded",
            cure="check the camera" + ("" if self._frames else ", or raise --connect-timeout"),
            code="silent",
        )
