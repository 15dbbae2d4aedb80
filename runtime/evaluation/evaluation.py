"""What comes out: one Evaluation, with all that tables, curves and galleries are drawn from.

Made by detection.py, segmentation.py and classification.py.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from vedette.runtime.evaluation.average_precision import Curve
from vedette.runtime.evaluation.calibration import Calibration
from vedette.runtime.evaluation.data import Found, Truth
from vedette.runtime.evaluation.matching import Matches
from vedette.runtime.frame import Array

BACKGROUND = "background"
CAUSES = ("right", "duplicate", "class", "localisation", "background", "not counted", "below the threshold")


@dataclass(frozen=True, slots=True)
class Counts:
    """What a threshold gives: found is what scores that much or more."""

    threshold: float
    tp: int
    fp: int
    fn: int
    tn: int | None = None  # objects in pictures have none: who could count all that is not there?

    @property
    def precision(self) -> float | None:
        """TP / (TP + FP); None where nothing is found."""
        return self.tp / (self.tp + self.fp) if self.tp + self.fp else None

    @property
    def recall(self) -> float | None:
        """TP / (TP + FN); None where there is nothing to be found."""
        return self.tp / (self.tp + self.fn) if self.tp + self.fn else None

    @property
    def f1(self) -> float | None:
        """2 TP / (2 TP + FP + FN), the harmonic mean of the two; None where all are 0."""
        whole = 2 * self.tp + self.fp + self.fn
        return 2 * self.tp / whole if whole else None

    def to_dict(self) -> dict[str, Any]:
        """For JSON, under the field's names."""
        tn = {} if self.tn is None else {"TN": self.tn}
        return {
            "threshold": self.threshold, "TP": self.tp, "FP": self.fp, "FN": self.fn, **tn,
            "precision": self.precision, "recall": self.recall, "F1": self.f1,
        }  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Confusion:
    """How often each class was taken for each."""

    names: tuple[str, ...]  # rows are what is true, columns what was found
    matrix: Array  # int64 [K, K]


@dataclass(frozen=True, slots=True, eq=False)
class Errors:
    """Why each found object is wrong, and which true ones were missed, at the operating point.

    Attributes:
        cause: index into CAUSES. duplicate: of one that was found already; class: overlaps one of another class enough;
            localisation: overlaps one of its class too little; background: overlaps nothing.
        missed: true objects that should be found and were not.
        other: the true object of another class that is overlapped most, -1 for none.
    """

    cause: Array  # int8 [D]
    missed: Array  # bool [G]
    other: Array  # int64 [D]
    other_overlap: Array  # float64 [D]

    def summary(self) -> dict[str, int]:
        """How many of each, and of misses."""
        counts = np.bincount(self.cause, minlength=len(CAUSES))
        wrong = {name: int(counts[index]) for index, name in enumerate(CAUSES) if 1 <= index <= 4}
        return {**wrong, "miss": int(self.missed.sum())}


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """One evaluation of one task.

    Attributes:
        task: detection, segmentation or classification.
        metric: the variant: coco, voc07, voc10, ultralytics, darknet; iou for label maps.
        kind: what was compared: bbox, segm, keypoints; pixels; scores.
        names: of the classes.
        numbers: the headline, by the field's names.
        per_class: the headline's first number of each class that is there.
        sizes: how many pictures, true and found objects.
        iou: overlap from which on something counts as found, of curves, counts, confusion, matches and errors.
        counts: at the operating point; and of each class.
        best: where F1 is highest.
        curves: precision over recall, of each class that is there.
        details: more numbers of each class.
        truth, found, matches, errors: of a detection, row by row.
        notes: what the reader must know of it.
    """

    task: str
    metric: str
    kind: str
    names: tuple[str, ...]
    numbers: Mapping[str, float]
    per_class: Mapping[str, float]
    sizes: Mapping[str, int]
    iou: float | None = None
    counts: Counts | None = None
    class_counts: Mapping[str, Counts] = field(default_factory=dict)
    best: Counts | None = None
    points: Sequence[Counts] = ()
    curves: Mapping[str, Curve] = field(default_factory=dict)
    details: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    confusion: Confusion | None = None
    calibration: Calibration | None = None
    truth: Truth | None = None
    found: Found | None = None
    matches: Matches | None = None
    errors: Errors | None = None
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """For JSON: the headline's numbers at the top, -1 where there was nothing to be found, as COCO's tools print it."""
        told: dict[str, Any] = {"task": self.task, "metric": self.metric, "kind": self.kind, **self.numbers}
        told["per_class"] = dict(self.per_class)
        told |= dict(self.sizes)
        if self.iou is not None:
            told["iou"] = self.iou
        if self.counts is not None:
            told["operating_point"] = self.counts.to_dict()
        if self.best is not None:
            told["best_F1"] = self.best.to_dict()
        if self.points:
            told["points"] = [point.to_dict() for point in self.points]
        if self.class_counts:
            told["classes"] = {name: counts.to_dict() for name, counts in self.class_counts.items()}
        if self.details:
            told["classes"] = {name: dict(values) for name, values in self.details.items()}
        if self.errors is not None:
            told["errors"] = self.errors.summary()
        if self.calibration is not None and self.calibration.counts.sum():
            told["ECE"] = self.calibration.error
        if self.confusion is not None:
            told["confusion"] = {
                "names": list(self.confusion.names),
                "matrix": self.confusion.matrix.tolist(),
            }
        return {**told, "notes": list(self.notes)}
