"""A row of the report: what was measured, beside what, and what was asked.

In: figures of every repeat.  Out: rows of a table, and of results/<machine>/*.json.  Next: run_all.py, _document.py.
"""

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from _machine import machine, stamp

RESULTS = Path(__file__).parent / "results"
Form = Literal["ratio", "excess", "figure"]


@dataclass(frozen=True, slots=True)
class Goal:
    """One comparison.

    Attributes:
        goal: its number, C1 to C12; A/A for the method itself; empty for what only stands beside.
        what: is measured.
        peer: what it is compared with.
        unit: of ours and theirs.
        ours: the median over the repeats.
        theirs: the same of the peer; None where it was not run, and note says why.
        judged: of every repeat what target is about: ours / theirs (ratio), ours - theirs (excess), or ours (figure).
        at_least: target is a lower bound.
        note: what else must be known to read it.
    """

    goal: str
    what: str
    peer: str
    unit: str
    ours: float | None
    theirs: float | None
    judged: tuple[float, ...] = ()
    form: Form = "ratio"
    target: float | None = None
    stretch: float | None = None
    at_least: bool = False
    note: str = ""

    @property
    def value(self) -> float | None:
        """The median of what is judged."""
        return statistics.median(self.judged) if self.judged else None

    @property
    def verdict(self) -> str:
        """Stretch, pass, FAIL, not measured, or nothing where nothing is asked."""
        if self.value is None:
            return "not measured"
        if self.stretch is not None and self._holds(self.stretch):
            return "stretch"
        if self.target is None:  # a stretch alone may be missed
            return "" if self.stretch is None else "not reached"
        return "pass" if self._holds(self.target) else "FAIL"

    def _holds(self, bound: float) -> bool:
        assert self.value is not None
        return self.value >= bound if self.at_least else self.value <= bound


def compared(
    goal: str,
    what: str,
    peer: str,
    ours: Sequence[float],
    theirs: Sequence[float] = (),
    *,
    unit: str = "CPU-ms",
    form: Form = "ratio",
    **bounds: Any,
) -> Goal:
    """A row of the figures of each repeat; without a peer's the row says that it was not measured, or judges ours alone."""
    middle = statistics.median(ours)
    if form == "figure":
        other = statistics.median(theirs) if theirs else None
        return Goal(goal, what, peer, unit, middle, other, tuple(ours), form, **bounds)
    judged = tuple(a / b if form == "ratio" else a - b for a, b in zip(ours, theirs, strict=False))
    other = statistics.median(theirs) if theirs else None
    return Goal(goal, what, peer, unit, middle, other, judged, form, **bounds)


def write(name: str, question: str | None, goals: Sequence[Goal], path: Path | None, **more: Any) -> None:
    """Print rows and keep them, stamped with machine, versions and date."""
    for goal in goals:
        print(line(goal), flush=True)
    path = path or RESULTS / machine() / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [_rounded(asdict(goal)) for goal in goals]
    report = {"question": question, "machine": machine(), "stamp": stamp(), **more, "goals": rows}
    path.write_text(json.dumps(report, indent=1) + "\n")


def read(path: Path) -> list[Goal]:
    """The rows that a file holds; none in one of another kind."""
    rows: Sequence[Mapping[str, Any]] = json.loads(path.read_text()).get("goals", ())
    return [replace(Goal(**row), judged=tuple(row["judged"])) for row in rows]


def line(goal: Goal) -> str:
    """One row as text of fixed width."""
    bound = "" if goal.target is None else f"{'>=' if goal.at_least else '<='} {goal.target:g}"
    stretch = "" if goal.stretch is None else f"{goal.stretch:g}"
    cells = [
        f"{goal.goal:8}{goal.what[:52]:53}{goal.peer[:38]:39}",
        f"{number(goal.ours):>9}{number(goal.theirs):>9} {goal.unit:12}",
        f"{number(goal.value):>8}  {bound:>9}{stretch:>6}  {goal.verdict:13}{spread(goal):>17}",
    ]
    return "".join(cells).rstrip()


HEADER = (
    f"{'goal':8}{'what':53}{'peer':39}{'ours':>9}{'peer':>9} {'unit':12}{'judged':>8}  {'target':>9}{'best':>6}"
    f"  {'verdict':13}{'repeats':>17}"
)


def number(value: float | None) -> str:
    """Three figures that matter."""
    if value is None:
        return "-"
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.4g}" if abs(value) >= 10 else f"{value:.3f}"


def spread(goal: Goal) -> str:
    """The lowest and highest of what is judged, over the repeats."""
    return f"{number(min(goal.judged))} to {number(max(goal.judged))}" if goal.judged else ""


def _rounded(row: dict[str, Any]) -> dict[str, Any]:
    row["judged"] = [round(value, 5) for value in row["judged"]]
    return {key: round(value, 5) if isinstance(value, float) else value for key, value in row.items()}
