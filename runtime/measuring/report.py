"""The report of a benchmark: one HTML file that asks for nothing from anywhere, runs nothing, and can be mailed.

In: a Record, perhaps a Comparison.  Out: DIR/index.html.  Next: charts.py; the page is an evaluation's (evaluation/_page.py).
"""

from pathlib import Path

from vedette.runtime.draw import write_bytes
from vedette.runtime.evaluation._page import Html, bar, join, key, page, section, table, tag, tile
from vedette.runtime.measuring import charts
from vedette.runtime.measuring.comparison import Comparison, Verdict
from vedette.runtime.measuring.record import Record, Row
from vedette.runtime.measuring.words import STAGES, WHOLES, condition_of, ordered, told_of

COLOURS = {
    "decode": "faint", "preprocess": "third", "inference": "first", "postprocess": "second", "draw": "bad",
    "sink": "soft", "encode": "ink",
}  # fmt: skip
COLUMNS = ("p50", "p90", "p99", "max", "mean")
LONGEST = 8  # rows with plots


def write(record: Record, folder: Path, comparison: Comparison | None = None) -> Path:
    """Write DIR/index.html, whole or not at all.

    Args:
        record: what was measured.
        folder: made if it is not there.
        comparison: with another record, to be told first.

    Returns:
        The file.

    Raises:
        UsageError: matplotlib is not installed.
        DiskError: it cannot be written.
    """
    title = f"Benchmark: {record.model.name}"
    parts = [*_head(record, title), *(_compared(comparison) if comparison else []), _rows(record)]
    for number, row in enumerate(record.rows):
        parts += _row(row, number, plots=number < LONGEST)
    parts += [_cold(record), _facts(record)]
    target = folder / "index.html"
    write_bytes(target, page(title, *parts).encode("utf-8", "replace"))
    return target


def _head(record: Record, title: str) -> list[Html]:
    width, height = record.settings.size
    told = f"{record.settings.source} at {width} × {height}, on {record.machine.cpu}, {record.machine.gpu}."
    row = record.rows[0]
    name, numbers = condition_of(row)
    whole, waited = numbers["whole"], numbers.get("end_to_end", {})
    tiles = [
        tile("frames a second", f"{whole['fps']:.1f}", f"{row.label}; {name}"),
        tile("capture to result", f"{waited.get('p50', 0):.1f} ms", f"p99 {waited.get('p99', 0):.1f} ms"),
        tile("CPU a frame", f"{whole['cpu_ms']:.1f} ms", "of all threads of the process"),
        tile("memory", f"{row.peak_mb:.0f} MB", "at its highest"),
    ]
    return [tag("header", tag("h1", title), tag("p", told)), tag("div", *tiles, class_="tiles")]


def _compared(comparison: Comparison) -> list[Html]:
    rows = [_verdict_row(verdict) for verdict in comparison.verdicts]
    columns = ("metric", "before", "now", "change", "99 % interval", "allowed", "")
    notes = [tag("li", warning) for warning in comparison.warnings]
    legend = (
        "Worse is what exceeds the limit and is surely no chance: whole stretches of time were drawn anew."
    )
    listed = [tag("ul", *notes, class_="note-list")] if notes else []
    return [section("Compared with the base", table(columns, rows), *listed, legend=legend)]


def _verdict_row(verdict: Verdict) -> list[str]:
    limit = "–" if verdict.limit is None else f"{100 * verdict.limit:g} %"
    named = _named(verdict.metric, verdict.row)
    if not verdict.base:
        return [named, "–", "–", "–", "–", limit, verdict.word]
    span = f"{100 * verdict.low:+.1f} to {100 * verdict.high:+.1f} %"
    return [
        named, f"{verdict.base:.3f}", f"{verdict.new:.3f}", f"{100 * verdict.change:+.1f} %",
        span, limit, verdict.word,
    ]  # fmt: skip


def _rows(record: Record) -> Html:
    """Every row, every condition: nothing is averaged over them."""
    most = max(
        (numbers["whole"]["fps"] for row in record.rows for numbers in row.summary.values()), default=1.0
    )
    rows = [
        [
            _named(name, row.label), f"{numbers['whole']['frames']:,.0f}", f"{numbers['whole']['fps']:.1f}",
            bar(numbers["whole"]["fps"] / max(most, 1e-9)), *_cells(numbers.get("end_to_end")),
            f"{numbers['whole']['cpu_ms']:.2f}", f"{numbers['whole']['memory_mb']:.0f}", _joules(numbers["whole"]),
        ]
        for row in record.rows
        for name, numbers in ordered(row)
    ]  # fmt: skip
    columns = (
        "condition", "frames", "fps", "", *COLUMNS, "CPU-ms a frame", "MB", "J a frame",
    )  # fmt: skip
    legend = (
        "Milliseconds from capture to result. Contended: other processes had cores that were needed. "
        "Throttled: heat, power or a container's limit held the clock. Warming: before the steady state."
    )
    return section("All rows", table(columns, rows), legend=legend)


def _cells(numbers: dict[str, float] | None) -> list[str]:
    return [f"{numbers[name]:.2f}" if numbers else "–" for name in COLUMNS]


def _joules(whole: dict[str, float]) -> str:
    return f"{whole['joules']:.3f}" if "joules" in whole else "–"


def _row(row: Row, number: int, *, plots: bool) -> list[Html]:
    name, numbers = condition_of(row)
    longest = max((numbers[stage]["p50"] for stage in STAGES if stage in numbers), default=1.0)
    rows = [
        [_stage(stage, meaning), *_cells(numbers[stage]),
         bar(numbers[stage]["p50"] / max(longest, 1e-9)) if stage in STAGES else ""]
        for stage, meaning in {**STAGES, **WHOLES}.items()
        if stage in numbers
    ]  # fmt: skip
    made = [
        section(
            f"Where the time goes: {row.label}",
            _stack(numbers),
            table(("stage", *COLUMNS, ""), rows),
            tag("p", told_of(row), class_="told"),
            legend=f"Milliseconds a frame, {name} frames; the bars are medians, the stack is of means. {row.engine}.",
        )
    ]
    return made + (_plots(row, number) if plots else [])


def _named(name: str, label: str) -> Html:
    """A name with its combination below."""
    return tag("span", name.replace("_", " "), tag("span", label, class_="said"))


def _stage(stage: str, meaning: str) -> Html:
    chip = tag("span", style=f"background:var(--{COLOURS[stage]})", class_="chip") if stage in COLOURS else ""
    return join([chip, _named(stage, meaning)])


def _stack(numbers: dict[str, dict[str, float]]) -> Html:
    """The stages end to end, each as wide as its mean."""
    means = {stage: numbers[stage]["mean"] for stage in STAGES if stage in numbers}
    whole = max(sum(means.values()), 1e-9)
    parts = [
        tag("span", style=f"width:{100 * mean / whole:.2f}%;background:var(--{COLOURS[stage]})", title=stage)
        for stage, mean in means.items()
    ]
    return tag(
        "div", *parts, style="display:flex;height:18px;border-radius:3px;overflow:hidden;margin:0 0 14px"
    )


def _plots(row: Row, number: int) -> list[Html]:
    lines = [("first", "warm"), ("second", "on shared cores"), ("third", "throttled")]
    spread = section(
        "Distribution", charts.distribution(row, f"Distribution of row {number + 1}"), key(lines),
        legend=f"{row.label}. Dotted lines are medians.", class_="card half",
    )  # fmt: skip
    time = section(
        "Over time", charts.over_time(row, f"Row {number + 1} over time"),
        key([("first", "median of a quarter second"), ("", "its 99th percentile")]),
        legend=f"{row.label}. Grey is warm-up; orange, shared cores; green, throttled.", class_="card half",
    )  # fmt: skip
    return [spread, time]


def _cold(record: Record) -> Html:
    """Every start, none averaged."""
    rows = [
        [
            f"{row.label}, round {number + 1}",
            "–" if cold.imported is None else f"{cold.imported:.0f}",
            *(f"{value:.0f}" for value in (cold.opened, cold.first_result, cold.cpu)),
        ]
        for row in record.rows
        for number, cold in enumerate(row.cold)
    ]
    columns = ("start", "imports done", "model opened", "first result", "CPU until then")
    return section("Cold starts", table(columns, rows), legend="Milliseconds since the process was started.")


def _facts(record: Record) -> Html:
    machine = record.machine
    facts = {
        "command": record.command,
        "made": record.made,
        "model": f"{record.model.name}, {record.model.task}, {record.model.precision}",
        **{f"sha256 of {name}": digest for name, digest in record.model.sha256.items()},
        "machine": f"{machine.cpu}, {machine.usable_cores} of {machine.cores} cores, {machine.memory_gb:g} GB, {machine.system}",
        "governor, limits": f"{machine.governor}, {machine.limits}",
        "GPU": ", ".join(part for part in (machine.gpu, machine.driver, machine.power_mode) if part),
        "sinks": ", ".join(record.settings.sinks) or "none",
        "versions": ", ".join(
            f"{name} {value}" for name, value in {"vedette": record.vedette, **record.versions}.items()
        ),
    }
    told = [tag("tr", tag("th", name, scope="row"), tag("td", value)) for name, value in facts.items()]
    return section("Facts", tag("table", tag("tbody", *told), class_="facts"))
