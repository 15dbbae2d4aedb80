"""Boxes from a graph that ends in a suppression: TensorRT's EfficientNMS plug-in, TensorFlow's detection models.

In: outputs num_dets [N, 1] or [N], det_boxes [N, k, 4], det_scores [N, k], det_classes [N, k].
Out: Candidates that nothing suppresses any more. Rows from num_dets on mean nothing.

Sources: TensorRT plugin/efficientNMSPlugin/README.md; TensorFlow's object detection API (detection_boxes …).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vedette.runtime.decoders import Candidates, named
from vedette.runtime.decoders._boxes import CORNERS, Box, Size
from vedette.runtime.decoders.rtdetr import rows_found
from vedette.runtime.frame import Array
from vedette.runtime.manifest import Manifest, Output

ROLES = ("num_dets", "det_boxes", "det_scores", "det_classes")
SPELLINGS = (
    ROLES,
    ("num_detections", "detection_boxes", "detection_scores", "detection_classes"),
    ("num_predictions", "pred_boxes", "pred_scores", "pred_classes"),  # YOLO-NAS, behind a prefix
)


@dataclass(frozen=True, slots=True)
class Parameters:
    """What a manifest may say."""

    box: Box = CORNERS
    first_class: int = 0  # the number of class 0


def roles(outputs: Sequence[Output]) -> dict[str, str] | None:
    """The role of each output by name, if they have the plug-in's names or TensorFlow's."""
    names = [output.name.partition(":")[0] for output in outputs]
    for known in SPELLINGS:
        roles = [role for name in names for end, role in zip(known, ROLES, strict=True) if name.endswith(end)]
        if len(outputs) == len(known) and sorted(roles) == sorted(ROLES):
            return {output.name: role for output, role in zip(outputs, roles, strict=True)}
    return None


def claims(outputs: Sequence[Output]) -> Parameters | None:
    """The parameters, if the outputs have the plug-in's names, or TensorFlow's: then y x y x from 0 to 1, classes from 1.

    TensorFlow counts in floating-point numbers; whole ones are the plug-in's under its names.
    """
    found = roles(outputs)
    if found is None:
        return None
    count = next(output for output in outputs if found[output.name] == "num_dets")
    ours = SPELLINGS[1][0] not in count.name or count.dtype in ("int32", "int64")
    return Parameters() if ours else Parameters(Box("yxyx", "normalised"), first_class=1)


def decode(
    outputs: Mapping[str, Array],
    manifest: Manifest,
    parameters: Parameters,
    conf: float,
    *,
    input_size: Size,
) -> list[Candidates]:
    """The boxes that score above conf, an item an image."""
    counts, boxes, scores, classes = (named(outputs, manifest, role) for role in ROLES)
    classes = classes - np.float32(parameters.first_class)
    return [
        rows_found(
            np.concatenate([b, s[:, None], c[:, None]], axis=1)[: _whole(count)],
            parameters.box, conf, input_size,
        )
        for count, b, s, c in zip(counts.reshape(len(boxes)), boxes, scores, classes, strict=True)
    ]  # fmt: skip


def _whole(count: float) -> int:
    return int(count) if np.isfinite(count) and count > 0 else 0
