"""What Mask R-CNN should say of a scene: which anchors and regions are digits, and their boxes, masks and keypoints.

In: a scene's annotations, and the anchors or regions of one picture.  Out: indices, and targets. Next: _mask_rcnn_loss.py.

Sources: Ren et al., Faster R-CNN, NeurIPS 2015, section 3.1.2; He et al., Mask R-CNN, ICCV 2017, section 3.1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.nn import functional

from vedette.export.networks._roi_heads import HEATMAP_SIDE, MASK_SIDE
from vedette.export.networks._rpn import encoded


@dataclass(frozen=True, slots=True)
class Sampling:
    """How many are learned from in a picture, and from which IoU on with a digit something is one."""

    count: int
    positives: int  # at most
    inside: float  # this IoU and more is a digit
    outside: float  # less is background; what is between teaches nothing


ANCHORS = Sampling(count=64, positives=32, inside=0.55, outside=0.35)
REGIONS = Sampling(count=32, positives=12, inside=0.5, outside=0.5)


@dataclass(frozen=True, slots=True)
class Truth:
    """The digits of one picture; M of them."""

    boxes: torch.Tensor  # float32 [M, 4] xyxy pixels
    labels: torch.Tensor  # int64 [M]
    masks: torch.Tensor  # float32 [M, H, W], 0 or 1
    keypoints: torch.Tensor  # float32 [M, K, 2] pixels


@dataclass(frozen=True, slots=True)
class Sample:
    """Boxes of a picture to learn from, n of them; the first are digits, one a match."""

    rows: torch.Tensor  # int64 [n], which boxes
    boxes: torch.Tensor  # float32 [n, 4] xyxy pixels
    matches: torch.Tensor  # int64 [p], which of the truth's digits the first p boxes are
    truth: Truth

    @property
    def labels(self) -> torch.Tensor:
        """int64 [n], 0 for the background."""
        digits = self.truth.labels[self.matches] + 1
        return torch.cat([digits, digits.new_zeros(len(self.rows) - len(digits))])

    def numbers(self, weights: Sequence[float]) -> torch.Tensor:
        """What a network should say of the boxes of digits: [p, 4]."""
        return encoded(self.truth.boxes[self.matches], self.boxes[: len(self.matches)], weights=weights)

    def digits(self, most: int) -> Sample:
        """The first of the digits, and nothing else."""
        return Sample(
            self.rows[: len(self.matches)][:most],
            self.boxes[: len(self.matches)][:most],
            self.matches[:most],
            self.truth,
        )


def iou(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Intersection over union of every pair of boxes [n, 4] and [m, 4] xyxy: [n, m]; no box may be empty."""
    low = torch.maximum(first[:, None, :2], second[:, :2])
    high = torch.minimum(first[:, None, 2:], second[:, 2:])
    common = (high - low).clamp(min=0).prod(dim=2)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(dim=1) for boxes in (first, second)]
    return common / (areas[0][:, None] + areas[1] - common).clamp(min=1e-9)


def sampled(boxes: torch.Tensor, truth: Truth, sampling: Sampling, *, force: bool = False) -> Sample:
    """Choose at random which boxes of a picture to learn from.

    Args:
        boxes: [n, 4] xyxy, anchors or regions.
        truth: of the picture.
        sampling: how many, and what counts as a digit.
        force: the box that fits a digit best is that digit, however badly it fits.
    """
    overlaps = iou(boxes, truth.boxes)
    best, match = overlaps.max(dim=1)
    inside = best >= sampling.inside
    if force:
        fitting = overlaps.argmax(dim=0)
        inside[fitting] = True
        match[fitting] = torch.arange(len(truth.boxes))
    positive = _some(inside, sampling.positives)
    negative = _some((best < sampling.outside) & ~inside, sampling.count - len(positive))
    rows = torch.cat([positive, negative])
    return Sample(rows, boxes[rows], match[positive], truth)


def _some(mask: torch.Tensor, count: int) -> torch.Tensor:
    """At most so many of the positions that are true, in random order."""
    where = mask.nonzero()[:, 0]
    return where[torch.randperm(len(where))[:count]]


def mask_targets(masks: torch.Tensor, boxes: torch.Tensor) -> torch.Tensor:
    """Masks [n, H, W] in their boxes [n, 4], bilinear: [n, 28, 28].

    A mask will be pasted over whole pixels, on average over a box that is half a pixel larger on each side.
    """
    grown = boxes + boxes.new_tensor([-0.5, -0.5, 0.5, 0.5])
    shares = (torch.arange(MASK_SIDE) + 0.5) / MASK_SIDE
    height, width = masks.shape[1:]
    x = (grown[:, 0:1] + (grown[:, 2:3] - grown[:, 0:1]) * shares) * (2 / width) - 1
    y = (grown[:, 1:2] + (grown[:, 3:4] - grown[:, 1:2]) * shares) * (2 / height) - 1
    places = [x[:, None].expand(-1, MASK_SIDE, -1), y[:, :, None].expand(-1, -1, MASK_SIDE)]
    return functional.grid_sample(masks[:, None], torch.stack(places, dim=-1), align_corners=False)[:, 0]


def heatmap_targets(keypoints: torch.Tensor, boxes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Which cell of its box's heatmap each keypoint is in.

    Args:
        keypoints: [n, K, 2] pixels.
        boxes: [n, 4] xyxy.

    Returns:
        int64 [n, K], row by row; and bool [n, K], whether it lies in the box at all.
    """
    sides = boxes[:, None, 2:] - boxes[:, None, :2]
    cells = ((keypoints - boxes[:, None, :2]) / sides * HEATMAP_SIDE).floor().long()
    inside = ((cells >= 0) & (cells < HEATMAP_SIDE)).all(dim=2)
    x, y = cells.clamp(0, HEATMAP_SIDE - 1).unbind(dim=2)
    return y * HEATMAP_SIDE + x, inside
