"""The three graphs of Mask R-CNN, for pictures of one size; between them boxes are suppressed.

Features: pictures to a pyramid and proposals. Boxes: proposals to classes and better boxes. Objects: boxes to masks and
keypoints. None has an operator that TensorRT lacks, and all counts are fixed but the pictures' and the objects'.
Coordinates are pixels of the input, the edge at 0. Next: _mask_rcnn_eager.py, ../bundle.py.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from vedette.export.networks._mask_rcnn_network import MaskRCNN
from vedette.export.networks._roi import Layout, RoIAlign
from vedette.export.networks._roi_heads import BOX_SIDE, OBJECT_SIDE
from vedette.export.networks._rpn import decoded
from vedette.runtime.preprocess import Size

BOX_WEIGHTS = (10.0, 10.0, 5.0, 5.0)


class Features(nn.Module):
    """Pictures to pyramid and proposals."""

    def __init__(self, network: MaskRCNN, size: Size) -> None:
        super().__init__()
        self.backbone, self.rpn = network.backbone, network.rpn
        self.size, self.layout = size, Layout(size, network.plan.body.strides)
        self.best = network.plan.proposing.best
        self.widened = network.proposing_levels
        for index, anchors in enumerate(network.anchors(size)):
            self.register_buffer(f"anchors{index}", anchors, persistent=False)

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Look.

        Args:
            images: float32 [N, 3, H, W], normalised.

        Returns:
            pyramid [N, C, Ha, Wa], an atlas; proposal_boxes [N, P, 4]; proposal_scores [N, P], 0..1;
            proposal_levels int64 [N, P].
        """
        levels = self.backbone(images)
        return (self.layout.joined(levels), *self.proposals(self.rpn(self.widened(levels))))

    def proposals(self, found: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> list[torch.Tensor]:
        """Boxes, scores and levels of what every level's head says: logits [N, A] and box numbers [N, A, 4]."""
        best = [self._best(index, *pair) for index, pair in enumerate(found)]
        return [torch.cat(column, dim=1) for column in zip(*best, strict=True)]

    def _best(
        self, index: int, logits: torch.Tensor, numbers: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The best proposals of a level: boxes, scores, and which level it is."""
        anchors = self.get_buffer(f"anchors{index}")
        best, where = logits.topk(min(self.best, len(anchors)), dim=1)
        chosen = torch.gather(numbers, 1, where.unsqueeze(-1).expand(-1, -1, 4))
        return decoded(chosen, anchors[where], self.size), best.sigmoid(), torch.full_like(where, index)


class Boxes(nn.Module):
    """Proposals to scores and boxes."""

    def __init__(self, network: MaskRCNN, size: Size) -> None:
        super().__init__()
        self.size = size
        self.align = RoIAlign(Layout(size, network.plan.body.strides), network.plan.canonical)
        self.box_head = network.roi_heads.box_head
        self.box_predictor = network.roi_heads.box_predictor

    def forward(self, pyramid: torch.Tensor, proposals: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Classify and refine.

        Args:
            pyramid: [N, C, Ha, Wa].
            proposals: [N, R, 4] xyxy; all 0 where there is none.

        Returns:
            scores [N, R, C], 0..1, without the background; boxes [N, R, C, 4] xyxy, one a class.
        """
        logits, numbers = self.box_predictor(self.box_head(self.align(pyramid, proposals, BOX_SIDE)))
        shape = (*proposals.shape[:2], -1)
        scores = logits.softmax(dim=1)[:, 1:].reshape(shape)
        numbers = numbers[:, 1:].reshape(*shape, 4)
        return scores, decoded(numbers, proposals.unsqueeze(2), self.size, weights=BOX_WEIGHTS)


class Objects(nn.Module):
    """Boxes to masks and keypoints."""

    def __init__(self, network: MaskRCNN, size: Size) -> None:
        super().__init__()
        self.align = RoIAlign(Layout(size, network.plan.body.strides), network.plan.canonical)
        heads, plan = network.roi_heads, network.plan
        self.mask = nn.Sequential(heads.mask_head, heads.mask_predictor) if plan.masks else None
        self.keypoint = (
            nn.Sequential(heads.keypoint_head, heads.keypoint_predictor) if plan.keypoints else None
        )

    def forward(
        self, pyramid: torch.Tensor, rois: torch.Tensor, labels: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        """Outline.

        Args:
            pyramid: [N, C, Ha, Wa].
            rois: [N, D, 4] xyxy; all 0 where there is none.
            labels: int64 [N, D], 0-based, without the background.

        Returns:
            masks [N, D, 28, 28], 0..1, if there is a mask head; keypoints [N, D, K, S, S] heatmap logits, if there is one
            for them.
        """
        features = self.align(pyramid, rois, OBJECT_SIDE)
        found = []
        if self.mask is not None:
            found.append(_of_class(self.mask(features), labels.flatten()).sigmoid())
        if self.keypoint is not None:
            found.append(self.keypoint(features))
        if self.mask is None:  # an input that nothing reads would be dropped from the graph
            found = [maps * (labels >= 0).reshape(-1, 1, 1, 1) for maps in found]
        return tuple(maps.reshape(*rois.shape[:2], *maps.shape[1:]) for maps in found)


def _of_class(maps: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Each object's own of maps [B, 1 + classes, h, w]: [B, h, w]."""
    _, _, height, width = maps.shape
    index = (labels + 1).reshape(-1, 1, 1, 1).expand(-1, 1, height, width)
    return torch.gather(maps, 1, index).squeeze(1)
