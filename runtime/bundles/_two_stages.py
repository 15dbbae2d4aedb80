"""What happens between the graphs of a network of two stages: which proposals and which boxes stay, and where joints are.

In: arrays of one image, in pixels of the network's input.  Out: arrays of the same image.  Next: mask_rcnn.py, which has the
graphs; kernels/nms.py, heatmap_keypoints.py.

Source: Ren et al., Faster R-CNN, 2015; torchvision models/detection/rpn.py and roi_heads.py (facts, no code).
"""

from collections.abc import Sequence

import numpy as np

from vedette.kernels.heatmap_keypoints import heatmap_keypoints
from vedette.kernels.nms import nms
from vedette.runtime.decoders import Candidates
from vedette.runtime.decoders.mask_rcnn import sigmoid
from vedette.runtime.frame import Array
from vedette.runtime.preprocess import Placement

SMALLEST_PROPOSAL, SMALLEST_BOX = 1e-3, 1e-2  # pixels a side; what is smaller is dropped


def best_proposals(
    boxes_xyxy: Array, scores: Array, levels: Array, placement: Placement, *, iou: float, most: int
) -> Array:
    """The best proposals of all levels, each of which suppresses only its own.

    Args:
        boxes_xyxy: float32 [P, 4].
        scores: float32 [P].
        levels: int64 [P], of the pyramid.
        placement: of the picture, at whose edges boxes end.
        iou: overlap above which they suppress each other.
        most: how many stay.

    Returns:
        float32 [n, 4], by falling score.
    """
    boxes = _within(boxes_xyxy, placement)
    rows = _large(boxes, SMALLEST_PROPOSAL)
    kept: Array = boxes[rows][nms(boxes[rows], scores[rows], levels[rows], iou_threshold=iou, max_det=most)]
    return kept


def best_objects(
    boxes_xyxy: Array,
    scores: Array,
    placement: Placement,
    *,
    conf: float,
    iou: float,
    most: int,
    classes: Sequence[int] = (),
) -> Candidates:
    """The best boxes of all classes, each of which suppresses only its own.

    Args:
        boxes_xyxy: float32 [R, C, 4], or [R, 1, 4] where all classes of a proposal have one box.
        scores: float32 [R, C].
        placement: of the picture, at whose edges boxes end.
        conf: a score must be above it.
        iou: overlap above which they suppress each other.
        most: how many stay.
        classes: those that are wanted; empty means all.

    Returns:
        By falling score, and nothing suppresses them any more.
    """
    wanted = scores > conf
    if classes:
        wanted &= np.isin(np.arange(scores.shape[1]), classes)
    rows, class_ids = wanted.nonzero()
    boxes = _within(boxes_xyxy[rows, class_ids if boxes_xyxy.shape[1] > 1 else 0], placement)
    large = _large(boxes, SMALLEST_BOX)
    found = boxes[large], scores[rows, class_ids][large], class_ids[large]
    return Candidates(*found, suppress=False)[nms(*found, iou_threshold=iou, max_det=most)]


def _within(boxes_xyxy: Array, placement: Placement) -> Array:
    """Clipped to the picture: beyond it the input has only padding."""
    (left, top), (width, height) = placement.offset, placement.scaled
    low, high = (left, top) * 2, (left + width, top + height) * 2
    clipped: Array = np.clip(boxes_xyxy, np.array(low, np.float32), np.array(high, np.float32))
    return clipped


def _large(boxes_xyxy: Array, least: float) -> Array:
    """Indices of boxes with such sides; a box that is no number has none."""
    return np.flatnonzero((boxes_xyxy[:, 2:] - boxes_xyxy[:, :2] >= least).all(axis=1))


def side_by_side(images: Sequence[Array], count: int) -> Array:
    """[N, count, …] of arrays [n, …], n <= count; the rest is 0."""
    first = images[0]
    joined = np.zeros((len(images), count, *first.shape[1:]), first.dtype)
    for rows, image in zip(joined, images, strict=True):
        rows[: len(image)] = image
    return joined


def joints(heatmaps: Array, rois_xyxy: Array) -> Array:
    """float32 [n, K, 3]: x, y and how sure, from logits [n, K, S, S] over regions [n, 4]."""
    xy, logits = heatmap_keypoints(heatmaps, rois_xyxy)
    return np.concatenate([xy, sigmoid(logits)[..., None]], axis=2)
