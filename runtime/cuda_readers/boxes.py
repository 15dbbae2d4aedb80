"""Detection: decoding and suppression on the GPU, so that only the boxes which are kept come down.

In: outputs of a family with `heads`.  Out: Boxes, and the Results they mean.  Next: instances.py, which adds to it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from vedette.kernels import launches
from vedette.kernels.box_layouts import Plan, Priors, plan
from vedette.kernels.device import Device
from vedette.kernels.launches import Fields
from vedette.runtime.cuda_readers.reader import Job, Room
from vedette.runtime.decoders import Candidates, Head, Heads, output_of
from vedette.runtime.frame import Array, Frame
from vedette.runtime.preprocess import Placement
from vedette.runtime.results import Result


def box_reader(job: Job) -> "BoxReader | None":
    """For detection, where a GPU can decode these parameters of the family."""
    heads = heads_of(job) if job.recipe.manifest.task == "detection" else None
    return BoxReader(job, heads) if heads else None


def heads_of(job: Job) -> Heads | None:
    """What a GPU decodes of this family; None where it is for the host."""
    of_family = getattr(job.recipe.family, "heads", None)
    return of_family(job.recipe.parameters, input_size=job.input_size) if of_family else None


class Boxes(NamedTuple):
    """What suppression kept of each image, best first."""

    images: Sequence[Candidates]
    needed: Room


@dataclass(frozen=True, slots=True)
class Grid:
    """One head: what the kernel reads of it, and from where."""

    plan: Plan
    head: Head
    names: tuple[str, ...]  # of the outputs
    strides: tuple[int, int]  # elements from image to image of first and second


class BoxReader:
    """Kept boxes of detectors."""

    def __init__(self, job: Job, heads: Heads) -> None:
        self._job, self._heads, self._config = job, heads, job.recipe.config
        self._sizes: dict[str, Any] = {"batch": job.batch, "capacity": job.room.candidates}
        self.grids = [_grid(job, head) for head in heads.grids]
        self._classes = max(grid.plan.classes for grid in self.grids) if self._config.classes else 0
        self._last = f"counts{len(self.grids) - 1}"
        self.down, self.work = self._memory()
        self.constants = self._constants()

    def _memory(self) -> tuple[Fields, Fields]:
        """What comes down, and what does not."""
        batch, most, sizes = self._job.batch, self._config.max_det, self._sizes
        counts = (batch,), np.dtype(np.int32)
        fields = {**self._job.outputs, **{f"counts{number}": counts for number in range(len(self.grids))}}
        fields |= launches.decode_fields(batch, max(grid.plan.anchors for grid in self.grids))
        fields |= launches.candidate_fields(**sizes)
        fields |= launches.nms_fields(**sizes, max_det=most)
        down = {name: fields.pop(name) for name in ("kept_counts", self._last)}
        return down | launches.taken_fields(batch, most), fields

    def _constants(self) -> Fields:
        fields = {f"plan{number}": launches.plan_field(grid.plan) for number, grid in enumerate(self.grids)}
        for number, grid in enumerate(self.grids):
            if isinstance(grid.head.layout, Priors):
                fields[f"priors{number}"] = (grid.head.layout.priors.shape, np.dtype(np.float32))
        if self._classes:
            fields["allowed"] = ((self._classes,), np.dtype(np.uint8))
        return fields

    def set_constants(self, host: Mapping[str, Array], at: Mapping[str, int]) -> None:
        """Fill what no frame changes."""
        for number, grid in enumerate(self.grids):
            host[f"plan{number}"][:] = np.frombuffer(bytes(grid.plan), np.uint8)
            if isinstance(grid.head.layout, Priors):
                host[f"priors{number}"][:] = grid.head.layout.priors
        if self._classes:
            host["allowed"][:] = np.isin(np.arange(self._classes), self._config.classes)

    def launch(self, device: Device, at: Mapping[str, int]) -> None:
        """Grid after grid appends its candidates; then the best stay."""
        for number, grid in enumerate(self.grids):
            places = {name: at[output] for name, output in zip(("first", "second"), grid.names, strict=False)}
            places |= {"plan": at[f"plan{number}"], "counts": at[f"counts{number}"]}
            places |= {"priors": at.get(f"priors{number}", 0), "before": at.get(f"counts{number - 1}", 0)}
            launches.launch_decode(
                device.launch, {**at, **places}, grid.plan, grid.strides,
                multi_label=self._heads.multi_label, **self._sizes,
            )  # fmt: skip
        places, most = {**at, "counts": at[self._last]}, self._config.max_det
        launches.launch_nms(
            device.launch, places, max_det=most, classes=self._classes,
            iou_threshold=self._config.iou if self._heads.suppress else np.inf, **self._sizes,
        )  # fmt: skip
        launches.launch_take(device.launch, places, max_det=most, **self._sizes)

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
        return Boxes(images, Room(candidates=int(host[self._last].max())))

    def finish(self, found: Boxes, frames: Sequence[Frame], placements: Sequence[Placement]) -> list[Result]:
        """The boxes on their frames."""
        recipe: Any = self._job.recipe
        with recipe.readable:
            return [
                recipe.task.placed(kept, frame, placement, recipe.manifest)
                for kept, frame, placement in zip(found.images, frames, placements, strict=True)
            ]


def _grid(job: Job, head: Head) -> Grid:
    names = tuple(output_of(role, job.recipe.manifest) for role in head.roles)
    shapes = tuple(job.outputs[name][0][1:] for name in names)
    sizes = [int(np.prod(shape)) for shape in shapes]
    return Grid(plan(head.layout, shapes), head, names, (sizes[0], sizes[1] if len(sizes) > 1 else 0))
