"""Candidates in turn, in a new order every round: what a noisy machine does to one it does to all.

In: calls.  Out: CPU milliseconds of each.  The unit is the CPU time of the whole process, whichever thread spends it.
"""

import random
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

Work = Callable[[], object]
T = TypeVar("T")


class Spent:
    """CPU time inside some calls, over all threads; less it, a loop's time is what stands around them.

    Attributes:
        ns: nanoseconds so far.
    """

    def __init__(self) -> None:
        self.ns = 0

    def of(self, call: Callable[..., T]) -> Callable[..., T]:
        """The same call, its time counted."""

        def timed(*arguments: Any, **named: Any) -> T:
            start = time.thread_time_ns()
            try:
                return call(*arguments, **named)
            finally:
                self.ns += time.thread_time_ns() - start

        return timed


def rotated(
    candidates: Mapping[str, Work],
    *,
    rounds: int,
    warm: int = 3,
    inside: Spent | None = None,
    clock: Callable[[], int] = time.process_time_ns,
) -> dict[str, float]:
    """Median milliseconds of each candidate.

    Args:
        candidates: by name.
        rounds: how often each is run and counted.
        warm: rounds before those.
        inside: whose time is not counted.
        clock: in nanoseconds.
    """
    names = list(candidates)
    samples: dict[str, list[float]] = {name: [] for name in names}
    order = random.Random(
        0
    )  # shuffled: none has always the same one before it, whose leftovers are in the caches
    for turn in range(warm + rounds):
        for name in order.sample(names, len(names)):
            before, start = inside.ns if inside else 0, clock()
            candidates[name]()
            spent = clock() - start - ((inside.ns if inside else 0) - before)
            if turn >= warm:
                samples[name].append(spent / 1e6)
    return {name: statistics.median(values) for name, values in samples.items()}


def repeated(measure: Callable[[], Mapping[str, float]], repeats: int) -> dict[str, list[float]]:
    """The same measurement several times over: the figures of every repeat, by candidate."""
    found = [measure() for _ in range(repeats)]
    return {name: [one[name] for one in found] for name in found[0]}
