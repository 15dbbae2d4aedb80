"""A pipeline that runs in a thread of its own, and all that it told.   Next: report.py, for what is made of it."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from chaos.servers import Server
from vedette.runtime.frame import Frame
from vedette.runtime.packets import Tap
from vedette.runtime.pipeline import Pipeline
from vedette.runtime.results import Result
from vedette.runtime.runner import NullRunner, Runner
from vedette.runtime.sources import Source, SourceOptions, open_source
from vedette.runtime.status import Event, State


@dataclass(frozen=True)
class Seen:
    """A frame as it left the pipeline, without its pixels."""

    at: float  # time.monotonic()
    stream: str
    index: int
    time_s: float
    suspect: bool
    size: tuple[int, int]
    age_ms: float
    dropped: int


class Watched:
    """A pipeline that runs in a thread of its own, and all that it told.

    Args:
        sources: addresses by the names of their streams.
        runners: what every stream goes through; finds nothing unless given.
        look: called with each frame and its results, in the pipeline's thread.
        tap: gives each stream where its packets go.
        options: of the sources.
        settings: the Pipeline's.
    """

    def __init__(
        self,
        sources: Mapping[str, str],
        runners: Sequence[Runner] = (),
        *,
        look: Callable[[Frame, list[Result]], None] = lambda frame, results: None,
        tap: Callable[[str], Tap | None] = lambda stream: None,
        options: Mapping[str, Any] | None = None,
        **settings: Any,
    ) -> None:
        self.seen: list[Seen] = []
        self.events: list[tuple[float, Event]] = []
        self.error: Exception | None = None
        opened: dict[str, Source] = {
            name: open_source(uri, SourceOptions(stream=name, tap=tap(name), **(options or {})))
            for name, uri in sources.items()
        }
        settings = {"connect_timeout_s": None, "on_event": self._event} | settings
        self.pipeline = Pipeline(opened, runners or [NullRunner()], **settings)
        self._look = look
        self._thread = threading.Thread(target=self._run)
        self.began = time.monotonic()
        self._thread.start()

    def stop(self, *, within_s: float = 30.0) -> float:
        """Ask for the end; how many seconds until run() had returned."""
        began = time.monotonic()
        self.pipeline.stop.set()
        return self.join(within_s) - began

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def join(self, within_s: float) -> float:
        """Wait for the end; when that was."""
        self._thread.join(within_s)
        return time.monotonic() if not self._thread.is_alive() else float("inf")

    def until(self, truth: Callable[[], Any], *, within_s: float = 60.0) -> bool:
        """Wait until something is true; whether it came true in time."""
        deadline = time.monotonic() + within_s
        while not truth():
            if time.monotonic() > deadline or not self._thread.is_alive():
                return bool(truth())
            time.sleep(0.005)
        return True

    def frame_after(self, stream: str, moment: float, *, within_s: float = 60.0) -> float:
        """How long after that moment the first frame of a stream came; for ever if it did not."""

        def found() -> list[float]:
            return [seen.at for seen in self.seen[-500:] if seen.stream == stream and seen.at > moment]

        return found()[0] - moment if self.until(found, within_s=within_s) else float("inf")

    def event_after(self, stream: str, moment: float, states: set[State], *, within_s: float = 60.0) -> float:
        """How long after that moment a stream came into one of these states."""

        def found() -> list[float]:
            return [
                at
                for at, event in self.events
                if event.stream == stream and event.state in states and at > moment
            ]

        return found()[0] - moment if self.until(found, within_s=within_s) else float("inf")

    def state(self, stream: str) -> State:
        return self.pipeline.status()[stream].state

    def tries(self, stream: str) -> list[float]:
        """How long each try to connect took that failed, in seconds."""
        told = [(at, event.state) for at, event in self.events if event.stream == stream]
        told.insert(0, (self.began, State.CONNECTING))
        return [
            later - at
            for (at, state), (later, after) in pairwise(told)
            if state is State.CONNECTING and after is State.BACKOFF
        ]

    def worst_rate(self, stream: str, *, window_s: float = 5.0, settle_s: float = 2.0) -> float:
        """Frames a second of a stream in the worst window since it had settled."""
        times = np.array([seen.at for seen in self.seen if seen.stream == stream])
        starts = np.arange(times[0] + settle_s, times[-1] - window_s, 1.0)
        counts = np.searchsorted(times, starts + window_s) - np.searchsorted(times, starts)
        return float(counts.min() / window_s) if len(counts) else 0.0

    def _run(self) -> None:
        try:
            for frame, results in self.pipeline.run():
                result = results[0]
                facts = (frame.stream, frame.index, frame.time_s, frame.suspect, frame.size)
                self.seen.append(Seen(time.monotonic(), *facts, result.age_ms or 0.0, result.dropped))
                self._look(frame, results)
        except Exception as error:  # noqa: BLE001  whoever watches is to tell
            self.error = error

    def _event(self, event: Event) -> None:
        self.events.append((time.monotonic(), event))


@contextlib.contextmanager
def watched(*servers: Server, **arguments: Any) -> Iterator[Watched]:
    """A Watched that is stopped, and servers that are killed, whatever happens."""
    run = Watched(**arguments)
    try:
        yield run
    finally:
        run.stop()
        for server in servers:
            server.kill()
