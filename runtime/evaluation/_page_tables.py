"""The tables of a report: each class, each threshold, the confusion matrix, what the errors cost.

In: parts of an Evaluation.  Out: Html.
"""

from collections.abc import Sequence

import numpy as np

from vedette.runtime.draw import colour_of
from vedette.runtime.evaluation._page import Html, bar, join, table, tag
from vedette.runtime.evaluation._plots import spark
from vedette.runtime.evaluation.average_precision import NOTHING
from vedette.runtime.evaluation.evaluation import BACKGROUND, Confusion, Counts, Evaluation
from vedette.runtime.frame import Array

CLASSES = 30  # of a heat map; more cannot be read
POINTS = 40  # rows of thresholds
MEANINGS = {
    "duplicate": "a second one of what was found already",
    "class": "lies well, on an object of another class",
    "localisation": "the right class, overlaps too little",
    "background": "lies on nothing that is marked",
    "miss": "is there, and was not found",
}


def share(value: float | None) -> str:
    """Three digits; – where there is nothing to be measured."""
    return "–" if value is None or value == NOTHING or np.isnan(value) else f"{value:.3f}"


def object_classes(evaluation: Evaluation) -> Html:
    """A row for each class, the best AP first: bar, curve, counts."""
    names = sorted(evaluation.class_counts, key=lambda name: -evaluation.per_class.get(name, NOTHING))
    curve = "PR curve" if evaluation.iou is None else f"PR at {evaluation.iou:g}"
    columns = ("class", "AP", "", curve, "truths", "TP", "FP", "FN", "precision", "recall", "F1")
    return table(columns, (_object_row(evaluation, name) for name in names))


def _object_row(evaluation: Evaluation, name: str) -> list[str]:
    counts, average = evaluation.class_counts[name], evaluation.per_class.get(name, NOTHING)
    curve = evaluation.curves.get(name)
    drawn = spark(curve) if curve is not None and curve.positives else ""
    whole = [counts.tp + counts.fn, counts.tp, counts.fp, counts.fn]
    parts = [counts.precision, counts.recall, counts.f1]
    return [name, share(average), bar(average), drawn, *(f"{n:,}" for n in whole), *map(share, parts)]


def pixel_classes(evaluation: Evaluation) -> Html:
    """A row for each class, the best IoU first, with the colour that it has in the gallery."""
    values = evaluation.details
    rest = list(dict.fromkeys(key for row in values.values() for key in row if key != "IoU"))
    rows = [
        [
            join([_chip(evaluation.names.index(name)) if name != BACKGROUND else "", name]),
            share(values[name]["IoU"]), bar(values[name]["IoU"]),
            *(_cell(values[name].get(key)) for key in rest),
        ]
        for name in sorted(values, key=lambda name: -values[name]["IoU"])
    ]  # fmt: skip
    return table(("class", "IoU", "", *(key.replace("_", " ") for key in rest)), rows)


def _chip(index: int) -> Html:
    blue, green, red = colour_of(index)
    return tag("span", style=f"background:rgb({red},{green},{blue})", class_="chip")


def _cell(value: int | float | None) -> str:
    return f"{value:,}" if isinstance(value, int) else share(value)


def points_table(points: Sequence[Counts]) -> Html:
    """Counts at thresholds, evenly chosen where there are many."""
    rows = [
        [f"{point.threshold:.4g}", *(f"{n:,}" for n in (point.tp, point.fp, point.fn, point.tn or 0)),
         *map(share, (point.precision, point.recall, point.f1))]
        for point in (points[index] for index in evenly(len(points), POINTS))
    ]  # fmt: skip
    return table(("threshold", "TP", "FP", "FN", "TN", "precision", "recall", "F1"), rows)


def causes(summary: dict[str, int], counts: Counts) -> Html:
    """How many objects are wrong for which reason, and what F1 would be without them."""
    most = max(summary.values(), default=0)
    rows = [
        [
            join([name, tag("span", MEANINGS[name], class_="said")]),
            f"{number:,}",
            bar(number / most if most else 0.0, class_="bad"),
            share(_without(name, number, counts)),
        ]
        for name, number in sorted(summary.items(), key=lambda item: -item[1])
    ]
    return table(("cause", "objects", "", "F1 without"), rows)


def _without(name: str, number: int, counts: Counts) -> float | None:
    """F1, were the misses found, or the wrong ones not there."""
    if name == "miss":
        return Counts(counts.threshold, counts.tp + number, counts.fp, counts.fn - number).f1
    return Counts(counts.threshold, counts.tp, counts.fp - number, counts.fn).f1


def heat_map(confusion: Confusion, *, shares: bool) -> tuple[Html, int]:
    """True classes down, found ones along, and how many classes are left out.

    Args:
        confusion: of any size; only the classes that are confused most are shown where there are many.
        shares: cells are percent of the row, not counts.
    """
    kept = _most_confused(confusion)
    matrix = confusion.matrix.astype(np.float64)
    whole = np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    part = (matrix / whole)[np.ix_(kept, kept)]
    shown = 100 * part if shares else confusion.matrix[np.ix_(kept, kept)]
    names = [confusion.names[k] for k in kept]
    corner = tag("th", "true ↓   found →", scope="col")
    head = tag("tr", corner, *(tag("th", tag("span", name), scope="col") for name in names))
    body = (
        tag("tr", tag("th", name, scope="row"), *_heat_row(shown[i], part[i], i, shares=shares))
        for i, name in enumerate(names)
    )
    made = tag("table", tag("thead", head), tag("tbody", *body), class_="heat")
    return tag("div", made, class_="wide"), len(confusion.names) - len(names)


def _most_confused(confusion: Confusion) -> list[int]:
    wrong = confusion.matrix - np.diag(np.diag(confusion.matrix))
    confused = wrong.sum(axis=0) + wrong.sum(axis=1)
    return sorted(np.argsort(-confused, kind="stable")[:CLASSES].tolist())


def evenly(count: int, most: int) -> list[int]:
    """Indices with both ends; all, where there are not more than `most`."""
    return (
        np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int)).tolist() if count else []
    )


def _heat_row(values: Array, part: Array, own: int, *, shares: bool) -> list[Html]:
    cells = []
    for column, (value, weight) in enumerate(zip(values.tolist(), part.tolist(), strict=True)):
        words = (["high"] if weight > 0.5 else []) + (["self"] if column == own else [])
        style = {"style": f"--a:{weight:.2f}"} if weight >= 0.005 else {}
        named = {"class_": " ".join(words)} if words else {}
        told = "" if not value else f"{value:.1f}" if shares else f"{value:,}"
        cells.append(tag("td", told, **style, **named))
    return cells
