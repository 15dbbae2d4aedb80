"""The sections of a report; each is empty where an evaluation has nothing of its kind.

In: Evaluation.  Out: Html.  Next: _plots.py, _page_tables.py, _gallery.py, _gallery_maps.py.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from vedette.runtime.evaluation import _page_tables as tables
from vedette.runtime.evaluation import _plots as plots
from vedette.runtime.evaluation._gallery import (
    Card,
    Pictures,
    gallery,
    largest_missed,
    missed_card,
    rows_of,
    worst_wrong,
    wrong_card,
)
from vedette.runtime.evaluation._gallery_maps import Pair, maps_gallery
from vedette.runtime.evaluation._page import Html, key, section, tag
from vedette.runtime.evaluation.data import Truth
from vedette.runtime.evaluation.evaluation import Evaluation

BOXES = key([("good", "truth"), ("bad", "found")])


def curves(evaluation: Evaluation) -> list[Html]:
    """Precision over recall, and F1 over thresholds."""
    there = {name: curve for name, curve in evaluation.curves.items() if curve.positives}
    if not there:
        return []
    at = (
        ""
        if evaluation.iou is None
        else f" An object counts as found from an overlap of {evaluation.iou:g} on."
    )
    several = len(there) > 1
    lines = [("first", "mean of the classes"), ("second", "all objects as one"), ("", "each class")]
    point = [("dot", f"operating point, score {evaluation.counts.threshold:g}")] if evaluation.counts else []
    pr = section(
        "Precision over recall",
        plots.precision_recall(there, evaluation.counts),
        key([*(lines if several else [("first", next(iter(there)))]), *point]),
        legend="How much of what is found is right, as more of what is there is found: the higher and further right, the better."
        + at,
        class_="card half",
    )
    best = evaluation.best
    dots = [("dots", "operating point")] if evaluation.counts else []
    dots += [("dot", f"best F1, score {best.threshold:.3g}")] if best is not None else []
    moving = section(
        "F1 over thresholds",
        plots.over_thresholds(there, evaluation.counts, best),
        key([("first", "F1"), ("", "precision"), ("third", "recall"), *dots]),
        legend="What a score threshold gives: everything below it is dropped. F1 balances precision and recall.",
        class_="card half",
    )
    return [pr, moving]


def classes(evaluation: Evaluation) -> list[Html]:
    """A row for each class."""
    if evaluation.details:
        legend = "The classes, the best first: the share of their pixels, true or found, that is both."
        return [section("Classes", tables.pixel_classes(evaluation), legend=legend, class_="card long")]
    if not evaluation.class_counts or evaluation.counts is None:
        return []
    legend = f"The classes, the best AP first, with their curves, and counts at score {evaluation.counts.threshold:g}."
    return [section("Classes", tables.object_classes(evaluation), legend=legend, class_="card long")]


def confusion(evaluation: Evaluation) -> list[Html]:
    """Which class was taken for which."""
    if evaluation.confusion is None or not evaluation.confusion.matrix.size:
        return []
    shares = evaluation.kind == "pixels"
    drawn, left_out = tables.heat_map(evaluation.confusion, shares=shares)
    legend = "Rows are what is true, columns what it was taken for; the colour is the share of the row, the numbers are "
    legend += "percent of it." if shares else "objects."
    if evaluation.task == "detection":
        legend += " Row background: found where nothing of the kind is. Column background: missed."
    more = (
        [tag("p", f"{left_out} classes that are confused less are not shown.", class_="none")]
        if left_out
        else []
    )
    return [section("Confusion", drawn, *more, legend=legend)]


def calibration(evaluation: Evaluation) -> list[Html]:
    """Whether scores mean what they say."""
    made = evaluation.calibration
    if made is None or not made.counts.sum():
        return []
    diagram = plots.reliability(made)
    names = key([("wash", "right, of each tenth of the scores"), ("dots", "what the scores promise")])
    legend = "Whether a score of 0.7 is right 7 times of 10: bars below the dotted line were too sure of themselves."
    return [
        section(
            "Calibration", diagram, names, plots.histogram(made),
            legend=f"{legend} ECE, the mean gap, is {made.error:.3f}. Below: how many objects have which score.",
            class_="card half",
        )
    ]  # fmt: skip


def causes(evaluation: Evaluation) -> list[Html]:
    """Where the loss comes from."""
    if evaluation.errors is None or evaluation.counts is None:
        return []
    counts, summary = evaluation.counts, evaluation.errors.summary()
    legend = (
        f"What is wrong at score {counts.threshold:g}, where F1 is {tables.share(counts.f1)}, by its cause; "
        "and what F1 would be if those alone were not there, or the misses found."
    )
    found, true = counts.tp + counts.fp, counts.tp + counts.fn
    told = (
        f"Of {found:,} found objects {counts.tp:,} are right; of {true:,} true ones {counts.fn:,} are missed."
    )
    drawn = [tables.causes(summary, counts), tag("p", told, class_="told")]
    return [section("Where the loss comes from", *drawn, legend=legend, class_="card half")]


def galleries(evaluation: Evaluation, pictures: Pictures | None) -> list[Html]:
    """The worst that were found, and the largest that were not."""
    rows = rows_of(evaluation)
    if rows is None:
        return []
    wrong = [wrong_card(rows, row) for row in worst_wrong(rows)]
    missed = [missed_card(rows, row) for row in largest_missed(rows)]
    shown = pictures or _paths(rows.truth)
    return [
        _gallery(
            "Worst false positives",
            wrong,
            rows.truth,
            shown,
            "What was found and is not so, the highest scores first.",
        ),
        _gallery(
            "Largest misses", missed, rows.truth, shown, "What is there and was not found, the largest first."
        ),
    ]


def _paths(truth: Truth) -> Callable[[int], Path | None]:
    return lambda index: truth.pictures[index].path


def _gallery(title: str, cards: Sequence[Card], truth: Truth, pictures: Pictures, legend: str) -> Html:
    if not cards:
        return section(title, tag("p", "There are none.", class_="none"))
    return section(title, gallery(cards, truth, pictures), BOXES, legend=legend, class_="card long")


def label_maps(evaluation: Evaluation, maps: Sequence[Pair], ignore: int) -> list[Html]:
    """The worst pictures."""
    if not maps:
        return []
    legend = "The pictures with the lowest mean IoU of their classes: what is true, what was found, and in red where they differ."
    drawn = maps_gallery(maps, evaluation.names, ignore)
    return [section("Worst pictures", drawn, legend=legend, class_="card long")]


def points(evaluation: Evaluation) -> list[Html]:
    """Counts at thresholds."""
    if not evaluation.points:
        return []
    legend = "What is counted where everything that scores the threshold or more is taken."
    if len(evaluation.points) > tables.POINTS:
        legend += f" {tables.POINTS} of {len(evaluation.points):,} thresholds are shown."
    return [section("Counts", tables.points_table(evaluation.points), legend=legend, class_="card long")]
