"""Whether scores mean what they say: of the objects that score 0.7, are 70 % right?

In: scores and whether each was right.  Out: Calibration: the reliability curve, and ECE.
Source: Guo et al., On Calibration of Modern Neural Networks, ICML 2017, section 2.
"""

from dataclasses import dataclass

import numpy as np

from vedette.runtime.frame import Array

BINS = 10


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """Bins of equal width over scores 0 to 1; an empty bin has no confidence and no accuracy: nan."""

    edges: Array  # float64 [B + 1]
    counts: Array  # int64 [B]
    confidence: Array  # float64 [B], mean score
    accuracy: Array  # float64 [B], share that is right

    @property
    def error(self) -> float:
        """ECE, the expected calibration error: the mean gap of a bin, weighted by its count; nan without any score."""
        total = self.counts.sum()
        gaps = np.where(self.counts > 0, np.abs(self.accuracy - self.confidence), 0.0)
        return float((gaps * self.counts).sum() / total) if total else float("nan")


def calibration_of(scores: Array, right: Array, *, bins: int = BINS) -> Calibration | None:
    """The reliability curve; None where scores are no shares.

    A score on an edge is of the bin above it, and 1 of the last.

    Args:
        scores: float [D].
        right: bool [D].
        bins: of equal width.
    """
    if len(scores) and (scores.min() < 0 or scores.max() > 1):
        return None
    edges = np.linspace(0, 1, bins + 1)
    place = np.clip(np.searchsorted(edges, scores, side="right") - 1, 0, bins - 1)
    counts = np.bincount(place, minlength=bins)
    with np.errstate(invalid="ignore"):
        confidence = np.bincount(place, weights=scores, minlength=bins) / counts
        accuracy = np.bincount(place, weights=right, minlength=bins) / counts
    return Calibration(edges, counts, confidence, accuracy)
