"""What may not become worse, and by how much: `p99+10%`, `fps-5%`, `preprocess.p50+20%`.

In: the words of --fail-if.  Out: Rules.  Next: comparison.py.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from vedette.runtime.errors import UsageError
from vedette.runtime.measuring.recorder import METRICS

NUMBERS = ("p50", "p90", "p99", "max", "mean")
WHOLE = ("fps", "cpu_ms", "memory_mb", "joules")
FALLS = {"fps"}  # worse when it falls
_RULE = re.compile(r"([a-z_0-9]+(?:\.[a-z0-9]+)?)([+-])(\d+(?:\.\d+)?)%")
FORMS = (
    f"METRIC+PERCENT% or fps-PERCENT%, where METRIC is {', '.join(NUMBERS)} of capture to result, "
    f"{', '.join(WHOLE)}, or one of a stage, as in preprocess.p50 or age_p99; stages are {', '.join(METRICS)}"
)


@dataclass(frozen=True, slots=True)
class Rule:
    """One metric, and by which share of it it may become worse; None where it is only told."""

    metric: str  # of METRICS, or of WHOLE
    number: str = ""  # of NUMBERS; empty for WHOLE
    share: float | None = None

    @property
    def name(self) -> str:
        """As it is written."""
        if not self.number or self.metric == "end_to_end":
            return self.number or self.metric
        return f"{self.metric}.{self.number}"

    @property
    def falls(self) -> bool:
        """Whether a smaller value is worse."""
        return self.metric in FALLS

    @property
    def wall(self) -> bool:
        """Whether it grows where others have the cores."""
        return self.metric not in {"cpu_ms", "memory_mb", "joules", "decode"}

    @property
    def tail(self) -> bool:
        """Whether few frames decide it."""
        return self.number in {"p90", "p99", "max"}


TOLD = (
    Rule("end_to_end", "p50"), Rule("end_to_end", "p99"), Rule("work", "p50"), Rule("fps"), Rule("cpu_ms"),
    Rule("memory_mb"),
)  # fmt: skip


def rules_of(texts: Sequence[str]) -> tuple[Rule, ...]:
    """Of several --fail-if, each of one rule or more with commas between.

    Raises:
        UsageError: one is not of that form.
    """
    parts = [part.strip() for text in texts for part in text.split(",") if part.strip()]
    return tuple(_rule(part) for part in parts)


def _rule(text: str) -> Rule:
    found = _RULE.fullmatch(text.lower())
    if found is None:
        raise UsageError(f"--fail-if {text!r} is no rule", why=f"it is {FORMS}", cure="--fail-if p99+10%")
    metric, number = _named(found[1], text)
    rule = Rule(metric, number, float(found[3]) / 100)
    if (found[2] == "-") != rule.falls:
        worse = "falls" if rule.falls else "rises"
        sign = "-" if rule.falls else "+"
        raise UsageError(
            f"--fail-if {text!r} would fail what became better",
            why=f"{rule.name} is worse when it {worse}",
            cure=f"--fail-if {rule.name}{sign}{found[3]}%",
        )
    return rule


def _named(name: str, text: str) -> tuple[str, str]:
    if name in WHOLE:
        return name, ""
    if name in NUMBERS:
        return "end_to_end", name
    stage, _, number = name.rpartition("." if "." in name else "_")
    if stage in METRICS and number in NUMBERS:
        return stage, number
    raise UsageError(
        f"--fail-if {text!r}: there is no {name}", why=f"it is {FORMS}", cure="--fail-if p99+10%"
    )
