"""Non-maximum suppression: of the boxes of one class that overlap, the best scored one stays.

In: boxes, scores and classes in any order.  Out: the indices that are kept, best first.
Used by runtime/tasks/detection.py.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vedette.kernels import native
from vedette.kernels.native import F32, FLOAT, I64, INT

Array = NDArray[Any]
Case = tuple[Array, Array, Array]  # boxes_xyxy, scores, class_ids
_BLOCK = 64  # boxes decided together; changes the time, never the answer


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
    kernel = native.function("vedette_nms", [F32, I64, I64, INT, FLOAT, INT, I64], INT)
    if kernel is None:
        return nms_reference(boxes_xyxy, scores, class_ids, iou_threshold=iou_threshold, max_det=max_det)
    boxes = np.ascontiguousarray(boxes_xyxy, np.float32).reshape(-1, 4)
    order = _ranked(boxes, np.asarray(scores, np.float32))
    keep = np.empty(max(0, min(len(order), max_det)), np.int64)
    classes = np.ascontiguousarray(class_ids, np.int64)
    return keep[: kernel(boxes, classes, order, len(order), iou_threshold, len(keep), keep)]


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
