"""The clock that every FFmpeg source keeps: it only goes forward."""

import time

import numpy as np
import pytest

from vedette.runtime.sources._clock import Clock, Pace


def times(stamps: list[float | None], rate: float = 25.0) -> list[float]:
    clock = Clock(rate)
    return [round(clock.seconds(stamp), 6) for stamp in stamps]


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


def live_times(stamps: list[float | None], arrivals: list[float]) -> list[float]:
    clock = Clock(25.0)
    pairs = zip(stamps, arrivals, strict=True)
    return [round(clock.seconds(stamp, arrived_s=arrived), 6) for stamp, arrived in pairs]


def test_live_frames_without_stamps_are_at_their_arrival() -> None:
    assert live_times([None, None, None], [70.0, 70.2, 70.3]) == [0.0, 0.2, 0.3]


def test_a_live_clock_that_is_set_forward_an_hour_goes_on_with_the_arrivals() -> None:
    assert live_times([5.0, 5.04, 3605.08, 3605.12], [0.0, 0.05, 0.1, 0.14]) == [0.0, 0.04, 0.09, 0.13]


def test_a_live_stream_that_paused_keeps_its_pause() -> None:
    assert live_times([5.0, 35.0, 35.04], [0.0, 30.0, 30.01]) == [0.0, 30.0, 30.04]


def test_a_recorded_pause_is_kept() -> None:
    assert times([0.0, 3600.0, 3600.04]) == [0.0, 3600.0, 3600.04]


def test_after_a_restart_time_goes_on_by_one_frame() -> None:
    clock = Clock(25.0)
    before = [clock.seconds(stamp) for stamp in (0.0, 0.04)]
    clock.restart()
    after = [clock.seconds(stamp) for stamp in (900.0, 900.04)]
    assert [round(time, 6) for time in before + after] == [0.0, 0.04, 0.08, 0.12]


def test_a_pace_waits_until_a_frame_is_due_but_never_beyond_the_deadline() -> None:
    pace, began = Pace(), time.monotonic()
    assert pace.wait(7.0, began + 10)  # the first is due at once
    assert not pace.wait(7.2, began + 0.05)
    assert 0.05 <= time.monotonic() - began < 0.2
    assert pace.wait(7.2, began + 10)
    assert time.monotonic() - began >= 0.2


def test_a_broken_stamp_is_not_waited_for() -> None:
    pace, began = Pace(), time.monotonic()
    assert pace.wait(0.0, began + 5)
    assert pace.wait(3600.0, began + 5)
    assert pace.wait(3600.05, began + 5)
    assert 0.04 < time.monotonic() - began < 3
