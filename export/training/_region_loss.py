"""The region loss of YOLOv2: which anchor of which cell must find each digit, and how far it is from that.

In: the raw region of a batch, and its scenes.  Out: one number. Next: yolov2.py.

As in the paper: a digit belongs to the cell of its centre and to the anchor of the most similar shape; objectness
is trained towards the IoU of the box that was found; a box elsewhere that fits a digit well is let be. Unlike it:
objectness by cross entropy instead of squares, boxes by GIoU, which mAP rewards.

Sources: Redmon and Farhadi, YOLO9000, CVPR 2017; Rezatofighi et al., Generalized Intersection over Union, CVPR 2019.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from vedette.export.networks.yolov2 import ANCHORS, CLASSES, STRIDE
from vedette.export.training.scenes import Scene
from vedette.runtime.frame import Array

FITS = 0.6  # the IoU from which a box that need not find a digit may
ELSEWHERE = 0.5  # weight of the objectness of all that finds nothing
BOX = 2.0  # weight of the boxes
CLASS = 2.0  # weight of the classes
MOST = 4.0  # e to the power of it, in anchors: the largest box that training believes


@dataclass(frozen=True, slots=True)
class Truth:
    """The digits of a batch."""

    places: tuple[torch.Tensor, ...]  # image, anchor, row, column: int64 [N] each
    boxes: torch.Tensor  # float32 [N, 4] xyxy, cells
    class_ids: torch.Tensor  # int64 [N]


def truth_of(scenes: Sequence[Scene]) -> Truth:
    """The digits of scenes, each with its cell and anchor."""
    boxes = np.concatenate([one.boxes_xyxy for one in scenes]) / STRIDE
    image = np.repeat(np.arange(len(scenes)), [len(one.class_ids) for one in scenes])
    anchor = shape_iou(boxes[:, 2:] - boxes[:, :2], np.array(ANCHORS)).argmax(axis=1)
    column, row = ((boxes[:, :2] + boxes[:, 2:]) / 2).astype(np.int64).T
    class_ids = np.concatenate([one.class_ids for one in scenes])
    places = tuple(torch.from_numpy(index) for index in (image, anchor, row, column))
    return Truth(places, torch.from_numpy(boxes), torch.from_numpy(class_ids))


def shape_iou(sizes: Array, anchors: Array) -> Array:
    """IoU of boxes and anchors that share a centre, float [N, K]."""
    common = np.minimum(sizes[:, None], anchors).prod(axis=2)
    union: Array = sizes.prod(axis=1)[:, None] + anchors.prod(axis=1) - common
    return np.asarray(common / union)


def region_loss(output: torch.Tensor, truth: Truth) -> torch.Tensor:
    """The loss of a batch.

    Args:
        output: float32 [N, A * (5 + C), h, w], raw.
        truth: of the same pictures.
    """
    images, _, rows, columns = output.shape
    region = output.reshape(images, len(ANCHORS), 5 + CLASSES, rows, columns)
    boxes = region_boxes(region)
    image, anchor, row, column = truth.places
    overlap, generalised = ious(boxes[truth.places], truth.boxes)
    objectness = _objectness_loss(region[:, :, 4], boxes.detach(), overlap.detach(), truth)
    classes = functional.cross_entropy(region[image, anchor, 5:, row, column], truth.class_ids)
    return objectness + CLASS * classes + BOX * (1 - generalised).mean()


def _objectness_loss(
    objectness: torch.Tensor, boxes: torch.Tensor, overlap: torch.Tensor, truth: Truth
) -> torch.Tensor:
    """A digit's anchor is to say how well its box fits, the others to say nothing: a sum for each digit."""
    wanted = torch.zeros_like(objectness)
    wanted[truth.places] = overlap
    weights = ELSEWHERE * _misses(boxes, truth)
    weights[truth.places] = 1
    losses = functional.binary_cross_entropy_with_logits(objectness, wanted, reduction="none")
    return (losses * weights).sum() / len(overlap)


def _misses(boxes: torch.Tensor, truth: Truth) -> torch.Tensor:
    """1 where a box [N, A, h, w, 4] fits no digit of its picture, else 0."""
    misses = torch.ones(boxes.shape[:-1])
    for image, box in zip(truth.places[0].tolist(), truth.boxes, strict=True):
        misses[image] *= ious(boxes[image], box)[0] <= FITS
    return misses


def region_boxes(region: torch.Tensor) -> torch.Tensor:
    """[N, A, 5 + C, h, w] raw to boxes [N, A, h, w, 4] xyxy in cells, as the decoder makes them."""
    rows, columns = region.shape[3:]
    anchors = torch.tensor(ANCHORS)[:, :, None, None]  # [A, 2, 1, 1]
    x = region[:, :, 0].sigmoid() + torch.arange(columns)
    y = region[:, :, 1].sigmoid() + torch.arange(rows)[:, None]
    width, height = (anchors * region[:, :, 2:4].clamp(max=MOST).exp() / 2).unbind(dim=2)
    return torch.stack([x - width, y - height, x + width, y + height], dim=-1)


def ious(first: torch.Tensor, second: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """IoU and generalised IoU of boxes [..., 4] xyxy, pair by pair, broadcast."""
    inner = _area(
        torch.maximum(first[..., :2], second[..., :2]), torch.minimum(first[..., 2:], second[..., 2:])
    )
    outer = _area(
        torch.minimum(first[..., :2], second[..., :2]), torch.maximum(first[..., 2:], second[..., 2:])
    )
    union = _area(first[..., :2], first[..., 2:]) + _area(second[..., :2], second[..., 2:]) - inner
    return inner / union, inner / union - (outer - union) / outer


def _area(corner: torch.Tensor, opposite: torch.Tensor) -> torch.Tensor:
    return (opposite - corner).clamp(min=0).prod(dim=-1)
