"""Where pictures go in a graph's input, whichever Runner drives it, and what its outputs must look like.

In: a manifest, Frames.  Out: the engine's input arrays, filled.  Next: preprocess.py, runner.py, bundles/.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence

from vedette.runtime.engine import Engine
from vedette.runtime.errors import ModelError
from vedette.runtime.frame import Array, Frame
from vedette.runtime.manifest import Input, Manifest
from vedette.runtime.preprocess import Placement, Size, fill_frame, layout_of, place, target_size
from vedette.runtime.results import Result

SIZES = "orig_target_sizes"  # RT-DETR's and D-FINE's second input, [N, 2]: the (width, height) that boxes are scaled to


class Intake:
    """Where pictures go in a graph's input, and what shapes its manifest promises of its outputs."""

    def __init__(
        self, manifest: Manifest, *, imgsz: Size | None = None, batched: bool = True, own_size: bool = False
    ) -> None:
        self.manifest, self.input, self.batched = manifest, _picture_input(manifest), batched
        self.max_batch = self.input.bounds()[2][0] if batched else 1
        self._target = None if own_size else target_size(self.input, imgsz)  # None: frames fit as they are
        self._holds: tuple[Frame, Array] | None = (
            None  # the one frame that lies in the engine's input, and where
        )

    def batches(self, frames: Sequence[Frame]) -> list[tuple[list[int], list[Placement]]]:
        """Frames by the input size that they need: their indices, and where they go; each alone in a graph without batches."""
        placements = [place(frame.size, self._target or frame.size, self.input.resize) for frame in frames]
        if not self.batched:
            return [([index], [placement]) for index, placement in enumerate(placements)]
        return [
            (chosen, [placements[index] for index in chosen])
            for size in dict.fromkeys(placement.input_size for placement in placements)
            for chosen in [[i for i, placement in enumerate(placements) if placement.input_size == size]]
        ]

    def filled(
        self, engine: Engine, frames: Sequence[Frame], placements: Sequence[Placement]
    ) -> dict[str, Array]:
        """The engine's own input arrays with these frames in them, or another's that has the same already."""
        key = (layout_of(self.input, placements[0]), placements[0].input_size, self.input.dtype)
        alone = len(frames) == 1 and len(self.manifest.inputs) == 1
        if alone and (same := self._prepared(frames[0], key)) is not None:
            return {self.input.name: same}
        width, height = placements[0].input_size
        sizes = {SIZES: (len(frames), 2)} if len(self.manifest.inputs) > 1 else {}
        feeds = engine.buffers({self.input.name: (len(frames), 3, height, width), **sizes})
        for name in sizes:  # boxes come in pixels of the input, as from any other network
            feeds[name][:] = width, height
        for chw, frame, placement in zip(feeds[self.input.name], frames, placements, strict=True):
            fill_frame(chw, frame, self.input, placement)
        self._holds = (frames[0], feeds[self.input.name]) if alone else None
        if alone:
            frames[0].prepared[key] = self
        return feeds

    def _prepared(self, frame: Frame, key: Hashable) -> Array | None:
        """What another model's intake made of this frame, if it still holds it."""
        other: Intake | None = frame.prepared.get(key)
        if other is None or other._holds is None or other._holds[0] is not frame:
            return None
        return other._holds[1]

    def check(self, shapes: Mapping[str, tuple[int, ...]], batch: int) -> None:
        """Output shapes are what the manifest promises: decoders rely on it.

        Raises:
            ModelError: they are not.
        """
        check_shapes(self.manifest, shapes, batch if self.batched else None)


def check_shapes(manifest: Manifest, shapes: Mapping[str, tuple[int, ...]], batch: int | None) -> None:
    """Output shapes are what the manifest promises; None for a graph whose outputs have no axis of pictures.

    Raises:
        ModelError: they are not.
    """
    for spec in manifest.outputs:
        found = shapes[spec.name]
        promised = spec.shape if batch is None else (batch, *spec.shape[1:])
        if len(found) != len(spec.shape) or any(
            side not in (-1, got) for side, got in zip(promised, found, strict=True)
        ):
            raise ModelError(
                f"output {spec.name} of {manifest.name} has the shape {list(found)}",
                why=f"its manifest says {list(spec.shape)}" + (f", for a batch of {batch}" if batch else ""),
                cure="export the model again",
            )


def in_batches(
    intake: Intake,
    frames: Sequence[Frame],
    run: Callable[[Sequence[Frame], Sequence[Placement]], list[Result]],
) -> list[Result]:
    """The results of frames in their order; those that need other input shapes run in batches of their own."""
    results: dict[int, Result] = {}
    for chosen, placements in intake.batches(frames):
        batch = run([frames[index] for index in chosen], placements)
        results.update(zip(chosen, batch, strict=True))
    return [results[index] for index in range(len(frames))]


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
