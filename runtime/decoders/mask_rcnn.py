"""Mask R-CNN, Faster R-CNN and Keypoint R-CNN, whose graph suppresses by itself.

In: outputs boxes [N, k, 4], labels and scores [N, k]; masks [N, k, (1,) h, w] and keypoints [N, k, K, 3] with
keypoint_scores [N, k, K] where there are any. torchvision's own exports are of one picture, without the first axis.
Out: Candidates that nothing suppresses any more; Instances if there is more than boxes. k may be 0.

Source: torchvision models/detection/roi_heads.py, mask_rcnn.py and keypoint_rcnn.py (facts, no code).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from vedette.kernels.box_layouts import EndToEnd
from vedette.kernels.decode_boxes import decode_boxes
from vedette.runtime.decoders import Candidates, Instances, Maps, named
from vedette.runtime.decoders._boxes import CORNERS, Box, Size
from vedette.runtime.frame import Array
from vedette.runtime.manifest import Manifest, Output

HALF = float(np.nextafter(np.float32(0.5), np.float32(0)))  # a mask is where it is a half or more
REQUIRED = {"boxes", "labels", "scores"}
OPTIONAL = {"masks", "keypoints", "keypoint_scores"}
SPELLINGS = {"keypoints_scores": "keypoint_scores"}


@dataclass(frozen=True, slots=True)
class Parameters:
    """What a manifest may say. Of units, image is of the original picture, where the graph is told its size."""

    box: Box = CORNERS
    first_class: int = 0  # the label of class 0; torchvision's 0 is the background
    masks: Literal["none", "whole", "box"] = (
        "none"  # whole: over the picture that the boxes are in; box: over each box
    )
    mask_logits: bool = False  # a sigmoid is still to be done
    keypoints: bool = False


def roles(outputs: Sequence[Output]) -> dict[str, str] | None:
    """The role of each output by name, if they have torchvision's names."""
    found = {output.name: SPELLINGS.get(output.name, output.name) for output in outputs}
    known = REQUIRED <= set(found.values()) <= REQUIRED | OPTIONAL
    return found if known and len(set(found.values())) == len(outputs) else None


def claims(outputs: Sequence[Output]) -> Parameters | None:
    """The parameters, if the outputs have torchvision's names, and what says that they are not a transformer's.

    That is masks, keypoints, or the shapes of one picture. Masks of 28 x 28 lie over boxes, others over the picture.
    """
    found = roles(outputs)
    if found is None or (
        set(found.values()) == REQUIRED and any(len(output.shape) == 3 for output in outputs)
    ):
        return None
    sides = [output.shape[-1] for output in outputs if output.name == "masks"]
    masks: Literal["none", "whole", "box"] = "none" if not sides else "box" if sides[0] == 28 else "whole"
    return Parameters(masks=masks, keypoints="keypoints" in found)


def batched(outputs: Sequence[Output]) -> bool:
    """Whether the outputs have an axis of pictures; torchvision's own exports are of one."""
    return all(len(output.shape) == 3 for output in outputs if output.role == "boxes")


def decode(
    outputs: Mapping[str, Array],
    manifest: Manifest,
    parameters: Parameters,
    conf: float,
    *,
    input_size: Size,
) -> list[Candidates | Instances]:
    """What scores above conf, an item an image."""
    bound = {output.role: named(outputs, manifest, output.role) for output in manifest.outputs if output.role}
    if bound["boxes"].ndim == 2:
        bound = {role: array[None] for role, array in bound.items()}
    count = len(bound["boxes"])
    images = ({role: array[index] for role, array in bound.items()} for index in range(count))
    return [_found(image, parameters, conf, input_size) for image in images]


def _found(
    image: Mapping[str, Array], parameters: Parameters, conf: float, input_size: Size
) -> Candidates | Instances:
    """Of one image, whose arrays all have the first axis k."""
    labels = image["labels"] - np.float32(parameters.first_class)
    rows = np.concatenate([image["boxes"], image["scores"][:, None], labels[:, None]], axis=1)
    kept = decode_boxes(EndToEnd(), rows, conf=conf)
    box, raw = parameters.box, image["boxes"][kept.anchors]
    boxes = box.candidates(raw, kept.scores, kept.class_ids, input_size, suppress=False)
    if parameters.masks == "none" and not parameters.keypoints:
        return boxes
    joints = _keypoints(image, kept.anchors, box.unit(input_size)) if parameters.keypoints else None
    return Instances(boxes, _masks(image, kept.anchors, parameters), joints)


def _masks(image: Mapping[str, Array], anchors: Array, parameters: Parameters) -> Maps | None:
    if parameters.masks == "none":
        return None
    values = image["masks"][anchors]
    values = values.reshape(len(values), *values.shape[-2:])
    if parameters.mask_logits:
        values = sigmoid(values)
    if parameters.masks == "box":
        return Maps(values, HALF, "box")
    return Maps(values, HALF, "image" if parameters.box.units == "image" else "input")


def _keypoints(image: Mapping[str, Array], anchors: Array, unit: tuple[float, float]) -> Array:
    """float32 [N, K, 3]; keypoint_scores are logits of where a joint is, so their sigmoid stands for how sure it is."""
    joints = image["keypoints"][anchors].copy()
    joints[..., :2] *= np.array(unit, np.float32)
    if "keypoint_scores" in image:
        joints[..., 2] *= sigmoid(image["keypoint_scores"][anchors])
    return joints


def sigmoid(values: Array) -> Array:
    """1 / (1 + e^-x)."""
    with np.errstate(all="ignore"):
        sigmoid: Array = np.float32(1) / (np.float32(1) + np.exp(-values))
    return sigmoid
