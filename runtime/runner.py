"""A Runner turns frames into Results: preprocess, engine, decode, task.

In: Frames of any size and stream.  Out: one Result a frame, in order.  Next: engine.py, preprocess.py, decoders/, tasks/.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from vedette.runtime.decoders import parameters_of
from vedette.runtime.engine import Engine
from vedette.runtime.errors import ModelError, VedetteError
from vedette.runtime.frame import Array, Frame
from vedette.runtime.manifest import Input, Manifest
from vedette.runtime.plugins import load
from vedette.runtime.preprocess import Placement, Size, fill_frame, place, target_size
from vedette.runtime.results import Result, no_boxes
from vedette.runtime.tasks import Config
from vedette.runtime.timing import Stopwatch

SIZES = "orig_target_sizes"  # RT-DETR's and D-FINE's second input, [N, 2]: the (width, height) that boxes are scaled to


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


class Recipe:
    """What a Runner knows of its model: where pictures go in its input, and what its outputs mean."""

    def __init__(self, manifest: Manifest, config: Config = Config(), *, imgsz: Size | None = None) -> None:
        self.manifest, self.config, self.input = manifest, config, _picture_input(manifest)
        self.task: Any = load("vedette.runtime.tasks", manifest.task)
        self.family: Any = load("vedette.runtime.decoders", manifest.decoder.family)
        self.parameters = parameters_of(manifest)
        self.conf: float = self.task.DEFAULT_CONF if config.conf is None else config.conf
        self.max_batch = self.input.bounds()[2][0]
        self._target = target_size(self.input, imgsz)

    def batches(self, frames: Sequence[Frame]) -> list[tuple[list[int], list[Placement]]]:
        """Frames by the input size that they need: their indices, and where they go."""
        placements = [place(frame.size, self._target, self.input.resize) for frame in frames]
        return [
            (chosen, [placements[index] for index in chosen])
            for size in dict.fromkeys(placement.input_size for placement in placements)
            for chosen in [[i for i, placement in enumerate(placements) if placement.input_size == size]]
        ]

    def check(self, shapes: Mapping[str, tuple[int, ...]], batch: int) -> None:
        """Output shapes are what the manifest promises: decoders rely on it.

        Raises:
            ModelError: they are not.
        """
        for spec in self.manifest.outputs:
            found = shapes[spec.name]
            if len(found) != len(spec.shape) or any(
                side not in (-1, got) for side, got in zip((batch, *spec.shape[1:]), found, strict=True)
            ):
                raise ModelError(
                    f"output {spec.name} of {self.manifest.name} has the shape {list(found)}",
                    why=f"its manifest says {list(spec.shape)}, for a batch of {batch}",
                    cure="export the model again",
                )

    def finish(
        self, outputs: Mapping[str, Array], frames: Sequence[Frame], placements: Sequence[Placement]
    ) -> list[Result]:
        """Decode, and make of it what the task means.

        Raises:
            ModelError: the outputs cannot be read so.
        """
        size = placements[0].input_size
        with self.readable():
            decoded = self.family.decode(outputs, self.manifest, self.parameters, self.conf, input_size=size)
            return [
                self.task.finish(found, frame, placement, self.manifest, self.config)
                for found, frame, placement in zip(decoded, frames, placements, strict=True)
            ]

    @contextmanager
    def readable(self) -> Iterator[None]:
        """A manifest that is well-formed may still mean another network: any fault in reading is told as that."""
        try:
            yield
        except VedetteError:
            raise
        except Exception as error:
            family, task = self.manifest.decoder.family, self.manifest.task
            raise ModelError(
                f"the outputs of {self.manifest.name} cannot be read as {family} and {task}",
                why=f"{type(error).__name__}: {error}",
                cure="export the model again, or adopt it with the right family and task",
            ) from error


def _picture_input(manifest: Manifest) -> Input:
    """The one input that a picture fills; another may only be told its size."""
    if len([spec for spec in manifest.inputs if spec.name != SIZES]) != 1:
        raise ModelError(
            f"{manifest.name} has {len(manifest.inputs)} inputs", why="a picture fills exactly one"
        )
    spec = next(spec for spec in manifest.inputs if spec.name != SIZES)
    if len(spec.shape) != 4 or spec.shape[1] != 3 or spec.pixel_format not in {"bgr", "rgb"}:
        raise ModelError(
            f"{manifest.name} does not take pictures",
            why=f"its input is {list(spec.shape)}, {spec.pixel_format}; a picture is [N, 3, H, W], bgr or rgb",
            cure="export it with a card that says so",
        )
    return spec


class HostRunner:
    """Preprocess, engine and decode in turn, on host arrays."""

    in_flight = 1

    def __init__(self, recipe: Recipe, engine: Engine) -> None:
        self.name, self.max_batch = recipe.manifest.name, recipe.max_batch
        self._recipe, self._engine = recipe, engine

    def submit(self, frames: Sequence[Frame]) -> Pending:
        """The work is done when the results are asked for."""
        return Done(lambda: self._run(frames))

    def close(self) -> None:
        """There is nothing to free."""

    def _run(self, frames: Sequence[Frame]) -> list[Result]:
        """Frames that need other input shapes run in batches of their own."""
        results: dict[int, Result] = {}
        for chosen, placements in self._recipe.batches(frames):
            batch = self._batch([frames[i] for i in chosen], placements)
            results.update(zip(chosen, batch, strict=True))
        return [results[index] for index in range(len(frames))]

    def _batch(self, frames: Sequence[Frame], placements: Sequence[Placement]) -> list[Result]:
        watch, spec = Stopwatch(), self._recipe.input
        width, height = placements[0].input_size
        with watch("preprocess"):
            sizes = {SIZES: (len(frames), 2)} if len(self._recipe.manifest.inputs) > 1 else {}
            feeds = self._engine.buffers({spec.name: (len(frames), 3, height, width), **sizes})
            for name in sizes:  # boxes come in pixels of the input, as from any other network
                feeds[name][:] = width, height
            for chw, frame, placement in zip(feeds[spec.name], frames, placements, strict=True):
                fill_frame(chw, frame, spec, placement)
        with watch("inference"):
            outputs = self._engine(feeds)
            self._recipe.check({name: array.shape for name, array in outputs.items()}, len(frames))
        with watch("decode"):
            finished = self._recipe.finish(outputs, frames, placements)
        return [result.timed(watch.each(len(frames))) for result in finished]


def runner_of(recipe: Recipe, engine: Engine) -> Runner:
    """The Runner for an engine: on the GPU where the engine is there."""
    if engine.on_device is None or len(recipe.manifest.inputs) > 1:
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
