from typing import Literal

import numpy as np
import pytest

from vedette.runtime.decoders.unet import Logits, Parameters, claims, decode
from vedette.runtime.frame import Array
from vedette.runtime.manifest import Decoder, Manifest, Output

MANIFEST = Manifest("m", "segmentation", (), (Output("out", (), role="logits"),), Decoder("unet"))
MAPS = np.linspace(-3, 3, 2 * 3 * 4 * 5, dtype=np.float32).reshape(2, 3, 4, 5)  # two images of three classes


def decoded(array: Array, layout: Literal["nchw", "nhwc"] = "nchw") -> list[Array | Logits]:
    parameters = Parameters(layout)
    return decode({"out": array}, MANIFEST, parameters, 0.5, input_size=(5, 4))


@pytest.mark.parametrize(("layout", "array"), [("nchw", MAPS), ("nhwc", MAPS.transpose(0, 2, 3, 1))])
def test_several_classes_stay_logits_with_classes_first(
    layout: Literal["nchw", "nhwc"], array: Array
) -> None:
    found = decoded(array, layout)
    assert len(found) == 2
    for image, expected in zip(found, MAPS, strict=True):
        assert isinstance(image, Logits)
        np.testing.assert_array_equal(image.maps, expected)


def test_one_channel_becomes_a_probability() -> None:
    (found,) = decoded(np.array([[[[0, 2], [-np.inf, np.inf]]]], np.float16))
    assert isinstance(found, np.ndarray)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, [[[0.5, 1 / (1 + np.exp(-2))], [0, 1]]], rtol=1e-6)
    (nothing,) = decoded(np.full((1, 1, 2, 2), np.nan, np.float32))
    assert isinstance(nothing, np.ndarray)
    assert not nothing.any()


@pytest.mark.parametrize(
    ("output", "claimed"),
    [
        (Output("logits", (1, 21, 512, 512)), True),
        (Output("logits", (-1, 2, -1, -1)), True),
        (Output("logits", (1, 1, 512, 512)), False),  # as likely a probability
        (Output("logits", (1, 256, 64, 64)), False),  # more than labels of one byte
        (Output("logits", (1, 21, 16, 16)), False),
        (Output("logits", (1, 21, 512)), False),
        (Output("scores", (1, 21, 512, 512)), False),
    ],
)
def test_only_maps_that_say_they_are_logits_are_claimed(output: Output, claimed: bool) -> None:
    assert claims([output]) == (Parameters() if claimed else None)
    assert claims([output, output]) is None
