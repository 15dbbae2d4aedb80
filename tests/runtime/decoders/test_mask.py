import numpy as np
import pytest

from vedette.runtime.decoders.mask import Parameters, claims, decode
from vedette.runtime.frame import Array
from vedette.runtime.manifest import Decoder, Manifest, Output

MANIFEST = Manifest("m", "segmentation", (), (Output("out", (), role="probability"),), Decoder("mask"))
MAPS = np.linspace(0, 1, 2 * 3 * 4 * 5, dtype=np.float32).reshape(2, 3, 4, 5)  # two images of three classes


@pytest.mark.parametrize(
    ("layout", "array", "expected"),
    [
        ("nchw", MAPS, MAPS),
        ("nhwc", MAPS.transpose(0, 2, 3, 1), MAPS),
        ("nhw", MAPS[:, 0], MAPS[:, :1]),
    ],
)
def test_every_layout_gives_classes_first(layout: str, array: Array, expected: Array) -> None:
    found = decode({"out": array}, MANIFEST, Parameters(layout), 0.5, input_size=(5, 4))  # type: ignore[arg-type]
    np.testing.assert_array_equal(np.stack(found), expected)


def test_what_is_not_a_number_is_no_probability() -> None:
    array = np.array([[[[np.nan, 0.5], [np.inf, 1.0]]]], np.float16)
    (found,) = decode({"out": array}, MANIFEST, Parameters(), 0.5, input_size=(2, 2))
    assert found.dtype == np.float32
    assert found.tolist() == [[[0, 0.5], [0, 1]]]


def test_the_place_of_the_single_channel_tells_the_layout() -> None:
    assert claims([Output("o", (1, 1, 256, 256))]) == Parameters("nchw")
    assert claims([Output("o", (1, 256, 256, 1))]) == Parameters("nhwc")
    assert claims([Output("o", (1, 256, 256))]) is None  # as likely a label map
