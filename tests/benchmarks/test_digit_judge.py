"""What judges the generators is judged: MNIST's form, the classifier on real digits, distances, and flicker."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from accuracy import shared

for needed in ("torch", "cv2", "sklearn", "safetensors"):
    pytest.importorskip(needed)

import torch  # noqa: E402

sys.path.append(
    str(Path(__file__).resolve().parents[2] / "benchmarks")
)  # its files import one another by their names

import _digit_judge as judge  # noqa: E402
import _flicker as flicker  # noqa: E402

from vedette.export.training._drawn_digits import digits  # noqa: E402
from vedette.runtime.frame import Array  # noqa: E402


def bar(left: int, top: int) -> Array:
    """A bar of 4 x 16 pixels."""
    picture = np.zeros((32, 32), np.float32)
    picture[top : top + 16, left : left + 4] = 1
    return picture


def test_a_digit_is_20_pixels_long_in_the_middle_wherever_it_was() -> None:
    made = judge.as_mnist(bar(3, 9))
    np.testing.assert_array_equal(made, judge.as_mnist(bar(20, 2)))
    rows, columns = np.nonzero(made > 0.5)
    assert (rows.min(), rows.max()) == (4, 23)
    assert (columns.min(), columns.max()) == (12, 16) or (columns.min(), columns.max()) == (11, 15)
    assert made.shape == (28, 28)


def test_an_empty_picture_stays_empty() -> None:
    assert judge.as_mnist(np.zeros((32, 32), np.float32)).max() == 0


def test_a_heavy_end_moves_the_whole() -> None:
    picture = bar(14, 8)
    picture[20:24, 8:24] = 1
    made = judge.as_mnist(picture)
    rows = made.sum(axis=1)
    assert abs((rows * np.arange(28)).sum() / rows.sum() - 13.5) < 0.6


def test_the_classifier_is_right_about_real_digits_and_unsure_of_none() -> None:
    shared("mnist_vae_gan")
    pictures, written = digits(200, seed=5, split="val")
    confidence, seen = judge.classified(pictures)
    assert (seen == written).mean() > 0.9
    assert (confidence >= judge.SURE).mean() > 0.9


def test_the_nearest_picture_is_found_and_a_copy_is_at_no_distance() -> None:
    learnt = np.zeros((3, 2, 2), np.float32)
    learnt[1] = 1
    learnt[2, 0, 0] = 3
    pictures = np.stack([learnt[1], np.full((2, 2), 0.9, np.float32)])
    np.testing.assert_allclose(judge.nearest(pictures, learnt), [0, 0.2], atol=1e-3)


def test_change_is_in_standard_deviations_so_contrast_does_not_count() -> None:
    frames = [np.array([[[0, 100, 200]]], np.uint8), np.array([[[20, 100, 200]]], np.uint8)]
    expected = (20 / 3) / np.std([0, 100, 200, 20, 100, 200])
    assert flicker.change(frames) == pytest.approx(expected)
    assert flicker.change([frame // 2 for frame in frames]) == pytest.approx(expected, rel=1e-6)


def test_a_network_that_does_nothing_gives_the_frame_back() -> None:
    frame = np.random.default_rng(0).integers(0, 256, (8, 12, 3), np.uint8)
    np.testing.assert_array_equal(flicker.translated(torch.nn.Identity(), frame), frame)
