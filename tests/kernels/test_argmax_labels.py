import re
from collections.abc import Callable
from functools import partial
from typing import Any

import cv2
import numpy as np
import pytest
from cuda_host import check
from cuda_host.labels import drawn_case
from cuda_host.shim import Order, build
from gpp import needs_gpp
from hypothesis import given, settings
from hypothesis import strategies as st
from levels import LEVELS, need_level, run_at_level
from neon import Call, on_arm, sanitized

from vedette.kernels.argmax_labels import (
    CASES,
    NONE,
    Case,
    Window,
    _layout,
    _tables,
    argmax_labels,
    argmax_labels_reference,
    noise,
    overlay_labels,
    overlay_labels_reference,
)
from vedette.kernels.picture import Array, Size

SEEDS = st.integers(0, 2**32 - 1)
LIMITS = st.sampled_from([None, None, 0.0, 0.25, 0.6])
drawn = settings(derandomize=True, deadline=None, max_examples=250)


def assert_same_labels(case: Case, above: float | None) -> None:
    np.testing.assert_array_equal(
        argmax_labels(*case, above=above), argmax_labels_reference(*case, above=above)
    )


def coloured(random: np.random.Generator, size: Size) -> tuple[Array, Array, Array]:
    """A picture, labels in runs, and a palette of which a fifth is transparent."""
    labels = random.integers(0, 256, (size[1], -(-size[0] // 7)), np.uint8).repeat(7, axis=1)[:, : size[0]]
    palette = random.integers(0, 256, (256, 4), np.uint8)
    palette[random.random(256) < 0.2, 3] = 0
    return random.integers(0, 256, (*size[::-1], 3), np.uint8), np.ascontiguousarray(labels), palette


@pytest.mark.parametrize("above", [None, 0.25])
@pytest.mark.parametrize("name", CASES)
def test_the_kernel_is_the_reference_in_every_case(name: str, above: float | None) -> None:
    assert_same_labels(CASES[name](), above)


@drawn
@given(SEEDS, LIMITS)
def test_the_kernel_is_the_reference(seed: int, above: float | None) -> None:
    assert_same_labels(drawn_case(np.random.default_rng(seed)), above)


@drawn
@given(SEEDS)
def test_the_overlay_is_the_reference(seed: int) -> None:
    random = np.random.default_rng(seed)
    image, labels, palette = coloured(random, (int(random.integers(1, 140)), int(random.integers(1, 6))))
    expected = image.copy()
    overlay_labels_reference(expected, labels, palette)
    overlay_labels(image, labels, palette)
    np.testing.assert_array_equal(image, expected)


@pytest.mark.parametrize("wanted", LEVELS)
def test_the_kernel_is_the_reference_at_every_level(wanted: int) -> None:
    run_at_level(wanted, __file__, "is_the_reference and not every_level and not neon")


def test_every_half_precision_number_is_read_exactly() -> None:
    every = np.arange(2**16, dtype=np.uint16).view(np.float16)
    case = np.stack([np.zeros_like(every), every])[:, None], Window((2**16, 1)), (2**16, 1)
    assert_same_labels(case, None)
    doubled = case[0], case[1], (2**16, 2)  # by way of the interpolation
    assert_same_labels(doubled, None)


def test_a_tie_goes_to_the_lower_class() -> None:
    maps = np.array([[[1, 2, 3]], [[1, 3, 3]], [[1, 3, 4]]], np.float32)
    assert argmax_labels(maps, Window((3, 1)), (3, 1)).tolist() == [[0, 1, 2]]
    assert argmax_labels(maps, Window((3, 1)), (3, 2)).tolist() == [[0, 1, 2]] * 2


@pytest.mark.parametrize("size", [(1, 1), (2, 3)])
@pytest.mark.parametrize(
    ("values", "label", "limited"),
    [((np.nan, -5), 1, 1), ((np.nan, np.nan), 0, NONE), ((-9, np.nan), 0, NONE)],
)
def test_what_is_no_number_never_wins(
    size: Size, values: tuple[float, float], label: int, limited: int
) -> None:
    maps = np.array(values, np.float32).reshape(2, 1, 1)
    assert (argmax_labels(maps, Window((1, 1)), size) == label).all()
    assert (argmax_labels(maps, Window((1, 1)), size, above=-7) == limited).all()


def test_only_what_is_above_the_limit_has_a_label() -> None:
    maps = np.array([[[0.5, 0.6, 0.1]], [[0.25, 0.1, 0.7]]], np.float32)
    found = argmax_labels(maps, Window((3, 1)), (3, 1), above=0.5)
    assert found.tolist() == [[NONE, 0, 1]]


@drawn
@given(SEEDS)
def test_values_between_pixels_are_those_of_cv2(seed: int) -> None:
    """With one class more, of a constant: the label tells on which side of it the interpolated value is."""
    random = np.random.default_rng(seed)
    inside, size = (tuple(int(side) for side in random.integers(1, 60, 2)) for _ in range(2))
    plane = random.standard_normal(inside[::-1]).astype(np.float32)
    expected: Any = cv2.resize(plane, size, interpolation=cv2.INTER_LINEAR).reshape(size[::-1])
    maps = np.stack([np.zeros_like(plane), plane])
    found = argmax_labels(maps, Window((inside[0], inside[1])), (size[0], size[1]))
    clear = np.abs(expected) > 1e-4
    np.testing.assert_array_equal(found[clear], expected[clear] > 0)


def test_what_lies_outside_the_window_has_no_influence() -> None:
    maps = noise(4, (30, 20))
    window = Window((17, 9), (6, 5))
    cut = np.ascontiguousarray(maps[:, 5:14, 6:23])
    for size in ((17, 9), (40, 33), (8, 5)):
        found = argmax_labels(maps, window, size)
        np.testing.assert_array_equal(found, argmax_labels(cut, Window((17, 9)), size))


def test_maps_that_are_a_view_are_read_as_they_are_seen() -> None:
    maps = noise(6, (33, 22))
    view = maps[::2, ::-1, 3:30]
    window = Window((27, 22))
    np.testing.assert_array_equal(
        argmax_labels(view, window, (50, 40)), argmax_labels(view.copy(), window, (50, 40))
    )


def test_alpha_runs_from_the_picture_to_the_colour() -> None:
    palette = np.zeros((256, 4), np.uint8)
    palette[:, :3], palette[:, 3] = [10, 200, 30], np.arange(256)
    labels = np.arange(256, dtype=np.uint8)[None]
    image = np.full((1, 256, 3), 100, np.uint8)
    overlay_labels(image, labels, palette)
    assert image[0, 0].tolist() == [100, 100, 100]
    assert image[0, 128].tolist() == [55, 150, 65]  # 129 of 256 parts
    assert image[0, 255].tolist() == [10, 200, 30]
    assert (np.diff(image[0].astype(int), axis=0) * [-1, 1, -1] >= 0).all()


def test_a_picture_whose_rows_are_apart_is_blended_too() -> None:
    image, labels, palette = coloured(np.random.default_rng(0), (40, 9))
    wide = np.repeat(image, 2, axis=1)
    overlay_labels(wide[:, ::2], labels, palette)
    overlay_labels(image, labels, palette)
    np.testing.assert_array_equal(wide[:, ::2], image)


MAPS = np.zeros((2, 4, 5), np.float32)
WHOLE = Window((5, 4))


@pytest.mark.parametrize(
    ("maps", "window", "size"),
    [
        (MAPS[0], WHOLE, (5, 4)),
        (MAPS[:0], WHOLE, (5, 4)),
        (np.zeros((256, 1, 1), np.float32), Window((1, 1)), (5, 4)),
        (MAPS.astype(np.float64), WHOLE, (5, 4)),
        (MAPS.astype(np.uint8), WHOLE, (5, 4)),
        (MAPS, Window((6, 4)), (5, 4)),
        (MAPS, Window((5, 4), (1, 0)), (5, 4)),
        (MAPS, Window((5, 4), (0, -1)), (5, 4)),
        (MAPS, Window((0, 4)), (5, 4)),
        (MAPS, WHOLE, (0, 4)),
    ],
)
def test_what_does_not_fit_is_refused(maps: Array, window: Window, size: Size) -> None:
    for by in (argmax_labels, argmax_labels_reference):
        with pytest.raises(ValueError, match=r"want |does not lie"):
            by(maps, window, size)


@pytest.mark.parametrize("wrong", ["image", "labels", "palette", "frozen"])
def test_an_overlay_that_does_not_fit_is_refused(wrong: str) -> None:
    image, labels, palette = coloured(np.random.default_rng(0), (5, 4))
    image = image[:, :4] if wrong == "image" else image
    labels = labels.astype(np.int16) if wrong == "labels" else labels
    palette = palette[:255] if wrong == "palette" else palette
    image.setflags(write=wrong != "frozen")
    for by in (overlay_labels, overlay_labels_reference):
        with pytest.raises(ValueError, match="want a picture"):
            by(image, labels, palette)


# ---- the C++ in a process of its own


def call_of(case: Case, above: float | None) -> Call:
    """argmax_labels() of a case; the labels are its second array."""
    maps, window, size = case
    first, none = (-np.inf, 0) if above is None else (above, NONE)
    tables = [table if table.size else 0 for table in _tables(window.size, size)]
    labels = np.zeros(size[::-1], np.uint8)
    arguments = [maps, *_layout(maps, window), none, labels, *size, window.size[0], *tables, float(first)]
    return Call("vedette_argmax_labels", arguments)


def assert_answers(run: Callable[[list[Call]], Any]) -> None:
    random = np.random.default_rng(2)
    made: list[tuple[Case, float | None]] = [
        (make(), above) for make in CASES.values() for above in (None, 0.25)
    ]
    made += [(drawn_case(random), None if index % 2 else 0.25) for index in range(200)]
    pictures = [coloured(random, (int(random.integers(1, 140)), 3)) for _ in range(200)]
    calls = [call_of(case, above) for case, above in made]
    overlays = [
        Call("vedette_overlay_labels", [image, labels, labels.size, palette])
        for image, labels, palette in pictures
    ]
    answers = run(calls + overlays)
    for (case, above), (_, arrays) in zip(made, answers[: len(made)], strict=True):
        np.testing.assert_array_equal(arrays[1], argmax_labels_reference(*case, above=above))
    for (image, labels, palette), (_, arrays) in zip(pictures, answers[len(made) :], strict=True):
        overlay_labels_reference(image, labels, palette)
        np.testing.assert_array_equal(arrays[0], image)


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
    "ties to the higher class": ("if (value > best) best", "if (value >= best) best", DIFFERS),
    "what is no number wins": ("if (value > best) best", "if (!(value <= best)) best", DIFFERS),
    "no limit": ("float best = p.above;", "float best = -INFINITY;", DIFFERS),
    "a label where nothing is above": ("int label = p.none;", "int label = 0;", DIFFERS),
    "another class's plane": ("c * size + place)", "c * (size - 1) + place)", DIFFERS),
    "across before down": (
        "value_at(p, plane + a.upper + a.right), value_at(p, plane + a.lower),",
        "value_at(p, plane + a.lower), value_at(p, plane + a.upper + a.right),",
        DIFFERS,
    ),
    "the right neighbour outside the window": ("min(first + 1, p.inside_width - 1)", "first + 1", f"{DIFFERS}|{SANITIZER}"),
    "the window's corner": ("p.left + first", "first", DIFFERS),
    "half precision as it is": ("return p.half_precision ?", "return false ?", SANITIZER),
    "missing guard on a write": ("if (x < p.width) p.labels", "p.labels", SANITIZER),
    "missing guard on a pixel of the picture": ("if (x >= p.width) return;\n        const size_t", "const size_t", SANITIZER),
    "alpha of another label": ("blended(pixel[c], entry[c], entry[3])", "blended(pixel[c], entry[c], p.palette[3])", DIFFERS),
}  # fmt: skip


@needs_gpp
@pytest.mark.parametrize("name", MUTANTS)
def test_a_planted_bug_is_caught(name: str) -> None:
    before, after, seen = MUTANTS[name]
    sanitize = SANITIZER in seen
    path = build("argmax_labels", change=(before, after), sanitize=sanitize)
    found = check.run("argmax_labels", path, order=Order.FORWARD, drawn=40, sanitize=sanitize)
    assert re.search(seen, found)
