"""How sure a ratio of two measurements is, where frames that follow each other are alike.

Whole stretches of time are drawn anew, not frames: the circular block bootstrap (Politis and Romano 1992), stretches of
n^(1/3) blocks; and rounds before them, for a fresh process differs from the last one by more than a minute from the next
(Kalibera and Jones 2013). numpy.random is loaded when something is drawn, not before.
In: Blocks.  Out: the ratio and its interval.  Next: comparison.py.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from vedette.runtime.frame import Array
from vedette.runtime.measuring.blocks import Block
from vedette.runtime.measuring.rules import Rule
from vedette.runtime.measuring.sketch import QUANTILES, value_of

DRAWS = 1000
SURE = 0.99
ENOUGH_ROUNDS = 3  # to be drawn anew themselves
Statistic = Callable[[Array], Array]  # how often each block counts [draws, N] -> a value a draw [draws]


@dataclass(frozen=True, slots=True)
class Ratio:
    """New over base, with the interval that holds it in SURE of the cases."""

    base: float
    new: float
    low: float
    high: float


def ratio_of(rule: Rule, base: Sequence[Block], new: Sequence[Block], *, seed: int = 0) -> Ratio | None:
    """Of one metric; None where it was not measured."""
    values, drawn = [], []
    rng = np.random.default_rng(seed)
    for blocks in (base, new):
        statistic = statistic_of(rule, blocks)
        if statistic is None:
            return None
        values.append(float(statistic(np.ones((1, len(blocks))))[0]))
        drawn.append(statistic(draws([block.round for block in blocks], rng)))
    if values[0] <= 0 or values[1] <= 0:
        return None
    ratios = drawn[1] / np.maximum(drawn[0], 1e-12)
    low, high = np.quantile(ratios, [(1 - SURE) / 2, (1 + SURE) / 2])
    return Ratio(values[0], values[1], float(low), float(high))


def draws(rounds: Sequence[int], rng: "np.random.Generator", count: int = DRAWS) -> Array:
    """How often each block counts in each draw.

    Args:
        rounds: the round of every block, in order.
        rng: draws.
        count: of draws.

    Returns:
        float64 [count, N].
    """
    places = [np.flatnonzero(np.asarray(rounds) == number) for number in dict.fromkeys(rounds)]
    weights = np.zeros((count, len(rounds)))
    chosen = np.tile(np.arange(len(places)), (count, 1))  # [draws, rounds]
    if len(places) >= ENOUGH_ROUNDS:
        chosen = rng.integers(0, len(places), chosen.shape)
    for slot in chosen.T:
        for number, place in enumerate(places):
            rows = np.flatnonzero(slot == number)
            np.add.at(weights, (rows[:, None], place[stretches(len(place), len(rows), rng)]), 1.0)
    return weights


def stretches(size: int, count: int, rng: "np.random.Generator") -> Array:
    """Indices of `size` blocks, drawn in stretches of size^(1/3) that go round the end. int64 [count, size]."""
    length = math.ceil(size ** (1 / 3) - 1e-9)
    pieces = math.ceil(size / length)
    starts = rng.integers(0, size, (count, pieces, 1))
    indices: Array = ((starts + np.arange(length)) % size).reshape(count, pieces * length)[:, :size]
    return indices


def statistic_of(rule: Rule, blocks: Sequence[Block]) -> Statistic | None:
    """What makes a metric of blocks that count so often; None where they do not have it."""
    if not blocks:
        return None
    if rule.number:
        return _of_frames(rule, blocks)
    frames = np.array([block.frames for block in blocks], np.float64)
    if rule.metric == "fps":
        return _quotient(frames, np.array([block.seconds for block in blocks]))
    if rule.metric == "cpu_ms":
        return _quotient(np.array([block.load.own for block in blocks]), frames)
    if rule.metric == "memory_mb":
        return _quotient(np.array([block.rss_mb for block in blocks]), np.ones(len(blocks)))
    joules = [block.gpu.joules if block.gpu is not None else None for block in blocks]
    known = [value for value in joules if value is not None]
    return _quotient(np.array(known), frames) if len(known) == len(blocks) else None


def _quotient(above: Array, below: Array) -> Statistic:
    return lambda weights: (weights @ above) / np.maximum(weights @ below, 1e-12)


def _of_frames(rule: Rule, blocks: Sequence[Block]) -> Statistic | None:
    sketches = [block.ms.get(rule.metric) for block in blocks]
    there = [sketch for sketch in sketches if sketch is not None]
    if not there:
        return None
    if rule.number == "mean":
        return _quotient(
            np.array([sketch.total if sketch else 0.0 for sketch in sketches]),
            np.array([float(sketch.count) if sketch else 0.0 for sketch in sketches]),
        )
    if rule.number == "max":
        largest = np.array([sketch.largest if sketch else 0.0 for sketch in sketches])
        return lambda weights: ((weights > 0) * largest).max(axis=1)
    low, high = min(s.buckets[0] for s in there), max(s.buckets[-1] for s in there)
    counts = np.zeros((len(blocks), high - low + 1))
    for row, sketch in zip(counts, sketches, strict=True):
        if sketch is not None:
            row[np.array(sketch.buckets) - low] = sketch.counts
    return _quantile(counts, low, QUANTILES[rule.number])


def _quantile(counts: Array, lowest: int, share: float) -> Statistic:
    values = np.array([value_of(lowest + index) for index in range(counts.shape[1])])

    def quantile(weights: Array) -> Array:
        reached = np.cumsum(weights @ counts, axis=1)
        chosen: Array = values[np.argmax(reached >= share * reached[:, -1:] - 1e-9, axis=1)]
        return chosen

    return quantile
