"""Pairs of greatest weight, against scipy's linear_sum_assignment."""

import numpy as np
import pytest

from vedette.runtime.frame import Array
from vedette.runtime.tracking.assignment import assign

scipy_optimize = pytest.importorskip("scipy.optimize")


def best(weights: Array) -> float:
    """The greatest sum, where nobody needs to be paired."""
    worth = np.maximum(weights, 0)
    rows, columns = scipy_optimize.linear_sum_assignment(worth, maximize=True)
    return float(worth[rows, columns].sum())


def check(weights: Array) -> None:
    rows, columns = assign(weights)
    assert (np.diff(rows) > 0).all()
    assert len(set(columns.tolist())) == len(columns)
    assert (weights[rows, columns] > 0).all()
    assert weights[rows, columns].sum() == pytest.approx(best(weights), abs=1e-9)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_any_shape_gated_and_tied(seed: int, ties: bool) -> None:
    rng = np.random.default_rng(seed)
    for _ in range(1000):
        weights = rng.random(rng.integers(0, 12, 2))
        if ties:
            weights = np.round(weights * 4) / 4
        weights -= rng.random()
        check(np.where(rng.random(weights.shape) < rng.random(), weights, -1))


@pytest.mark.parametrize("shape", [(60, 60), (80, 30), (30, 80)])
def test_a_crowd_in_which_everybody_may_take_anything(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(7)
    check(rng.random(shape))
    check(rng.integers(1, 4, shape).astype(float))


def test_the_best_pair_is_given_up_for_a_better_whole() -> None:
    weights = np.array([[0.9, 0.8], [0.8, 0.0]])  # greedy takes 0.9 and leaves the other row alone
    rows, columns = assign(weights)
    np.testing.assert_array_equal(rows, [0, 1])
    np.testing.assert_array_equal(columns, [1, 0])


def test_nobody_is_paired_for_nothing() -> None:
    for weights in (
        np.zeros((3, 4)),
        np.full((2, 2), -1.0),
        np.full((2, 2), np.nan),
        np.zeros((0, 5)),
        np.zeros((5, 0)),
    ):
        rows, columns = assign(weights)
        assert len(rows) == len(columns) == 0
