"""Which found object is which true one, by the rules of the field.

In: Pairs.  Out: Matches: true positive, false positive or neither, for every found object.
Sources: pycocotools cocoeval.py evaluateImg; VOC devkit VOCevaldet.m; Ultralytics engine/validator.py match_predictions;
darknet src/detector.c validate_detector_map.
"""

from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

import numpy as np

from vedette.runtime.evaluation.data import Found, Truth
from vedette.runtime.evaluation.overlaps import Pairs
from vedette.runtime.frame import Array

TRUE, FALSE, NEITHER = 1, 0, -1


@dataclass(frozen=True, slots=True, eq=False)
class Matches:
    """What became of every found object.

    Attributes:
        status: TRUE positive, FALSE positive, or NEITHER: on a crowd or a difficult object, or beyond the most a picture.
        true: the true object that it was matched with, -1 for none.
        overlap: with that one; where it is a false positive, the largest with any of its class.
        counted: of the true objects, those that should be found.
    """

    status: Array  # int8 [D]
    true: Array  # int64 [D]
    overlap: Array  # float64 [D]
    counted: Array  # bool [G]

    def found(self) -> Array:
        """Which of the true objects were found: bool [G]."""
        hit = np.zeros(len(self.counted), bool)
        hit[self.true[self.status == TRUE]] = True
        return hit


def by_score(found: Found) -> Array:
    """Indices, best first; equal scores in the order they were written."""
    return np.argsort(-found.scores, kind="stable")


def best_free(truth: Truth, found: Found, pairs: Pairs, threshold: float, *, most: int = 100) -> Matches:
    """COCO's rule: in the order of scores each takes the best that is free; crowds and the like are taken last.

    Only the `most` best of a picture and category count.
    """
    ignored = _ignored(truth)
    status, true, overlap = _blank(found, pairs)
    beyond = _beyond(found, most)
    status[beyond] = NEITHER
    rank = np.empty(len(found), np.int64)
    rank[by_score(found)] = np.arange(len(found))
    rows = np.flatnonzero((pairs.overlap >= min(threshold, 1 - 1e-10)) & ~beyond[pairs.found])
    rows = rows[np.lexsort((pairs.true[rows], ignored[pairs.true[rows]], rank[pairs.found[rows]]))]
    taken = np.zeros(len(truth), bool)
    columns = (pairs.found[rows].tolist(), pairs.true[rows].tolist(), pairs.overlap[rows].tolist())
    for own, candidates in groupby(zip(*columns, strict=True), key=itemgetter(0)):
        best, most_overlap = -1, 0.0
        for _, other, value in candidates:
            if best >= 0 and ignored[other] and not ignored[best]:
                break
            if value >= most_overlap and (truth.crowd[other] or not taken[other]):
                best, most_overlap = other, value
        if best >= 0:
            taken[best] = True
            status[own], true[own], overlap[own] = NEITHER if ignored[best] else TRUE, best, most_overlap
    return Matches(status, true, overlap, ~ignored)


def _ignored(truth: Truth) -> Array:
    """What COCO does not count: crowds, and people without a joint to be seen."""
    return (
        truth.crowd if truth.keypoints is None else truth.crowd | ~(truth.keypoints[..., 2] > 0).any(axis=1)
    )


def best_of_all(truth: Truth, found: Found, pairs: Pairs, threshold: float) -> Matches:
    """VOC's rule: each takes the one it overlaps most; whoever comes second to it is a false positive.

    A difficult object, and a crowd, neither counts nor makes a false positive.
    """
    ignored = truth.difficult | truth.crowd
    status, true, overlap = _blank(found, pairs)
    best = _best(pairs, len(found))
    hit = np.flatnonzero((best >= 0) & (overlap >= threshold))
    other = pairs.true[best[hit]]
    true[hit] = other
    status[hit[ignored[other]]] = NEITHER
    real = hit[~ignored[other]]
    real = real[np.argsort(-found.scores[real], kind="stable")]
    _, first = np.unique(true[real], return_index=True)
    status[real[first]] = TRUE
    return Matches(status, np.where(status == FALSE, -1, true), overlap, ~ignored)


def best_above(truth: Truth, found: Found, pairs: Pairs, threshold: float) -> Matches:
    """The rule of darknet: as VOC's, but the overlap must exceed the threshold, and difficult objects come after the others."""
    ignored = truth.difficult | truth.crowd
    matches = best_of_all(truth, found, _without(pairs, ignored), float(np.nextafter(threshold, 2)))
    on_ignored = np.zeros(len(found), bool)
    on_ignored[pairs.found[ignored[pairs.true] & (pairs.overlap > threshold)]] = True
    lonely = on_ignored & (matches.overlap <= threshold)
    status = np.where(lonely, NEITHER, matches.status).astype(np.int8)
    return Matches(status, matches.true, matches.overlap, ~ignored)


def best_of_counted(truth: Truth, found: Found, pairs: Pairs, threshold: float) -> Matches:
    """Ultralytics' rule: as VOC's, in data that has neither crowds nor difficult objects; what lies on those is false."""
    ignored = truth.difficult | truth.crowd
    return best_of_all(truth, found, _without(pairs, ignored), threshold)


def _without(pairs: Pairs, ignored: Array) -> Pairs:
    kept = ~ignored[pairs.true]
    return Pairs(pairs.found[kept], pairs.true[kept], pairs.overlap[kept])


def _blank(found: Found, pairs: Pairs) -> tuple[Array, Array, Array]:
    """Every one a false positive; its largest overlap."""
    overlap = np.zeros(len(found))
    np.maximum.at(overlap, pairs.found, pairs.overlap)
    return np.full(len(found), FALSE, np.int8), np.full(len(found), -1, np.int64), overlap


def _best(pairs: Pairs, count: int) -> Array:
    """The pair of the largest overlap of each found one, the first of equals; -1 for none."""
    order = np.lexsort((pairs.true, -pairs.overlap, pairs.found))
    owners, first = np.unique(pairs.found[order], return_index=True)
    best = np.full(count, -1, np.int64)
    best[owners] = order[first]
    return best


def _beyond(found: Found, most: int) -> Array:
    """Which come after the `most` best of their picture and category: bool [D]."""
    order = np.lexsort((-found.scores, found.category, found.image))
    same = (np.diff(found.image[order]) == 0) & (np.diff(found.category[order]) == 0)
    starts = np.flatnonzero(np.concatenate([[True], ~same])) if len(order) else np.zeros(0, np.int64)
    place = np.arange(len(order)) - np.repeat(starts, np.diff(np.concatenate([starts, [len(order)]])))
    beyond = np.zeros(len(found), bool)
    beyond[order[place >= most]] = True
    return beyond
