"""Mask R-CNN from a picture to its objects in PyTorch alone: what a bundle of graphs is judged against, and what trains.

In: the network and normalised pictures.  Out: boxes, masks over boxes, keypoints. Next: ../training/mask_rcnn.py.
Everything between the parts is written here once more, apart from the runtime, so that each can tell of the other.

Source: torchvision models/detection/rpn.py, roi_heads.py, keypoint_rcnn.py (facts: order, thresholds, rounding).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn import functional

from vedette.export.networks._mask_rcnn_network import MaskRCNN
from vedette.export.networks._mask_rcnn_parts import Boxes, Features, Objects

PROPOSAL_IOU = 0.7
BOX_IOU = 0.5
DETECTIONS = 100  # a picture
SMALLEST_PROPOSAL = 1e-3  # pixels a side
SMALLEST_BOX = 1e-2


@dataclass(frozen=True, slots=True)
class Found:
    """The n objects of a picture, best first; pixels of the network's input."""

    boxes: torch.Tensor  # float32 [n, 4] xyxy
    scores: torch.Tensor  # float32 [n]
    labels: torch.Tensor  # int64 [n], without the background
    masks: torch.Tensor | None  # float32 [n, 28, 28], over the boxes
    keypoints: torch.Tensor | None  # float32 [n, K, 3]: x, y, logit


class Eager:
    """The three parts of a network for pictures of (width, height), and what happens between them."""

    def __init__(self, network: MaskRCNN, size: tuple[int, int]) -> None:
        self.plan, self.anchors = network.plan, network.anchors(size)
        self.features, self.boxes, self.objects = (
            part(network, size).eval() for part in (Features, Boxes, Objects)
        )

    @torch.inference_mode()
    def detect(self, images: torch.Tensor, *, conf: float = 0.05) -> list[Found]:
        """Find what scores above conf in pictures [N, 3, H, W], each by itself."""
        return [self._detect(image[None], conf) for image in images]

    def _detect(self, image: torch.Tensor, conf: float) -> Found:
        pyramid, *proposals = self.features(image)
        kept = self.proposals(*(column[0] for column in proposals))
        scores, boxes = self.boxes(pyramid, kept[None])
        box, score, label = self.chosen(scores[0], boxes[0], conf)
        maps = [found[0] for found in self.objects(pyramid, box[None], label[None])] if len(box) else []
        masks = maps.pop(0) if maps and self.plan.masks else None
        return Found(box, score, label, masks, keypoints_of(maps[0], box) if maps else None)

    @torch.inference_mode()
    def feeds(self, images: torch.Tensor, *, objects: int = 8) -> dict[str, tuple[torch.Tensor, ...]]:
        """The inputs of every part for pictures [N, 3, H, W]; the objects are the best of all boxes, however bad."""
        pyramid, *proposals = self.features(images)
        kept = torch.zeros(len(images), self.plan.proposing.kept, 4)
        for rows, *columns in zip(kept, *proposals, strict=True):
            found = self.proposals(*columns)
            rows[: len(found)] = found
        scores, boxes = self.boxes(pyramid, kept)
        best = scores.flatten(1).topk(objects, dim=1).indices
        rois = torch.gather(boxes.flatten(1, 2), 1, best.unsqueeze(-1).expand(-1, -1, 4))
        return {
            "features": (images,),
            "boxes": (pyramid, kept),
            "objects": (pyramid, rois, best % self.plan.classes),
        }

    def proposals(self, boxes: torch.Tensor, scores: torch.Tensor, levels: torch.Tensor) -> torch.Tensor:
        """The best boxes [P, 4] of all levels, none of which overlaps a better one of its level: [R, 4] or fewer."""
        large = ((boxes[:, 2:] - boxes[:, :2]) >= SMALLEST_PROPOSAL).all(dim=1)
        boxes, scores, levels = boxes[large], scores[large], levels[large]
        return boxes[suppressed(boxes, scores, levels, PROPOSAL_IOU)[: self.plan.proposing.kept]]

    @staticmethod
    def chosen(
        scores: torch.Tensor, boxes: torch.Tensor, conf: float
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Boxes, scores and labels out of scores [R, C] and boxes [R, C, 4] of all classes."""
        large = ((boxes[..., 2:] - boxes[..., :2]) >= SMALLEST_BOX).all(dim=2)
        row, label = ((scores > conf) & large).nonzero(as_tuple=True)
        score, box = scores[row, label], boxes[row, label]
        keep = suppressed(box, score, label, BOX_IOU)[:DETECTIONS]
        return box[keep], score[keep], label[keep]


def suppressed(
    boxes: torch.Tensor, scores: torch.Tensor, labels: torch.Tensor, threshold: float
) -> torch.Tensor:
    """Which boxes [n, 4] no better one of the same label overlaps by more than the threshold, best first."""
    order = scores.argsort(descending=True, stable=True)
    alive = torch.ones(len(order), dtype=torch.bool)
    for label in set(labels.tolist()):
        rows = (labels[order] == label).nonzero()[:, 0]
        overlaps = _iou(boxes[order[rows]]) > threshold
        for index in range(len(rows)):
            if alive[rows[index]]:
                alive[rows[index + 1 :]] &= ~overlaps[index, index + 1 :]
    return order[alive]


def _iou(boxes: torch.Tensor) -> torch.Tensor:
    low = torch.maximum(boxes[:, None, :2], boxes[:, :2])
    high = torch.minimum(boxes[:, None, 2:], boxes[:, 2:])
    common = (high - low).clamp(min=0).prod(dim=2)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(dim=1)
    return common / (areas[:, None] + areas - common)


def keypoints_of(heatmaps: torch.Tensor, boxes: torch.Tensor) -> torch.Tensor:
    """The hottest pixel of each heatmap [n, K, S, S], enlarged to its box [n, 4]: [n, K, 3] x, y, logit."""
    found = [_hottest(maps, box) for maps, box in zip(heatmaps, boxes, strict=True)]
    return torch.stack(found) if found else heatmaps.new_zeros(0, heatmaps.shape[1], 3)


def _hottest(maps: torch.Tensor, box: torch.Tensor) -> torch.Tensor:
    sides = (box[2:] - box[:2]).clamp(min=1)
    width, height = (int(side) for side in sides.ceil())
    large = functional.interpolate(maps[None], (height, width), mode="bicubic", align_corners=False)[0]
    logits, place = large.flatten(1).max(dim=1)
    cells = torch.stack([place % width, place // width], dim=1)
    xy = (cells + 0.5) * (sides / sides.ceil()) + box[:2]
    return torch.cat([xy, logits[:, None]], dim=1)
