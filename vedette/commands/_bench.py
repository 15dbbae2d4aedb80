"""What `vedette bench` prints: rows, stages with small bars, cold starts, and how it compares.

In: a Record, a Comparison.  Out: tables on standard output, plain in a log.
"""

from collections.abc import Sequence

from vedette.commands._tables import table
from vedette.runtime.measuring.comparison import Comparison, Verdict
from vedette.runtime.measuring.record import Record, Row
from vedette.runtime.measuring.words import STAGES, WHOLES, condition_of, ordered, told_of

WIDTH = 24  # of a bar
COLUMNS = ("p50", "p90", "p99", "max")


def print_record(record: Record) -> None:
    """All rows, then where the time goes in each."""
    machine, settings = record.machine, record.settings
    width, height = settings.size
    print(
        f"{record.model.name}: {record.model.task}, {record.model.precision}; {settings.source}, {width}x{height}"
    )
    cores = f"{machine.usable_cores} of {machine.cores} cores"
    print(f"{machine.cpu}, {cores}, {machine.gpu}; governor {machine.governor}, limits {machine.limits}")
    _print_rows(record)
    for row in record.rows:
        _print_stages(row)
    _print_cold(record)


def _print_rows(record: Record) -> None:
    powered = any("joules" in numbers["whole"] for row in record.rows for numbers in row.summary.values())
    rows = [
        [
            row.label, name, f"{numbers['whole']['frames']:.0f}", f"{numbers['whole']['fps']:.1f}",
            *_cells(numbers.get("end_to_end")), _median(numbers.get("age")), f"{numbers['whole']['cpu_ms']:.2f}",
            f"{numbers['whole']['memory_mb']:.0f}", *([_watts(numbers["whole"])] if powered else []),
        ]
        for row in record.rows
        for name, numbers in ordered(row)
    ]  # fmt: skip
    columns = ("combination", "condition", "frames", "fps", *COLUMNS, "age", "CPU-ms", "MB")
    title = "capture to result in ms, and age of a frame when its work begins (p50)"
    table(title, (*columns, *(["W, J a frame"] if powered else [])), rows)


def _watts(whole: dict[str, float]) -> str:
    return f"{whole['watts']:.1f}, {whole['joules']:.3f}" if "joules" in whole else "-"


def _print_stages(row: Row) -> None:
    name, numbers = condition_of(row)
    longest = max((numbers[stage]["p50"] for stage in STAGES if stage in numbers), default=1.0)
    rows = [
        [stage.replace("_", " "), *_cells(numbers[stage]),
         _bar(numbers[stage]["p50"] / max(longest, 1e-9)) if stage in STAGES else WHOLES[stage]]
        for stage in (*STAGES, *WHOLES)
        if stage in numbers
    ]  # fmt: skip
    table(f"{row.label}: ms a frame, {name}, {row.engine}", ("stage", *COLUMNS, ""), rows)
    groups = {key[7:]: ms for key, ms in numbers["whole"].items() if key.startswith("cpu_ms ")}
    if groups:
        told = ", ".join(f"{key} {ms:.2f}" for key, ms in groups.items())
        print(f"CPU-ms a frame by thread: {told}; memory at its highest {row.peak_mb:.0f} MB")
    print(told_of(row))


def _cells(numbers: dict[str, float] | None) -> list[str]:
    return [f"{numbers[name]:.2f}" if numbers else "-" for name in COLUMNS]


def _median(numbers: dict[str, float] | None) -> str:
    return f"{numbers['p50']:.2f}" if numbers else "-"


def _bar(share: float) -> str:
    """Of eighths of a letter."""
    eighths = round(8 * WIDTH * min(max(share, 0.0), 1.0))
    return "█" * (eighths // 8) + (" ▏▎▍▌▋▊▉"[eighths % 8]).strip()


def _print_cold(record: Record) -> None:
    rows = [
        [
            row.label,
            str(number + 1),
            "-" if cold.imported is None else f"{cold.imported:.0f}",
            *(f"{value:.0f}" for value in (cold.opened, cold.first_result, cold.cpu)),
        ]
        for row in record.rows
        for number, cold in enumerate(row.cold)
    ]
    columns = ("combination", "start", "imports done", "model opened", "first result", "CPU until then")
    table("cold starts, ms since the process was started", columns, rows)


def print_comparison(comparison: Comparison, name: str) -> None:
    """Every metric of every row, and what is to be known besides."""
    rows = [_verdict_row(verdict) for verdict in comparison.verdicts]
    columns = ("combination", "metric", "before", "now", "change", "99 % interval", "allowed", "verdict")
    table(f"compared with {name}", columns, rows)
    notes = [
        f"{verdict.row}, {verdict.metric}: {verdict.note}" for verdict in comparison.verdicts if verdict.note
    ]
    for line in (*comparison.warnings, *notes):
        print(f"note: {line}")


def _verdict_row(verdict: Verdict) -> Sequence[str]:
    limit = "-" if verdict.limit is None else f"{100 * verdict.limit:g} %"
    if not verdict.base:
        return [verdict.row, verdict.metric, "-", "-", "-", "-", limit, verdict.word]
    span = f"{100 * verdict.low:+.1f} to {100 * verdict.high:+.1f} %"
    numbers = [f"{verdict.base:.3f}", f"{verdict.new:.3f}", f"{100 * verdict.change:+.1f} %"]
    return [verdict.row, verdict.metric, *numbers, span, limit, verdict.word]
