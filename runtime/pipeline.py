"""The main path; read first. Source -> Frame -> Runner -> Result -> Sinks.

A reader thread per source fills the inbox; this loop, in the caller's thread, takes a batch of at most one frame a stream,
runs every model on it and hands each frame with its results to every sink. Next: runner.py, inbox.py, sources/, sinks/.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from vedette.runtime.errors import SourceError
from vedette.runtime.frame import Frame
from vedette.runtime.inbox import Inbox
from vedette.runtime.results import Result
from vedette.runtime.runner import Pending, Runner
from vedette.runtime.sinks import Sink
from vedette.runtime.sources import END, TIMEOUT, Source

log = logging.getLogger(__name__)
Policy = Literal["latest", "all"]
Step = tuple[Frame, list[Result]]
Waiting = tuple[Frame, int]  # and how many of its stream were dropped before it
Begun = tuple[Sequence[Waiting], list[Pending]]


@dataclass(slots=True)
class Pipeline:
    """Some sources through some models into some sinks.

    Attributes:
        policy: `all` runs every frame, `latest` only the newest of each stream; None is latest for cameras, all for files.
        max_frames: frames per stream after which it ends; None for all.
        stop: set it, from any thread or signal handler, to end the run after the frame at hand.
        failures: what went wrong with each stream that failed.
    """

    sources: Mapping[str, Source]
    runners: Sequence[Runner]
    sinks: Sequence[Sink] = ()
    policy: Policy | None = None
    max_frames: int | None = None
    connect_timeout_s: float = 10.0
    stop: threading.Event = field(default_factory=threading.Event)
    failures: dict[str, SourceError] = field(default_factory=dict)

    def run(self) -> Generator[Step, None, None]:
        """Yield each frame with the result of every model on it, after the sinks have taken them.

        Raises:
            SourceError: no source gave a single frame.
            ModelError, DeviceError, DiskError: a runner or a sink failed.
        """
        inbox = Inbox()
        for name, source in self.sources.items():
            inbox.add(name, lossless=self.policy == "all" or (self.policy is None and not source.live))
        readers = [
            threading.Thread(
                target=self._read, args=(name, source, inbox), name=f"reader {name}", daemon=True
            )
            for name, source in self.sources.items()
        ]
        try:
            for reader in readers:
                reader.start()
            yield from self._steps(inbox)
        finally:
            self._finish(inbox, readers)

    def _steps(self, inbox: Inbox) -> Iterator[Step]:
        lived = False
        for step in self._inferred(inbox):
            lived = True
            for sink in self.sinks:
                sink.write(*step)
            yield step
        if not lived and self.failures and not self.stop.is_set():
            raise next(iter(self.failures.values()))

    def _inferred(self, inbox: Inbox) -> Iterator[Step]:
        """Where the runners allow it, a batch begins before the one before it is waited for."""
        ahead = min((runner.in_flight for runner in self.runners), default=1)
        begun: deque[Begun] = deque()
        while not self.stop.is_set() and (begun or not inbox.exhausted):
            waiting = inbox.take(timeout_s=0.0 if begun else 0.1)
            for batch in self._batches(waiting):
                frames = [frame for frame, _ in batch]
                begun.append((batch, [runner.submit(frames) for runner in self.runners]))
                if len(begun) == ahead:
                    yield from _finished(*begun.popleft())
                if self.stop.is_set():
                    return
            if begun and not waiting:
                yield from _finished(*begun.popleft())

    def _batches(self, waiting: Sequence[Waiting]) -> Iterator[Sequence[Waiting]]:
        size = max(1, min((runner.max_batch for runner in self.runners), default=len(waiting)))
        return (waiting[start : start + size] for start in range(0, len(waiting), size))

    def _read(self, name: str, source: Source, inbox: Inbox) -> None:
        """A reader thread: the only one that touches this source."""
        try:
            self._pump(source, inbox)
        except SourceError as error:
            self.failures[name] = error
            log.info("%s failed: %s", name, error.what)
        except Exception as error:  # a fault of one source must not stop the others
            self.failures[name] = SourceError(f"{source.uri} failed", why=f"{type(error).__name__}: {error}")
            log.info("%s failed", name, exc_info=error)
        finally:
            source.close()
            inbox.finish(name)

    def _pump(self, source: Source, inbox: Inbox) -> None:
        delivered, began = 0, time.monotonic()
        while not self.stop.is_set() and delivered != self.max_frames:
            frame = source.read(timeout_s=0.5)
            if frame is END:
                if not delivered:
                    raise SourceError(
                        f"{source.uri} holds no frame", why="it ended before the first", cure="check the file"
                    )
                return
            if frame is TIMEOUT:
                if not delivered and time.monotonic() - began > self.connect_timeout_s:
                    raise SourceError(
                        f"no frame from {source.uri} within {self.connect_timeout_s:g} s",
                        why="it is connected but delivers nothing that can be decoded",
                        cure="check the camera, or raise --connect-timeout",
                    )
            elif not inbox.put(frame):
                return
            else:
                delivered += 1

    def _finish(self, inbox: Inbox, readers: Sequence[threading.Thread]) -> None:
        """Stop the readers and complete every file; the first failure of a sink is raised once all are closed."""
        self.stop.set()
        inbox.stop()
        deadline = time.monotonic() + 0.5  # for all together
        for reader in readers:  # one inside a camera's time-out is left behind: it is a daemon
            reader.join(timeout=max(0.0, deadline - time.monotonic()))
        errors = []
        for sink in self.sinks:
            try:
                sink.close()
            except Exception as error:  # noqa: BLE001  (the others must be closed first)
                errors.append(error)
        if errors:
            raise errors[0]


def _finished(batch: Sequence[Waiting], pending: Sequence[Pending]) -> Iterator[Step]:
    by_model = [work.results() for work in pending]
    for index, (frame, dropped) in enumerate(batch):
        yield frame, [replace(results[index], dropped=dropped) for results in by_model]
