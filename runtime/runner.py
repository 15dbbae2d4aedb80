"""A Runner turns frames into Results: preprocess, engine, decode, task.

In: Frames of any size and stream.  Out: one Result a frame, in order.  Next: intake.py, engine.py, decoders/, tasks/; bundles/.
"""

from collections.abc import Callable, Mapping, Sequence
from time import perf_counter
from types import TracebackType
from typing import Any, Protocol

from vedette.runtime.decoders import parameters_of
from vedette.runtime.engine import Engine
from vedette.runtime.errors import ModelError, VedetteError
from vedette.runtime.frame import Array, Frame
from vedette.runtime.host_boxes import host_boxes
from vedette.runtime.intake import SIZES as SIZES
from vedette.runtime.intake import Intake, in_batches
from vedette.runtime.manifest import PART, Manifest
from vedette.runtime.plugins import load
from vedette.runtime.preprocess import Placement, Size
from vedette.runtime.results import Result, no_boxes
from vedette.runtime.tasks import Config

STAGES = "preprocess", "inference", "decode"


class Pending(Protocol):
    """Work that was submitted."""

    def results(self) -> list[Result]:
        """Wait for it: one Result a frame, in the order of submission.

        Raises:
            ModelError: the network's output is not what its manifest says.
            DeviceError: the device failed.
        """


class Runner(Protocol):
    """What a Pipeline drives; it knows nothing smaller."""

    name: str
    max_batch: int
    in_flight: int  # how many batches may be submitted before the first one's results are asked for

    def submit(self, frames: Sequence[Frame]) -> Pending:
        """Begin work on some frames; at most max_batch of them."""

    def close(self) -> None:
        """Free what it has; not the engine, which is its giver's."""


class Done:
    """Pending work that runs when it is asked for."""

    def __init__(self, work: Callable[[], list[Result]]) -> None:
        self.results = work


class Recipe(Intake):
    """What a Runner knows of its model: where pictures go in its input, and what its outputs mean."""

    def __init__(
        self,
        manifest: Manifest,
        config: Config = Config(),
        *,
        imgsz: Size | None = None,
        own_size: bool = False,
    ) -> None:
        _check_whole(manifest)
        self.config = config
        self.task: Any = load("vedette.runtime.tasks", manifest.task)
        self.family: Any = load("vedette.runtime.decoders", manifest.decoder.family)
        self.parameters = parameters_of(manifest)
        self.conf: float = self.task.DEFAULT_CONF if config.conf is None else config.conf
        self.readable = Readable(manifest)
        self._boxes = host_boxes(manifest, self.family, self.parameters, config, self.conf)
        batched = getattr(self.family, "batched", None)
        batched_ = batched is None or batched(manifest.outputs)
        super().__init__(manifest, imgsz=imgsz, batched=batched_, own_size=own_size)

    def finish(
        self, outputs: Mapping[str, Array], frames: Sequence[Frame], placements: Sequence[Placement]
    ) -> list[Result]:
        """Decode, and make of it what the task means.

        Raises:
            ModelError: the outputs cannot be read so.
        """
        size = placements[0].input_size
        with self.readable:
            found = self._boxes and self._boxes.results(outputs, frames, placements)
            if found:
                return found
            decoded = self.family.decode(outputs, self.manifest, self.parameters, self.conf, input_size=size)
            return [
                self.task.finish(found, frame, placement, self.manifest, self.config)
                for found, frame, placement in zip(decoded, frames, placements, strict=True)
            ]


class Readable:
    """A manifest that is well-formed may still mean another network: any fault in reading its outputs is told as that."""

    def __init__(self, manifest: Manifest) -> None:
        self._manifest = manifest

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, Exception) and not isinstance(error, VedetteError):
            family, task = self._manifest.decoder.family, self._manifest.task
            raise ModelError(
                f"the outputs of {self._manifest.name} cannot be read as {family} and {task}",
                why=f"{type(error).__name__}: {error}",
                cure="export the model again, or adopt it with the right family and task",
            ) from error


def _check_whole(manifest: Manifest) -> None:
    if manifest.decoder.family == PART:
        raise ModelError(
            f"{manifest.name} is a part of a model of several graphs",
            why="its outputs mean nothing without the other parts",
            cure="give the folder that has its bundle.json",
        )


class HostRunner:
    """Preprocess, engine and decode in turn, on host arrays."""

    in_flight = 1

    def __init__(self, recipe: Recipe, engine: Engine) -> None:
        self.name, self.max_batch = recipe.manifest.name, recipe.max_batch
        self._recipe, self._engine = recipe, engine

    def submit(self, frames: Sequence[Frame]) -> Pending:
        """The work is done when the results are asked for."""
        return Done(lambda: in_batches(self._recipe, frames, self._batch))

    def close(self) -> None:
        """There is nothing to free."""

    def _batch(self, frames: Sequence[Frame], placements: Sequence[Placement]) -> list[Result]:
        times = [perf_counter()]
        feeds = self._recipe.filled(self._engine, frames, placements)
        times.append(perf_counter())
        outputs = self._engine(feeds)
        self._recipe.check({name: array.shape for name, array in outputs.items()}, len(frames))
        times.append(perf_counter())
        finished = self._recipe.finish(outputs, frames, placements)
        times.append(perf_counter())
        spent = {
            stage: (end - begin) * 1e3 / len(frames)
            for stage, begin, end in zip(STAGES, times, times[1:], strict=False)
        }
        return [result.timed(spent) for result in finished]


def runner_of(recipe: Recipe, engine: Engine) -> Runner:
    """The Runner for an engine: on the GPU where the engine is there."""
    if engine.on_device is None or len(recipe.manifest.inputs) > 1 or not recipe.batched:
        return HostRunner(recipe, engine)
    from vedette.runtime.cuda_runner import CudaRunner

    return CudaRunner(recipe, engine.on_device)


class NullRunner:
    """Finds nothing in any frame: the shipped fake, and the floor that a pipeline's own cost is measured against."""

    name, max_batch, in_flight = "null", 64, 1

    def submit(self, frames: Sequence[Frame]) -> Pending:
        return Done(
            lambda: [Result(frame, self.name, "detection", {}, boxes=no_boxes(frame)) for frame in frames]
        )

    def close(self) -> None:
        """There is nothing to free."""
