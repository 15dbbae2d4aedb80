"""NanoDet-Plus, from a tensor that is written cell by cell."""

import numpy as np
import pytest

from vedette.runtime.decoders import Candidates
from vedette.runtime.decoders.nanodet_plus import Parameters, claims, decode
from vedette.runtime.errors import ModelError
from vedette.runtime.frame import Array
from vedette.runtime.manifest import Decoder, Manifest, Output

WIDTH, HEIGHT = 128, 64
STRIDES = (8, 16, 32, 64)
MANIFEST = Manifest(
    "m", "detection", (), (Output("o", (-1, -1, 35), role="predictions"),), Decoder("nanodet_plus")
)


def row_of(column: int, row: int, stride: int) -> int:
    """Where a cell's row lies: grids one after the other, each from left to right, then down."""
    before = sum((WIDTH // s) * (HEIGHT // s) for s in STRIDES if s < stride)
    return before + row * (WIDTH // stride) + column


def sure_of(sides: Array) -> Array:
    """float32 [4 * 8] logits whose means are the sides, in strides, from two neighbouring bins."""
    logits = np.full((4, 8), -1e4, np.float32)
    for index, side in enumerate(sides):
        low = int(side)
        share = side - low
        logits[index, low] = np.log(1 - share)
        if share:
            logits[index, low + 1] = np.log(share)
    return logits.ravel()


def blank(images: int) -> Array:
    cells = sum((WIDTH // s) * (HEIGHT // s) for s in STRIDES)
    return np.zeros((images, cells, 3 + 32), np.float32)


def found(predictions: Array, conf: float = 0.25) -> list[Candidates]:
    return decode({"o": predictions}, MANIFEST, Parameters(), conf, input_size=(WIDTH, HEIGHT))


def test_boxes_are_measured_from_the_corners_of_cells() -> None:
    values = blank(2)
    placed = {}
    for image, (stride, column, row) in enumerate([(16, 3, 2), (64, 1, 0)]):
        point = np.array([column, row, column, row]) * stride
        sides = np.array([1.5, 0.25, 2.0, 3.75])  # left, top, right, bottom
        values[image, row_of(column, row, stride), :3] = (0.1, 0.9, 0.4)
        values[image, row_of(column, row, stride), 3:] = sure_of(sides)
        placed[image] = point + np.array([-1, -1, 1, 1]) * sides * stride
    for image, candidates in enumerate(found(values)):
        order = np.argsort(-candidates.scores)
        assert candidates.class_ids[order].tolist() == [1, 2]
        np.testing.assert_allclose(candidates.boxes_xyxy[order], [placed[image]] * 2, atol=1e-3)


def test_nothing_and_the_threshold() -> None:
    assert [len(one.scores) for one in found(blank(1))] == [0]
    values = blank(1)
    values[0, 0, 0] = 0.25
    assert [len(one.scores) for one in found(values)] == [0]


def test_the_rows_are_the_cells_of_the_input() -> None:
    assert claims([Output("o", (1, 2125, 112))], input_size=(320, 320)) == Parameters()
    assert claims([Output("o", (1, 2100, 112))], input_size=(320, 320)) == Parameters((8, 16, 32))
    assert claims([Output("o", (1, 2125, 112))]) is None
    assert claims([Output("o", (1, 2125, 52))], classes=20, input_size=(320, 320)) == Parameters()
    with pytest.raises(ModelError, match="rows"):
        decode({"o": blank(1)[:, 1:]}, MANIFEST, Parameters(), 0.25, input_size=(WIDTH, HEIGHT))
