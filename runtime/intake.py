"""Where pictures go in a graph's input, whichever Runner drives it, and what its outputs must look like.

In: a manifest, Frames.  Out: the engine's input arrays, filled.  Next: preprocess.py, runner.py, bundles/.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from vedette.kernels.picture import Layout
from vedette.runtime.engine import Engine
from vedette.runtime.errors import ModelError
from vedette.runtime.frame import Array, Frame
from vedette.runtime.manifest import Input, Manifest
from vedette.runtime.preprocess import Placement, Size, fill_frame, layout_of, place, target_size
from vedette.runtime.results import Result

KNOWN = 64  # sizes of pictures that are remembered
SIZES = "orig_target_sizes"  # RT-DETR's and D-FINE's second input, [N, 2]: the (width, height) that boxes are scaled to


@dataclass(frozen=True, slots=True, eq=False)
class Fit:
    """How pictures of one size go in."""

    placement: Placement
    layout: Layout  # for the kernel
    key: object  # the same for all models that want the same of such a picture


@lru_cache(maxsize=KNOWN)
def _key(layout: Layout, input_size: Size, dtype: str) -> object:
    return object()


class Intake:
    """Where pictures go in a graph's input, and what shapes its manifest promises of its outputs."""

    def __init__(
        self, manifest: Manifest, *, imgsz: Size | None = None, batched: bool = True, own_size: bool = False
    ) -> None:
        self.manifest, self.input, self.batched = manifest, _picture_input(manifest), batched
        self.max_batch = self.input.bounds()[2][0] if batched else 1
        self._target = None if own_size else target_size(self.input, imgsz)  # None: frames fit as they are
        self._fits: dict[Size, Fit] = {}  # by the size of the picture
        self._shapes: tuple[Mapping[str, tuple[int, ...]], int] | None = None  # that were found right
        self._holds: tuple[Frame, Array] | None = (
            None  # the one frame that lies in the engine's input, and where
        )

    def fit(self, frame: Frame) -> Fit:
        """Made once for pictures of one size: nothing here is dear but that it would be done for every frame."""
        found = self._fits.get(frame.size)
        if found is None:
            if len(self._fits) >= KNOWN:
                self._fits.clear()
            placement = place(frame.size, self._target or frame.size, self.input.resize)
            layout = layout_of(self.input, placement)
            found = Fit(placement, layout, _key(layout, placement.input_size, self.input.dtype))
            self._fits[frame.size] = found
        return found

    def batches(self, frames: Sequence[Frame]) -> list[tuple[list[int], list[Placement]]]:
        """Frames by the input size that they need: their indices, and where they go; each alone in a graph without batches."""
        placements = [self.fit(frame).placement for frame in frames]
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
        key = self.fit(frames[0]).key
        alone = len(frames) == 1 and len(self.manifest.inputs) == 1
        if alone and (same := self._prepared(frames[0], key)) is not None:
            return {self.input.name: same}
        width, height = placements[0].input_size
        sizes = {SIZES: (len(frames), 2)} if len(self.manifest.inputs) > 1 else {}
        feeds = engine.buffers({self.input.name: (len(frames), 3, height, width), **sizes})
        for name in sizes:  # boxes come in pixels of the input, as from any other network
            feeds[name][:] = width, height
        self._fill(feeds[self.input.name], frames, getattr(engine.buffers, "padding", {}))
        self._holds = (frames[0], feeds[self.input.name]) if alone else None
        if alone:
            frames[0].prepared[key] = self
        return feeds

    def _fill(self, images: Array, frames: Sequence[Frame], padding: dict[object, Layout]) -> None:
        """What surrounds a picture is written only when it changes: of a wide one it is half of the input."""
        for index, frame in enumerate(frames):
            layout, place = self.fit(frame).layout, (images.shape, index)
            fill_frame(images[index], frame, layout, padded=padding.pop(place, None) is layout)
            padding[place] = layout

    def _prepared(self, frame: Frame, key: object) -> Array | None:
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
        if (shapes, batch) != self._shapes:
            check_shapes(self.manifest, shapes, batch if self.batched else None)
            self._shapes = shapes, batch


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
    if len(frames) == 1:
        return run(frames, [intake.fit(frames[0]).placement])
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
