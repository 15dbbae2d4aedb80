"""Curves of precision over recall, and the average precision of a curve, in the field's variants.

In: which of the found objects are true positives, best first.  Out: Curve, and one number.
COCO's own number is not made here: coco.py has it from faster-coco-eval.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from vedette.runtime.frame import Array

NOTHING = -1.0  # COCO's word for the AP of what is not there to be found


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """Precision and recall as objects are taken one by one, best first."""

    scores: Array  # float64 [D]
    true: Array  # bool [D], true positives
    positives: int  # objects that are to be found

    @property
    def recall(self) -> Array:
        """TP / (TP + FN) after each: float64 [D]; nan where there is nothing to be found."""
        with np.errstate(invalid="ignore"):
            return np.cumsum(self.true) / np.float64(self.positives)

    @property
    def precision(self) -> Array:
        """TP / (TP + FP) after each: float64 [D]."""
        return np.cumsum(self.true) / np.arange(1, len(self.true) + 1)

    @property
    def f1(self) -> Array:
        """2 TP / (2 TP + FP + FN) after each: float64 [D]."""
        taken = np.arange(1, len(self.true) + 1)
        return 2 * np.cumsum(self.true) / (taken + self.positives)

    def thresholds(self) -> Array:
        """The last of each group of equal scores, int64: nobody can draw a threshold inside one."""
        if not len(self.scores):
            return np.zeros(0, np.int64)
        return np.flatnonzero(np.concatenate([np.diff(self.scores) != 0, [True]]))

    def best_f1(self) -> tuple[float, float]:
        """The largest F1 that a threshold gives, and that threshold; 0 and nan where there is none."""
        ends = self.thresholds()
        if not len(ends) or not self.true.any():
            return 0.0, float("nan")
        best = ends[np.argmax(self.f1[ends])]
        return float(self.f1[best]), float(self.scores[best])


def eleven_points(recall: Array, precision: Array) -> float:
    """VOC 2007: the mean, over recalls 0, 0.1 … 1, of the highest precision at that recall or a higher one.

    The recalls are the binary numbers that every Python port of the devkit uses, 0.30000000000000004 among them, so that a
    recall of exactly 3/10 does not reach the fourth point: published numbers have it so.

    Source: Everingham et al., The Pascal Visual Object Classes Challenge, IJCV 2010, section 4.2.
    """
    return _at_points(recall, precision, np.linspace(0, 1, 11))


def area(recall: Array, precision: Array) -> float:
    """VOC 2010: the area under the curve whose precision is the highest at that recall or a higher one.

    Source: VOC2012 devkit documentation, section 3.4.1; VOCap.m.
    """
    return float(np.sum(np.diff(recall, prepend=0.0) * _envelope(precision)))


def trapezoid(recall: Array, precision: Array) -> float:
    """Ultralytics: trapezoids over 101 recalls of the same curve, read with straight lines between its points.

    It begins at precision 1 and falls to 0 behind the last recall (since 8.3; it ran down to (1, 0) before).

    Source: the definition of compute_ap in ultralytics/utils/metrics.py.
    """
    last = recall[-1:] if len(recall) else np.ones(1)
    x = np.concatenate([[0.0], recall, last, [1.0]])
    y = _envelope(np.concatenate([[1.0], precision, [0.0, 0.0]]))
    points = np.linspace(0, 1, 101)
    heights = np.interp(points, x, y)
    return float(np.sum((heights[1:] + heights[:-1]) / 2 * np.diff(points)))


def darknet(recall: Array, precision: Array, *, points: int = 0) -> float:
    """Of darknet: -points 0 is VOC 2010's area; -points N the mean over N recalls k / (N - 1).

    Source: AlexeyAB/darknet src/detector.c, validate_detector_map.
    """
    return (
        area(recall, precision)
        if points == 0
        else _at_points(recall, precision, np.arange(points) / (points - 1))
    )


def stepwise(curve: Curve) -> float:
    """The sum, over thresholds, of the recall gained times the precision there; nothing is interpolated.

    Source: scikit-learn's average_precision_score.
    """
    ends = curve.thresholds()
    return float(np.sum(np.diff(curve.recall[ends], prepend=0.0) * curve.precision[ends]))


Rule = Callable[[Array, Array], float]


def rule_of(metric: str, points: int = 0) -> Rule:
    """The area rule of a metric."""
    rules: dict[str, Rule] = {
        "voc07": eleven_points, "voc10": area, "ultralytics": trapezoid, "darknet": partial(darknet, points=points),
    }  # fmt: skip
    return rules[metric]


def average_precision(curve: Curve, rule: Rule) -> float:
    """Of one class; NOTHING where there is nothing to be found."""
    if not curve.positives:
        return NOTHING
    return rule(curve.recall, curve.precision) if len(curve.scores) else 0.0


def _envelope(precision: Array) -> Array:
    """At each place the highest from there on."""
    return np.maximum.accumulate(precision[::-1])[::-1]


def _at_points(recall: Array, precision: Array, points: Array) -> float:
    heights = np.append(_envelope(precision), 0.0)
    return float(heights[np.searchsorted(recall, points, side="left")].mean())
