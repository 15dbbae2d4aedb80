"""Tables on the terminal: rich's, drawn plainly in a log."""

from collections.abc import Sequence

from vedette.runtime.manifest import Manifest


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table on standard output."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    drawn = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, show_edge=False)
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


def _terminal() -> bool:
    import sys

    return sys.stdout.isatty()
