import re
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
from cuda_host import check
from cuda_host.guided_steps import drawn_case, launch
from cuda_host.shim import Library, Order, build
from gpp import needs_gpp
from hypothesis import given, settings
from hypothesis import strategies as st
from levels import LEVELS, need_level, run_at_level
from neon import Call, on_arm, sanitized

from vedette.kernels._guided_step_cases import OTHERS, Case, Weights
from vedette.kernels._guided_step_cases import drawn as drawn_arrays
from vedette.kernels.guided_step import CASES, guided_step, guided_step_reference

SEEDS = st.integers(0, 2**32 - 1)
drawn = settings(derandomize=True, deadline=None, max_examples=250)
BY = (guided_step, guided_step_reference)


def arguments(case: Case) -> tuple[Any, ...]:
    return case.sample, case.prediction, case.weights, case.others


def assert_same_values(case: Case) -> None:
    found, expected = guided_step(*arguments(case)), guided_step_reference(*arguments(case))
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", CASES)
def test_the_kernel_is_the_reference_in_every_case(name: str) -> None:
    assert_same_values(CASES[name]())


@drawn
@given(SEEDS)
def test_the_kernel_is_the_reference(seed: int) -> None:
    assert_same_values(drawn_case(np.random.default_rng(seed)))


@pytest.mark.parametrize("wanted", LEVELS)
def test_the_kernel_is_the_reference_at_every_level(wanted: int) -> None:
    run_at_level(wanted, __file__, "is_the_reference and not every_level and not neon")


@pytest.mark.parametrize("by", BY)
def test_a_step_worked_by_hand(by: Callable[..., Any]) -> None:
    """prediction 1 + 3 (2 - 1) = 4; denoised 0.5 * 6 - 4 = -1, clipped to -0.5; next 12 + 4 - 3 * -0.5 + 10 + 20 - 7 = 40.5."""
    ones = np.ones(1, np.float32)
    weights = Weights(3.0, 0.5, -1.0, -0.5, 0.5, 2.0, 1.0, -3.0, 1.0, 2.0, -7.0)
    others = {"unconditional": ones, "before": 10 * ones, "earlier": 10 * ones, "noise": ones}
    following, denoised = by(6 * ones, 2 * ones, weights, others)
    assert (following.tolist(), denoised.tolist()) == ([40.5], [-0.5])


@pytest.mark.parametrize("by", BY)
def test_without_other_arrays_their_weights_count_nothing(by: Callable[..., Any]) -> None:
    case = drawn_arrays(50)
    weights = Weights(1.0, 0.0, 1.0, sample=0.25, denoised=0.5, before=9.0, earlier=9.0, noise=9.0)
    following, denoised = by(case.sample, case.prediction, weights)
    np.testing.assert_array_equal(denoised, case.prediction)
    quarter, half = np.float32(0.25), np.float32(0.5)
    np.testing.assert_array_equal(following, quarter * case.sample + half * case.prediction)


def test_float16_is_rounded_once() -> None:
    case = drawn_arrays(2000, OTHERS, dtype=np.float16)
    others = {name: array.astype(np.float32) for name, array in case.others.items()}
    wide = Case(case.sample.astype(np.float32), case.prediction.astype(np.float32), case.weights, others)
    exact, _ = guided_step_reference(*arguments(wide))
    found, _ = guided_step(*arguments(case))
    np.testing.assert_array_equal(found, exact.astype(np.float16))


def test_every_half_precision_number_is_read_and_written_exactly() -> None:
    every = np.arange(2**16, dtype=np.uint16).view(np.float16)
    following, denoised = guided_step(every, every, Weights(from_prediction=1.0, sample=1.0))
    finite = np.isfinite(every)  # nothing times infinity is no number
    np.testing.assert_array_equal(following[finite], every[finite])
    np.testing.assert_array_equal(denoised[finite], every[finite])
    assert np.isnan(following[~finite]).all()


def test_sums_of_half_precision_are_rounded_to_the_nearest_and_ties_to_even() -> None:
    """Against NumPy's own conversion; of neighbours a quarter of the sums are ties, and the largest overflow."""
    bits = np.random.default_rng(0).integers(0, 2**16, 100_000).astype(np.uint16)
    one, other = bits.view(np.float16), (bits ^ np.uint16(1)).view(np.float16)
    finite = np.isfinite(one) & np.isfinite(other)
    one, other = one[finite], other[finite]
    found, _ = guided_step(one, one, Weights(sample=1.0, noise=1.0), {"noise": other})
    with np.errstate(over="ignore"):
        expected = (one.astype(np.float32) + other.astype(np.float32)).astype(np.float16)
    assert np.isinf(expected).any()
    np.testing.assert_array_equal(found, expected)


def test_arrays_of_any_shape_and_views_are_read_as_they_are_seen() -> None:
    random = np.random.default_rng(4)
    whole = random.standard_normal((4, 3, 8, 9)).astype(np.float32)
    view = whole[::2, :, ::-1, 1:6]
    weights = Weights(1.5, 0.5, 0.5, -1, 1, 1.0, -0.5, 0.25, 0.125, 1.0, 0.5)
    others = {"noise": view * 2, "unconditional": view[::-1]}
    copies = {name: array.copy() for name, array in others.items()}
    found = guided_step(view, view, weights, others)
    for one, other in zip(found, guided_step(view.copy(), view.copy(), weights, copies), strict=True):
        assert one.shape == view.shape
        np.testing.assert_array_equal(one, other)


THREE = np.ones(3, np.float32)


@pytest.mark.parametrize(
    ("sample", "prediction", "others"),
    [
        (THREE.astype(np.float64), THREE, {}),
        (THREE, THREE[:2], {}),
        (THREE, THREE.astype(np.float16), {}),
        (THREE, THREE, {"noise": THREE[:2]}),
        (THREE, THREE, {"noise": THREE.astype(np.float16)}),
        (THREE, THREE, {"later": THREE}),
    ],
)
def test_what_does_not_fit_is_refused(sample: Any, prediction: Any, others: Any) -> None:
    for by in BY:
        with pytest.raises(ValueError, match="want "):
            by(sample, prediction, Weights(), others)


# ---- the C++ in a process of its own


def call_of(case: Case) -> Call:
    """Every array there is: a null pointer is for the other tests."""
    others = [case.others[name] for name in OTHERS]
    results = np.zeros_like(case.sample), np.zeros_like(case.sample)
    half = int(case.sample.dtype == np.float16)
    numbers = case.weights.array(), case.sample.size, half
    return Call("vedette_guided_step", [case.sample, case.prediction, *others, *numbers, *results])


def assert_answers(run: Callable[[list[Call]], Any]) -> None:
    cases = [
        drawn_arrays(count, OTHERS, seed=count, dtype=dtype, clip=bool(count % 2))
        for count in (1, 3, 15, 16, 17, 511, 512, 513, 1500)
        for dtype in (np.float32, np.float16)
    ]
    for case, (_, arrays) in zip(cases, run([call_of(case) for case in cases]), strict=True):
        for found, expected in zip(arrays[-2:], guided_step_reference(*arguments(case)), strict=True):
            np.testing.assert_array_equal(found, expected)


def test_neon_is_the_reference() -> None:
    assert_answers(on_arm)


@pytest.mark.slow
@pytest.mark.parametrize("wanted", LEVELS)
def test_no_byte_outside_the_arrays_is_read_or_written(wanted: int) -> None:
    need_level(wanted)
    assert_answers(partial(sanitized, level=wanted))


# ---- the CUDA kernel; its cases, orders and sanitizers are those of test_cuda_kernels.py


@needs_gpp
@pytest.mark.parametrize("order", Order)
def test_the_next_sample_may_take_the_place_of_this_one(order: Order) -> None:
    case = drawn_arrays(1029, OTHERS)
    found = launch(Library(build("guided_step"), order=order, seed=3), case, in_place=True)
    for one, other in zip(found, guided_step_reference(*arguments(case)), strict=True):
        np.testing.assert_array_equal(one, other)


DIFFERS, SANITIZER = "AssertionError", "(AddressSanitizer|runtime error: )"
MUTANTS = {
    "four where there are fewer": ("if (count == VALUES) return load", "if (count) return load", SANITIZER),
    "four written where there are fewer": ("if (count == VALUES) return store", "if (count) return store", SANITIZER),
    "guidance the other way round": ("guided(p[i], base[i], w.guidance)", "guided(base[i], p[i], w.guidance)", DIFFERS),
    "the noise is forgotten": ("    add_some(noise, at, count, w.noise, sums);\n", "", DIFFERS),
    "another weight": ("earlier, at, count, w.earlier", "earlier, at, count, w.before", DIFFERS),
    "not the denoised one": ("store_some(denoised, at, count, clean)", "store_some(denoised, at, count, sums)", DIFFERS),
    "the value before": ("load_some(prediction, at, count, p)", "load_some(prediction, at - (at > 3) * 4, count, p)", DIFFERS),
}  # fmt: skip


@needs_gpp
@pytest.mark.parametrize("name", MUTANTS)
def test_a_planted_bug_is_caught(name: str) -> None:
    before, after, seen = MUTANTS[name]
    sanitize = SANITIZER in seen
    path = build("guided_step", change=(before, after), sanitize=sanitize)
    found = check.run("guided_step", path, order=Order.FORWARD, drawn=40, sanitize=sanitize)
    assert re.search(seen, found)
