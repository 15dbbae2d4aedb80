"""A Runner turns frames into Results: preprocess, engine, decode, task.

In: Frames of any size and stream.  Out: one Result a frame, in order.  Next: engine.py, preprocess.py, decoders/, tasks/.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from vedette.runtime.decoders import parameters_of
from vedette.runtime.engine import Engine
from vedette.runtime.errors import ModelError, VedetteError
from vedette.runtime.frame import Array, Frame
from vedette.runtime.manifest import Manifest
from vedette.runtime.plugins import load
from vedette.runtime.preprocess import Placement, Size, fill_frame, place, target_size
from vedette.runtime.results import Result, no_boxes
from vedette.runtime.tasks import Config
from vedette.runtime.timing import Stopwatch


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

    def submit(self, frames: Sequence[Frame]) -> Pending:
        """Begin work on some frames; at most max_batch of them."""

    def close(self) -> None:
        """Free the engine."""


class Done:
    """Pending work that runs when it is asked for."""

    def __init__(self, work: Callable[[], list[Result]]) -> None:
        self.results = work


class HostRunner:
    """Preprocess, engine and decode in turn, on host arrays."""

    def __init__(
        self, manifest: Manifest, engine: Engine, config: Config = Config(), *, imgsz: Size | None = None
    ) -> None:
        if len(manifest.inputs) != 1:
            raise ModelError(
                f"{manifest.name} has {len(manifest.inputs)} inputs", why="a picture fills exactly one"
            )
        self.name, self.manifest, self.engine = manifest.name, manifest, engine
        self._input = manifest.inputs[0]
        if (
            len(self._input.shape) != 4
            or self._input.shape[1] != 3
            or self._input.pixel_format not in {"bgr", "rgb"}
        ):
            raise ModelError(
                f"{manifest.name} does not take pictures",
                why=f"its input is {list(self._input.shape)}, {self._input.pixel_format}; a picture is [N, 3, H, W], bgr or rgb",
                cure="export it with a card that says so",
            )
        self._config = config
        self._target = target_size(self._input, imgsz)
        self._task: Any = load("vedette.runtime.tasks", manifest.task)
        self._family: Any = load("vedette.runtime.decoders", manifest.decoder.family)
        self._parameters = parameters_of(manifest)
        self._conf = self._task.DEFAULT_CONF if config.conf is None else config.conf
        self.max_batch = self._input.bounds()[2][0]

    def submit(self, frames: Sequence[Frame]) -> Pending:
        """The work is done when the results are asked for."""
        return Done(lambda: self._run(frames))

    def close(self) -> None:
        self.engine.close()

    def _run(self, frames: Sequence[Frame]) -> list[Result]:
        """Frames that need other input shapes run in batches of their own."""
        placements = [place(frame.size, self._target, self._input.resize) for frame in frames]
        results: dict[int, Result] = {}
        for shape in dict.fromkeys(placement.input_size for placement in placements):
            chosen = [index for index, placement in enumerate(placements) if placement.input_size == shape]
            batch = self._batch([frames[i] for i in chosen], [placements[i] for i in chosen])
            results.update(zip(chosen, batch, strict=True))
        return [results[index] for index in range(len(frames))]

    def _batch(self, frames: Sequence[Frame], placements: Sequence[Placement]) -> list[Result]:
        watch = Stopwatch()
        width, height = placements[0].input_size
        with watch("preprocess"):
            feeds = self.engine.buffers({self._input.name: (len(frames), 3, height, width)})
            for chw, frame, placement in zip(feeds[self._input.name], frames, placements, strict=True):
                fill_frame(chw, frame, self._input, placement)
        with watch("inference"):
            outputs = self.engine(feeds)
            self._check(outputs, len(frames))
        with watch("decode"):
            finished = self._finish(outputs, frames, placements)
        each = {stage: value / len(frames) for stage, value in watch.ms.items()}
        return [result.timed(each) for result in finished]

    def _check(self, outputs: Mapping[str, Array], batch: int) -> None:
        """Shapes are what the manifest promises: decoders rely on it."""
        for spec in self.manifest.outputs:
            found = outputs[spec.name].shape
            if len(found) != len(spec.shape) or any(
                side not in (-1, got) for side, got in zip((batch, *spec.shape[1:]), found, strict=True)
            ):
                raise ModelError(
                    f"output {spec.name} of {self.name} has the shape {list(found)}",
                    why=f"its manifest says {list(spec.shape)}, for a batch of {batch}",
                    cure="export the model again",
                )

    def _finish(
        self, outputs: Mapping[str, Array], frames: Sequence[Frame], placements: Sequence[Placement]
    ) -> list[Result]:
        try:
            decoded = self._family.decode(
                outputs, self.manifest, self._parameters, self._conf, input_size=placements[0].input_size
            )
            return [
                self._task.finish(found, frame, placement, self.manifest, self._config)
                for found, frame, placement in zip(decoded, frames, placements, strict=True)
            ]
        except VedetteError:
            raise
        except Exception as error:  # a manifest that is well-formed may still mean another network
            raise ModelError(
                f"the outputs of {self.name} cannot be read as {self.manifest.decoder.family} and {self.manifest.task}",
                why=f"{type(error).__name__}: {error}",
                cure="export the model again, or adopt it with the right family and task",
            ) from error


class NullRunner:
    """Finds nothing in any frame: the shipped fake, and the floor that a pipeline's own cost is measured against."""

    name, max_batch = "null", 64

    def submit(self, frames: Sequence[Frame]) -> Pending:
        return Done(
            lambda: [Result(frame, self.name, "detection", {}, boxes=no_boxes(frame)) for frame in frames]
        )

    def close(self) -> None:
        """There is nothing to free."""
