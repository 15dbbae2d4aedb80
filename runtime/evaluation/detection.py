"""Detection, masks and keypoints: a Truth and what was found in it, measured by a named variant of AP.

In: Truth and Found.  Out: Evaluation.  Next: coco.py, matching.py and average_precision.py, errors_of.py.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from vedette.runtime.errors import UsageError
from vedette.runtime.evaluation import coco
from vedette.runtime.evaluation.average_precision import NOTHING, Curve, average_precision, rule_of
from vedette.runtime.evaluation.calibration import calibration_of
from vedette.runtime.evaluation.confusion import confusion_and_errors
from vedette.runtime.evaluation.data import Found, Kind, Truth, only
from vedette.runtime.evaluation.evaluation import Counts, Evaluation
from vedette.runtime.evaluation.matching import (
    NEITHER,
    TRUE,
    Matches,
    best_above,
    best_free,
    best_of_all,
    best_of_counted,
    by_score,
)  # fmt: skip
from vedette.runtime.evaluation.overlaps import FLOOR, Overlap, Pairs, pairs_of
from vedette.runtime.evaluation.results_json import kinds_of

METRICS = ("coco", "voc07", "voc10", "ultralytics", "darknet")
Match = Callable[[Truth, Found, Pairs, float], Matches]
_RULES: Mapping[str, Match] = {
    "coco": best_free, "voc07": best_of_all, "voc10": best_of_all, "ultralytics": best_of_counted, "darknet": best_above,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Options:
    """How to measure.

    Attributes:
        metric: one of METRICS.
        kind: what is compared.
        iou: overlap from which on something counts as found; None is the variant's own, 0.5 for curves and counts.
        threshold: the operating point, for counts, confusion and errors.
        points: darknet's -points: 0, 11 or 101.
        continuous: VOC's variants without the devkit's `+ 1`.
        sigmas: of the keypoints; None is COCO's.
    """

    metric: str = "coco"
    kind: Kind = "bbox"
    iou: float | None = None
    threshold: float = 0.25
    points: int = 0
    continuous: bool = False
    sigmas: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if self.metric not in METRICS:
            raise UsageError(
                f"there is no metric {self.metric!r}",
                why=f"there are {', '.join(METRICS)}",
                cure="use --metric coco, say",
            )
        if self.metric != "coco" and self.kind != "bbox":
            raise UsageError(
                f"{self.metric} is a metric of boxes",
                why=f"these results are {self.kind}",
                cure="use --metric coco, or --kind bbox",
            )
        if self.iou is not None and not 0 < self.iou <= 1:
            raise UsageError(
                f"an overlap of {self.iou} is out of range",
                why="it is a share above 0, up to 1",
                cure="0.5, say",
            )
        if self.points not in (0, 11, 101):
            raise UsageError(
                f"-points {self.points} is not darknet's", why="it has 0, 11 and 101", cure="use --points 0"
            )

    @property
    def at(self) -> float:
        """The overlap of curves, counts and errors."""
        return 0.5 if self.iou is None else self.iou

    @property
    def overlap(self) -> Overlap:
        """How this variant measures it."""
        inclusive = self.metric in {"voc07", "voc10"} and not self.continuous
        how = Overlap(self.kind, inclusive=inclusive, floor=min(FLOOR, self.at))
        return how if self.sigmas is None else replace(how, sigmas=self.sigmas)


def evaluate(truth: Truth, found: Found, options: Options = Options()) -> Evaluation:
    """Measure.

    Raises:
        UsageError: what the options ask for cannot be measured here.
    """
    kinds = kinds_of(found, truth)
    if len(found) and options.kind not in kinds:
        raise UsageError(
            f"there is no {options.kind} to compare",
            why=f"results and truth both have {', '.join(kinds)}",
            cure=f"use --kind {kinds[0]}",
        )
    coco.check_sigmas(truth, options.kind, options.sigmas)
    if options.kind != "keypoints" and truth.keypoints is not None:
        truth = replace(truth, keypoints=None)  # nobody is left out for having no joints
    if options.kind == "segm":
        truth = coco.with_rles(truth)
    categories = len(truth.names)
    truth, found = _there(truth, found, options)
    pairs = pairs_of(truth, found, options.overlap)
    matches = _matched(truth, found, pairs, options, options.at)
    curves = curves_of(truth, found, matches)
    numbers, per_class = _headline(truth, found, pairs, options)
    if options.metric == "darknet" and categories:
        numbers = {name: value * len(truth.names) / categories for name, value in numbers.items()}
    whole = _whole(curves, found, matches)
    confusion, errors = confusion_and_errors(
        truth, found, matches, options.overlap, options.at, options.threshold
    )
    counted = matches.status != NEITHER
    return Evaluation(
        task="detection",
        metric=options.metric,
        kind=options.kind,
        names=truth.names,
        numbers=numbers,
        per_class={truth.names[k]: value for k, value in per_class.items()},
        sizes={"images": len(truth.pictures), "truths": int(matches.counted.sum()), "detections": len(found)},
        iou=options.at,
        counts=counts_at(whole, options.threshold),
        class_counts={truth.names[k]: counts_at(curve, options.threshold) for k, curve in curves.items()},
        best=counts_at(whole, whole.best_f1()[1]) if whole.true.any() else None,
        curves={truth.names[k]: curve for k, curve in curves.items()},
        confusion=confusion,
        calibration=calibration_of(found.scores[counted], matches.status[counted] == TRUE),
        truth=truth,
        found=found,
        matches=matches,
        errors=errors,
        notes=(*found.notes, *_notes(truth, categories, options)),
    )


def _there(truth: Truth, found: Found, options: Options) -> tuple[Truth, Found]:
    """Only the categories that are there to be found: nobody can say what it means to find another one.

    Everything, where there is nothing to be found at all.
    """
    counted = ~truth.crowd if options.metric == "coco" else ~(truth.crowd | truth.difficult)
    there = np.unique(truth.category[counted])
    if not len(there) or len(there) == len(truth.names):
        return truth, found
    return only(truth, found, there.tolist())


def _matched(truth: Truth, found: Found, pairs: Pairs, options: Options, iou: float) -> Matches:
    if options.metric == "coco":
        return best_free(truth, found, pairs, iou, most=20 if options.kind == "keypoints" else 100)
    return _RULES[options.metric](truth, found, pairs, iou)


def curves_of(truth: Truth, found: Found, matches: Matches) -> dict[int, Curve]:
    """Precision over recall of every category that is there to be found, or was."""
    order = by_score(found)
    order = order[matches.status[order] != NEITHER]
    order = order[np.argsort(found.category[order], kind="stable")]
    places = np.searchsorted(found.category[order], np.arange(len(truth.names) + 1))
    positives = np.bincount(truth.category[matches.counted], minlength=len(truth.names))
    return {
        k: Curve(found.scores[rows], matches.status[rows] == TRUE, int(positives[k]))
        for k in range(len(truth.names))
        if len(rows := order[places[k] : places[k + 1]]) or positives[k]
    }


def counts_at(curve: Curve, threshold: float) -> Counts:
    """What scores at least the threshold, counted."""
    taken = int(np.count_nonzero(curve.scores >= threshold))
    hits = int(np.count_nonzero(curve.true[:taken]))
    return Counts(threshold, hits, taken - hits, curve.positives - hits)


def _whole(curves: Mapping[int, Curve], found: Found, matches: Matches) -> Curve:
    """All classes as one, best first."""
    order = by_score(found)
    order = order[matches.status[order] != NEITHER]
    return Curve(
        found.scores[order], matches.status[order] == TRUE, sum(curve.positives for curve in curves.values())
    )


def _headline(
    truth: Truth, found: Found, pairs: Pairs, options: Options
) -> tuple[dict[str, float], dict[int, float]]:
    """The variant's numbers, and its AP of each category."""
    if options.metric == "coco":
        scores = coco.scores_of(truth, found, options.kind, iou=options.iou, sigmas=options.sigmas)
        return scores.numbers, scores.per_class
    ious = coco.IOUS if options.metric == "ultralytics" and options.iou is None else np.array([options.at])
    by_iou = {float(iou): _per_class(truth, found, pairs, options, float(iou)) for iou in (*ious, 0.5, 0.75)}
    chosen = [by_iou[float(iou)] for iou in ious]
    per_class = {k: float(np.mean([one[k] for one in chosen])) for k in chosen[0]}
    numbers = {
        "AP": _mean(per_class), "mAP": _mean(per_class), "AP50": _mean(by_iou[0.5]), "AP75": _mean(by_iou[0.75]),
    }  # fmt: skip
    return numbers, per_class


def _per_class(truth: Truth, found: Found, pairs: Pairs, options: Options, iou: float) -> dict[int, float]:
    """AP of the categories that are there."""
    rule = rule_of(options.metric, options.points)
    curves = curves_of(truth, found, _matched(truth, found, pairs, options, iou))
    each = {k: average_precision(curve, rule) for k, curve in curves.items()}
    return {k: value for k, value in each.items() if value != NOTHING}


def _mean(per_class: Mapping[int, float]) -> float:
    return float(np.mean(list(per_class.values()))) if per_class else NOTHING


def _notes(truth: Truth, categories: int, options: Options) -> list[str]:
    absent = categories - len(truth.names)
    notes = []
    if absent:
        share = "their AP is 0, as in darknet" if options.metric == "darknet" else "they do not count"
        notes.append(f"{absent} of {categories} categories are in no picture: {share}")
    if options.overlap.inclusive:
        notes.append(
            "boxes are compared as in VOC's devkit: a width is last - first + 1 (--continuous leaves that out)"
        )
    return notes
