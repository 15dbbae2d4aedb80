"""The weights of a Mask R-CNN by torchvision's names, and the plan of the network that they are of.

In: a file of weights.  Out: a Plan, and a network with them. Next: mask_rcnn.py.

Read are the state dicts of maskrcnn_resnet50_fpn and keypointrcnn_resnet50_fpn, of any number of classes and of deeper
ResNets, by the names of torchvision 0.13 and later or by those before, which the files that it downloads still have; and
the zoo's own.

Source: torchvision models/detection/mask_rcnn.py, keypoint_rcnn.py, faster_rcnn.py (names, shapes, numbers).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import nn

from vedette.export.networks._mask_rcnn_network import MaskRCNN, Plan
from vedette.export.networks._resnet import Body
from vedette.runtime.errors import ModelError

DIGIT_BODY = Body(24, 3, pool=False, bottleneck=False, widths=(32, 64, 96), depths=(1, 2, 2))
RESNET50 = Body(64, 7, pool=True, bottleneck=True, widths=(64, 128, 256, 512), depths=(3, 4, 6, 3))
COUNTER = "num_batches_tracked"
BEFORE_0_13 = (  # (name then, name since); mask_fcn counts from 1
    (r"(backbone\.fpn\.(?:inner|layer)_blocks\.\d+)\.(weight|bias)", r"\1.0.\2"),
    (r"rpn\.head\.conv\.(weight|bias)", r"rpn.head.conv.0.0.\1"),
    *(
        (rf"roi_heads\.mask_head\.mask_fcn{i + 1}\.(weight|bias)", rf"roi_heads.mask_head.{i}.0.\1")
        for i in range(4)
    ),
)
LARGEST = 4096  # classes or keypoints


def renamed(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """A state dict by the names of torchvision 0.13 and later."""
    return {_renamed(name): value for name, value in state.items()}


def _renamed(name: str) -> str:
    for pattern, new in BEFORE_0_13:
        if re.fullmatch(pattern, name):
            return re.sub(pattern, new, name)
    return name


def plan_of(state: Mapping[str, torch.Tensor], digits: Plan) -> Plan:
    """The plan that weights are of, read off their names and shapes: torchvision's, if its blocks are of ResNet-50's kind.

    What cannot be read off stays at the plan's own, so that check() names what is missing.
    """
    if not any(re.fullmatch(r"backbone\.body\.layer1\.\d+\.conv3\.weight", name) for name in state):
        return digits
    classes = _side(state, "roi_heads.box_predictor.cls_score.weight", 0, 91) - 1
    keypoints = _side(state, "roi_heads.keypoint_predictor.kps_score_lowres.weight", 1, 17)
    has = {
        kind: any(name.startswith(f"roi_heads.{kind}_") for name in state) for kind in ("mask", "keypoint")
    }
    plan = Plan(replace(RESNET50, depths=_depths(state)), classes=classes)
    plan = plan if has["mask"] else replace(plan, masks=())
    return replace(plan, keypoints=keypoints) if has["keypoint"] else plan


def _side(state: Mapping[str, torch.Tensor], name: str, axis: int, otherwise: int) -> int:
    """A side of a tensor that has it, within reason."""
    shape = state[name].shape if name in state else ()
    return shape[axis] if len(shape) > axis and 2 <= shape[axis] <= LARGEST else otherwise


def _depths(state: Mapping[str, torch.Tensor]) -> tuple[int, ...]:
    """Blocks of every stage; ResNet-50's where none are named, and no more than ResNet-152 has."""
    found = []
    for stage, usual in enumerate(RESNET50.depths, start=1):
        blocks = {name.split(".")[3] for name in state if name.startswith(f"backbone.body.layer{stage}.")}
        found.append(len(blocks) if 0 < len(blocks) <= 36 else usual)
    return tuple(found)


def loaded(state: Mapping[str, torch.Tensor], plan: Plan, origin: str) -> MaskRCNN:
    """A network with these weights, in eval mode.

    Raises:
        ModelError: there is no mask and no keypoint head, or a tensor is missing, unknown or of another shape.
    """
    if not plan.masks and not plan.keypoints:
        raise _refused(origin, "it has neither roi_heads.mask_head nor roi_heads.keypoint_head")
    check(state, plan, origin)
    network = MaskRCNN(plan)
    network.load_state_dict(
        {name: value.float() for name, value in state.items() if not name.endswith(COUNTER)}, strict=False
    )
    if not any(name.endswith(COUNTER) for name in state):
        _freeze(network)
    return network.eval()


def _freeze(network: MaskRCNN) -> None:
    """Batch norm that was frozen in training counts nothing; torchvision runs that of its weights for COCO without epsilon."""
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.eps = 0.0


def check(state: Mapping[str, torch.Tensor], plan: Plan, origin: str) -> None:
    """Every tensor of the plan is there and of its shape, and there is no other; but for counters of batches.

    Raises:
        ModelError: it is not so; the tensor is named.
    """
    with torch.device("meta"):  # shapes without memory
        wanted = {name: list(value.shape) for name, value in MaskRCNN(plan).state_dict().items()}
    for name in [*wanted, *state]:
        if name.endswith(COUNTER):
            continue
        expected = str(wanted[name]) if name in wanted else "nothing"
        found = str(list(state[name].shape)) if name in state else "missing"
        if found != expected:
            raise _refused(origin, f"{name} is {found}; expected {expected}")


def _refused(origin: str, why: str) -> ModelError:
    return ModelError(
        f"{origin} does not hold the weights of a Mask R-CNN",
        why=why,
        cure="give the state dict of torchvision's maskrcnn_resnet50_fpn or keypointrcnn_resnet50_fpn, as it was saved",
    )
