"""A Runner on the GPU: a frame goes up once, all happens on one stream, and a small result comes down.

In: Frames.  Out: Results, equal to a HostRunner's.  Two batches may be in flight, each on a track with memory of its own.
What happens to a batch of one shape is a Program (cuda_program.py): run as it is the first time, then captured as a
CUDA graph and replayed. latency_ms: preprocess is the copy into pinned memory, inference the wait for all of the GPU's
work, gpu that work by the GPU's own clock.
"""

import contextlib
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from vedette.kernels.device import CudaError
from vedette.runtime.cuda_program import Key, Program
from vedette.runtime.cuda_readers.reader import Room
from vedette.runtime.engine import OnDevice
from vedette.runtime.errors import device_errors
from vedette.runtime.frame import Frame
from vedette.runtime.preprocess import Placement
from vedette.runtime.results import Result
from vedette.runtime.runner import Done, Pending, Recipe
from vedette.runtime.timing import Stopwatch

PROGRAMS = 4  # kept a track: frames may alternate between so many sizes
FIRST_ROOM = Room(candidates=4096, masks=1)  # more is noticed, and the batch is run again with room for it


class CudaRunner:
    """Letterbox, engine, decoding, suppression and masks without leaving the GPU."""

    in_flight = 2

    def __init__(self, recipe: Recipe, engine: OnDevice) -> None:
        self.name, self.max_batch = recipe.manifest.name, recipe.max_batch
        self._recipe, self._engine, self._device = recipe, engine, engine.device
        self._tracks = [_Track(), _Track()]
        self._room = FIRST_ROOM

    def submit(self, frames: Sequence[Frame]) -> Pending:
        """Begin; frames that need other input shapes run in batches of their own."""
        runs = [
            (chosen, self._begin([frames[index] for index in chosen], placements))
            for chosen, placements in self._recipe.batches(frames)
        ]
        return Done(lambda: self._results(runs, len(frames)))

    def close(self) -> None:
        """Wait for what is in flight, and free all memory."""
        with contextlib.suppress(CudaError):  # a GPU that failed has told so already
            self._device.call(self._free)

    def _free(self) -> None:
        with contextlib.suppress(CudaError):
            self._device.synchronize()
        for track in self._tracks:
            track.clear()

    def _begin(self, frames: Sequence[Frame], placements: Sequence[Placement]) -> "_Run":
        """On the track that was used longest ago; what was on it is fetched first."""
        self._tracks.reverse()
        track = self._tracks[0]
        if track.run:
            track.run.fetch()
        track.run = _Run(self, frames, placements)
        track.run.begun = self._device.submit(self._launch, track, track.run)
        return track.run

    def _launch(self, track: "_Track", run: "_Run") -> Program:
        with device_errors():
            program = self._program(track, Key.of(run.frames, run.placements, self._room))
            with run.watch("preprocess"):
                program.write(run.frames, run.placements, self._recipe.conf)
            program.launch()
            return program

    def _program(self, track: "_Track", key: Key) -> Program:
        if key not in track.programs:
            if len(track.programs) == PROGRAMS:
                track.programs.popitem(last=False)[1].release()
            track.programs[key] = Program(self._recipe, self._engine, key)
        track.programs.move_to_end(key)
        return track.programs[key]

    def fetch(self, program: Program) -> tuple[Any, float]:
        """What a batch left in pinned memory, which the next batch on its track overwrites, and the GPU's milliseconds."""
        with device_errors():
            return self._device.call(program.fetch)

    def again(self, run: "_Run", needed: Room) -> "_Run":
        """The same batch with room for what it needs."""
        self._room = self._room.grown(needed)
        return self._begin(run.frames, run.placements)

    def _results(self, runs: Sequence[tuple[list[int], "_Run"]], count: int) -> list[Result]:
        results: dict[int, Result] = {}
        for chosen, run in runs:
            results.update(zip(chosen, self._finished(run), strict=True))
        return [results[index] for index in range(count)]

    def _finished(self, run: "_Run") -> list[Result]:
        program, found = run.fetch()
        if not program.key.room.holds(found.needed):
            return self._finished(self.again(run, found.needed))
        with run.watch("decode"):
            results = program.reader.finish(found, run.frames, run.placements)
        return [result.timed(run.watch.each(len(results))) for result in results]


@dataclass(slots=True)
class _Track:
    """One of two places for a batch in flight, with the programs that run there."""

    programs: OrderedDict[Key, Program] = field(default_factory=OrderedDict)
    run: "_Run | None" = None

    def clear(self) -> None:
        """Free all; results that nobody asked for are lost."""
        self.run = None
        while self.programs:
            self.programs.popitem()[1].release()


class _Run:
    """A batch on its way."""

    begun: "Future[Program]"

    def __init__(self, runner: CudaRunner, frames: Sequence[Frame], placements: Sequence[Placement]) -> None:
        self._runner, self.frames, self.placements = runner, frames, placements
        self.watch = Stopwatch()
        self._fetched: tuple[Program, Any] | None = None

    def fetch(self) -> tuple[Program, Any]:
        """Wait, and take what came down out of the pinned memory; the second time, the same again."""
        if self._fetched is None:
            with self.watch("inference"):
                program = self.begun.result()
                found, self.watch.ms["gpu"] = self._runner.fetch(program)
            self._fetched = program, found
        return self._fetched
