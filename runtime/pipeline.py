"""The main path; read first. Source -> Frame -> Runner -> Result -> (tracker) -> Sinks.

A reader thread per source fills the inbox; this loop, in the caller's thread, takes a batch of at most one frame a stream,
runs every model of those streams on it and hands each frame with its results to every sink. A watchdog thread looks
after the readers, which may be waiting inside a decoder. Next: stream.py, inbox.py, runner.py, sources/, sinks/.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from vedette.runtime.errors import SourceError, UsageError
from vedette.runtime.frame import Frame
from vedette.runtime.inbox import Inbox, Waiting
from vedette.runtime.results import Result
from vedette.runtime.runner import Pending, Runner
from vedette.runtime.sinks import Sink
from vedette.runtime.sources import Source
from vedette.runtime.status import Event, SinkStatus, State, Status
from vedette.runtime.stream import Stream

log = logging.getLogger(__name__)
Policy = Literal["latest", "all"]
Step = tuple[Frame, list[Result]]
Routes = Mapping[str, Sequence[int]]
WATCH_S = 0.25
HUNG_S = 30.0  # without a turn of the loop: a device or a consumer holds it
FILL_S = 0.004  # a device gains more by a fuller batch than this costs


@dataclass(frozen=True, slots=True)
class _Batch:
    """What was submitted together: frames with their drops and ages, and each model's work on some of them."""

    waiting: Sequence[Waiting]
    ages_ms: Sequence[float]
    work: Sequence[tuple[int, Sequence[int], Pending]]  # number of the runner, indices of its frames


@dataclass(slots=True)
class Pipeline:
    """Some sources through some models into some sinks.

    Attributes:
        policy: `all` runs every frame, `latest` only the newest of each stream; None is latest for cameras, all for files.
        max_frames: frames per stream after which it ends; None for all.
        connect_timeout_s: how long the first frame of a camera may take; None: it is tried for ever.
        stop: set it, from any thread or signal handler, to end the run after the frame at hand; it is never set here.
        routes: which of the runners a stream goes through, by index; a stream that is not named goes through all.
        policies: of single streams.
        trackers: one to follow the objects of a stream through a runner, None where nothing is followed.
        on_event: called with every change of a stream's state, from any thread.
        on_watch: called several times a second while the loop turns, from the watchdog's thread.
        failures: what went wrong with each stream that was given up.
    """

    sources: Mapping[str, Source]
    runners: Sequence[Runner]
    sinks: Sequence[Sink] = ()
    policy: Policy | None = None
    max_frames: int | None = None
    connect_timeout_s: float | None = 10.0
    stop: threading.Event = field(default_factory=threading.Event)
    routes: Routes = field(default_factory=dict)
    policies: Mapping[str, Policy] = field(default_factory=dict)
    trackers: Sequence[Callable[[], Any] | None] = ()
    on_event: Callable[[Event], None] = lambda event: None
    on_watch: Callable[[], None] = lambda: None
    _streams: dict[str, Stream] = field(default_factory=dict, init=False)
    _inbox: Inbox = field(default_factory=Inbox, init=False)
    _taken: dict[str, int] = field(default_factory=dict, init=False)
    _delivered: dict[str, int] = field(default_factory=dict, init=False)
    _ages_ms: dict[str, float] = field(default_factory=dict, init=False)
    _followed: dict[tuple[str, int], Any] = field(default_factory=dict, init=False)
    _over: threading.Event = field(default_factory=threading.Event, init=False)
    _logged: dict[str, tuple[State, str]] = field(default_factory=dict, init=False)
    _turn: float = field(default_factory=time.monotonic, init=False)

    def run(self) -> Generator[Step, None, None]:
        """Yield each frame with the result of every model on it, after the sinks have taken them.

        Raises:
            SourceError: no source gave a single frame.
            ModelError, DeviceError, DiskError: a runner or a sink failed.
        """
        if self._streams:
            raise UsageError(
                "this Pipeline has run", why="its sources and sinks are closed", cure="make another"
            )
        for name, source in self.sources.items():
            self._inbox.add(name, lossless=self._lossless(name, source))
            self._streams[name] = Stream(name, source, patience_s=self.connect_timeout_s, tell=self._tell)
        threads = [
            threading.Thread(target=self._read, args=(stream,), name=f"reader {name}", daemon=True)
            for name, stream in self._streams.items()
        ]
        watchdog = threading.Thread(target=self._watch, name="watchdog", daemon=True)
        try:
            for thread in (*threads, watchdog):
                thread.start()
            yield from self._steps()
        finally:
            self._finish(threads)

    @property
    def failures(self) -> dict[str, SourceError]:
        return {name: stream.failure for name, stream in self._streams.items() if stream.failure is not None}

    def status(self) -> dict[str, Status]:
        """How every stream is now; for any thread."""
        return {name: self._status(name, stream) for name, stream in list(self._streams.items())}

    def sink_status(self) -> list[SinkStatus]:
        """How every sink is that can tell; for any thread."""
        return [sink.status() for sink in self.sinks if hasattr(sink, "status")]

    def alive(self) -> bool:
        """Whether the loop turns; for any thread."""
        return time.monotonic() - self._turn < HUNG_S

    def _status(self, name: str, stream: Stream) -> Status:
        return replace(
            stream.status(),
            delivered=self._delivered.get(name, 0),
            dropped={"superseded": self._inbox.superseded(name)},
            age_ms=self._ages_ms.get(name),
        )

    def _lossless(self, name: str, source: Source) -> bool:
        policy = self.policies.get(name, self.policy)
        return policy == "all" or (policy is None and not source.live)

    def _steps(self) -> Iterator[Step]:
        for step in self._inferred():
            self._delivered[step[0].stream] = self._delivered.get(step[0].stream, 0) + 1
            for sink in self.sinks:
                sink.write(*step)
            yield step
        if not self._delivered and self.failures and not self.stop.is_set():
            raise next(iter(self.failures.values()))

    def _inferred(self) -> Iterator[Step]:
        """Where the runners allow it, a batch begins before the one before it is waited for."""
        ahead = min((runner.in_flight for runner in self.runners), default=1)
        # A CPU takes as long for two frames at once as for one after the other: the second had better be newer.
        limit = max((runner.max_batch for runner in self.runners), default=1) if ahead > 1 else 1
        begun: deque[_Batch] = deque()
        while not self.stop.is_set() and (begun or not self._inbox.exhausted):
            self._turn = time.monotonic()
            taken = self._inbox.take(0.0 if begun else 0.1, limit=limit, fill_s=FILL_S if ahead > 1 else 0.0)
            waiting = [one for one in taken if self._wanted(one[0].stream)]
            if waiting:
                begun.append(self._submitted(waiting))
            if begun and (not waiting or len(begun) == ahead):
                yield from self._finished(begun.popleft())

    def _wanted(self, stream: str) -> bool:
        """Whether this frame is one of the stream's first max_frames; after the last of them it has ended."""
        self._taken[stream] = count = self._taken.get(stream, 0) + 1
        if count == self.max_frames:
            self._inbox.finish(stream)
            self._streams[stream].end()
        return self.max_frames is None or count <= self.max_frames

    def _submitted(self, waiting: Sequence[Waiting]) -> _Batch:
        now = time.monotonic_ns()
        ages_ms = [(now - frame.received_ns) / 1e6 for frame, _ in waiting]
        work = [
            (number, chosen, runner.submit([waiting[index][0] for index in chosen]))
            for number, runner in enumerate(self.runners)
            for chosen in _chunks(self._those_of(number, waiting), max(1, runner.max_batch))
        ]
        return _Batch(waiting, ages_ms, work)

    def _those_of(self, number: int, waiting: Sequence[Waiting]) -> list[int]:
        """Which of these frames go through a runner."""
        return [
            index
            for index, (frame, _) in enumerate(waiting)
            if number in self.routes.get(frame.stream, (number,))
        ]

    def _finished(self, batch: _Batch) -> Iterator[Step]:
        found: list[list[Result]] = [[] for _ in batch.waiting]
        for number, chosen, pending in batch.work:
            for index, result in zip(chosen, pending.results(), strict=True):
                stamped = replace(result, dropped=batch.waiting[index][1], age_ms=batch.ages_ms[index])
                found[index].append(self._tracked(number, stamped))
        for (frame, _), age_ms, results in zip(batch.waiting, batch.ages_ms, found, strict=True):
            self._ages_ms[frame.stream] = age_ms
            yield frame, results

    def _tracked(self, number: int, result: Result) -> Result:
        """With the identities of its objects, where this runner's are followed."""
        make = self.trackers[number] if self.trackers else None
        if make is None:
            return result
        key = (result.frame.stream, number)
        if key not in self._followed:
            self._followed[key] = make()
        followed: Result = self._followed[key].update(result)
        return followed

    def _read(self, stream: Stream) -> None:
        """A reader thread: the only one that touches this source."""
        try:
            stream.run(self._inbox.put, self._over)
        except Exception as error:
            log.exception("the reader of %s failed", stream.name)
            stream.give_up(SourceError(f"{stream.uri} failed", why=f"{type(error).__name__}: {error}"))
        finally:
            self._inbox.finish(stream.name)

    def _watch(self) -> None:
        """The watchdog's thread."""
        while not self._over.wait(WATCH_S):
            for name, stream in self._streams.items():
                if not stream.check():
                    self._inbox.finish(name)
            if self.alive():
                _heard(self.on_watch)

    def _tell(self, event: Event) -> None:
        self._log(event)
        for hear in (*(sink.event for sink in self.sinks if hasattr(sink, "event")), self.on_event):
            _heard(hear, event)

    def _log(self, event: Event) -> None:
        """Trouble and its end are told once, however many tries lie between."""
        news = (event.state, event.code)
        if event.state is State.CONNECTING or self._logged.get(event.stream, (State.LIVE, "")) == news:
            log.debug("%s %s", event.stream, event.state.value)
            return
        self._logged[event.stream] = news
        why = f" ({event.code}): {event.text}" if event.text else ""
        level = logging.INFO if self._no_news(event) else logging.WARNING
        log.log(level, "%s %s%s", event.stream, event.state.value, why)

    def _no_news(self, event: Event) -> bool:
        """An end; a failure that ends the run, which says why itself; tries before a first frame that may fail."""
        streams = self._streams
        if event.state is State.FAILED:
            return all(stream.over for stream in streams.values())
        hopeful = self.connect_timeout_s is not None and not streams[event.stream].status().frames
        return event.state is State.ENDED or hopeful

    def _finish(self, readers: Sequence[threading.Thread]) -> None:
        """Stop the readers and complete every file; the first failure of a sink is raised once all are closed."""
        self._over.set()
        self._inbox.stop()
        deadline = time.monotonic() + 0.5  # for all together
        for reader in readers:  # one inside a camera's time-out is left behind: it is a daemon
            reader.join(timeout=max(0.0, deadline - time.monotonic()))
        errors = [error for error in _all(sink.close for sink in self.sinks) if error is not None]
        if errors:
            raise errors[0]


def _heard(hear: Callable[..., None], *news: Event) -> None:
    """Tell a listener, whose faults are its own."""
    try:
        hear(*news)
    except Exception:
        log.exception("%s failed", hear)


def _all(calls: Iterable[Callable[[], None]]) -> list[Exception | None]:
    """Call all of them at the same time, since each may take its while; what each raised."""

    def outcome(call: Callable[[], None]) -> Exception | None:
        try:
            call()
        except Exception as error:  # noqa: BLE001  (the others must be closed too)
            return error
        return None

    waiting = list(calls)
    with ThreadPoolExecutor(max(1, len(waiting)), "close") as pool:
        return list(pool.map(outcome, waiting))


def _chunks(items: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    return (items[start : start + size] for start in range(0, len(items), size))
