"""Figures, the limits that they must keep, and the programs that print them.   Next: reconnect.py, which uses all of it."""

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np


@dataclass
class Report:
    """Figures and what they must keep.

    Attributes:
        times: how much longer than its figure a deadline may take here, and how much further a share may fall.
        broken: every figure that was beyond its limit.
    """

    times: float = 1.0
    broken: list[str] = field(default_factory=list)

    def say(self, text: str) -> None:
        print(text, flush=True)  # noqa: T201  the figures are what these programs are for

    def within(self, what: str, seconds: Sequence[float], limit_s: float, *, share: float = 1.0) -> None:
        """At least one duration, and that share of them (1: all) within the limit."""
        limit_s *= self.times
        values = np.array(seconds or [np.inf])
        reached = float(np.quantile(values, share, method="higher"))
        named = "max" if share == 1.0 else f"p{share * 100:.0f}"
        text = f"{what}: median {np.median(values):.3f} s, {named} {reached:.3f} s of {len(seconds)}"
        self._judge(f"{text}; at most {limit_s:g} s", kept=reached <= limit_s)

    def at_most(self, what: str, value: float, limit: float) -> None:
        self._judge(f"{what}: {value:.4g}; at most {limit:.4g}", kept=value <= limit)

    def at_least(self, what: str, value: float, limit: float) -> None:
        self._judge(f"{what}: {value:.4g}; at least {limit:.4g}", kept=value >= limit)

    def share(self, what: str, value: float, limit: float) -> None:
        """A share of 1; its shortfall may be `times` as large."""
        self.at_least(what, value, 1 - (1 - limit) * self.times)

    def equal(self, what: str, value: object, expected: object) -> None:
        self._judge(f"{what}: {value}; expected {expected}", kept=value == expected)

    def _judge(self, text: str, *, kept: bool) -> None:
        self.say(f"{'ok  ' if kept else 'FAIL'} {text}")
        if not kept:
            self.broken.append(text)


def main(doc: str | None, run: Callable[[Report], object]) -> None:
    """A program of this folder: figures on standard output, 1 if one is beyond its limit."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=float, default=1.0, help="by how much deadlines are stretched")
    report = Report(parser.parse_args().times)
    run(report)
    report.say(f"{len(report.broken)} beyond their limits")
    sys.exit(bool(report.broken))
