"""What a batch leaves on the GPU, read: kept boxes (detection), or the engine's raw outputs for the host to decode.

In: the engine's outputs on the device.  Out: Boxes or Raw, fetched, and the Results they mean.
A reader says what memory it needs (down: comes down after each batch; constants: goes up once; work), launches what
follows the engine, and takes what came down.  Next: kernels/launches.py, cuda_program.py, which drives it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from vedette.kernels import launches
from vedette.kernels.box_layouts import Plan, Priors, plan
from vedette.kernels.device import Device
from vedette.kernels.launches import Fields
from vedette.kernels.picture import Size
from vedette.runtime.decoders import Candidates, Head, Heads, output_of
from vedette.runtime.frame import Array, Frame
from vedette.runtime.preprocess import Placement
from vedette.runtime.results import Result
from vedette.runtime.runner import Recipe


def reader_of(recipe: Recipe, outputs: Fields, input_size: Size, capacity: int) -> "BoxReader | RawReader":
    """Boxes are read on the GPU where their family and the types of the outputs allow it."""
    heads_of = getattr(recipe.family, "heads", None)
    whole = all(dtype == np.float32 for _, dtype in outputs.values())
    if recipe.manifest.task != "detection" or heads_of is None or not whole:
        return RawReader(recipe, outputs)
    with recipe.readable():
        heads = heads_of(recipe.parameters, input_size=input_size)
        return BoxReader(recipe, outputs, heads, capacity) if heads else RawReader(recipe, outputs)


class Raw(NamedTuple):
    """The engine's outputs."""

    outputs: Mapping[str, Array]
    needed: int = 0


class RawReader:
    """The outputs come down, and are decoded on the host."""

    def __init__(self, recipe: Recipe, outputs: Fields) -> None:
        self._recipe, self.down = recipe, outputs
        self.constants: Fields = {}
        self.work: Fields = {}

    def set_constants(self, host: Mapping[str, Array]) -> None:
        """There are none."""

    def launch(self, device: Device, at: Mapping[str, int]) -> None:
        """Nothing more."""

    def take(self, host: Mapping[str, Array]) -> Raw:
        return Raw({name: array.copy() for name, array in host.items()})

    def finish(self, found: Raw, frames: Sequence[Frame], placements: Sequence[Placement]) -> list[Result]:
        return self._recipe.finish(found.outputs, frames, placements)


class Boxes(NamedTuple):
    """What suppression kept of each image, best first."""

    images: Sequence[Candidates]
    needed: int  # candidates of the image that has most


@dataclass(frozen=True, slots=True)
class _Grid:
    """One head: what the kernel reads of it, and from where."""

    plan: Plan
    head: Head
    names: tuple[str, ...]  # of the outputs
    strides: tuple[int, int]  # elements from image to image of first and second


class BoxReader:
    """Decoding and suppression on the GPU: only what is kept comes down."""

    def __init__(self, recipe: Recipe, outputs: Fields, heads: Heads, capacity: int) -> None:
        self._recipe, self._heads, self._capacity = recipe, heads, capacity
        self._batch, self._most = next(iter(outputs.values()))[0][0], recipe.config.max_det
        self._grids = [_grid(recipe, head, outputs) for head in heads.grids]
        self._classes = max(grid.plan.classes for grid in self._grids) if recipe.config.classes else 0
        self._last = f"counts{len(self._grids) - 1}"
        self.down, self.work = self._memory(outputs)
        self.constants = self._constants()

    def _memory(self, outputs: Fields) -> tuple[Fields, Fields]:
        """What comes down, and what does not."""
        batch, counts = self._batch, ((self._batch,), np.dtype(np.int32))
        fields = {**outputs, **{f"counts{number}": counts for number in range(len(self._grids))}}
        fields |= launches.decode_fields(batch, max(grid.plan.anchors for grid in self._grids))
        fields |= launches.candidate_fields(batch, self._capacity)
        fields |= launches.nms_fields(batch, self._capacity, self._most)
        down = {name: fields.pop(name) for name in ("kept_counts", self._last)}
        return down | launches.taken_fields(batch, self._most), fields

    def _constants(self) -> Fields:
        fields = {f"plan{number}": launches.plan_field(grid.plan) for number, grid in enumerate(self._grids)}
        for number, grid in enumerate(self._grids):
            if isinstance(grid.head.layout, Priors):
                fields[f"priors{number}"] = (grid.head.layout.priors.shape, np.dtype(np.float32))
        if self._classes:
            fields["allowed"] = ((self._classes,), np.dtype(np.uint8))
        return fields

    def set_constants(self, host: Mapping[str, Array]) -> None:
        """Fill what no frame changes."""
        for number, grid in enumerate(self._grids):
            host[f"plan{number}"][:] = np.frombuffer(bytes(grid.plan), np.uint8)
            if isinstance(grid.head.layout, Priors):
                host[f"priors{number}"][:] = grid.head.layout.priors
        if self._classes:
            host["allowed"][:] = np.isin(np.arange(self._classes), self._recipe.config.classes)

    def launch(self, device: Device, at: Mapping[str, int]) -> None:
        """Grid after grid appends its candidates; then the best stay."""
        batch, capacity, most = self._batch, self._capacity, self._most
        for number, grid in enumerate(self._grids):
            places = {name: at[output] for name, output in zip(("first", "second"), grid.names, strict=False)}
            places |= {"plan": at[f"plan{number}"], "counts": at[f"counts{number}"]}
            places |= {"priors": at.get(f"priors{number}", 0), "before": at.get(f"counts{number - 1}", 0)}
            launches.launch_decode(
                device.launch, {**at, **places}, grid.plan, grid.strides,
                batch=batch, capacity=capacity, multi_label=self._heads.multi_label,
            )  # fmt: skip
        places = {**at, "counts": at[self._last]}
        launches.launch_nms(
            device.launch, places, batch=batch, capacity=capacity, max_det=most,
            iou_threshold=self._recipe.config.iou if self._heads.suppress else np.inf, classes=self._classes,
        )  # fmt: skip
        launches.launch_take(device.launch, places, batch=batch, capacity=capacity, max_det=most)

    def take(self, host: Mapping[str, Array]) -> Boxes:
        """Copies of what was kept."""
        images = [
            self._heads.candidates(
                host["taken_boxes"][image, :count].copy(),
                host["taken_scores"][image, :count].copy(),
                host["taken_class_ids"][image, :count].astype(np.int64),
            )
            for image, count in enumerate(host["kept_counts"])
        ]
        return Boxes(images, int(host[self._last].max()))

    def finish(self, found: Boxes, frames: Sequence[Frame], placements: Sequence[Placement]) -> list[Result]:
        """The boxes on their frames."""
        recipe: Any = self._recipe
        with self._recipe.readable():
            return [
                recipe.task.placed(kept, frame, placement, recipe.manifest)
                for kept, frame, placement in zip(found.images, frames, placements, strict=True)
            ]


def _grid(recipe: Recipe, head: Head, outputs: Fields) -> _Grid:
    names = tuple(output_of(role, recipe.manifest) for role in head.roles)
    shapes = tuple(outputs[name][0][1:] for name in names)
    sizes = [int(np.prod(shape)) for shape in shapes]
    return _Grid(plan(head.layout, shapes), head, names, (sizes[0], sizes[1] if len(sizes) > 1 else 0))
