"""Published weights through our decoding give their known average precision on 50 photos."""

from pathlib import Path

import pytest
from accuracy import Network, average_precision, finished, scenes_of_voc50, shared, unclipped

from vedette.runtime.decoders import fastestdet, nanodet
from vedette.runtime.manifest import Input, Resize
from vedette.runtime.tasks import Config


def labels() -> tuple[str, ...]:
    return tuple(shared("voc50/labels.txt").read_text(encoding="utf-8").splitlines())


def annotations() -> Path:
    return shared("voc50/annotations.json")


def test_fastestdet_reaches_its_published_precision() -> None:
    pixels = Input("input.1", (1, 3, 352, 352), pixel_format="bgr", resize=Resize("stretch"), scale=1 / 255)
    network = Network(shared("fastestdet/FastestDet.onnx"), "detection", fastestdet, pixels, labels())
    scenes = list(scenes_of_voc50(network, conf=0.05))
    config = Config(conf=0.05, iou=0.45)
    bare = average_precision(unclipped(scenes, network, config), annotations())
    assert bare["AP"] == pytest.approx(0.338, abs=0.005)
    assert bare["AP50"] == pytest.approx(0.603, abs=0.008)
    clipped = average_precision(finished(scenes, network, config), annotations())
    assert clipped["AP"] == pytest.approx(0.375, abs=0.005)  # the annotated boxes end where the picture does


@pytest.mark.slow
def test_nanodet_reaches_its_published_precision() -> None:
    pixels = Input(
        "input_1:0",
        (1, 3, 416, 416),
        pixel_format="bgr",
        resize=Resize("letterbox", "centre", pad=0.0),
        mean=(103.53, 116.28, 123.675),
        std=(57.375, 57.12, 58.395),
    )
    network = Network(shared("nanodet/nanodet_416.onnx"), "detection", nanodet, pixels, labels())
    scenes = list(scenes_of_voc50(network, conf=0.05))
    found = average_precision(finished(scenes, network, Config(conf=0.05, iou=0.6)), annotations())
    assert found["AP"] == pytest.approx(0.510, abs=0.008)
    assert found["AP50"] == pytest.approx(0.743, abs=0.01)
