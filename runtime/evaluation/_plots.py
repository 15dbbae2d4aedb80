"""The plots of a report: what is drawn, as plain arrays, and its drawing by matplotlib as SVG.

In: Curves and Calibration.  Out: series, and Html.  No text of the data is in a plot: names stand beside it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from vedette.runtime.evaluation._page import Html, tag
from vedette.runtime.evaluation._plots_svg import (
    FAINT,
    FIRST,
    INK,
    LINE,
    SECOND,
    THIRD,
    WASH,
    figure,
    html_of,
)
from vedette.runtime.evaluation.average_precision import Curve
from vedette.runtime.evaluation.calibration import Calibration
from vedette.runtime.evaluation.evaluation import Counts
from vedette.runtime.frame import Array

FINE = 500  # steps along an axis: smaller ones cannot be seen
RECALLS = np.linspace(0, 1, 101)  # COCO's


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """Precision and recall of everything that scores a threshold or more."""

    thresholds: Array  # float64 [T], falling
    recall: Array  # float64 [T]
    precision: Array  # float64 [T]
    f1: Array  # float64 [T]


def series_of(curve: Curve) -> Series:
    """At every threshold that makes a difference."""
    ends = curve.thresholds()
    return Series(curve.scores[ends], curve.recall[ends], curve.precision[ends], curve.f1[ends])


def pooled(curves: Iterable[Curve]) -> Curve:
    """All classes as one, best first."""
    parts = [curve for curve in curves if curve.positives]
    if not parts:
        return Curve(np.zeros(0), np.zeros(0, bool), 0)
    scores, true = (np.concatenate([getattr(part, name) for part in parts]) for name in ("scores", "true"))
    order = np.argsort(-scores, kind="stable")
    return Curve(scores[order], true[order], sum(part.positives for part in parts))


def interpolated(curve: Curve) -> Array:
    """The highest precision at each of RECALLS or beyond it, float64 [101]: COCO's curve."""
    highest = np.maximum.accumulate(curve.precision[::-1])[::-1]
    heights: Array = np.append(highest, 0.0)[np.searchsorted(curve.recall, RECALLS, side="left")]
    return heights


def mean_precision(curves: Iterable[Curve]) -> Array:
    """The mean of the classes at each of RECALLS, float64 [101]; its own mean is the mean AP at that overlap."""
    each = [interpolated(curve) for curve in curves if curve.positives]
    return np.mean(each, axis=0) if each else np.zeros(len(RECALLS))


def thin(x: Array, y: Array) -> Array:
    """Indices of the points of a line that can be told apart, int64: the first of each place, and the last point."""
    places = np.rint(FINE * np.stack([x, y])).astype(np.int64)
    new = np.diff(places, axis=1, prepend=places[:, :1] - 1).any(axis=0)
    new[-1:] = True
    return np.flatnonzero(new)


def precision_recall(curves: Mapping[str, Curve], point: Counts | None) -> Html:
    """Every class faintly, their mean, and all objects as one with the operating point."""
    made, axes = figure("recall", "precision", height=3.5)
    there = [curve for curve in curves.values() if curve.positives]
    for curve in there[:100] if len(there) > 1 else []:
        axes.plot(RECALLS, interpolated(curve), color=FAINT, linewidth=0.8, alpha=0.6)
    _line(axes, series_of(pooled(there)), SECOND if len(there) > 1 else FIRST)
    if len(there) > 1:
        axes.plot(RECALLS, mean_precision(there), color=FIRST, linewidth=2.2)
    if point is not None and point.precision is not None and point.recall is not None:
        _mark(axes, point.recall, point.precision)
    return html_of(made, "Precision over recall")


def _line(axes: Any, series: Series, colour: str) -> None:
    recall = np.concatenate([np.zeros(min(1, len(series.recall))), series.recall])
    precision = np.concatenate([series.precision[:1], series.precision])
    rows = thin(recall, precision)
    axes.plot(recall[rows], precision[rows], color=colour, linewidth=1.8, solid_joinstyle="round")


def _mark(axes: Any, x: float, y: float) -> None:
    axes.plot([x], [y], "o", color=SECOND, markersize=7, markeredgecolor=LINE, clip_on=False, zorder=5)


def over_thresholds(curves: Mapping[str, Curve], point: Counts | None, best: Counts | None) -> Html:
    """Precision, recall and F1 of all objects as the threshold moves."""
    made, axes = figure("score threshold", "", height=3.5)
    series = series_of(pooled(curves.values()))
    lines = ((series.precision, FAINT, 1.4), (series.recall, THIRD, 1.4), (series.f1, FIRST, 2.2))
    low, high = (series.thresholds[-1], series.thresholds[0]) if len(series.thresholds) else (0.0, 1.0)
    if low < 0 or high > 1:
        axes.set_xlim(float(low) - 0.02, float(high) + 0.02)
    along = (series.thresholds - low) / max(high - low, 1e-9)
    for values, colour, width in lines:
        rows = thin(along, values)[::-1]
        axes.plot(series.thresholds[rows], values[rows], color=colour, linewidth=width, drawstyle="steps-pre")
    if point is not None:
        axes.axvline(point.threshold, color=INK, linewidth=0.9, linestyle=(0, (2, 3)))
    if best is not None and best.f1 is not None:
        _mark(axes, best.threshold, best.f1)
    return html_of(made, "Precision, recall and F1 over the score threshold")


def reliability(calibration: Calibration) -> Html:
    """The share that is right over the score, against the diagonal."""
    made, axes = figure("score", "share that is right", height=2.8)
    filled = calibration.counts > 0
    left, width = calibration.edges[:-1], np.diff(calibration.edges)
    axes.bar(
        left[filled], calibration.accuracy[filled], width[filled], align="edge", color=WASH,
        edgecolor=FIRST, linewidth=0.8,
    )  # fmt: skip
    axes.plot([0, 1], [0, 1], color=INK, linewidth=0.9, linestyle=(0, (2, 3)))
    axes.plot(
        calibration.confidence[filled], calibration.accuracy[filled], "o-", color=FIRST, markersize=4,
        linewidth=1.4, clip_on=False,
    )  # fmt: skip
    return html_of(made, "Share that is right over the score")


def histogram(calibration: Calibration) -> Html:
    """How many objects have which score, on a logarithmic axis."""
    made, axes = figure("score", "objects", height=1.7)
    filled = calibration.counts > 0
    left, width = calibration.edges[:-1], np.diff(calibration.edges)
    axes.bar(left[filled], calibration.counts[filled], 0.9 * width[filled], align="edge", color=FIRST)
    top = max(10.0, float(calibration.counts.max(initial=1)) * 1.5)
    axes.set_yscale("log")
    axes.set_ylim(0.5, top)
    ticks = [10.0**power for power in range(12) if 10**power <= top]
    ticks = ticks[:: 1 + len(ticks) // 5]
    axes.set_yticks(ticks, [f"{tick:,.0f}" for tick in ticks])
    axes.set_yticks([], minor=True)
    return html_of(made, "How many objects have which score")


def spark(curve: Curve) -> Html:
    """Precision over recall of one class, small enough for a row of a table."""
    heights = interpolated(curve)
    turns = np.flatnonzero(np.diff(heights, prepend=-1.0))
    rows = np.unique(np.concatenate([turns - 1, turns, [len(RECALLS) - 1]]).clip(0))
    points = zip((1 + 60 * RECALLS[rows]).tolist(), (25 - 24 * heights[rows]).tolist(), strict=True)
    line = " ".join(f"{'L' if i else 'M'}{x:.1f} {y:.1f}" for i, (x, y) in enumerate(points))
    shapes = [tag("rect", x="0.5", y="0.5", width="61", height="25"), tag("path", d=line)]
    return tag("svg", *shapes, class_="spark", viewBox="0 0 62 26", aria_hidden="true")
