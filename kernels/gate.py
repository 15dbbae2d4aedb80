"""The compile gate: what each CUDA kernel uses on each architecture, against budget.json.

Run by `make check`. In: the usage that fatbin.py recorded, compiled anew only when a source changed. Out: a table, and an exit
status. Where nvcc is not installed it says so and passes.
"""

import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from vedette.kernels import fatbin
from vedette.kernels.fatbin import Usage


def table(usage: Sequence[Usage]) -> str:
    """One line a kernel: registers on each architecture, then the most shared memory, stack and spills of any."""
    architectures = sorted({entry.sm for entry in usage})
    lines = [_line("registers a thread", [f"sm_{sm}" for sm in architectures], ["shared", "stack", "spills"])]
    for kernel in sorted({entry.kernel for entry in usage}):
        mine = {entry.sm: entry for entry in usage if entry.kernel == kernel}
        registers = [str(mine[sm].registers) if sm in mine else "-" for sm in architectures]
        worst = [
            max(getattr(entry, what) for entry in mine.values()) for what in ("shared", "stack", "spills")
        ]
        lines.append(_line(kernel, registers, list(map(str, worst))))
    return "\n".join(lines)


def _line(name: str, columns: Sequence[str], last: Sequence[str]) -> str:
    return f"{name:26}" + "".join(f"{text:>7}" for text in (*columns, *last))


def over_budget(usage: Sequence[Usage], size: int, budget: dict[str, dict[str, int]]) -> list[str]:
    """What exceeds the budget or is missing from it. Spills must be 0, and stack where it has no budget."""
    problems = []
    limit = budget["vedette.fatbin"]["bytes"]
    if size > limit:
        problems.append(f"vedette.fatbin has {size:,} bytes; the budget is {limit:,}")
    unknown = {entry.kernel for entry in usage} ^ (budget.keys() - {"vedette.fatbin"})
    problems += [f"{name} is in only one of budget.json and the sources" for name in sorted(unknown)]
    for entry in usage:
        allowed = {"stack": 0, **budget.get(entry.kernel, {}), "spills": 0}
        problems += [
            f"{entry.kernel} on sm_{entry.sm}: {getattr(entry, what)} {what}; the budget is {most}"
            for what, most in allowed.items()
            if getattr(entry, what) > most
        ]
    return problems


def main() -> int:
    """Print the table and what is over budget."""
    here = Path(__file__).parent
    out = here / fatbin.NAME
    if fatbin.stale(here, out):
        if shutil.which("nvcc") is None:
            sys.stdout.write("kernels/gate.py: SKIPPED, nvcc is not installed\n")
            return 0
        try:
            fatbin.build(here, out)
        except fatbin.BuildError as error:
            sys.stdout.write(f"kernels/gate.py: {error}\n")
            return 1
    usage = fatbin.usage(out)
    problems = over_budget(usage, out.stat().st_size, json.loads((here / "budget.json").read_text()))
    sys.stdout.write("\n".join([table(usage), *problems]) + "\n")
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main())
