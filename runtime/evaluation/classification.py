"""Single samples with a score: the lecture's case, in which there are true negatives.

In: samples [{"score": 0.9, "positive": true}, …], or with "class": "car" and the name of the positive class.
Out: Evaluation: TP, FP, FN, TN, precision, recall and F1 at every threshold; AP; calibration.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vedette.runtime.evaluation.average_precision import NOTHING, Curve, stepwise
from vedette.runtime.evaluation.calibration import calibration_of
from vedette.runtime.evaluation.coco_json import is_number
from vedette.runtime.evaluation.evaluation import Confusion, Counts, Evaluation
from vedette.runtime.evaluation.places import json_of, place_of, refuse, text_of
from vedette.runtime.frame import Array

FORM = 'a sample is {"score": 0.9, "positive": true}, or {"score": 0.9, "class": "car"} with --positive car'


def counts(scores: Array, positive: Array, threshold: float) -> Counts:
    """What is taken for positive, score >= threshold, against what is.

    >>> counts(np.array([0.9, 0.5]), np.array([True, False]), 0.6)
    Counts(threshold=0.6, tp=1, fp=0, fn=0, tn=1)
    """
    taken = scores >= threshold
    tp, fp = int((taken & positive).sum()), int((taken & ~positive).sum())
    return Counts(threshold, tp, fp, int(positive.sum()) - tp, int((~positive).sum()) - fp)


def sweep(scores: Array, positive: Array) -> list[Counts]:
    """At every threshold that makes a difference, highest first."""
    return [counts(scores, positive, float(value)) for value in np.unique(scores)[::-1]]


def evaluate(
    scores: Array, positive: Array, *, thresholds: Sequence[float] = (), name: str = "positive"
) -> Evaluation:
    """Measure.

    Args:
        scores: float [N].
        positive: bool [N].
        thresholds: at which to count; none are all.
        name: of the positive class.
    """
    order = np.argsort(-scores, kind="stable")
    curve = Curve(scores[order], positive[order], int(positive.sum()))
    points = [counts(scores, positive, value) for value in thresholds] or sweep(scores, positive)
    precision = stepwise(curve) if curve.positives else NOTHING
    only = points[0] if len(points) == 1 else None
    confusion = None
    if only is not None:
        assert only.tn is not None
        confusion = Confusion((name, "other"), np.array([[only.tp, only.fn], [only.fp, only.tn]]))
    return Evaluation(
        task="classification",
        metric="classification",
        kind="scores",
        names=(name,),
        numbers={"AP": precision},
        per_class={name: precision},
        sizes={"samples": len(scores), "positives": curve.positives},
        counts=only,
        best=counts(scores, positive, curve.best_f1()[1]) if curve.true.any() else None,
        points=points,
        curves={name: curve},
        confusion=confusion,
        calibration=calibration_of(scores, positive),
    )


def samples_from_file(path: Path, *, positive: str = "") -> tuple[Array, Array]:
    """Scores, float64 [N], and which are positive, bool [N], of a JSON list or of JSON lines.

    Raises:
        SourceError: malformed; says where.
    """
    text = text_of(path)
    lines = text.lstrip()[:1] == "{"
    rows = [row for row in enumerate(text.splitlines(), 1) if row[1].strip()] if lines else []
    items = [json_of(row, path, line=line) for line, row in rows] if lines else json_of(text, path)
    if not isinstance(items, list) or not items:
        refuse(f"{path}:1:1", "it holds no list of samples", FORM)
    for index, item in enumerate(items):
        if why := _fault(item, positive):
            refuse(
                f"{path}:{rows[index][0]}" if lines else place_of(path, index), f"sample {index}: {why}", FORM
            )
    truth = [item["class"] == positive if positive else item["positive"] for item in items]
    return np.array([item["score"] for item in items], np.float64), np.array(truth, bool)


def _fault(item: Any, positive: str) -> str:
    key = "class" if positive else "positive"
    if not isinstance(item, dict) or not {"score", key} <= item.keys():
        return f"it has no {key!r} or no 'score'"
    if not is_number(item["score"]):
        return f"the score {item['score']!r} is no finite number"
    if not positive and item["positive"] not in (True, False):
        return f"positive is {item['positive']!r}, neither true nor false"
    return ""
