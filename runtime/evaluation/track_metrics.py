"""How well objects are followed: CLEAR, identities and HOTA, each as its authors define it.

In: Steps, the identities and overlaps of each frame.  Out: TrackScores.  Next: tracks.py, which reads them.
Sources: Bernardin and Stiefelhagen, CLEAR MOT, EURASIP JIVP 2008 (MOTA, MOTP, switches, fragmentations; MT and ML: Li, Huang
and Nevatia, CVPR 2009); Ristani et al., ECCV workshops 2016 (IDF1); Luiten et al., IJCV 2021 (HOTA). MOTP is the mean IoU, as
the MOTChallenge prints it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vedette.runtime.frame import Array
from vedette.runtime.tracking.assignment import assign

TINY = float(np.finfo(float).eps)
ALPHAS = np.arange(1, 20) / 20  # HOTA's overlaps
ONWARD = 1000.0  # more than any overlap: who was together in the last frame stays so


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """One frame: who is there, who was found, and how they overlap."""

    true: Array  # int64 [n] of 0 … G - 1
    found: Array  # int64 [m] of 0 … P - 1
    overlap: Array  # float64 [n, m], IoU


@dataclass(frozen=True, slots=True)
class Clear:
    """Counts of CLEAR MOT; `overlap` is the sum over the matches."""

    tp: int
    fp: int
    fn: int
    switches: int
    fragments: int
    mostly_tracked: int
    partly_tracked: int
    mostly_lost: int
    overlap: float

    @property
    def mota(self) -> float:
        """1 - (FN + FP + IDSW) / true boxes; may be below 0."""
        return 1 - (self.fn + self.fp + self.switches) / max(1, self.tp + self.fn)

    @property
    def motp(self) -> float:
        """The mean overlap of the matches; -1 where there are none."""
        return self.overlap / self.tp if self.tp else -1.0


@dataclass(frozen=True, slots=True)
class Identity:
    """Boxes that carry the right identity, of one pairing of tracks for the whole sequence."""

    tp: int
    fp: int
    fn: int

    @property
    def precision(self) -> float:
        """IDP."""
        return self.tp / max(1, self.tp + self.fp)

    @property
    def recall(self) -> float:
        """IDR."""
        return self.tp / max(1, self.tp + self.fn)

    @property
    def f1(self) -> float:
        """IDF1."""
        return 2 * self.tp / max(1, 2 * self.tp + self.fp + self.fn)


@dataclass(frozen=True, slots=True)
class Hota:
    """Means over ALPHAS."""

    hota: float
    detection: float
    association: float


def clear(steps: Sequence[Step], count: int, *, iou: float = 0.5) -> Clear:
    """CLEAR MOT of `count` true tracks, at an overlap of `iou`."""
    last, before = np.full(count, -1), np.full(count, -1)  # who each was with: ever, and in the last frame
    present, matched, runs = (np.zeros(count, np.int64) for _ in range(3))
    tp = switches = 0
    overlap = 0.0
    for step in steps:
        together = step.found == before[step.true][:, None]
        enough = step.overlap >= iou - TINY
        rows, columns = assign(np.where(enough, ONWARD * together + step.overlap, 0))
        true, found = step.true[rows], step.found[columns]
        switches += int(((last[true] >= 0) & (last[true] != found)).sum())
        runs[true] += before[true] < 0
        before[:] = -1
        last[true] = before[true] = found
        present[step.true] += 1
        matched[true] += 1
        tp += len(rows)
        overlap += float(step.overlap[rows, columns].sum())
    share = matched[present > 0] / present[present > 0]
    mostly, lost = int((share > 0.8).sum()), int((share < 0.2).sum())
    return Clear(
        tp, sum(len(step.found) for step in steps) - tp, int(present.sum()) - tp, switches,
        int((runs[runs > 0] - 1).sum()), mostly, len(share) - mostly - lost, lost, overlap,
    )  # fmt: skip


def identity(steps: Sequence[Step], counts: tuple[int, int], *, iou: float = 0.5) -> Identity:
    """The pairing of true and found tracks, `counts` of them, under which most boxes are right."""
    together = np.zeros(counts)
    for step in steps:
        together[np.ix_(step.true, step.found)] += step.overlap >= iou - TINY
    tp = int(together[assign(together)].sum())
    found, true = sum(len(step.found) for step in steps), sum(len(step.true) for step in steps)
    return Identity(tp, found - tp, true - tp)


def hota(steps: Sequence[Step], counts: tuple[int, int]) -> Hota:
    """Boxes are paired so that tracks which go together over the sequence are preferred; once, for all overlaps."""
    aligned, true, found = np.zeros(counts), np.zeros(counts[0]), np.zeros(counts[1])
    for step in steps:
        sums = step.overlap.sum(axis=1, keepdims=True) + step.overlap.sum(axis=0) - step.overlap
        aligned[np.ix_(step.true, step.found)] += step.overlap / np.maximum(sums, TINY)
        true[step.true] += 1
        found[step.found] += 1
    aligned /= np.maximum(true[:, None] + found - aligned, TINY)
    matches = np.zeros((len(ALPHAS), *counts))
    for step in steps:
        rows, columns = assign(aligned[np.ix_(step.true, step.found)] * step.overlap)
        enough = step.overlap[rows, columns] >= ALPHAS[:, None] - TINY  # [A, pairs]
        matches[:, step.true[rows], step.found[columns]] += enough
    tp = matches.sum(axis=(1, 2))
    shares = matches / np.maximum(true[:, None] + found - matches, 1)
    association = (matches * shares).sum(axis=(1, 2)) / np.maximum(tp, 1)
    detection = tp / np.maximum(true.sum() + found.sum() - tp, 1)
    whole = np.sqrt(detection * association)
    return Hota(float(whole.mean()), float(detection.mean()), float(association.mean()))
