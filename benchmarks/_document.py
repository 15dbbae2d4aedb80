"""docs/benchmarks.md out of benchmarks/results/*/*.json.   Run: python benchmarks/_document.py

In: the rows that each machine's programs left.  Out: the page, and a picture a machine, docs/pictures/benchmarks/*.svg.
Nothing is measured here, and nothing is written that no file holds: the same results always make the same page.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import _lecture
from _goal import RESULTS, Goal, number, read, spread
from _plot import bars

DOCS = RESULTS.parents[1] / "docs"
PAGE, PICTURES = DOCS / "benchmarks.md", DOCS / "pictures" / "benchmarks"
PROGRAMS = ("kernels", "engines", "pipeline", "startup", "streams", "memory")
GOALS = tuple(f"C{index}" for index in range(1, 13))

INTRODUCTION = """\
# Benchmarks

Made by `python benchmarks/_document.py` from the results in `benchmarks/results/`; `make bench` measures them anew and writes
this page. Do not edit it.

**How.** CPU milliseconds of the whole process, not the wall's, unless a row says frames/s or ms: they bear a machine that others
use too. One pinned core, one thread, candidates in the same process (or whole processes in turn) in a new order every round,
medians; *judged* is the ratio of ours to the peer's, or our excess over it where the unit is repeated there, and *repeats* its
lowest and highest over whole repetitions. Rows A/A measure a thing against itself: what they stray from 1.00 is what any
other row may stray. A row without a target stands beside for comparison. What each program asks, and of whom, is in
its first lines. Times of the network that the peers share are right, its weights are random and its boxes mean nothing.
"""

GPU = """\
## What was not measured

* The goals for a GPU (G1 to G11) are not part of `make bench`. `make gpu` measures kernels and engines on a machine that has
  one; docs/gpu.md says what was found, and where.
* Rows that say *not measured* had no peer on that machine, or could not run there; the reason stands below the table.
* Throttling, power and temperature: no machine here tells them.
"""


def main() -> None:
    write()
    print(PAGE)


def write(results: Path = RESULTS, page: Path = PAGE, pictures: Path = PICTURES) -> None:
    """The page and its pictures."""
    sections = [INTRODUCTION, *_lecture_lines()]
    pictures.mkdir(parents=True, exist_ok=True)
    for folder in sorted(path for path in results.iterdir() if path.is_dir()):
        rows, stamps = _read(folder)
        if not rows:
            continue
        plot = pictures / f"{folder.name}.svg"
        plot.write_text(bars(rows))
        sections += _machine(folder.name, rows, stamps, f"pictures/benchmarks/{plot.name}")
    page.write_text("\n".join([*sections, GPU]))


def _read(folder: Path) -> tuple[list[tuple[str, Goal]], dict[str, Any]]:
    """Rows by program, and the programs' stamps."""
    rows: list[tuple[str, Goal]] = []
    stamps: dict[str, Any] = {}
    for program in PROGRAMS:
        path = folder / f"{program}.json"
        if path.is_file() and (found := read(path)):
            rows += [(program, goal) for goal in found]
            stamps[program] = json.loads(path.read_text())["stamp"]
    return rows, stamps


def _lecture_lines() -> Iterator[str]:
    row = _lecture.rows()[0]
    yield "## The detector that looks at every rectangle\n"
    yield f"{row.what}: {row.note}. Arithmetic of the lecture; nobody waits for it. Ours takes what the rows C1 say.\n"


def _machine(
    name: str, rows: Sequence[tuple[str, Goal]], stamps: dict[str, Any], picture: str
) -> Iterator[str]:
    yield f"## {name}\n"
    yield from _stamps(stamps)
    yield f"![ours as a share of each peer's]({picture})\n"
    asked = [pair for pair in rows if pair[1].goal in GOALS]
    yield "### Goals\n"
    yield from _table(sorted(asked, key=lambda pair: int(pair[1].goal[1:])))
    absent = [goal for goal in GOALS if goal not in {row.goal for _, row in asked}]
    if absent:
        yield f"Not measured on this machine: {', '.join(absent)}.\n"
    yield "### The method against itself\n"
    yield from _table([pair for pair in rows if pair[1].goal == "A/A"])
    yield "### Beside them\n"
    yield from _table([pair for pair in rows if not pair[1].goal])


def _stamps(stamps: dict[str, Any]) -> Iterator[str]:
    """When, and with what; each program may have run on another day."""
    for program, stamp in stamps.items():
        versions = ", ".join(f"{name} {version}" for name, version in stamp["versions"].items())
        yield (
            f"* bench_{program}.py: {stamp['date']}, {stamp['cpus']} CPUs, load {stamp['load']} at the end, "
            f"Python {stamp['python']}, {versions}"
        )
    yield ""


def _table(pairs: Sequence[tuple[str, Goal]]) -> Iterator[str]:
    yield "| goal | what | beside | ours | theirs | unit | judged | target | stretch | verdict | repeats |"
    yield "|---|---|---|---:|---:|---|---:|---:|---:|---|---|"
    notes: list[str] = []
    for _, row in pairs:
        mark = ""
        if row.note:
            if row.note not in notes:
                notes.append(row.note)
            mark = f" ({notes.index(row.note) + 1})"
        sign = "≥" if row.at_least else "≤"
        judged = number(row.value) + ({"ratio": " x", "excess": f" {row.unit} more"}.get(row.form, ""))
        cells = (
            row.goal, row.what + mark, row.peer, number(row.ours), number(row.theirs), row.unit,
            judged if row.judged else "-", "" if row.target is None else f"{sign} {row.target:g}",
            "" if row.stretch is None else f"{sign} {row.stretch:g}", row.verdict, spread(row),
        )  # fmt: skip
        yield f"| {' | '.join(cells)} |"
    yield ""
    for index, note in enumerate(notes, 1):
        yield f"{index}. {note}"
    if notes:
        yield ""


if __name__ == "__main__":
    main()
