"""Non-maximum suppression: of the boxes of one class that overlap, the best scored one stays.

In: boxes, scores and classes in any order.  Out: the indices that are kept, best first.
nms for upright boxes, nms_rotated for boxes with an angle. Used by runtime/tasks/detection.py.
"""

import ctypes
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vedette.kernels import native
from vedette.kernels.native import F32, FLOAT, I64, INT

Array = NDArray[Any]
Case = tuple[Array, Array, Array]  # boxes_xyxy, scores, class_ids
_BLOCK = 64  # boxes decided together; changes the time, never the answer
_EPSILON = 1e-7  # pixels^4
_NMS = (F32, F32, I64, INT, FLOAT, INT, I64)
_NMS_ROTATED = (native.Array("float64"), F32, I64, INT, ctypes.c_double, INT, I64)


def nms_reference(
    boxes_xyxy: Array, scores: Array, class_ids: Array, *, iou_threshold: float, max_det: int
) -> Array:
    """Keep boxes greedily, best score first; each suppresses those of its class that overlap it by more.

    Exact for any number of boxes. Equal scores go to the lower index. An IoU equal to the threshold does not
    suppress. A box or score that is not finite is never kept and suppresses nothing. A box without area, or
    turned inside out, overlaps nothing. Arithmetic is float32: widths times heights, then one division.

    Args:
        boxes_xyxy: [N, 4] in any one unit.
        scores: [N].
        class_ids: [N].
        iou_threshold: 0 to 1.
        max_det: most indices returned, over all classes.

    Returns:
        int64 [n], n <= max_det, indices into the arguments, by falling score.
    """
    boxes = np.asarray(boxes_xyxy, np.float32).reshape(-1, 4)
    rest = _ranked(boxes, np.asarray(scores, np.float32))
    classes, threshold = np.asarray(class_ids), np.float32(iou_threshold)
    kept: list[int] = []
    while rest.size and len(kept) < max_det:
        block, rest = rest[:_BLOCK], rest[_BLOCK:]
        block = block[_first_of_its_kind(_suppression(boxes, classes, block, block, threshold))]
        rest = rest[~_suppression(boxes, classes, block, rest, threshold).any(axis=0)]
        kept.extend(block.tolist())
    return np.array(kept[: max(max_det, 0)], np.int64)


def _ranked(boxes: Array, scores: Array) -> Array:
    """Indices of what is finite, best first, ties to the lower index."""
    finite = np.flatnonzero(np.isfinite(boxes).all(axis=1) & np.isfinite(scores))
    ranked: Array = finite[np.argsort(-scores[finite], kind="stable")]
    return ranked


def _first_of_its_kind(suppression: Array) -> Array:
    """What stays, bool [n], when each row that no earlier one suppressed suppresses its columns."""
    alive = np.ones(len(suppression), bool)
    for row in range(len(suppression)):
        if alive[row]:
            alive[row + 1 :] &= ~suppression[row, row + 1 :]
    return alive


def _suppression(boxes: Array, classes: Array, first: Array, second: Array, threshold: np.float32) -> Array:
    """Whether boxes[first[i]] would suppress boxes[second[j]], bool [n, m]."""
    same = classes[first, None] == classes[second]
    overlap: Array = same & (_iou(boxes[first], boxes[second]) > threshold)
    return overlap


def _iou(one: Array, other: Array) -> Array:
    """Intersection over union of [n, 4] and [m, 4] xyxy boxes: float32 [n, m], NaN for two without area."""
    left, top, right, bottom = one.T[:, :, None]
    left2, top2, right2, bottom2 = other.T[:, None]
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # huge boxes
        width = np.clip(np.minimum(right, right2) - np.maximum(left, left2), 0, None)
        height = np.clip(np.minimum(bottom, bottom2) - np.maximum(top, top2), 0, None)
        shared = width * height
        areas = (right - left) * (bottom - top) + (right2 - left2) * (bottom2 - top2)
        ratio: Array = shared / (areas - shared)
    return ratio


def nms(boxes_xyxy: Array, scores: Array, class_ids: Array, *, iou_threshold: float, max_det: int) -> Array:
    """nms_reference by the C++ kernel where it is built: the same indices, for the same arguments."""
    kernel = native.function("vedette_nms", _NMS, INT)
    if kernel is None:
        return nms_reference(boxes_xyxy, scores, class_ids, iou_threshold=iou_threshold, max_det=max_det)
    boxes = np.ascontiguousarray(boxes_xyxy, np.float32).reshape(-1, 4)
    return _kept(kernel, boxes, scores, class_ids, iou_threshold, max_det)


def _kept(
    kernel: Callable[..., Any], boxes: Array, scores: Array, class_ids: Array, threshold: float, max_det: int
) -> Array:
    """Call a kernel with arrays that are as long as it will read."""
    count = len(boxes)
    scores = np.ascontiguousarray(scores, np.float32)
    class_ids = np.ascontiguousarray(class_ids, np.int64)
    if not scores.shape == class_ids.shape == (count,):
        raise ValueError(f"{count} boxes have scores {scores.shape} and classes {class_ids.shape}")
    if not threshold >= 0:
        raise ValueError(f"iou_threshold must be 0 or more, not {threshold}")
    keep = np.empty(max(0, min(count, max_det)), np.int64)
    return keep[: kernel(boxes, scores, class_ids, count, threshold, len(keep), keep)]


def nms_rotated_reference(
    boxes_cxcywhr: Array, scores: Array, class_ids: Array, *, iou_threshold: float, max_det: int
) -> Array:
    """nms_reference for rotated boxes: the overlap is prob_iou_reference, everything else is the same.

    To suppress across classes, pass equal class ids. Only kept boxes suppress; the fast NMS that is common for
    rotated boxes lets suppressed ones suppress too, and so keeps fewer.

    Args:
        boxes_cxcywhr: [N, 5] centre, width and height in pixels, and the angle of the width in radians.
        scores: [N].
        class_ids: [N].
        iou_threshold: 0 to 1.
        max_det: most indices returned, over all classes.

    Returns:
        int64 [n], n <= max_det, indices into the arguments, by falling score.
    """
    gaussians = _gaussians(boxes_cxcywhr)
    classes, kept = np.asarray(class_ids), np.zeros(0, np.int64)
    for index in _ranked(gaussians, np.asarray(scores, np.float32)):
        rivals = kept[classes[kept] == classes[index]]
        if len(kept) < max_det and not (_prob_iou(gaussians[rivals], gaussians[index]) > iou_threshold).any():
            kept = np.append(kept, index)
    return kept


def prob_iou_reference(one: Array, other: Array) -> Array:
    """The probabilistic IoU of cxcywhr boxes: 1 minus the Hellinger distance of two Gaussians, in float64.

    A box's Gaussian has its centre as the mean and the variances w^2 / 12 and h^2 / 12 of a uniform rectangle
    along its sides. Equal boxes have 1; rotating by pi, or by pi / 2 with sides swapped, changes nothing. An
    epsilon of 1e-7 in both denominators keeps boxes without area finite, as in the paper's public use.

    Args:
        one: [N, 5].
        other: [N, 5], or [5].

    Returns:
        float64 [N], 0 to 1.

    Source: Llerena et al., Gaussian Bounding Boxes and Probabilistic Intersection-over-Union, 2021.
    """
    return _prob_iou(_gaussians(one), _gaussians(other))


def _gaussians(boxes_cxcywhr: Array) -> Array:
    """Centre x, y and variances xx, yy, xy: float64 [N, 5]."""
    x, y, width, height, angle = np.asarray(boxes_cxcywhr, np.float64).reshape(-1, 5).T
    with np.errstate(over="ignore", invalid="ignore"):
        along, across = width * width / 12, height * height / 12
        cos, sin = np.cos(angle), np.sin(angle)
        xx, yy = along * cos * cos + across * sin * sin, along * sin * sin + across * cos * cos
        gaussians: Array = np.stack([x, y, xx, yy, (along - across) * cos * sin], axis=1)
    return gaussians


def _prob_iou(one: Array, other: Array) -> Array:
    """prob_iou of arithmetic.h: [N, 5] and [N, 5] Gaussians to [N]."""
    dx, dy = (one - other).T[:2]
    xx, yy, xy = (one + other).T[2:]
    det = np.maximum(xx * yy - xy * xy, 0)
    form = yy * dx * dx + xx * dy * dy - 2 * xy * dx * dy
    centres = 0.25 * np.maximum(form, 0) / (det + _EPSILON)
    ratio = (det + _EPSILON) / (4 * np.sqrt(_determinant(one) * _determinant(other)) + _EPSILON)
    shapes = np.maximum(0.5 * np.log(ratio), 0)
    overlap: Array = 1 - np.sqrt(1 - np.exp(-(centres + shapes)))
    return overlap


def _determinant(gaussians: Array) -> Array:
    xx, yy, xy = gaussians.T[2:]
    determinant: Array = np.maximum(xx * yy - xy * xy, 0)
    return determinant


def nms_rotated(
    boxes_cxcywhr: Array, scores: Array, class_ids: Array, *, iou_threshold: float, max_det: int
) -> Array:
    """nms_rotated_reference by the C++ kernel where it is built."""
    kernel = native.function("vedette_nms_rotated", _NMS_ROTATED, INT)
    if kernel is None:
        return nms_rotated_reference(
            boxes_cxcywhr, scores, class_ids, iou_threshold=iou_threshold, max_det=max_det
        )
    return _kept(
        kernel, np.ascontiguousarray(_gaussians(boxes_cxcywhr)), scores, class_ids, iou_threshold, max_det
    )


def _scattered(count: int, *, extent: float, classes: int) -> Case:
    """Seeded boxes of 10 to 60 units in a square."""
    random = np.random.default_rng(count)
    centres = random.uniform(0, extent, (count, 2))
    halves = random.uniform(5, 30, (count, 2))
    boxes = np.concatenate([centres - halves, centres + halves], axis=1).astype(np.float32)
    return boxes, random.uniform(0, 1, count).astype(np.float32), random.integers(0, classes, count)


def _lattice(count: int, *, pitch: float) -> Case:
    """Boxes of 10 x 10 in a row of one class: at pitch 10 they touch; above it none suppresses any."""
    left = np.arange(count, dtype=np.float32) * np.float32(pitch)
    boxes = np.stack([left, np.zeros_like(left), left + 10, np.full_like(left, 10)], axis=1)
    return boxes, np.linspace(1, 0.1, count, dtype=np.float32), np.zeros(count, np.int64)


def _ties() -> Case:
    """Identical boxes and scores: the lowest index of each class stays."""
    boxes = np.tile(np.array([[0, 0, 10, 10]], np.float32), (6, 1))
    return boxes, np.full(6, 0.5, np.float32), np.array([1, 0, 1, 0, 1, 0])


def _not_finite() -> Case:
    """The best two have a NaN and an infinite side; the last a NaN score."""
    boxes, scores, class_ids = _lattice(5, pitch=0)
    boxes[0, 2], boxes[1, 3], scores[4] = np.nan, np.inf, np.nan
    return boxes, scores, class_ids


CASES: Mapping[str, Callable[[], Case]] = {
    "empty": lambda: _lattice(0, pitch=10),
    "one": lambda: _lattice(1, pitch=10),
    "ties": _ties,
    "touching": lambda: _lattice(70, pitch=10),
    "not finite": _not_finite,
    "scattered": lambda: _scattered(300, extent=300, classes=3),
    "crowded": lambda: _scattered(2000, extent=400, classes=3),
    "worst": lambda: _lattice(2000, pitch=11),
}
