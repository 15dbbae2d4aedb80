from collections.abc import Callable
from functools import partial
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from levels import LEVELS, need_level, run_at_level
from neon import Call, on_arm, sanitized

from vedette.kernels import native
from vedette.kernels._assemble_masks_cases import CASES, Case
from vedette.kernels.assemble_masks import (
    _words_of,
    assemble_masks,
    assemble_masks_reference,
    enlarge_masks,
    paste_masks,
)
from vedette.kernels.packed_masks import Array, PackedMasks, axis, packed, windows_of
from vedette.runtime.rle import encode, encode_packed

drawn = settings(derandomize=True, deadline=None, max_examples=250)
SEEDS = st.integers(0, 2**32 - 1)


def drawn_case(random: np.random.Generator) -> Case:
    """Objects of any size on a picture that is larger or smaller than its prototypes, with a margin on one side."""
    count, height, width = (int(side) for side in random.integers(1, [9, 50, 70]))
    size = random.integers(1, [150, 200]).tolist()
    axes = [
        axis(
            length,
            values,
            gain=values / length * random.uniform(0.3, 1),
            start=random.uniform(-1, values / 2),
        )
        for length, values in zip(size, (width, height), strict=True)
    ]
    low = random.uniform(-20, size, (int(random.integers(0, 5)), 2))
    boxes = np.concatenate([low, low + random.uniform(0, 120, low.shape)], axis=1)
    numbers = random.standard_normal((len(boxes), count)), random.standard_normal((count, height, width))
    coefficients, prototypes = (array.astype(np.float32) for array in numbers)
    return coefficients, prototypes, windows_of(boxes, (size[0], size[1])), axes[0], axes[1], random.normal()


def assert_same_masks(case: Case) -> None:
    found, expected = (
        assemble_masks(*case[:5], threshold=case[5]),
        assemble_masks_reference(*case[:5], threshold=case[5]),
    )
    assert (found.size, len(found)) == (expected.size, len(expected))
    for one, other in zip(found.words, expected.words, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", CASES)
def test_the_kernel_is_the_reference_in_every_case(name: str) -> None:
    assert_same_masks(CASES[name]())


@drawn
@given(SEEDS)
def test_the_kernel_is_the_reference(seed: int) -> None:
    assert_same_masks(drawn_case(np.random.default_rng(seed)))


@pytest.mark.parametrize("wanted", LEVELS)
def test_the_kernel_is_the_reference_at_every_level(wanted: int) -> None:
    run_at_level(wanted, __file__, "is_the_reference and not every_level and not neon")


@drawn
@given(SEEDS)
def test_values_between_pixels_are_those_of_cv2(seed: int) -> None:
    random = np.random.default_rng(seed)
    inside, size = ([int(side) for side in random.integers(1, 90, 2)] for _ in range(2))
    values = random.standard_normal(inside[::-1]).astype(np.float32)
    expected: Any = cv2.resize(values, size, interpolation=cv2.INTER_LINEAR).reshape(size[::-1])
    axes = [
        axis(length, count, gain=count / length, start=0) for length, count in zip(size, inside, strict=True)
    ]
    masks = enlarge_masks(values[None], np.array([[0, 0, *size]]), axes[0], axes[1], threshold=0.25)
    clear = np.abs(expected - 0.25) > 1e-4
    np.testing.assert_array_equal(masks.whole(0)[clear], expected[clear] > 0.25)


def test_a_window_has_the_columns_from_one_edge_to_before_the_other() -> None:
    boxes = np.array(
        [[0.5, 0.49, 2.5, 2.51], [-3, -3, 99, 99], [5, 5, 5, 6], [9, 9, 3, 3], [np.nan, 0, 3, 3]]
    )
    assert windows_of(boxes, (10, 8)).tolist() == [
        [1, 1, 2, 2], [0, 0, 10, 8], [5, 5, 0, 1], [9, 8, 0, 0], [0, 0, 3, 3],
    ]  # fmt: skip


def test_an_upsampled_mask_is_cropped_by_its_box_only() -> None:
    axes = [axis(100, 10, gain=0.1, start=0)] * 2
    ones = np.ones((1, 1), np.float32)
    masks = assemble_masks(
        ones, np.ones((1, 10, 10), np.float32), np.array([[13, 27, 41, 33]]), axes[0], axes[1]
    )
    assert masks.whole(0)[27:60, 13:54].all()
    assert masks.whole(0).sum() == 41 * 33


def test_what_is_no_number_is_in_no_mask() -> None:
    axes = [axis(64, 4, gain=1 / 16, start=0)] * 2
    values = np.full((1, 4, 4), np.nan, np.float32)
    masks = enlarge_masks(values, np.array([[0, 0, 64, 64]]), axes[0], axes[1], threshold=-1)
    assert not masks.whole(0).any()


@pytest.mark.parametrize(
    "box",
    [(-20.5, -7.2, 15.1, 30.9), (3.2, 4.7, 3.9, 4.9), (90.0, 40.0, 130.0, 90.0), (200.0, 1.0, 220.0, 9.0)],
)
def test_a_map_pasted_beyond_the_edge_is_cut_off(box: tuple[float, ...]) -> None:
    soft = cv2.GaussianBlur(np.random.default_rng(0).random((28, 28), np.float32), (7, 7), 2)
    masks = paste_masks(soft[None], np.array([box]), (100, 50), threshold=0.5)
    x1, y1, x2, y2 = box
    halves = (x2 - x1) * 15 / 28, (y2 - y1) * 15 / 28
    centre = (x1 + x2) / 2, (y1 + y2) / 2
    left, top = int(centre[0] - halves[0]), int(centre[1] - halves[1])
    right, bottom = int(centre[0] + halves[0]), int(centre[1] + halves[1])
    canvas = np.zeros((250, 400), np.float32)
    canvas[100 + top : 101 + bottom, 100 + left : 101 + right] = cv2.resize(
        np.pad(soft, 1), (right - left + 1, bottom - top + 1)
    )
    expected = canvas[100:150, 100:200]
    clear = np.abs(expected - 0.5) > 1e-4
    np.testing.assert_array_equal(masks.whole(0)[clear], expected[clear] > 0.5)


@pytest.mark.parametrize("wrong", ["prototypes", "windows", "leaves", "axis"])
def test_what_does_not_fit_is_refused(wrong: str) -> None:
    coefficients, prototypes, windows, across, down, _ = drawn_case(np.random.default_rng(3))
    if wrong == "prototypes":
        prototypes = prototypes[:-1]
    elif wrong == "windows":
        windows = windows[:-1]
    elif wrong == "leaves":
        windows = windows + np.array([0, 0, 1000, 0])
    else:
        across = across._replace(second=across.second + 1000)
    for by in (assemble_masks, assemble_masks_reference):
        with pytest.raises(ValueError, match=r"want|leaves"):
            by(coefficients, prototypes, windows, across, down)


# ---- run lengths


def random_mask(random: np.random.Generator) -> tuple[Array, PackedMasks]:
    """A mask of blobs or noise in a window of a picture, and its bits."""
    size = random.integers(1, 200, 2)
    low = [int(random.integers(0, side)) for side in size] if random.random() < 0.8 else [0, 0]
    extent = [int(random.integers(0, side - start + 1)) for side, start in zip(size, low, strict=True)]
    if random.random() < 0.2:
        low, extent = [0, 0], [int(side) for side in size]  # columns that touch
    noise: Array = random.random((extent[1], extent[0])).astype(np.float32)
    if noise.size and random.random() < 0.7:
        noise = cv2.blur(noise, (5, 5)).reshape(noise.shape)
    part = noise > float(random.choice([-1.0, 0.1, 0.45, 0.5, 0.9, 2.0]))
    whole = np.zeros(size[::-1], bool)
    whole[low[1] : low[1] + extent[1], low[0] : low[0] + extent[0]] = part
    return whole, PackedMasks((int(size[0]), int(size[1])), np.array([[*low, *extent]]), (packed(part),))


def test_run_lengths_are_those_of_pycocotools_for_a_thousand_masks() -> None:
    coco = pytest.importorskip("pycocotools.mask")
    random = np.random.default_rng(0)
    for _ in range(1000):
        whole, masks = random_mask(random)
        expected = coco.encode(np.asfortranarray(whole.astype(np.uint8)))
        found = encode_packed(masks, 0)
        assert found == {"size": expected["size"], "counts": expected["counts"].decode()}
        np.testing.assert_array_equal(masks.whole(0), whole)


def test_run_lengths_without_the_library_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(1)
    made = [random_mask(random)[1] for _ in range(50)]
    found = [encode_packed(masks, 0) for masks in made]
    monkeypatch.setattr(native, "function", lambda *_: None)
    assert [encode_packed(masks, 0) for masks in made] == found
    assert found[0] == encode(made[0].whole(0))


def test_a_chequered_mask_has_room_for_all_its_runs() -> None:
    part = np.indices((300, 200)).sum(axis=0) % 2 == 1
    masks = PackedMasks((200, 300), np.array([[0, 0, 200, 300]]), (packed(part),))
    assert encode_packed(masks, 0) == encode(part)


# ---- the C++ in a process of its own


def call_of(case: Case) -> Call:
    coefficients, prototypes, windows, across, down, threshold = case
    words = np.zeros(sum(width * rows for width, rows in _words_of(windows)), np.uint64)
    sizes = len(windows), *prototypes.shape
    arrays = coefficients, prototypes, *sizes, windows, *across, *down
    return Call("vedette_assemble_masks", [*arrays, float(threshold), words])


def assert_answers(run: Callable[[list[Call]], Any]) -> None:
    random = np.random.default_rng(2)
    cases = [*(make() for make in CASES.values()), *(drawn_case(random) for _ in range(150))]
    for case, (_, arrays) in zip(cases, run([call_of(case) for case in cases]), strict=True):
        expected = assemble_masks_reference(*case[:5], threshold=case[5])
        words = np.concatenate([np.zeros(0, np.uint64), *(part.ravel() for part in expected.words)])
        np.testing.assert_array_equal(arrays[-1], words)
    masks = [random_mask(random)[1] for _ in range(150)]
    texts = [np.zeros(1 << 16, np.uint8) for _ in masks]
    calls = [
        Call("vedette_mask_rle", [mask.words[0], *mask.windows[0].tolist(), *mask.size, text, len(text)])
        for mask, text in zip(masks, texts, strict=True)
    ]
    for mask, (length, arrays) in zip(masks, run(calls), strict=True):
        assert arrays[1][:length].tobytes().decode() == encode(mask.whole(0))["counts"]


def test_neon_is_the_reference() -> None:
    assert_answers(on_arm)


@pytest.mark.slow
@pytest.mark.parametrize("wanted", LEVELS)
def test_no_byte_outside_the_arrays_is_read_or_written(wanted: int) -> None:
    need_level(wanted)
    assert_answers(partial(sanitized, level=wanted))
