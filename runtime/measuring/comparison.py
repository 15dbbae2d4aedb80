"""Whether a record is worse than another, knowing that measurements scatter.

Told as a regression is what is worse by more than its rule allows, and surely so (bootstrap.py). Wall-clock times are compared
over warm blocks where both have enough of them. Else some cores were shared: then a time must be worse by more than longer waits
for a core explain, and tails are not judged. CPU time and memory are judged over all blocks of the steady state.
In: two Records and Rules.  Out: Verdicts.  Next: rules.py, bootstrap.py.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from vedette.runtime.errors import UsageError
from vedette.runtime.measuring.blocks import Block, of
from vedette.runtime.measuring.bootstrap import ratio_of
from vedette.runtime.measuring.record import STEADY, Record, Row
from vedette.runtime.measuring.rules import Rule

ENOUGH = 6  # blocks of one condition
HOLDS = 0.25  # share of the steady blocks that must be of that condition
Word = Literal["regression", "better", "no worse", "unsure", "not judged", "told"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """Of one metric of one row.

    Attributes:
        change: new over base, less 1.
        low: of the interval of the change.
        high: of it.
        note: what is to be said besides.
    """

    row: str
    metric: str
    word: Word
    base: float = 0.0
    new: float = 0.0
    change: float = 0.0
    low: float = 0.0
    high: float = 0.0
    limit: float | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Of all rows."""

    verdicts: tuple[Verdict, ...]
    warnings: tuple[str, ...]

    @property
    def regressions(self) -> tuple[Verdict, ...]:
        """What became worse."""
        return tuple(verdict for verdict in self.verdicts if verdict.word == "regression")


def compare(base: Record, new: Record, rules: Sequence[Rule]) -> Comparison:
    """Judge it.

    Args:
        base: what was.
        new: what is.
        rules: a metric each; one without a limit is only told.

    Raises:
        UsageError: the two cannot be compared, or a rule's metric was not measured.
    """
    warnings = comparable(base, new)
    before = {row.key: row for row in base.rows}
    verdicts = [
        _verdict(before[row.key], row, rule) for row in new.rows if row.key in before for rule in rules
    ]
    warnings += [f"{row.label}: not in the base" for row in new.rows if row.key not in before]
    return Comparison(tuple(verdicts), tuple(warnings))


def comparable(base: Record, new: Record) -> list[str]:
    """What differs and may be what is meant to be compared.

    Raises:
        UsageError: the two measure different things.
    """
    refused = [
        *_differences("the model", _named(base), _named(new)),
        *_differences("the machine", _hardware(base), _hardware(new)),
        *_differences("", asdict(base.settings), asdict(new.settings)),
    ]
    if not {row.key for row in base.rows} & {row.key for row in new.rows}:
        refused.append(f"combinations: {base.rows[0].label}; {new.rows[0].label}")
    if refused:
        raise UsageError(
            "the two records measure different things",
            why="; ".join(refused),
            cure="measure both with the same model, machine, source and flags",
        )
    return [
        *_differences("the model's", base.model.sha256, new.model.sha256),
        *_differences("version of", base.versions, new.versions),
        *_differences("version of", {"vedette": base.vedette}, {"vedette": new.vedette}),
        *_differences("the machine's", _mode(base), _mode(new)),
    ]


def _named(record: Record) -> dict[str, str]:
    return {"name": record.model.name, "precision": record.model.precision}


def _hardware(record: Record) -> dict[str, object]:
    machine = record.machine
    return {"cpu": machine.cpu, "usable cores": machine.usable_cores, "gpu": machine.gpu}


def _mode(record: Record) -> dict[str, str]:
    machine = record.machine
    return {
        "governor": machine.governor, "power mode": machine.power_mode, "limits": machine.limits,
        "driver": machine.driver,
    }  # fmt: skip


def _differences(of_what: str, base: dict[str, object] | dict[str, str], new: object) -> list[str]:
    assert isinstance(new, dict)
    return [
        f"{of_what} {name}: {_short(base.get(name))} before, {_short(new.get(name))} now".strip()
        for name in dict.fromkeys((*base, *new))
        if base.get(name) != new.get(name)
    ]


def _short(value: object) -> str:
    told = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    return told[:12] + "…" if len(told) == 64 else told or "nothing"


def _verdict(base: Row, new: Row, rule: Rule) -> Verdict:
    pair, shared = _alike(base, new, rule)
    explained = _explained(*pair) if shared else 1.0
    ratio = ratio_of(rule, *pair)
    if ratio is None:
        if rule.share is None:
            return Verdict(new.label, rule.name, "not judged", note="it was not measured in both")
        raise UsageError(
            f"--fail-if {rule.name} cannot be judged",
            why="one of the two records has no such measurement",
            cure="leave it out, or measure both with --sink draw,json",
        )
    change, low, high = (value - 1 for value in (ratio.new / ratio.base, ratio.low, ratio.high))
    numbers = (ratio.base, ratio.new, change, low, high, rule.share)
    if explained is None or (shared and rule.tail):
        why = "cores were shared, and " + (
            "a tail tells of them" if explained else "the kernel does not say how long"
        )
        return Verdict(new.label, rule.name, "not judged", *numbers, why)
    note = f"cores were shared: waits for one may explain a factor of {explained:.2f}" if shared else ""
    return Verdict(new.label, rule.name, judged(rule, change, low, high, explained), *numbers, note)


def judged(rule: Rule, change: float, low: float, high: float, explained: float = 1.0) -> Word:
    """The word for a change and its interval.

    Args:
        rule: whose limit holds.
        change: new over base, less 1.
        low: of its interval.
        high: of it.
        explained: a factor that need not be the program's doing.
    """
    if rule.share is None:
        return "told"
    if rule.falls:
        worse, surely_worse, surely_better = 1 - (1 + change) * explained, (1 + high) * explained < 1, low > 0
    else:
        worse, surely_worse, surely_better = (1 + change) / explained - 1, (1 + low) / explained > 1, high < 0
    if worse > rule.share:
        return "regression" if surely_worse else "unsure"
    return "better" if surely_better else "no worse"


def _alike(base: Row, new: Row, rule: Rule) -> tuple[tuple[list[Block], list[Block]], bool]:
    """Blocks of both that can be compared, and whether some of them had to share cores."""
    before, after = (of(row.blocks, *STEADY) or list(row.blocks) for row in (base, new))
    if not rule.wall:
        return (before, after), False
    warm = of(before, "warm"), of(after, "warm")
    if _enough(warm[0], before) and _enough(warm[1], after):
        return warm, False
    return (before, after), True


def _enough(some: Sequence[Block], steady: Sequence[Block]) -> bool:
    return len(some) >= max(min(ENOUGH, len(steady)), HOLDS * len(steady))


def _explained(base: Sequence[Block], new: Sequence[Block]) -> float | None:
    """The factor by which longer waits for a core may have made times longer; None where the kernel does not tell."""
    before, after = _stretch(base), _stretch(new)
    return None if before is None or after is None else max(1.0, after / before)


def _stretch(blocks: Sequence[Block]) -> float | None:
    """By how much waiting for a core made our threads' work longer."""
    delays = [block.load.delay for block in blocks]
    known = [delay for delay in delays if delay is not None]
    own = sum(block.load.own for block in blocks)
    return (own + sum(known)) / max(own, 1e-9) if len(known) == len(delays) else None
