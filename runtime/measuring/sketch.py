"""A distribution in bounded memory: how many values fell into buckets that are 1 % wide, whatever their size.

In: milliseconds.  Out: quantiles within 0.5 %; count, mean and maximum are exact.  Next: blocks.py.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from vedette.runtime.frame import Array

STEP = math.log(1.01)
SMALLEST = 1e-4  # ms; what is less falls into this bucket
WIDEST = 5000  # buckets either side of 1 ms: more than ages
QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}


@dataclass(frozen=True, slots=True)
class Sketch:
    """Counts by bucket; bucket k holds what lies around exp(k * STEP)."""

    buckets: tuple[int, ...] = ()  # rising
    counts: tuple[int, ...] = ()
    total: float = 0.0
    largest: float = 0.0

    def __post_init__(self) -> None:
        """A record's numbers may be anybody's."""
        rising = all(first < second for first, second in pairwise(self.buckets))
        if len(self.buckets) != len(self.counts) or not rising or min(self.counts, default=1) < 1:
            raise ValueError("buckets rise, and each has a count of 1 or more")
        if self.buckets and not -WIDEST <= self.buckets[0] <= self.buckets[-1] <= WIDEST:
            raise ValueError(f"a bucket lies beyond {WIDEST}")

    @property
    def count(self) -> int:
        """How many values there were."""
        return sum(self.counts)

    def quantile(self, share: float) -> float:
        """The value that a share of all does not exceed; 0 where there is none."""
        if not self.counts:
            return 0.0
        reached = np.cumsum(self.counts)
        index = int(np.searchsorted(reached, math.ceil(share * int(reached[-1]) - 1e-9)))
        return min(value_of(self.buckets[index]), self.largest)

    def numbers(self) -> dict[str, float]:
        """p50, p90, p99, max, mean and count."""
        named = {name: self.quantile(share) for name, share in QUANTILES.items()}
        named |= {"max": self.largest, "mean": self.total / max(1, self.count)}
        return {**{name: round(value, 4) for name, value in named.items()}, "count": self.count}


def value_of(bucket: int) -> float:
    """The middle of a bucket."""
    return math.exp(bucket * STEP)


def sketch_of(values: Sequence[float]) -> Sketch:
    """Of some values."""
    if not values:
        return Sketch()
    array: Array = np.asarray(values, np.float64)
    places = np.rint(np.log(np.maximum(array, SMALLEST)) / STEP).astype(np.int64)
    buckets, counts = np.unique(places, return_counts=True)
    return Sketch(
        tuple(buckets.tolist()),
        tuple(counts.tolist()),
        round(float(array.sum()), 4),
        round(float(array.max()), 4),
    )


def merged(sketches: Iterable[Sketch]) -> Sketch:
    """All as one."""
    counts: dict[int, int] = {}
    total = largest = 0.0
    for sketch in sketches:
        total, largest = total + sketch.total, max(largest, sketch.largest)
        for bucket, count in zip(sketch.buckets, sketch.counts, strict=True):
            counts[bucket] = counts.get(bucket, 0) + count
    rising = sorted(counts)
    return Sketch(tuple(rising), tuple(counts[bucket] for bucket in rising), round(total, 4), largest)
