"""Tables on the terminal: rich's, drawn plainly in a log."""

from collections.abc import Sequence

from vedette.runtime.evaluation.evaluation import Counts, Evaluation
from vedette.runtime.manifest import Manifest


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table on standard output."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    drawn = Table(title=title or None, title_justify="left", box=box.SIMPLE_HEAD, show_edge=False)
    for column in columns:
        drawn.add_column(column, overflow="fold")
    for row in rows:
        drawn.add_row(*row)
    Console(width=None if _terminal() else 140, highlight=False, markup=False).print(drawn)


def parity_table(cards: Sequence[Manifest]) -> None:
    """What every output of some exports differed by from PyTorch."""
    rows = [
        [
            card.name,
            card.precision,
            row.output,
            f"{row.max_abs:.1e}",
            f"{row.mean_abs:.1e}",
            f"{row.scale:.3g}",
            "agrees",
        ]
        for card in cards
        for row in card.parity
    ]
    columns = ("network", "precision", "output", "max abs", "mean abs", "largest value", "verdict")
    table("parity: PyTorch fp32 against the exported ONNX in ONNX Runtime", columns, rows)


def evaluation_table(evaluation: Evaluation) -> None:
    """The headline, a row for each class, the operating point, and what is to be said of it."""
    sizes = ", ".join(f"{count} {name}" for name, count in evaluation.sizes.items())
    title = f"{evaluation.metric}, {evaluation.kind}: {sizes}"
    print(title)
    table("", list(evaluation.numbers), [[_share(value) for value in evaluation.numbers.values()]])
    if evaluation.details:
        columns = list(dict.fromkeys(key for values in evaluation.details.values() for key in values))
        rows = [
            [name, *(_cell(key, values.get(key)) for key in columns)]
            for name, values in evaluation.details.items()
        ]
        table("of each class", ["class", *columns], rows)
    if evaluation.class_counts:
        rows = [_class_row(name, evaluation) for name in evaluation.class_counts]
        table(_point(evaluation), ["class", "AP", "truths", *_COUNTED], rows)
    if evaluation.points:
        rows = [[f"{point.threshold:g}", *_counted(point)] for point in evaluation.points[:_MOST]]
        table("at score thresholds", ["threshold", *_COUNTED], rows)
        if len(evaluation.points) > _MOST:
            print(f"{len(evaluation.points) - _MOST} more thresholds: --json has them")
    _print_rest(evaluation)


_COUNTED = ("TP", "FP", "FN", "TN", "precision", "recall", "F1")
_MOST = 40  # rows of thresholds


def _point(evaluation: Evaluation) -> str:
    assert evaluation.counts is not None
    return f"of each class; counts at score {evaluation.counts.threshold:g}, overlap {evaluation.iou:g}"


def _class_row(name: str, evaluation: Evaluation) -> list[str]:
    counts = evaluation.class_counts[name]
    average = evaluation.per_class.get(name)
    return [name, _share(average), str(counts.tp + counts.fn), *_counted(counts)]


def _counted(counts: Counts) -> list[str]:
    whole = [counts.tp, counts.fp, counts.fn, counts.tn]
    parts = [counts.precision, counts.recall, counts.f1]
    return [*("-" if value is None else str(value) for value in whole), *(_share(value) for value in parts)]


def _print_rest(evaluation: Evaluation) -> None:
    for words, counts in (("all classes", evaluation.counts), ("best F1", evaluation.best)):
        if counts is not None:
            told = ", ".join(
                f"{key} {value}"
                for key, value in zip(_COUNTED, _counted(counts), strict=True)
                if value != "-"
            )
            print(f"{words}, at score {counts.threshold:.3g}: {told}")
    if evaluation.errors is not None:
        print(
            "wrong there: "
            + ", ".join(f"{count} {name}" for name, count in evaluation.errors.summary().items())
        )
    if evaluation.calibration is not None and evaluation.calibration.counts.sum():
        print(f"calibration error (ECE) {evaluation.calibration.error:.3f}")
    for note in evaluation.notes:
        print(f"note: {note}")


def _share(value: float | int | None) -> str:
    """Three digits, or a count; nothing to be found is -."""
    if isinstance(value, int) and value >= 0:
        return str(value)
    return "-" if value is None or value == -1 else f"{value:.3f}"


def _cell(key: str, value: float | None) -> str:
    return f"{value:.0f}" if key == "pixels" and value is not None else _share(value)


def _terminal() -> bool:
    import sys

    return sys.stdout.isatty()
