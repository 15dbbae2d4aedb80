"""From which layout: one file an output family, pure functions of arrays and the manifest.

Each file has a strict dataclass `Parameters`; `roles(outputs) -> dict | None`, the role of each output by its
name if they have this family's layout; `claims(outputs) -> Parameters | None`, the parameters if they have;
and `decode(outputs, manifest, parameters, conf, *, input_size) -> list` with one item per image of the batch,
of the kind its task takes: Candidates (detection), People (pose), or float32 [C, h, w] (segmentation).
`input_size` is the (width, height) of the network input that was used, which a dynamic manifest cannot say.
A family of boxes has `heads(parameters, *, input_size) -> Heads` too, from which a GPU decodes without leaving the device.
In: output arrays by name, float16 or float32.  Out: model-input pixels, float32.  Next: tasks/.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from vedette.kernels.box_layouts import Layout
from vedette.kernels.decode_boxes import Decoded, decode_boxes
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
        return Candidates(grids[0].boxes_xyxy, grids[0].scores, grids[0].class_ids, heads.clip)
    return Candidates(
        np.concatenate([grid.boxes_xyxy for grid in grids]),
        np.concatenate([grid.scores for grid in grids]),
        np.concatenate([grid.class_ids for grid in grids]),
        heads.clip,
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


@cache
def _adapter(parameters: type) -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(parameters)


def parameters_of(manifest: Manifest) -> Any:
    """The decoder's own checked Parameters.

    Raises:
        ModelError: no such family.
        ManifestError: an unknown parameter, or one of the wrong type.
    """
    from pydantic import ValidationError

    family = load(__name__, manifest.decoder.family)
    try:
        return _adapter(family.Parameters).validate_json(json.dumps(manifest.decoder.parameters))
    except ValidationError as error:
        first = error.errors()[0]
        raise ManifestError(
            f"the decoder parameters of {manifest.name} are wrong",
            why=f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}",
            cure="export the model again",
        ) from None
