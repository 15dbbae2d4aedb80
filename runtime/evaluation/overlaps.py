"""Which of the found objects lie on which true ones: pairs, only of the same picture, only those that overlap.

In: Truth and Found.  Out: Pairs.  Next: matching.py.
Sources: COCO's IoU and OKS, pycocotools cocoeval.py; VOC's, VOCevaldet.m of its devkit.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from vedette.runtime.evaluation.data import Found, Kind, Truth
from vedette.runtime.evaluation.masks import overlaps
from vedette.runtime.frame import Array

FLOOR = 0.1  # pairs that overlap less tell nothing
CHUNK = 1_000_000  # pairs at a time: about 100 MB
COCO_SIGMAS = np.array([26, 25, 25, 35, 35, 79, 79, 72, 72, 62, 62, 107, 107, 87, 87, 89, 89]) / 1000


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """Objects that overlap, found by found."""

    found: Array  # int64 [P], index into Found, rising
    true: Array  # int64 [P], index into Truth, rising within a found one
    overlap: Array  # float64 [P]


@dataclass(frozen=True, slots=True)
class Overlap:
    """How an overlap is measured.

    Attributes:
        inclusive: widths are last - first + 1, as in VOC's devkit.
        same_class: only objects of one category are paired.
        sigmas: of the keypoints, COCO's.
        floor: pairs that overlap less are left out.
    """

    kind: Kind = "bbox"
    inclusive: bool = False
    same_class: bool = True
    sigmas: tuple[float, ...] = tuple(COCO_SIGMAS.tolist())
    floor: float = FLOOR


def pairs_of(truth: Truth, found: Found, how: Overlap) -> Pairs:
    """All pairs that overlap by `how.floor` or more."""
    parts = list(_parts(truth, found, how))
    columns = zip(*parts, strict=True) if parts else ((np.zeros(0, np.int64),),) * 2 + ((np.zeros(0),),)
    return Pairs(*(np.concatenate(column) for column in columns))


def _parts(truth: Truth, found: Found, how: Overlap) -> Iterator[tuple[Array, Array, Array]]:
    sigmas = np.array(how.sigmas)
    for rows, columns in _candidates(truth, found, how.same_class):
        if how.kind == "bbox":
            values = box_overlaps(truth, found, rows, columns, inclusive=how.inclusive)
        elif how.kind == "keypoints":
            values = keypoint_overlaps(truth, found, rows, columns, sigmas)
        else:
            values = _mask_overlaps(truth, found, rows, columns)
        kept = values >= how.floor
        yield rows[kept], columns[kept], values[kept]


def _candidates(truth: Truth, found: Found, same_class: bool) -> Iterator[tuple[Array, Array]]:  # noqa: FBT001
    """(found, true) indices of one picture (and category), a chunk at a time; no found one is in two chunks."""
    classes = len(truth.names) if same_class else 0
    keys_true = truth.image * max(classes, 1) + (truth.category if classes else 0)
    keys_found = found.image * max(classes, 1) + (found.category if classes else 0)
    order = np.argsort(keys_true, kind="stable")
    low = np.searchsorted(keys_true[order], keys_found, side="left")
    counts = np.searchsorted(keys_true[order], keys_found, side="right") - low
    start = 0
    ends = np.cumsum(counts)
    while start < len(counts):
        done = ends[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, done + CHUNK, side="right")))
        rows = np.repeat(np.arange(start, stop), counts[start:stop])
        steps = np.arange(len(rows)) - np.repeat(
            ends[start:stop] - counts[start:stop] - done, counts[start:stop]
        )
        yield rows, order[low[rows] + steps]
        start = stop


def box_overlaps(
    truth: Truth, found: Found, rows: Array, columns: Array, *, inclusive: bool = False
) -> Array:
    """IoU of pairs of boxes; over a crowd the share of what was found. 0 where both are empty."""
    more = 1.0 if inclusive else 0.0
    first, second = found.boxes_xywh[rows], truth.boxes_xywh[columns]
    low = np.maximum(first[:, :2], second[:, :2])
    high = np.minimum(first[:, :2] + first[:, 2:], second[:, :2] + second[:, 2:])
    common = np.clip(high - low + more, 0, None).prod(axis=1)
    own, other = (first[:, 2:] + more).prod(axis=1), (second[:, 2:] + more).prod(axis=1)
    whole = np.where(truth.crowd[columns] & (not inclusive), own, own + other - common)
    share: Array = np.divide(common, whole, out=np.zeros_like(common), where=whole > 0)
    return share


def keypoint_overlaps(truth: Truth, found: Found, rows: Array, columns: Array, sigmas: Array) -> Array:
    """OKS of pairs; where a true one has no visible joint, by how far the found ones lie outside twice its box."""
    assert truth.keypoints is not None
    assert found.keypoints is not None
    joints, true = found.keypoints[rows], truth.keypoints[columns]  # [P, K, 3]
    visible: Array = true[..., 2] > 0
    nobody: Array = np.logical_not(visible.any(axis=1))
    away = joints[..., :2] - true[..., :2]
    low = truth.boxes_xywh[columns, :2] - truth.boxes_xywh[columns, 2:]
    high = truth.boxes_xywh[columns, :2] + 2 * truth.boxes_xywh[columns, 2:]
    outside = np.maximum(0, low[:, None] - joints[..., :2]) + np.maximum(0, joints[..., :2] - high[:, None])
    away = np.where(nobody[:, None, None], outside, away)
    spread = 2 * (2 * sigmas) ** 2 * (truth.areas[columns, None] + np.spacing(1))
    near = np.exp(-(away**2).sum(axis=-1) / spread)  # [P, K]
    counted = visible | nobody[:, None]
    similarity: Array = np.where(counted, near, 0).sum(axis=1) / counted.sum(axis=1)
    return similarity


def _mask_overlaps(truth: Truth, found: Found, rows: Array, columns: Array) -> Array:
    """IoU of pairs of masks, picture by picture."""
    assert truth.masks is not None
    assert found.masks is not None
    values = np.zeros(len(rows))
    for part in np.split(np.arange(len(rows)), np.flatnonzero(np.diff(found.image[rows])) + 1):
        if not len(part):
            continue
        ours, where = np.unique(rows[part], return_inverse=True)
        theirs, which = np.unique(columns[part], return_inverse=True)
        matrix = overlaps(
            [found.masks[row] for row in ours],
            [truth.masks[row] for row in theirs],
            truth.crowd[theirs],
        )
        values[part] = matrix[where, which]
    return values
