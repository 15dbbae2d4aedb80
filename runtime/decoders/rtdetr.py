"""RT-DETR, D-FINE and DEIM with their post-processor inside: labels, boxes and scores of every query.

In: outputs labels [N, k], boxes [N, k, 4], scores [N, k], bound by role: exporters order them differently.
Out: Candidates that nothing suppresses.
Where the graph scales its boxes by an input `orig_target_sizes`, give it the size of the network's input.

Source: lyuwenyu/RT-DETR tools/export_onnx.py (facts, no code).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vedette.kernels.box_layouts import EndToEnd
from vedette.runtime.decoders import Candidates, named
from vedette.runtime.decoders._boxes import CORNERS, Box, Columns, Size
from vedette.runtime.frame import Array
from vedette.runtime.manifest import Manifest, Output


@dataclass(frozen=True, slots=True)
class Parameters:
    """What a manifest may say."""

    box: Box = CORNERS
    first_class: int = 0  # the label of class 0


def roles(outputs: Sequence[Output]) -> dict[str, str] | None:
    """The role of each output by name, if they have these shapes, and names or types that tell labels from scores."""
    queries = {output.shape[1] for output in outputs if len(output.shape) in (2, 3)}
    boxes = [output for output in outputs if len(output.shape) == 3 and output.shape[2] == 4]
    flat = [output for output in outputs if len(output.shape) == 2]
    if len(outputs) != 3 or len(boxes) != 1 or len(flat) != 2 or len(queries) != 1:
        return None
    kinds = [_kind(output) for output in flat]
    if sorted(kinds) != ["labels", "scores"]:
        return None
    return {boxes[0].name: "boxes"} | {output.name: kind for output, kind in zip(flat, kinds, strict=True)}


def _kind(output: Output) -> str:
    if output.name in ("labels", "scores"):
        return output.name
    return "labels" if output.dtype in ("int64", "int32") else "scores"


def claims(outputs: Sequence[Output]) -> Parameters | None:
    """The parameters, if the outputs have this family's shapes: boxes in pixels, as its exporter makes them."""
    return Parameters() if roles(outputs) else None


def decode(
    outputs: Mapping[str, Array],
    manifest: Manifest,
    parameters: Parameters,
    conf: float,
    *,
    input_size: Size,
) -> list[Candidates]:
    """The queries that score above conf, an item an image."""
    labels, boxes, scores = (named(outputs, manifest, role) for role in ("labels", "boxes", "scores"))
    classes = labels - np.float32(parameters.first_class)
    return [
        rows_found(np.concatenate([b, s[:, None], c[:, None]], axis=1), parameters.box, conf, input_size)
        for b, s, c in zip(boxes, scores, classes, strict=True)
    ]


def rows_found(rows: Array, box: Box, conf: float, input_size: Size) -> Candidates:
    """Candidates of [k, 6]: a box, its score and its class."""
    found = Columns(EndToEnd(), box, suppress=False).found(rows, None, conf, input_size=input_size)
    assert isinstance(found, Candidates)
    return found
