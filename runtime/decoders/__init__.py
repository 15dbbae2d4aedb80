"""From which layout: one file an output family, pure functions of arrays and the manifest.

Each file has a strict dataclass `Parameters`; `roles(outputs) -> dict | None`, the role of each output by its
name if they have this family's layout; `claims(outputs) -> Parameters | None`, the parameters if they can be no other
family's (it may ask for more by keyword: the number of `classes`, the `input_size`, and what was `seen` of a run);
and `decode(outputs, manifest, parameters, conf, *, input_size) -> list` with one item per image of the batch,
of the kind its task takes: Candidates (detection), Instances (instances), People (pose), or float32 [C, h, w]
(segmentation), LabelMap (segmentation that the network has decided), or Picture (image).
A family may have `batched(outputs) -> bool`: false where these outputs are of one picture, without an axis of pictures.
`input_size` is the (width, height) of the network input that was used, which a dynamic manifest cannot say.
A family of boxes may have `heads(parameters, *, input_size) -> Heads | None` too, from which a GPU decodes without
leaving the device; None where these parameters need the host.
In: output arrays by name, float16 or float32.  Out: model-input pixels, float32.  Next: tasks/.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from vedette.kernels.box_layouts import Layout
from vedette.kernels.decode_boxes import Decoded, decode_boxes
from vedette.kernels.packed_masks import PackedMasks
from vedette.runtime import strict
from vedette.runtime.errors import ManifestError
from vedette.runtime.frame import Array
from vedette.runtime.manifest import Manifest
from vedette.runtime.plugins import load


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """Boxes above the threshold, in any order, not yet suppressed."""

    boxes_xyxy: Array  # float32 [N, 4] model-input pixels; the edge of the picture at 0
    scores: Array  # float32 [N]
    class_ids: Array  # int64 [N]
    clip: bool = True  # boxes end where the picture does
    suppress: bool = True  # what overlaps is still to go; False: the network has seen to it
    in_image: bool = False  # boxes are in pixels of the original image, not of the network's input

    def __getitem__(self, index: Any) -> "Candidates":
        chosen = self.boxes_xyxy[index], self.scores[index], self.class_ids[index]
        return Candidates(*chosen, self.clip, self.suppress, self.in_image)


@dataclass(frozen=True, slots=True, eq=False)
class Prototyped:
    """A mask is where its coefficients times the prototypes, enlarged, are above 0; it ends where its box does."""

    coefficients: Array  # float32 [N, M]
    prototypes: Array  # float32 [M, h, w], over the whole of the network's input

    def __getitem__(self, index: Any) -> "Prototyped":
        return Prototyped(self.coefficients[index], self.prototypes)


@dataclass(frozen=True, slots=True, eq=False)
class Maps:
    """A mask is where its map, enlarged, is above the threshold."""

    values: Array  # float32 [N, h, w]
    threshold: float
    cover: Literal["input", "image", "box"] = "input"  # what a map lies over; box: as Mask R-CNN pastes them

    def __getitem__(self, index: Any) -> "Maps":
        return Maps(self.values[index], self.threshold, self.cover)


@dataclass(frozen=True, slots=True, eq=False)
class Instances:
    """Boxes and what else is known of each."""

    boxes: Candidates
    masks: Prototyped | Maps | PackedMasks | None = None  # packed: assembled at the picture's size already
    keypoints: Array | None = (
        None  # float32 [N, K, 3]: x, y in the unit of the boxes, edge of the picture at 0; score
    )
    angles: Array | None = None  # float32 [N] radians: the boxes as cx cy w h are turned by it

    def __getitem__(self, index: Any) -> "Instances":
        return Instances(
            self.boxes[index],
            None if self.masks is None else self.masks[index],
            None if self.keypoints is None else self.keypoints[index],
            None if self.angles is None else self.angles[index],
        )


@dataclass(frozen=True, slots=True, eq=False)
class LabelMap:
    """A class for every pixel of the network's input, as the network decided."""

    classes: Array  # uint8 [h, w], 255 where none


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """A picture that the network made of the whole of its input."""

    values: Array  # float32 [H, W, 3] BGR, 0 to 255


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """What a foreign network made of one picture, and how its graph ends."""

    values: Mapping[str, Array]  # every output, whole
    ends: Mapping[str, tuple[str, ...]]  # of each the last operators, the very last first

    def shares(self, name: str) -> bool:
        """Whether an output holds nothing but numbers from 0 to 1."""
        values = self.values[name]
        return bool(values.size) and bool(((values >= 0) & (values <= 1)).all())

    def sums_to_one(self, name: str, axis: int) -> bool:
        """Whether a softmax has been made over an axis."""
        return self.shares(name) and bool(
            np.allclose(self.values[name].sum(axis=axis, dtype=np.float64), 1, atol=1e-2)
        )


@dataclass(frozen=True, slots=True)
class Head:
    """One grid of boxes."""

    layout: Layout
    roles: tuple[str, ...]  # of the outputs that it takes, in the layout's order


@dataclass(frozen=True, slots=True)
class Heads:
    """All that a family of boxes needs: its grids, in order, each image's candidates one grid after the other."""

    grids: tuple[Head, ...]
    multi_label: bool = False  # every class above conf, not only an anchor's best
    clip: bool = True
    suppress: bool = True
    unit: tuple[float, float] = (1.0, 1.0)  # input pixels of one unit of the outputs, across and down

    def candidates(self, boxes_xyxy: Array, scores: Array, class_ids: Array) -> Candidates:
        """Candidates whose boxes are in units of the outputs."""
        pixels = boxes_xyxy if self.unit == (1.0, 1.0) else boxes_xyxy * np.array(self.unit * 2, np.float32)
        return Candidates(pixels, scores, class_ids, self.clip, self.suppress)


@dataclass(frozen=True, slots=True, eq=False)
class People:
    """Assembled skeletons; a missing joint has score 0."""

    xy: Array  # float32 [P, K, 2] model-input pixels; the centre of the first pixel at 0
    joint_scores: Array  # float32 [P, K]
    scores: Array  # float32 [P], on the decoder's own scale
    skeleton: tuple[tuple[int, int], ...] = ()  # limbs to draw, as pairs of joints


def boxes(heads: Heads, outputs: Mapping[str, Array], manifest: Manifest, conf: float) -> list[Candidates]:
    """Boxes that score above conf, an item an image."""
    grids = []
    for head in heads.grids:
        arrays = [named(outputs, manifest, role) for role in head.roles]
        grids.append([
            decode_boxes(head.layout, *image, conf=conf, multi_label=heads.multi_label)
            for image in zip(*arrays, strict=True)
        ])  # fmt: skip
    return [_concatenated(image, heads) for image in zip(*grids, strict=True)]


def _concatenated(grids: Sequence[Decoded], heads: Heads) -> Candidates:
    if len(grids) == 1:
        return heads.candidates(grids[0].boxes_xyxy, grids[0].scores, grids[0].class_ids)
    return heads.candidates(
        np.concatenate([grid.boxes_xyxy for grid in grids]),
        np.concatenate([grid.scores for grid in grids]),
        np.concatenate([grid.class_ids for grid in grids]),
    )


def output_of(role: str, manifest: Manifest) -> str:
    """The name of the output that plays a role.

    Raises:
        ManifestError: none does.
    """
    for output in manifest.outputs:
        if output.role == role:
            return output.name
    roles = ", ".join(f"{output.name} ({output.role or 'no role'})" for output in manifest.outputs)
    raise ManifestError(
        f"{manifest.name} has no output with the role {role}",
        why=f"its decoder {manifest.decoder.family} needs one; the manifest has {roles or 'none'}",
        cure="export or adopt the model again",
    )


def named(outputs: Mapping[str, Array], manifest: Manifest, role: str) -> Array:
    """The output that plays a role, as float32.

    Raises:
        ManifestError: none does.
    """
    return outputs[output_of(role, manifest)].astype(np.float32, copy=False)


def parameters_of(manifest: Manifest) -> Any:
    """The decoder's own checked Parameters.

    Raises:
        ModelError: no such family.
        ManifestError: an unknown parameter, or one of the wrong type.
    """
    family: Any = load(__name__, manifest.decoder.family)
    try:
        return strict.read(family.Parameters, manifest.decoder.parameters)
    except strict.RefusedError as error:
        raise ManifestError(
            f"the decoder parameters of {manifest.name} are wrong",
            why=str(error),
            cure="export the model again",
        ) from None
