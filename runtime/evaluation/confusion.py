"""Which class was taken for which, and what each wrong object is wrong in.

In: matches at one overlap.  Out: Confusion and Errors at one threshold.
The causes are those of Bolya et al., TIDE, ECCV 2020, section 2.2, with the overlap of background at 0.1.
"""

from dataclasses import replace

import numpy as np

from vedette.runtime.evaluation.data import Found, Truth
from vedette.runtime.evaluation.evaluation import BACKGROUND, CAUSES, Confusion, Errors
from vedette.runtime.evaluation.matching import FALSE, NEITHER, TRUE, Matches
from vedette.runtime.evaluation.overlaps import FLOOR, Overlap, Pairs, pairs_of
from vedette.runtime.frame import Array


def confusion_and_errors(
    truth: Truth, found: Found, matches: Matches, how: Overlap, iou: float, threshold: float
) -> tuple[Confusion, Errors]:
    """Of what scores `threshold` or more."""
    taken = found.scores >= threshold
    wrong = np.flatnonzero(taken & (matches.status == FALSE))
    pairs = _across(truth, found, wrong, how)
    right = np.flatnonzero(taken & (matches.status == TRUE))
    missed = matches.counted.copy()
    missed[matches.true[right]] = False
    confused = _confused(found, pairs, missed, iou)
    other, overlap = _other(truth, found, pairs)
    cause = np.full(len(found), CAUSES.index("below the threshold"), np.int8)
    cause[taken & (matches.status == NEITHER)] = CAUSES.index("not counted")
    cause[right] = CAUSES.index("right")
    cause[wrong] = _causes(matches.overlap[wrong], overlap[wrong], iou)
    return _matrix(truth, found, right, wrong, missed, confused), Errors(cause, missed, other, overlap)


def _across(truth: Truth, found: Found, rows: Array, how: Overlap) -> Pairs:
    """Pairs of some found objects with true ones of any class."""
    pairs = pairs_of(truth, found.at(rows), replace(how, same_class=False))
    return Pairs(rows[pairs.found], pairs.true, pairs.overlap)


def _confused(found: Found, pairs: Pairs, missed: Array, iou: float) -> dict[int, int]:
    """Wrong objects that lie on missed ones, the largest overlap first: true by found."""
    rows = np.flatnonzero((pairs.overlap >= iou) & missed[pairs.true])
    rows = rows[np.lexsort((-found.scores[pairs.found[rows]], -pairs.overlap[rows]))]
    made: dict[int, int] = {}
    gone: set[int] = set()
    for own, true in zip(pairs.found[rows].tolist(), pairs.true[rows].tolist(), strict=True):
        if own not in made and true not in gone:
            made[own] = true
            gone.add(true)
    return made


def _other(truth: Truth, found: Found, pairs: Pairs) -> tuple[Array, Array]:
    """For each found object the true one of another class that it overlaps most."""
    apart = np.flatnonzero(truth.category[pairs.true] != found.category[pairs.found])
    apart = apart[np.argsort(pairs.overlap[apart], kind="stable")]
    other, overlap = np.full(len(found), -1, np.int64), np.zeros(len(found))
    other[pairs.found[apart]], overlap[pairs.found[apart]] = (
        pairs.true[apart],
        pairs.overlap[apart],
    )  # the last stays
    return other, overlap


def _causes(own: Array, other: Array, iou: float) -> Array:
    rules = [(own >= iou, "duplicate"), (other >= iou, "class"), (own >= min(FLOOR, iou), "localisation")]
    return np.select(
        [rule for rule, _ in rules], [CAUSES.index(name) for _, name in rules], CAUSES.index("background")
    )


def _matrix(
    truth: Truth, found: Found, right: Array, wrong: Array, missed: Array, confused: dict[int, int]
) -> Confusion:
    count = len(truth.names)
    rest = np.setdiff1d(wrong, list(confused))
    lost = missed.copy()
    lost[list(confused.values())] = False
    own, true = np.array(list(confused), np.int64), np.array(list(confused.values()), np.int64)
    cells = [
        (found.category[right], found.category[right]),
        (truth.category[true], found.category[own]),
        (np.full(len(rest), count), found.category[rest]),
        (truth.category[lost], np.full(int(lost.sum()), count)),
    ]
    flat = np.concatenate([rows * (count + 1) + columns for rows, columns in cells]).astype(np.int64)
    matrix = np.bincount(flat, minlength=(count + 1) ** 2).reshape(count + 1, count + 1)
    return Confusion((*truth.names, BACKGROUND), matrix)
