import math
import re
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
from cuda_host import check
from cuda_host.heatmaps import drawn_case
from cuda_host.shim import Order, build
from gpp import needs_gpp
from hypothesis import given, settings
from hypothesis import strategies as st
from levels import LEVELS, need_level, run_at_level
from neon import Call, on_arm, sanitized

from vedette.kernels._heatmap_keypoints_cases import Case, noise, peaked
from vedette.kernels._heatmap_keypoints_launches import launch_heatmap_keypoints
from vedette.kernels.heatmap_keypoints import CASES, MOST, heatmap_keypoints, heatmap_keypoints_reference
from vedette.kernels.picture import Array

SEEDS = st.integers(0, 2**32 - 1)
drawn = settings(derandomize=True, deadline=None, max_examples=250)
BY = (heatmap_keypoints, heatmap_keypoints_reference)


def assert_same_places(case: Case) -> None:
    for found, expected in zip(heatmap_keypoints(*case), heatmap_keypoints_reference(*case), strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("name", CASES)
def test_the_kernel_is_the_reference_in_every_case(name: str) -> None:
    assert_same_places(CASES[name]())


@drawn
@given(SEEDS)
def test_the_kernel_is_the_reference(seed: int) -> None:
    assert_same_places(drawn_case(np.random.default_rng(seed)))


@pytest.mark.parametrize("wanted", LEVELS)
def test_the_kernel_is_the_reference_at_every_level(wanted: int) -> None:
    run_at_level(wanted, __file__, "is_the_reference and not every_level and not neon")


def by_torch(heatmap: Array, roi: Array) -> tuple[Array, float, float]:
    """The place, its logit, and how far the next lower pixel is below it, by the words of the convention."""
    import torch

    sides = [max(float(side), 1.0) for side in roi[2:] - roi[:2]]
    columns, rows = (math.ceil(side) for side in sides)
    enlarged = torch.nn.functional.interpolate(
        torch.from_numpy(heatmap)[None, None], size=(rows, columns), mode="bicubic", align_corners=False
    ).flatten()
    first, *second = enlarged.topk(min(2, enlarged.numel())).values.tolist()
    y, x = divmod(int(enlarged.argmax()), columns)
    place = [
        (x + 0.5) * sides[0] / columns + float(roi[0]),
        (y + 0.5) * sides[1] / rows + float(roi[1]),
    ]
    return np.array(place), first, first - max(second, default=-np.inf)


@pytest.mark.parametrize("make", [peaked, noise])
@pytest.mark.parametrize("size", [(0.4, 0.9), (9.0, 12.0), (56.0, 56.0), (20.5, 130.3), (300.0, 600.0)])
def test_places_are_those_of_pytorch(make: Callable[..., Case], size: tuple[float, float]) -> None:
    clear = 0
    for side in (14, 28, 56):
        heatmaps, rois = make(4, 3, side=side, size=size)
        xy, logits = heatmap_keypoints(heatmaps, rois)
        for index in np.ndindex(logits.shape):
            place, logit, margin = by_torch(heatmaps[index], rois[index[0]])
            assert abs(logits[index] - logit) < 1e-4
            if margin > 1e-5:
                clear += 1
                np.testing.assert_allclose(xy[index], place, atol=1e-3)
    assert clear > 25  # of 36


@pytest.mark.parametrize("by", BY)
def test_a_joint_found_by_hand(by: Callable[[Array, Array], tuple[Array, Array]]) -> None:
    """Of as many pixels as values nothing is interpolated: the place is the centre of the value, in the box's pixels."""
    heatmap = np.zeros((1, 1, 4, 6), np.float32)
    heatmap[0, 0, 2, 5] = 3
    xy, logits = by(heatmap, np.array([[10, 20, 15.5, 23.5]], np.float32))
    np.testing.assert_allclose(xy[0, 0], [10 + 5.5 * 5.5 / 6, 20 + 2.5 * 3.5 / 4], rtol=1e-6)
    assert logits.tolist() == [[3.0]]


@pytest.mark.parametrize("by", BY)
def test_of_equal_pixels_the_first_counts(by: Callable[[Array, Array], tuple[Array, Array]]) -> None:
    roi = np.array([[0, 0, 30, 20]], np.float32)
    xy, _ = by(np.zeros((1, 1, 2, 3), np.float32), roi)
    assert xy.tolist() == [[[0.5, 0.5]]]
    twice = np.zeros((1, 1, 20, 30), np.float32)
    twice[0, 0, 7, 21] = twice[0, 0, 8, 3] = 5
    assert by(twice, roi)[0].tolist() == [[[21.5, 7.5]]]


@pytest.mark.parametrize("by", BY)
def test_a_map_without_a_number_has_no_logit(by: Callable[[Array, Array], tuple[Array, Array]]) -> None:
    xy, logits = by(np.full((1, 1, 3, 3), np.nan, np.float32), np.array([[4, 6, 10, 12]], np.float32))
    assert (xy.tolist(), logits.tolist()) == ([[[4.5, 6.5]]], [[-np.inf]])


def test_a_side_beyond_the_most_pixels_has_coarser_places() -> None:
    heatmaps = np.zeros((1, 1, 1, 4), np.float32)
    heatmaps[0, 0, 0, 3] = 1
    rois = np.array([[0, 0, 1e9, 1]], np.float32)
    xy, _ = heatmap_keypoints(heatmaps, rois)
    assert 0.75e9 < xy[0, 0, 0] < 1e9
    assert MOST == 16384
    assert_same_places((heatmaps, rois))


def test_maps_that_are_a_view_are_read_as_they_are_seen() -> None:
    heatmaps, rois = noise(4, 6, side=11, size=(33, 21))
    view = heatmaps[::2, ::-1, :, 1:9]
    for found, expected in zip(
        heatmap_keypoints(view, rois[::2]), heatmap_keypoints(view.copy(), rois[::2].copy()), strict=True
    ):
        np.testing.assert_array_equal(found, expected)


MAPS, ROIS = noise(2, 3, side=5)


@pytest.mark.parametrize(
    ("heatmaps", "rois"),
    [
        (MAPS[0], ROIS),
        (MAPS, ROIS[:1]),
        (MAPS, ROIS[:, :3]),
        (MAPS[:, :, :0], ROIS),
        (MAPS.astype(np.float64), ROIS),
        (MAPS, ROIS.astype(np.float64)),
    ],
)
def test_what_does_not_fit_is_refused(heatmaps: Array, rois: Array) -> None:
    for by in BY:
        with pytest.raises(ValueError, match="want "):
            by(heatmaps, rois)


def test_more_objects_than_a_grid_has_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="more than"):
        launch_heatmap_keypoints(lambda *_: None, {}, (70_000, 17, 56, 56))


# ---- the C++ in a process of its own


def call_of(case: Case) -> Call:
    heatmaps, rois = case
    results = np.zeros((*heatmaps.shape[:2], 2), np.float32), np.zeros(heatmaps.shape[:2], np.float32)
    return Call("vedette_heatmap_keypoints", [heatmaps, *heatmaps.shape, rois, *results])


def assert_answers(run: Callable[[list[Call]], Any]) -> None:
    random = np.random.default_rng(2)
    cases = [*(make() for make in CASES.values()), *(drawn_case(random) for _ in range(150))]
    for case, (_, arrays) in zip(cases, run([call_of(case) for case in cases]), strict=True):
        for found, expected in zip(arrays[2:], heatmap_keypoints_reference(*case), strict=True):
            np.testing.assert_array_equal(found, expected)


def test_neon_is_the_reference() -> None:
    assert_answers(on_arm)


@pytest.mark.slow
@pytest.mark.parametrize("wanted", LEVELS)
def test_no_byte_outside_the_arrays_is_read_or_written(wanted: int) -> None:
    need_level(wanted)
    assert_answers(partial(sanitized, level=wanted))


# ---- planted bugs in the CUDA kernel; its cases, orders and sanitizers are those of test_cuda_kernels.py

DIFFERS, SANITIZER = "AssertionError", "(AddressSanitizer|runtime error: )"
MUTANTS = {
    "ties to a later pixel": ("b.value == a.value && b.pixel < a.pixel", "b.value == a.value", DIFFERS, Order.FORWARD),
    "ties to another tile": (" || (value == best.value && pixel < best.pixel)", "", DIFFERS, Order.FORWARD),
    "what is no number wins": ("if (value > best.value ||", "if (!(value <= best.value) ||", DIFFERS, Order.FORWARD),
    "the border is not repeated": ("int x = clamped(column, width)", "int x = column", f"{DIFFERS}|{SANITIZER}", Order.FORWARD),
    "the centre at whole pixels": ("columns[x] = cubic_at(start + x,", "columns[x] = cubic_at(x,", DIFFERS, Order.FORWARD),
    "rows of the width": ("(float)height / (float)rows)", "(float)width / (float)rows)", DIFFERS, Order.FORWARD),
    "values that stay behind": ("; at < columns[x].first; at++", "; at + 1 < columns[x].first; at++", DIFFERS, Order.FORWARD),
    "another object's box": ("4 * (size_t)blockIdx.y", "4 * (size_t)blockIdx.x", f"{DIFFERS}|{SANITIZER}", Order.FORWARD),
    "a warp is forgotten": ("int warp = 1; warp < THREADS / WARP", "int warp = 2; warp < THREADS / WARP", DIFFERS, Order.FORWARD),
    "missing barrier before the next tile": (
        "        __syncthreads();\n        for (int x = threadIdx.x", "        for (int x = threadIdx.x", DIFFERS, Order.SHUFFLED,
    ),
    "missing barrier behind the table": (
        "        __syncthreads();\n        for (int y = threadIdx.x", "        for (int y = threadIdx.x", DIFFERS, Order.REVERSED,
    ),
}  # fmt: skip


@needs_gpp
@pytest.mark.parametrize("name", MUTANTS)
def test_a_planted_bug_is_caught(name: str) -> None:
    before, after, seen, order = MUTANTS[name]
    sanitize = SANITIZER in seen
    path = build("heatmap_keypoints", change=(before, after), sanitize=sanitize)
    found = check.run("heatmap_keypoints", path, order=order, drawn=40, sanitize=sanitize)
    assert re.search(seen, found)
