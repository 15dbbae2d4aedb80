"""Objects of one frame as a reference and another model decide: which are the same?

In: two Results with boxes.  Out: counts, in a Tally.  Next: dense.py (pixels), verdict.py (what is too much).

Two boxes are the same where they overlap by 0.9 or more and are of one class, one to one; instances where their masks do, too,
and their joints are the same. People of a pose are the same where their joints are, for a box ends where its outermost joint
does. Joints are the same where four in five of those that either person has are near: apart by a tenth of the person's longer
side at most, as PCK counts at 0.1 of the box. Not all of them need be: whether a limb is joined to a person has no middle.
A decision needs a score of conf on its own side, and SLACK less on the other: a score may cross the threshold by that.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from vedette.export.gate.tally import Tally
from vedette.runtime.errors import ModelError
from vedette.runtime.frame import Array
from vedette.runtime.objects import ObjectMasks, OrientedBoxes
from vedette.runtime.results import Boxes, Keypoints, Result

IOU = 0.9
LOOSE = 0.5  # IoU of boxes that are of the same object, wherever they lie exactly
NEAR = 0.1  # of a person's longer side
JOINTS = 0.8  # of the joints that either person has
DRAWN = 0.25  # joints that score less on both sides do not count
SLACK = 0.02


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """Which of two results' objects are the same: indices, side by side."""

    one: Array  # int64 [n]
    other: Array


def compare_objects(tally: Tally, one: Result, other: Result) -> None:
    """Count the boxes, and what belongs to them, of a frame.

    Args:
        tally: grows.
        one: of the reference, with all objects above a low conf.
        other: of what is judged, likewise.
    """
    tally.rows.append((_row(one), _row(other)))
    one, other = (_likely(result, tally.conf - SLACK) for result in (one, other))
    boxes, others = _boxes(one), _boxes(other)
    overlaps, same = _overlaps(one, other), _labels(one)[:, None] == _labels(other)
    loosely = pairs_of(np.where(same, overlaps, 0), LOOSE)
    tally.offsets.append(_offsets(boxes.xyxy[loosely.one], others.xyxy[loosely.other]))
    pairs = pairs_of(np.where(same, overlaps, 0), IOU)
    tally.drifted(boxes.conf[pairs.one], others.conf[pairs.other])
    pairs = _with_same_parts(tally, one, other, pairs)
    _count(tally, boxes.conf, others.conf, pairs)
    _count_confused(tally, one, other, np.where(same, 0, overlaps), pairs)


def compare_people(tally: Tally, one: Result, other: Result) -> None:
    """Count the joints of a frame's people.

    Args:
        tally: grows.
        one: of the reference.
        other: of what is judged.
    """
    one, other = (_likely(result, tally.conf - SLACK) for result in (one, other))
    scores, others = _boxes(one).conf, _boxes(other).conf
    sizes = _sizes(_boxes(one).xyxy)
    near, either = _near_joints(_joints(one), _joints(other), sizes)
    shares = near.sum(axis=2) / np.maximum(1, either.sum(axis=2))
    pairs = pairs_of(shares, JOINTS)
    tally.joints.extend(shares[pairs.one, pairs.other].tolist())
    tally.drifted(scores[pairs.one], others[pairs.other])
    apart = (_joints(other).xy[pairs.other] - _joints(one).xy[pairs.one]).astype(np.float64)
    offsets = np.concatenate([apart / sizes[pairs.one, None, None], apart], axis=2)
    tally.offsets.append(offsets[near[pairs.one, pairs.other]])
    _count(tally, scores, others, pairs)


def pairs_of(likeness: Array, least: float) -> Pairs:
    """The likest pairs of [N, M] first, each row and column once, down to `least`."""
    rows, columns = np.nonzero(likeness >= least)
    order = np.argsort(-likeness[rows, columns], kind="stable")
    free_rows, free_columns = (np.ones(side, bool) for side in likeness.shape)
    kept = []
    for row, column in zip(rows[order], columns[order], strict=True):
        if free_rows[row] and free_columns[column]:
            free_rows[row] = free_columns[column] = False
            kept.append((row, column))
    found = np.array(kept, np.int64).reshape(-1, 2)
    return Pairs(found[:, 0], found[:, 1])


def iou(boxes: Array, others: Array) -> Array:
    """[N, M] of boxes [N, 4] and [M, 4], xyxy."""
    low = np.maximum(boxes[:, None, :2], others[:, :2])
    high = np.minimum(boxes[:, None, 2:], others[:, 2:])
    shared = (high - low).clip(0).prod(axis=2)
    areas = [(each[:, 2:] - each[:, :2]).prod(axis=1) for each in (boxes, others)]
    joined = areas[0][:, None] + areas[1] - shared
    found: Array = np.divide(shared, joined, out=np.zeros_like(shared), where=joined > 0)
    return found


def _row(result: Result) -> tuple[Array, Array, Array]:
    """What mAP needs of a frame: boxes, scores, labels."""
    boxes = _boxes(result)
    return boxes.xyxy, boxes.conf, _labels(result)


def _likely(result: Result, conf: float) -> Result:
    return result[np.flatnonzero(_boxes(result).conf >= conf)]


def _boxes(result: Result) -> Boxes:
    assert result.boxes is not None
    return result.boxes


def _labels(result: Result) -> Array:
    """Names, which mean the same on both sides whatever their numbers are."""
    return np.array([result.names[int(index)] for index in _boxes(result).cls], object)


def _overlaps(one: Result, other: Result) -> Array:
    if one.obb is not None and other.obb is not None:
        return _turned_iou(one.obb, other.obb)
    return iou(_boxes(one).xyxy.astype(np.float64), _boxes(other).xyxy.astype(np.float64))


def _turned_iou(boxes: OrientedBoxes, others: OrientedBoxes) -> Array:
    """[N, M] of boxes with an angle."""
    import cv2

    found = np.zeros((len(boxes), len(others)))
    for row, column in np.ndindex(found.shape):
        mine, theirs = _rectangle(boxes.xywhr[row]), _rectangle(others.xywhr[column])
        _, corners = cv2.rotatedRectangleIntersection(mine, theirs)
        touching: Any = corners  # None where they do not
        shared = 0.0 if touching is None else cv2.contourArea(cv2.convexHull(touching))
        areas = float(np.prod(mine[1]) + np.prod(theirs[1]))
        found[row, column] = shared / (areas - shared) if areas > shared else 0.0
    return found


def _rectangle(xywhr: Array) -> tuple[tuple[float, float], tuple[float, float], float]:
    x, y, width, height, angle = xywhr.tolist()
    return (x, y), (width, height), float(np.degrees(angle))


def _offsets(boxes: Array, others: Array) -> Array:
    """float64 [n, 4] of the centres: as a share of the reference's sides, and in pixels."""
    sides = (boxes[:, 2:] - boxes[:, :2]).astype(np.float64)
    apart = (others.reshape(-1, 2, 2).mean(axis=1) - boxes.reshape(-1, 2, 2).mean(axis=1)).astype(np.float64)
    return np.concatenate([apart / np.maximum(sides, 1e-6), apart], axis=1)


def _with_same_parts(tally: Tally, one: Result, other: Result, pairs: Pairs) -> Pairs:
    """The pairs whose masks and joints are the same, too."""
    keep = np.ones(len(pairs.one), bool)
    for index, (row, column) in enumerate(zip(pairs.one, pairs.other, strict=True)):
        if isinstance(one.masks, ObjectMasks) and isinstance(other.masks, ObjectMasks):
            shared = mask_iou(one.masks.packed.whole(row), other.masks.packed.whole(column))
            tally.mask_ious.append(shared)
            if shared < IOU:
                keep[index] = False
                tally.apart["another mask"] += 1
        if one.keypoints is not None and other.keypoints is not None:
            sizes = _sizes(_boxes(one).xyxy[[row]])
            near, either = _near_joints(one.keypoints[[row]], other.keypoints[[column]], sizes)
            share = float(near.sum() / either.sum()) if either.any() else 1.0
            tally.joints.append(share)
            if share < JOINTS:
                keep[index] = False
                tally.apart["other joints"] += 1
    return Pairs(pairs.one[keep], pairs.other[keep])


def mask_iou(one: Array, other: Array) -> float:
    """Of two bool masks; 1 where both are empty."""
    either = int((one | other).sum())
    return int((one & other).sum()) / either if either else 1.0


def _count(tally: Tally, scores: Array, others: Array, pairs: Pairs) -> None:
    sure, found = scores >= tally.conf, others >= tally.conf
    tally.decisions += int(sure.sum())
    tally.kept += int(sure[pairs.one].sum())
    tally.found += int(found.sum())
    tally.invented += int(found.sum() - found[pairs.other].sum())


def _count_confused(tally: Tally, one: Result, other: Result, overlaps: Array, pairs: Pairs) -> None:
    """Objects that have no counterpart of their class, but one of another."""
    left = overlaps.copy()
    left[pairs.one], left[:, pairs.other] = 0, 0
    labels, others = _labels(one), _labels(other)
    confused = pairs_of(left, IOU)
    tally.classes.update(zip(labels[confused.one], others[confused.other], strict=True))


def _joints(result: Result) -> Keypoints:
    assert result.keypoints is not None
    return result.keypoints


def _sizes(boxes_xyxy: Array) -> Array:
    """The longer side of each, at least a pixel."""
    sides: Array = boxes_xyxy[:, 2:].astype(np.float64) - boxes_xyxy[:, :2]
    longest: Array = sides.max(axis=1).clip(1)
    return longest


def _near_joints(mine: Keypoints, theirs: Keypoints, sizes: Array) -> tuple[Array, Array]:
    """Bool [P, Q, K] twice: the joints that lie near each other, of those that either person has."""
    if mine.conf.shape[1] != theirs.conf.shape[1]:
        raise ModelError(
            f"the people of one model have {mine.conf.shape[1]} joints, those of the other {theirs.conf.shape[1]}",
            why="they are not of one network",
            cure="give --reference the model that it was made from",
        )
    either = (mine.conf >= DRAWN)[:, None] | (theirs.conf >= DRAWN)
    both = (mine.conf > 0)[:, None] & (theirs.conf > 0)
    apart = np.linalg.norm(theirs.xy - mine.xy[:, None], axis=3)
    return either & both & (apart <= NEAR * sizes[:, None, None]), either
