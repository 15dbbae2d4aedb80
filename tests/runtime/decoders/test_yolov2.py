from typing import Any

import numpy as np
import pytest

from vedette.runtime.decoders import Candidates
from vedette.runtime.decoders.yolov2 import COCO_ANCHORS, Parameters, claims, decode
from vedette.runtime.errors import ModelError
from vedette.runtime.frame import Array
from vedette.runtime.manifest import Decoder, Manifest, Output

MANIFEST = Manifest("m", "detection", (), (Output("757", (-1, 16, 2, 4), role="region"),), Decoder("yolov2"))
ANCHORS = Parameters(((1.0, 0.5), (2.0, 1.5)))


def found(region: Array, conf: float = 0.25) -> list[Candidates]:
    return decode({"757": region}, MANIFEST, ANCHORS, conf, input_size=(160, 80))


def logit(probability: float) -> float:
    return float(np.log(probability / (1 - probability)))


def one_object(dtype: type[np.floating[Any]] = np.float32) -> Array:
    """Three classes, two anchors, 4 x 2 cells of 40 x 40 pixels; the second anchor of row 1, column 2 of image 1."""
    region: Array = np.full((2, 16, 2, 4), -9, dtype)
    shares = np.log([0.1, 0.2, 0.7])
    region[1, 8:, 1, 2] = [logit(0.75), logit(0.25), np.log(1.5), np.log(0.5), logit(0.8), *shares]
    return region


def test_the_box_is_centred_at_the_cell_plus_sigmoid_and_sized_by_the_anchor() -> None:
    empty, image = found(one_object())
    assert len(empty.scores) == 0
    centre_x, centre_y, width, height = 2.75 * 40, 1.25 * 40, 2 * 1.5 * 40, 1.5 * 0.5 * 40
    box = [centre_x - width / 2, centre_y - height / 2, centre_x + width / 2, centre_y + height / 2]
    np.testing.assert_allclose(image.boxes_xyxy, [box], rtol=1e-5)
    assert image.class_ids.tolist() == [2]
    assert image.scores == pytest.approx([0.8 * 0.7])


def test_conf_is_a_lower_bound_of_objectness_times_class() -> None:
    assert len(found(one_object(), conf=0.55)[1].scores) == 1
    assert len(found(one_object(), conf=0.57)[1].scores) == 0


def test_half_precision_is_decoded_in_single() -> None:
    _, half = found(one_object(np.float16))
    assert half.boxes_xyxy.dtype == np.float32
    np.testing.assert_allclose(half.boxes_xyxy, found(one_object())[1].boxes_xyxy, atol=0.2)


def test_only_coco_s_number_of_channels_tells_its_anchors() -> None:
    assert claims([Output("a", (-1, 425, -1, -1))]) == Parameters(COCO_ANCHORS)
    assert claims([Output("a", (1, 125, 13, 13))]) is None


def test_anchors_that_do_not_divide_the_channels_are_refused() -> None:
    three = Parameters(((1.0, 1.0), (2.0, 2.0), (3.0, 3.0)))
    with pytest.raises(ModelError, match="does not fit its anchors"):
        decode({"757": one_object()}, MANIFEST, three, 0.25, input_size=(160, 80))
