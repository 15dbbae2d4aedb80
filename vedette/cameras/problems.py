"""What is wrong with a configuration, each with its place; none of them ever repeats a value, which may be a password."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from vedette.runtime.errors import UsageError

Loc = tuple[str | int, ...]  # keys and indices from the top of the file
MOST = 20


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing that is wrong.

    Attributes:
        line: from 1.
        column: from 1, in characters.
    """

    line: int
    column: int
    what: str
    why: str
    cure: str


class ConfigError(UsageError):
    """A configuration that cannot be meant: everything that is wrong with it, in the order of the file.

    Attributes:
        problems: at least one.
    """

    def __init__(self, path: Path, problems: Iterable[Problem]) -> None:
        self.path, self.problems = path, tuple(_first_at_each_place(problems))
        first = self.problems[0]
        super().__init__(self._placed(first), why=first.why, cure=first.cure)

    def __str__(self) -> str:
        told = [
            str(UsageError(self._placed(problem), why=problem.why, cure=problem.cure))
            for problem in self.problems[:MOST]
        ]
        if len(self.problems) > MOST:
            told[-1] += f"\n  and {len(self.problems) - MOST} more after line {self.problems[MOST - 1].line}"
        return "\nerror: ".join(told)

    def _placed(self, problem: Problem) -> str:
        return f"{self.path}:{problem.line}:{problem.column}: {problem.what}"


def _first_at_each_place(problems: Iterable[Problem]) -> list[Problem]:
    """What was found first is the cause; what follows from it at the same place is noise."""
    found: dict[tuple[int, int], Problem] = {}
    for problem in problems:
        found.setdefault((problem.line, problem.column), problem)
    return sorted(found.values())


def shown(key: object) -> str:
    """A key as it may be repeated: one that looks like no key may be something else, put there by mistake."""
    return str(key) if re.fullmatch(r"[\w.-]{1,64}", str(key), re.ASCII) else "…"


def dotted(loc: Loc) -> str:
    """cameras.yard.models[0]."""
    parts = [f"[{part}]" if isinstance(part, int) else f".{shown(part)}" for part in loc]
    return "".join(parts).lstrip(".") or "the file"
