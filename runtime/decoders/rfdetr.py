"""Transformers whose graph ends before the post-processor: RF-DETR, and DETR, RT-DETR and D-FINE as transformers exports them.

In: outputs boxes [N, k, 4] and logits [N, k, C]; for masks of RF-DETR's kind masks [N, k, h, w], logits too.
Out: Candidates that nothing suppresses; Instances if there are masks. As their post-processors count, a query may have
several classes, and the `select` best pairs of query and class are kept.

Sources: roboflow/rf-detr PostProcess; huggingface/transformers image_processing_rt_detr (facts, no code).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from vedette.kernels.box_layouts import V8
from vedette.kernels.decode_boxes import decode_boxes
from vedette.runtime.decoders import Candidates, Instances, Maps, Seen, named
from vedette.runtime.decoders._boxes import Box, Size
from vedette.runtime.frame import Array
from vedette.runtime.manifest import Manifest, Output

DETR_COLUMNS = 92  # COCO's 91 numbers and one for no object
MOST = 399  # queries; more are cells or priors
BOXES = {"dets", "pred_boxes", "boxes"}
QUERY_BOX = Box("cxcywh", "normalised")
Activation = Literal["sigmoid", "softmax", "none"]


@dataclass(frozen=True, slots=True)
class Parameters:
    """What a manifest may say."""

    box: Box = QUERY_BOX
    activation: Activation = "sigmoid"
    no_object: int = 0  # trailing columns that are no class
    select: int = 0  # pairs that are kept; 0: as many as there are queries
    multi_label: bool = True  # DETR's own post-processor takes a query's best class only
    masks: bool = False


def roles(outputs: Sequence[Output]) -> dict[str, str] | None:
    """The role of each output by name, if there are boxes, logits and at most a mask for each."""
    rows = [output for output in outputs if len(output.shape) == 3]
    named_ = [output for output in rows if output.name in BOXES]
    boxes = [output for output in named_ or rows if output.shape[2] == 4]
    logits = [output for output in rows if output not in boxes]
    masks = [output for output in outputs if len(output.shape) == 4]
    found = len(boxes), len(logits), len(masks)
    if found not in ((1, 1, 0), (1, 1, 1)) or len({output.shape[1] for output in outputs}) != 1:
        return None
    bound = {boxes[0].name: "boxes", logits[0].name: "logits"}
    return bound | {output.name: "masks" for output in masks}


def claims(outputs: Sequence[Output], *, classes: int = 0, seen: Seen | None = None) -> Parameters | None:
    """The parameters, if the outputs have RF-DETR's names, or those of transformers, or were seen to be of few boxes.

    As many columns as DETR's own, or one more than classes, end in a softmax over them and no object.
    """
    found = roles(outputs)
    if found is None:
        return None
    names = {output.name for output in outputs}
    logits = next(output for output in outputs if found[output.name] == "logits")
    own = {"dets", "labels"} <= names
    told = own or names == {"logits", "pred_boxes"}
    if not told and (seen is None or not 0 < logits.shape[1] <= MOST):
        return None
    done: Activation = "none" if seen and seen.shares(logits.name) else "sigmoid"
    masks = "masks" in found.values()
    if not own and logits.shape[2] in (DETR_COLUMNS, classes + 1 if classes else DETR_COLUMNS):
        return Parameters(activation="softmax", no_object=1, multi_label=False, masks=masks)
    return Parameters(activation=done, masks=masks)


def decode(
    outputs: Mapping[str, Array],
    manifest: Manifest,
    parameters: Parameters,
    conf: float,
    *,
    input_size: Size,
) -> list[Candidates | Instances]:
    """The queries and classes that score above conf, an item an image."""
    boxes, logits = (named(outputs, manifest, role) for role in ("boxes", "logits"))
    masks = named(outputs, manifest, "masks") if parameters.masks else [None] * len(boxes)
    return [_found(*image, parameters, conf, input_size) for image in zip(boxes, logits, masks, strict=True)]


def _found(
    boxes: Array, logits: Array, masks: Array | None, parameters: Parameters, conf: float, input_size: Size
) -> Candidates | Instances:
    scores = _activated(logits, parameters.activation)[:, : logits.shape[1] - parameters.no_object]
    columns = np.ascontiguousarray(np.concatenate([boxes, scores], axis=1).T)  # [4 + C, k]
    chosen = decode_boxes(
        V8(),
        columns,
        conf=conf,
        multi_label=parameters.multi_label,
        max_candidates=parameters.select or len(boxes),
    )
    rows = boxes[chosen.anchors]
    found = parameters.box.candidates(rows, chosen.scores, chosen.class_ids, input_size, suppress=False)
    return found if masks is None else Instances(found, Maps(masks[chosen.anchors], 0.0))


def _activated(logits: Array, activation: str) -> Array:
    with np.errstate(all="ignore"):
        if activation == "sigmoid":
            scores: Array = np.float32(1) / (np.float32(1) + np.exp(-logits))
            return scores
        if activation == "softmax":
            powers = np.exp(logits - logits.max(axis=1, keepdims=True))
            shares: Array = powers / powers.sum(axis=1, keepdims=True)
            return shares
    return logits
