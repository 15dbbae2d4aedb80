"""Mask R-CNN as one module: a plan in, all that is trained out.

In: a Plan.  Out: the module, whose parts _mask_rcnn_parts.py runs one after the other. Next: mask_rcnn.py.
Its state dict has torchvision's names and, for the plan of mask_rcnn.py's RESNET50, torchvision's shapes.

Source: He et al., Mask R-CNN, ICCV 2017; torchvision models/detection (names, shapes, numbers).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import nn

from vedette.export.networks._fpn import FeaturePyramid
from vedette.export.networks._resnet import Body, ResNet
from vedette.export.networks._roi_heads import (
    BoxHead,
    BoxPredictor,
    KeypointPredictor,
    MaskPredictor,
    keypoint_head,
    mask_head,
)
from vedette.export.networks._rpn import RegionProposals, anchors_of, coarser
from vedette.runtime.preprocess import Size


@dataclass(frozen=True, slots=True)
class Proposing:
    """How regions are proposed.

    Attributes:
        anchors: side of the anchors of each level, finest first; one more than stages is a coarser level.
        ratios: of the anchors' heights to their widths.
        best: proposals a level before suppression.
        kept: proposals a picture after it.
    """

    anchors: tuple[float, ...] = (32, 64, 128, 256, 512)
    ratios: tuple[float, ...] = (0.5, 1.0, 2.0)
    best: int = 1000
    kept: int = 1000


@dataclass(frozen=True, slots=True)
class Plan:
    """The shape of a Mask R-CNN; the defaults are torchvision's.

    Attributes:
        body: of the ResNet.
        proposing: how regions are proposed.
        width: channels of the pyramid.
        hidden: of the box head.
        classes: without the background.
        masks: widths of the mask head's convolutions and, last, of its deconvolution; none without masks.
        joints: widths of the keypoint head's convolutions.
        keypoints: of an object; 0 without a keypoint head.
        canonical: side of a square box in pixels, and the base-2 logarithm of the stride that it is cut out at.
    """

    body: Body
    proposing: Proposing = field(default_factory=Proposing)
    width: int = 256
    hidden: int = 1024
    classes: int = 90
    masks: tuple[int, ...] = (256, 256, 256, 256, 256)
    joints: tuple[int, ...] = (512,) * 8
    keypoints: int = 0
    canonical: tuple[float, int] = (224, 4)


class Backbone(nn.Module):
    """Picture to pyramid."""

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        self.body = ResNet(plan.body)
        self.fpn = FeaturePyramid(plan.body.channels, plan.width)

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        levels: list[torch.Tensor] = self.fpn(self.body(images))
        return levels


class RoIHeads(nn.Module):
    """What is said of each box, under torchvision's names."""

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        self.box_head = BoxHead(plan.width, plan.hidden)
        self.box_predictor = BoxPredictor(plan.hidden, plan.classes + 1)
        if plan.masks:
            *widths, last = plan.masks
            self.mask_head = mask_head(plan.width, widths)
            self.mask_predictor = MaskPredictor(widths[-1], last, plan.classes + 1)
        if plan.keypoints:
            self.keypoint_head = keypoint_head(plan.width, plan.joints)
            self.keypoint_predictor = KeypointPredictor(plan.joints[-1], plan.keypoints)


class MaskRCNN(nn.Module):
    """All that is trained. It has no forward: _mask_rcnn_parts.py has the three graphs that it runs as."""

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        self.plan = plan
        self.backbone = Backbone(plan)
        self.rpn = RegionProposals(plan.width, len(plan.proposing.ratios))
        self.roi_heads = RoIHeads(plan)

    def proposing_levels(self, levels: list[torch.Tensor]) -> list[torch.Tensor]:
        """The levels that regions are proposed on: those of the pyramid, and a coarser one if the plan has it."""
        further = len(self.plan.proposing.anchors) - len(levels)
        return levels + [coarser(levels[-1])] * further

    def anchors(self, size: Size) -> list[torch.Tensor]:
        """float32 [n, 4] xyxy of each level for a picture of (width, height)."""
        width, height = size
        grids = [(width // stride, height // stride) for stride in self.plan.body.strides]
        proposing = self.plan.proposing
        if len(proposing.anchors) > len(grids):
            grids.append(((grids[-1][0] + 1) // 2, (grids[-1][1] + 1) // 2))
        return [
            anchors_of(grid, size, side=side, ratios=proposing.ratios)
            for grid, side in zip(grids, proposing.anchors, strict=True)
        ]
