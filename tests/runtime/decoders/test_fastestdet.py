from typing import Any

import numpy as np
import pytest

from vedette.runtime.decoders import Candidates
from vedette.runtime.decoders.fastestdet import Parameters, decode
from vedette.runtime.frame import Array
from vedette.runtime.manifest import Decoder, Manifest, Output

MANIFEST = Manifest("m", "detection", (), (Output("758", (-1, 8, 2, 4), role="grid"),), Decoder("fastestdet"))


def found(grid: Array, conf: float = 0.25) -> list[Candidates]:
    return decode({"758": grid}, MANIFEST, Parameters(), conf, input_size=(160, 80))


def one_object(dtype: type[np.floating[Any]] = np.float32) -> Array:
    """Three classes, 4 x 2 cells of 40 x 40 pixels; an object in row 1, column 2 of the second image."""
    grid: Array = np.zeros((2, 8, 2, 4), dtype)
    half, quarter = 0.0, np.log(1 / 3)  # sigmoids of 1/2 and 1/4
    grid[1, :, 1, 2] = [0.8, np.arctanh(0.5), np.arctanh(-0.25), half, quarter, 0.1, 0.2, 0.7]
    return grid


def test_the_box_is_centred_at_the_cell_plus_tanh_and_sized_by_sigmoids_of_the_input() -> None:
    empty, image = found(one_object())
    assert len(empty.scores) == 0
    centre_x, centre_y, width, height = 2.5 / 4 * 160, 0.75 / 2 * 80, 160 / 2, 80 / 4
    box = [centre_x - width / 2, centre_y - height / 2, centre_x + width / 2, centre_y + height / 2]
    np.testing.assert_allclose(image.boxes_xyxy, [box], rtol=1e-5)
    assert image.class_ids.tolist() == [2]
    assert image.scores == pytest.approx([0.8**0.6 * 0.7**0.4])


def test_conf_is_a_lower_bound_of_the_weighted_score() -> None:
    assert len(found(one_object(), conf=0.75)[1].scores) == 1
    assert len(found(one_object(), conf=0.76)[1].scores) == 0


def test_half_precision_is_decoded_in_single() -> None:
    _, half = found(one_object(np.float16))
    assert half.boxes_xyxy.dtype == np.float32
    np.testing.assert_allclose(half.boxes_xyxy, found(one_object())[1].boxes_xyxy, atol=0.1)
