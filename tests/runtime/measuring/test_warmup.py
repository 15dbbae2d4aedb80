"""Where the steady state begins, against the definition of MSER-5, written out."""

import statistics

import numpy as np
import pytest

from vedette.runtime.measuring.warmup import FIVE, LAST, WarmUp, truncation, warm_up


def by_definition(values: list[float]) -> int | None:
    """White 1997: the cut that makes the variance of the rest, over its number, least."""
    groups = [statistics.median(values[i : i + FIVE]) for i in range(0, len(values) - FIVE + 1, FIVE)]
    errors = [statistics.pvariance(groups[cut:]) / (len(groups) - cut) for cut in range(len(groups) - LAST)]
    best = errors.index(min(errors))
    return None if best > len(groups) / 2 else best * FIVE


@pytest.mark.parametrize("seed", range(8))
def test_the_cut_is_that_of_the_definition(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.normal(10, 1, 400) + 20 * np.exp(-np.arange(400) / rng.uniform(5, 200))
    assert truncation(values) == by_definition(values.tolist())


@pytest.mark.parametrize("slow", [20, 60, 150])
def test_a_slow_beginning_is_cut_off_whole_and_little_more(slow: int) -> None:
    rng = np.random.default_rng(4)
    values = np.concatenate([rng.normal(30, 1, slow), rng.normal(10, 1, 400)])
    cut = truncation(values)
    assert cut is not None
    assert slow <= cut <= slow + 60


def test_one_pause_of_the_machine_is_no_event() -> None:
    values = np.random.default_rng(5).normal(10, 0.5, 400)
    values[150] = 500
    assert truncation(values) == by_definition(values.tolist())
    found = truncation(values)
    assert found is not None
    assert found < 150


def test_a_run_that_only_becomes_steady_near_its_end_never_was() -> None:
    rng = np.random.default_rng(6)
    values = np.concatenate([rng.normal(10, 0.1, 280), rng.normal(30, 0.1, 120)])
    assert truncation(values) is None
    ends = [0.01 * (index + 1) for index in range(400)]
    assert warm_up(values.tolist(), ends) == WarmUp(0.05, 5, steady=False)


def test_its_time_is_that_of_the_last_frame_that_is_cut_off() -> None:
    rng = np.random.default_rng(7)
    values = np.concatenate([rng.normal(30, 1, 40), rng.normal(10, 1, 400)]).tolist()
    found = warm_up(values, np.cumsum(values).tolist())
    assert found.steady
    assert found.frames == truncation(np.array(values)) != 0
    assert found.seconds == pytest.approx(sum(values[: found.frames]), abs=1e-3)


@pytest.mark.parametrize(("frames", "left_out"), [(0, 0), (1, 0), (7, 3), (19, 5)])
def test_of_a_few_frames_nothing_is_told(frames: int, left_out: int) -> None:
    found = warm_up([10.0] * frames, [float(index) for index in range(frames)])
    assert (found.steady, found.frames) == (None, left_out)
