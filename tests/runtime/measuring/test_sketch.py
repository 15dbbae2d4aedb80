"""Distributions in buckets, against NumPy's own quantiles of the same values."""

import numpy as np
import pytest

from vedette.runtime.measuring.sketch import Sketch, merged, sketch_of


@pytest.mark.parametrize("spread", [0.01, 0.5, 3.0])
def test_quantiles_are_within_half_a_percent_of_those_of_the_values(spread: float) -> None:
    values = np.random.default_rng(1).lognormal(2.0, spread, 5001)
    sketch = sketch_of(values.tolist())
    for share in (0.5, 0.9, 0.99):
        exact = np.quantile(values, share, method="inverted_cdf")
        assert sketch.quantile(share) == pytest.approx(exact, rel=0.0051)
    assert sketch.largest == pytest.approx(values.max(), abs=1e-4)
    assert sketch.count == 5001
    assert sketch.total == pytest.approx(values.sum())


def test_parts_merge_into_the_whole() -> None:
    values = np.random.default_rng(2).lognormal(0.0, 1.0, 300).tolist()
    parts = merged(sketch_of(values[start : start + 70]) for start in range(0, 300, 70))
    whole = sketch_of(values)
    assert (parts.buckets, parts.counts, parts.largest) == (whole.buckets, whole.counts, whole.largest)
    assert parts.total == pytest.approx(whole.total, abs=0.01)


def test_nothing_has_no_quantile_and_a_zero_is_very_little() -> None:
    assert sketch_of([]) == Sketch()
    assert Sketch().numbers() == {"p50": 0, "p90": 0, "p99": 0, "max": 0, "mean": 0, "count": 0}
    assert sketch_of([0.0, 0.0]).quantile(0.5) == 0


def test_one_value_is_every_quantile() -> None:
    assert sketch_of([7.0]).numbers() == pytest.approx(
        {"p50": 7, "p90": 7, "p99": 7, "max": 7, "mean": 7, "count": 1}, rel=0.0051
    )


def test_memory_does_not_grow_with_the_values() -> None:
    rng = np.random.default_rng(3)
    assert len(sketch_of(rng.uniform(1, 100, 200_000).tolist()).buckets) < 480  # log(100) / log(1.01) = 463


@pytest.mark.parametrize(
    ("buckets", "counts"),
    [((1, 2), (1,)), ((2, 1), (1, 1)), ((1,), (0,)), ((10**9,), (1,)), ((1, 1), (1, 1))],
)
def test_what_cannot_be_a_distribution_is_refused(buckets: tuple[int, ...], counts: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="bucket"):
        Sketch(buckets, counts)
