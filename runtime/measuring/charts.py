"""The plots of a benchmark's report: distributions, and how they went over time.

In: a Row.  Out: Html, drawn as an evaluation's report is.  Next: report.py.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from vedette.runtime.evaluation._page import Html
from vedette.runtime.evaluation._plots_svg import FAINT, FIRST, SECOND, THIRD, figure, html_of
from vedette.runtime.frame import Array
from vedette.runtime.measuring.blocks import Block, Condition, of
from vedette.runtime.measuring.record import STEADY, Row, pooled
from vedette.runtime.measuring.sketch import Sketch, value_of

BINS = 120
BEYOND = (
    1.15  # of the highest 99.5 %: what lies further out is in the table, and would press the rest together
)


def distribution(row: Row, title: str) -> Html:
    """How many frames took how long, as densities: under each condition of the steady state."""
    made, axes = figure("milliseconds of work on a frame", "share of the frames, %", height=2.8)
    found = {name: pooled(of(row.blocks, name), "work") for name in STEADY}
    there: dict[Condition, Sketch] = {name: sketch for name, sketch in found.items() if sketch.counts}
    if not there:
        there = {"warm": pooled(row.blocks, "work")}
    high = BEYOND * max(sketch.quantile(0.995) for sketch in there.values())
    low = 0.9 * min(value_of(sketch.buckets[0]) for sketch in there.values())
    edges = np.linspace(low, max(high, low * 1.01), BINS + 1)
    top = 0.0
    for colour, (_, sketch) in zip(_colours(there), there.items(), strict=True):
        heights = shares(sketch, edges)
        axes.stairs(heights, edges, color=colour, linewidth=1.5)
        axes.axvline(sketch.quantile(0.5), color=colour, linewidth=0.9, linestyle=(0, (2, 3)))
        top = max(top, float(heights.max()))
    axes.set_xlim(edges[0], edges[-1])
    axes.set_ylim(0, max(1.0, 1.1 * top))
    return html_of(made, title)


def _colours(there: Mapping[Condition, Sketch]) -> list[str]:
    by_condition: dict[Condition, str] = {"warm": FIRST, "contended": SECOND, "throttled": THIRD}
    return [by_condition[name] for name in there]


def shares(sketch: Sketch, edges: Array) -> Array:
    """Percent of the values in each bin; what lies beyond the last is in none. float64 [bins]."""
    values = np.array([value_of(bucket) for bucket in sketch.buckets])
    counts, _ = np.histogram(values, edges, weights=np.array(sketch.counts, np.float64))
    percent: Array = 100 * counts / max(1, sketch.count)
    return percent


def over_time(row: Row, title: str) -> Html:
    """Median and 99th percentile of every block, round after round; grey is warm-up, orange shared cores."""
    made, axes = figure("seconds, one round after the other", "milliseconds of work", height=2.8)
    starts = begins(row.blocks)
    ends = starts + np.array([block.seconds for block in row.blocks])
    middle = (starts + ends) / 2
    median, tail = (
        np.array([block.ms["work"].quantile(share) if "work" in block.ms else np.nan for block in row.blocks])
        for share in (0.5, 0.99)
    )
    for start, end, block in zip(starts, ends, row.blocks, strict=True):
        colour = {"warming": FAINT, "contended": SECOND, "throttled": THIRD}.get(block.condition)
        if colour:
            axes.axvspan(start, end, color=colour, alpha=0.14, linewidth=0)
    for number in dict.fromkeys(block.round for block in row.blocks):
        own = np.array([block.round == number for block in row.blocks])
        axes.plot(middle[own], tail[own], "o-", color=FAINT, markersize=2.5, linewidth=1.2)
        axes.plot(middle[own], median[own], "o-", color=FIRST, markersize=2.5, linewidth=1.6)
    axes.set_xlim(0, float(ends.max()))
    axes.set_ylim(0, 1.1 * float(np.nanmax(tail)))
    return html_of(made, title)


def begins(blocks: Sequence[Block]) -> Array:
    """When each block began, were the rounds one after another. float64 [N] seconds."""
    lengths = [block.seconds for block in blocks]
    starts: Array = np.concatenate([[0.0], np.cumsum(lengths)[:-1]])
    return starts
