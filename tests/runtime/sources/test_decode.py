"""The clock that every FFmpeg source keeps: it only goes forward."""

import numpy as np
import pytest

from vedette.runtime.sources._decode import Clock


def times(stamps: list[float | None], rate: float = 25.0) -> list[float]:
    clock = Clock(rate)
    return [round(clock.seconds(index, stamp), 6) for index, stamp in enumerate(stamps)]


def test_the_first_frame_is_at_zero_whatever_its_stamp() -> None:
    assert times([100.0, 100.04, 100.5]) == [0.0, 0.04, 0.5]


def test_without_stamps_time_is_index_over_rate() -> None:
    assert times([None, None, None], rate=50.0) == [0.0, 0.02, 0.04]


def test_a_first_frame_without_a_stamp_costs_no_time() -> None:
    assert times([None, 7.0, 7.04]) == [0.0, 0.04, 0.08]


def test_a_clock_that_is_set_back_goes_on_from_here() -> None:
    assert times([50.0, 50.04, 3.0, 3.04]) == [0.0, 0.04, 0.08, 0.12]


def test_jitter_is_ironed_out_without_losing_time() -> None:
    assert times([0.0, 0.04, 0.03, 0.12]) == [0.0, 0.04, 0.041, 0.12]


@pytest.mark.parametrize("seed", range(5))
def test_any_stamps_give_strictly_increasing_times(seed: int) -> None:
    rng = np.random.default_rng(seed)
    walk = np.cumsum(rng.normal(0.04, 1.0, 500)).tolist()
    stamps = [None if rng.random() < 0.1 else stamp for stamp in walk]
    assert all(np.diff(times(stamps)) > 0)
