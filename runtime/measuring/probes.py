"""Clocks at a pipeline's seams: a source, a runner and sinks that note what the ones inside them took.

Nothing of the pipeline knows of them.  In: a Source, a Runner, Sinks.  Out: the same, and a recorder's notes.
Next: recorder.py, measure.py.
"""

import os
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from vedette.runtime.frame import Frame
from vedette.runtime.results import Result
from vedette.runtime.runner import Done, Pending, Runner
from vedette.runtime.sinks import Sink
from vedette.runtime.sinks._annotate import annotated
from vedette.runtime.sources import END, Read, Source

Note = Callable[[str, float], None]  # the name of a stage, its milliseconds
REEL = 8  # pictures


class TimedSource:
    """A source that never ends unless it is live, and notes the CPU time of its thread for every frame.

    Args:
        opened: makes the source, and makes it again.
        note: is told.
    """

    def __init__(self, opened: Callable[[], Source], note: Note) -> None:
        self._opened, self._note = opened, note
        self._source = source = opened()
        self.uri, self.live = source.uri, source.live
        self.lasting: bool = getattr(source, "lasting", False)
        self._spent_ns = 0
        self._last: Frame | None = None
        self._index, self._time_s = 0, 0.0  # of this turn's first frame
        self._turned = False

    @property
    def frame_count(self) -> int | None:
        return self._source.frame_count if self.live else None

    def read(self, timeout_s: float = 1.0) -> Read:
        found = self._timed(timeout_s)
        if found is END and not self.live and self._last is not None and not self._turned:
            self._turn()
            found = self._timed(timeout_s)
        if not isinstance(found, Frame):
            return found
        self._note("decode", self._spent_ns / 1e6)
        self._spent_ns, self._turned = 0, False
        if self._index:
            found = replace(found, index=found.index + self._index, time_s=found.time_s + self._time_s)
        self._last = found
        return found

    def _timed(self, timeout_s: float) -> Read:
        began = time.thread_time_ns()
        found = self._source.read(timeout_s)
        self._spent_ns += time.thread_time_ns() - began
        return found

    def _turn(self) -> None:
        """Begin again; a source that then gives nothing has ended."""
        assert self._last is not None
        self._source.close()
        self._source = self._opened()
        self._index, self._turned = self._last.index + 1, True
        self._time_s = self._last.time_s + 1 / (self._last.rate or 1.0)

    def close(self) -> None:
        self._source.close()

    def again(self) -> "TimedSource":
        return TimedSource(self._opened, self._note)


class Reel:
    """The first pictures of a source, over and over: what a test pattern is made of, without the cost of drawing it."""

    live = False
    frame_count = None

    def __init__(self, source: Source) -> None:
        self._source, self.uri = source, source.uri
        self._frames: list[Frame] = []
        self._index = 0

    def read(self, timeout_s: float = 1.0) -> Read:
        if len(self._frames) < REEL:
            found = self._source.read(timeout_s)
            if isinstance(found, Frame):
                self._frames.append(found)
            elif not self._frames:
                return found
        frame = self._frames[self._index % len(self._frames)]
        index, self._index = self._index, self._index + 1
        time_s = index / (frame.rate or 1.0)
        return replace(frame, index=index, time_s=time_s, received_ns=time.monotonic_ns(), prepared={})

    def close(self) -> None:
        self._source.close()


class TimedRunner:
    """A runner that notes when the work on each frame began, and takes batches of a given size.

    Args:
        runner: on a CPU it takes one frame at a time unless more are asked for.
        batch: frames at most.
    """

    def __init__(self, runner: Runner, batch: int) -> None:
        self._runner, self.name = runner, runner.name
        self.max_batch = batch
        # A pipeline fills batches only for runners that may be ahead of it.
        self.in_flight = runner.in_flight if batch == 1 else max(2, runner.in_flight)
        self._at_once = runner.in_flight > 1  # work begins when it is submitted, not when it is asked for
        self.began_ns: deque[int] = deque()  # of every frame, in the order of the results

    def submit(self, frames: Sequence[Frame]) -> Pending:
        if self._at_once:
            self._begin(len(frames))
            return self._runner.submit(frames)

        def work() -> list[Result]:
            self._begin(len(frames))
            return self._runner.submit(frames).results()

        return Done(work)

    def _begin(self, count: int) -> None:
        self.began_ns.extend([time.monotonic_ns()] * count)

    def close(self) -> None:
        """The runner inside is its model's."""


class TimedSink:
    """A sink that notes what writing took."""

    def __init__(self, stage: str, sink: Sink, note: Note) -> None:
        self._stage, self._sink, self._note = stage, sink, note

    def write(self, frame: Frame, results: Sequence[Result]) -> None:
        began = time.perf_counter_ns()
        self._sink.write(frame, results)
        self._note(self._stage, (time.perf_counter_ns() - began) / 1e6)

    def close(self) -> None:
        self._sink.close()


class DrawSink:
    """Draws the results on a copy of the frame, and throws it away."""

    def write(self, frame: Frame, results: Sequence[Result]) -> None:
        annotated(frame, results)

    def close(self) -> None:
        """There is nothing to finish."""


class LineSink:
    """Writes JSON records to nowhere."""

    def __init__(self) -> None:
        self._file = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115  (close() closes it)

    def write(self, frame: Frame, results: Sequence[Result]) -> None:
        for result in results:
            self._file.write(result.to_json() + "\n")
            self._file.flush()

    def close(self) -> None:
        self._file.close()


class Handing:
    """Stands before all other sinks: the moment when a result is handed on."""

    def __init__(self, handed: Callable[[Frame, Sequence[Result]], Any]) -> None:
        self._handed = handed

    def write(self, frame: Frame, results: Sequence[Result]) -> None:
        self._handed(frame, results)

    def close(self) -> None:
        """There is nothing to finish."""
