"""Milliseconds by stage, and what their distribution looks like."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np


class Stopwatch:
    """Times named stages of one batch."""

    def __init__(self) -> None:
        self.ms: dict[str, float] = {}

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Add the wall time of the block to a stage."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.ms[stage] = self.ms.get(stage, 0.0) + (time.perf_counter() - start) * 1e3

    def each(self, count: int) -> dict[str, float]:
        """The share of one of `count` frames."""
        return {stage: value / count for stage, value in self.ms.items()}


def percentiles(samples_ms: Sequence[float]) -> Mapping[str, float]:
    """p50, p90, p99, max and mean of some milliseconds."""
    values = np.asarray(samples_ms, np.float64)
    if not values.size:
        return {}
    p50, p90, p99 = np.percentile(values, [50, 90, 99])
    named = {"p50": p50, "p90": p90, "p99": p99, "max": values.max(), "mean": values.mean()}
    return {name: round(float(value), 3) for name, value in named.items()}
