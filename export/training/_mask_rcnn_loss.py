"""The losses of Mask R-CNN: of its proposals, its classes and boxes, its masks and its keypoints.

In: the network, pictures, and what is true of them.  Out: one number each. Next: mask_rcnn.py.

Sources: Ren et al., Faster R-CNN, NeurIPS 2015, eq. 1; He et al., Mask R-CNN, ICCV 2017, section 3.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

from vedette.export.networks._mask_rcnn_eager import PROPOSAL_IOU
from vedette.export.networks._mask_rcnn_network import MaskRCNN
from vedette.export.networks._mask_rcnn_parts import BOX_WEIGHTS, Features
from vedette.export.networks._roi import RoIAlign
from vedette.export.networks._roi_heads import BOX_SIDE, OBJECT_SIDE
from vedette.export.training._mask_rcnn_targets import (
    ANCHORS,
    REGIONS,
    Sample,
    Truth,
    heatmap_targets,
    mask_targets,
    sampled,
)
from vedette.kernels.nms import nms
from vedette.runtime.preprocess import Size

OUTLINED = 8  # regions a picture whose masks and keypoints are learned
PROPOSED = 100  # regions a picture to choose from
SMALLEST = 1.0  # pixels a side of those
WEIGHTS = {"objectness": 1.0, "anchors": 1.0, "classes": 1.0, "boxes": 1.0, "masks": 1.0, "keypoints": 0.2}


class Losses(nn.Module):
    """The network and what it is judged by, for pictures of one size."""

    def __init__(self, network: MaskRCNN, size: Size) -> None:
        super().__init__()
        self.network, self.features = network, Features(network, size)
        self.align = RoIAlign(self.features.layout, network.plan.canonical)
        self.anchors = torch.cat(network.anchors(size))

    def forward(self, images: torch.Tensor, truths: Sequence[Truth]) -> dict[str, torch.Tensor]:
        """Every loss by its name, not yet weighted."""
        with torch.autocast("cpu", torch.bfloat16):  # 1.6 times as fast where the processor has it
            levels = self.network.backbone(images)
            found = self.network.rpn(self.network.proposing_levels(levels))
        found = [(logits.float(), numbers.float()) for logits, numbers in found]
        atlas = self.features.layout.joined(levels).float()
        samples = [
            sampled(boxes, truth, REGIONS)
            for boxes, truth in zip(self._regions(found, truths), truths, strict=True)
        ]
        return {
            **self._of_proposals(found, truths),
            **self._of_boxes(atlas, samples),
            **self._of_objects(atlas, [sample.digits(OUTLINED) for sample in samples]),
        }

    @torch.no_grad()
    def _regions(
        self, found: Sequence[tuple[torch.Tensor, torch.Tensor]], truths: Sequence[Truth]
    ) -> list[torch.Tensor]:
        """What is proposed for each picture, and its digits themselves: [n, 4] xyxy."""
        columns = [column.numpy() for column in self.features.proposals(found)]
        regions = []
        for truth, boxes, scores, levels in zip(truths, *columns, strict=True):
            keep = nms(boxes, scores, levels, iou_threshold=PROPOSAL_IOU, max_det=PROPOSED)
            proposed = torch.from_numpy(boxes[keep])
            large = ((proposed[:, 2:] - proposed[:, :2]) > SMALLEST).all(dim=1)
            regions.append(torch.cat([proposed[large], truth.boxes]))
        return regions

    def _of_proposals(
        self, found: Sequence[tuple[torch.Tensor, torch.Tensor]], truths: Sequence[Truth]
    ) -> dict[str, torch.Tensor]:
        """Cross entropy of what is a digit, and distances of the boxes of what is."""
        logits, numbers = (torch.cat(column, dim=1) for column in zip(*found, strict=True))
        objectness, distances = [], []
        for logit, number, truth in zip(logits, numbers, truths, strict=True):
            sample = sampled(self.anchors, truth, ANCHORS, force=True)
            digit = (sample.labels > 0).float()
            objectness.append(functional.binary_cross_entropy_with_logits(logit[sample.rows], digit))
            said = number[sample.rows[: len(sample.matches)]]
            distances.append(functional.smooth_l1_loss(said, sample.numbers((1, 1, 1, 1)), beta=1 / 9))
        return {"objectness": torch.stack(objectness).mean(), "anchors": torch.stack(distances).mean()}

    def _of_boxes(self, atlas: torch.Tensor, samples: Sequence[Sample]) -> dict[str, torch.Tensor]:
        """Cross entropy of the class, and distance from the digit's box by the numbers of its class."""
        heads, features = self.network.roi_heads, self._cut(atlas, samples, BOX_SIDE)
        with torch.autocast("cpu", torch.bfloat16):
            logits, numbers = heads.box_predictor(heads.box_head(features))
        labels = torch.cat([sample.labels for sample in samples])
        digits = labels.nonzero()[:, 0]
        wanted = torch.cat([sample.numbers(BOX_WEIGHTS) for sample in samples])
        return {
            "classes": functional.cross_entropy(logits.float(), labels),
            "boxes": functional.smooth_l1_loss(numbers.float()[digits, labels[digits]], wanted),
        }

    def _of_objects(self, atlas: torch.Tensor, samples: Sequence[Sample]) -> dict[str, torch.Tensor]:
        """Cross entropy of the mask of the digit's class, and of the place of each keypoint."""
        heads, features = self.network.roi_heads, self._cut(atlas, samples, OBJECT_SIDE)
        with torch.autocast("cpu", torch.bfloat16):
            masks = heads.mask_predictor(heads.mask_head(features))
            heatmaps = heads.keypoint_predictor(heads.keypoint_head(features))
        boxes, labels = (torch.cat([getattr(one, name) for one in samples]) for name in ("boxes", "labels"))
        outlines = torch.cat([sample.truth.masks[sample.matches] for sample in samples])
        keypoints = torch.cat([sample.truth.keypoints[sample.matches] for sample in samples])
        own = masks.float()[torch.arange(len(labels)), labels]
        cells, inside = heatmap_targets(keypoints, boxes)
        return {
            "masks": functional.binary_cross_entropy_with_logits(own, mask_targets(outlines, boxes)),
            "keypoints": functional.cross_entropy(heatmaps.float().flatten(2)[inside], cells[inside]),
        }

    def _cut(self, atlas: torch.Tensor, samples: Sequence[Sample], side: int) -> torch.Tensor:
        """Features of the boxes of each picture, one after the other: [n, C, side, side]."""
        most = max(len(sample.boxes) for sample in samples)
        padded = [functional.pad(sample.boxes, (0, 0, 0, most - len(sample.boxes))) for sample in samples]
        used = torch.cat([torch.arange(most) < len(sample.boxes) for sample in samples])
        cut: torch.Tensor = self.align(atlas, torch.stack(padded), side)
        return cut[used]
