"""Instances: boxes as boxes.py keeps them, and of those the columns behind the classes, with masks assembled on the GPU.

In: outputs of a family with `heads` and `extras` (YOLOv5-seg, YOLOv8-seg and -pose, end to end with extras).
Out: Objects, and the Results they mean. Masks come down as bits, one behind the other, with room for the area of some pictures.
Boxes with an angle are for the host, which alone suppresses them as such.  Next: kernels/assemble_masks.cu.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from vedette.kernels._assemble_masks_launches import (
    MASK,
    PICTURE,
    axes_of,
    launch_masks,
    launch_windows,
    set_axes,
    window_fields,
    words_of,
)
from vedette.kernels._take_columns_launches import launch_take_columns
from vedette.kernels.device import Device
from vedette.kernels.launches import Fields
from vedette.kernels.packed_masks import WORD, PackedMasks
from vedette.runtime.cuda_readers.boxes import BoxReader, heads_of
from vedette.runtime.cuda_readers.reader import Job, Room
from vedette.runtime.decoders import Candidates, Heads, Instances, output_of
from vedette.runtime.decoders._boxes import Extras
from vedette.runtime.frame import Array, Frame
from vedette.runtime.preprocess import Placement
from vedette.runtime.results import Result
from vedette.runtime.tasks.instances import map_axes


def instance_reader(job: Job) -> "InstanceReader | None":
    """For instances, where a GPU can decode these parameters of the family, and nothing is turned."""
    extras = getattr(job.recipe.parameters, "extras", None)
    if job.recipe.manifest.task != "instances" or not isinstance(extras, Extras) or extras.angle:
        return None
    heads = heads_of(job)
    return InstanceReader(job, heads, extras) if heads else None


@dataclass(frozen=True, slots=True, eq=False)
class Objects:
    """What suppression kept of each image, best first, and where its masks are."""

    images: Sequence[Candidates]
    needed: Room
    columns: Sequence[Array]  # float32 [N, E] each, or [N, 0] where the host wants none
    windows: Sequence[Array]  # int64 [N, 4] each; none without masks, as starts and words
    starts: Sequence[Array]  # int64 [N] each
    words: Sequence[Array]  # uint64 each


class InstanceReader:
    """Kept boxes, their columns and their masks."""

    def __init__(self, job: Job, heads: Heads, extras: Extras) -> None:
        self._job, self._extras, self._unit = job, extras, heads.unit
        self._boxes = BoxReader(job, heads)
        self._grid, self._most = self._boxes.grids[0], job.recipe.config.max_det
        self._prototypes = output_of("prototypes", job.recipe.manifest) if extras.masks else ""
        self._largest = max(words_of(placement.size) for placement in job.placements)
        self._words = self._largest * job.room.masks
        self.down, self.work, self.constants = (
            {**self._boxes.down},
            {**self._boxes.work},
            self._boxes.constants,
        )
        columns = {"taken_columns": ((job.batch, self._most, extras.columns), np.dtype(np.float32))}
        (self.down if extras.keypoints else self.work).update(columns)
        if extras.masks:
            self._check_prototypes()
            self.down |= window_fields(job.batch, self._most, self._words)
            self.work["masks"] = (job.batch, self._most), MASK
            self.constants |= self._picture_fields()

    def _check_prototypes(self) -> None:
        shape = self._job.outputs[self._prototypes][0]
        if len(shape) != 4 or shape[1] != self._extras.masks or not all(shape):
            raise ValueError(f"want {self._extras.masks} prototypes [N, M, h, w], not {list(shape)}")

    def _axes(self, placement: Placement) -> dict[str, Array]:
        return axes_of(*map_axes(self._job.outputs[self._prototypes][0][2:], placement))

    def _picture_fields(self) -> Fields:
        """What the kernel reads of each picture; axes lie at `0.across.first` and so on."""
        fields: Fields = {"mask_pictures": ((self._job.batch,), PICTURE)}
        for index, placement in enumerate(self._job.placements):
            tables = self._axes(placement)
            fields |= {f"{index}.{name}": (table.shape, table.dtype) for name, table in tables.items()}
        return fields

    def set_constants(self, host: Mapping[str, Array], at: Mapping[str, int]) -> None:
        """Fill what no frame changes: where each picture lies on the prototypes."""
        self._boxes.set_constants(host, at)
        if not self._extras.masks:
            return
        shape = self._job.outputs[self._prototypes][0]
        for index, placement in enumerate(self._job.placements):
            for name, table in self._axes(placement).items():
                host[f"{index}.{name}"][:] = table
            block = host["mask_pictures"][index]
            set_axes(block, at, prefix=f"{index}.")
            block["words"] = at["words"] + 8 * index * self._words
            block["maps"] = at[self._prototypes] + 4 * index * int(np.prod(shape[1:]))
            block["count"], block["map_size"], block["size"] = shape[1], shape[2:], placement.size
            block["unit"], block["corner"] = self._unit, placement.offset
            block["gain"] = np.array(placement.scaled, np.float32) / np.array(placement.size, np.float32)

    def launch(self, device: Device, at: Mapping[str, int]) -> None:
        """Keep boxes, gather their columns, and assemble their masks."""
        self._boxes.launch(device, at)
        batch, most, columns = self._job.batch, self._most, self._extras.columns
        if columns:
            launch_take_columns(
                device.launch, {**at, "first": at[self._grid.names[0]]}, self._grid.plan, self._grid.strides[0], columns,
                batch=batch, capacity=self._job.room.candidates, max_det=most,
            )  # fmt: skip
        if self._extras.masks:
            sides = zip(*(placement.size for placement in self._job.placements), strict=True)
            width, height = map(max, sides)
            launch_windows(device.launch, at, batch=batch, max_det=most, columns=columns, room=self._words)
            launch_masks(device.launch, at, objects=most, size=(width, height), batch=batch)

    def take(self, host: Mapping[str, Array]) -> Objects:
        """Copies of what was kept."""
        boxes, counts = self._boxes.take(host), host["kept_counts"].tolist()
        columns = [np.zeros((count, 0), np.float32) for count in counts]
        if self._extras.keypoints:
            columns = [host["taken_columns"][image, :count].copy() for image, count in enumerate(counts)]
        if not self._extras.masks:
            return Objects(boxes.images, boxes.needed, columns, (), (), ())
        totals = host["totals"].tolist()
        needed = boxes.needed._replace(masks=-(-max(totals) // self._largest))
        return Objects(
            boxes.images, needed, columns,
            [host["windows"][image, :count].astype(np.int64) for image, count in enumerate(counts)],
            [host["starts"][image, :count].copy() for image, count in enumerate(counts)],
            [host["words"][image, :total].copy() for image, total in enumerate(totals)],
        )  # fmt: skip

    def finish(
        self, found: Objects, frames: Sequence[Frame], placements: Sequence[Placement]
    ) -> list[Result]:
        """The objects on their frames."""
        recipe: Any = self._job.recipe
        with recipe.readable:
            return [
                recipe.task.placed(self._instances(found, index), frame, placement, recipe.manifest)
                for index, (frame, placement) in enumerate(zip(frames, placements, strict=True))
            ]

    def _instances(self, found: Objects, index: int) -> Instances:
        """Those of one image."""
        attached = self._extras.attached(found.images[index], found.columns[index], None, self._unit)
        objects = attached if isinstance(attached, Instances) else Instances(attached)
        return replace(objects, masks=self._packed(found, index)) if self._extras.masks else objects

    def _packed(self, found: Objects, index: int) -> PackedMasks:
        windows, words = found.windows[index], found.words[index]
        sizes = [(width, -(-height // WORD)) for width, height in windows[:, 2:].tolist()]
        parts = zip(found.starts[index].tolist(), sizes, strict=True)
        return PackedMasks(
            self._job.placements[index].size,
            windows,
            tuple(words[start : start + shape[0] * shape[1]].reshape(shape) for start, shape in parts),
        )
