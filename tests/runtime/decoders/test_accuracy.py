"""Published weights through our decoding find what they are known to find."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from accuracy import Network, average_precision, finished, scenes_of_voc50, shared

from vedette.runtime.decoders import fastestdet, mask, nanodet, openpose
from vedette.runtime.frame import Array, Frame
from vedette.runtime.manifest import Decoder, Input, Manifest, Output, Resize
from vedette.runtime.preprocess import place
from vedette.runtime.tasks import Config, segmentation


def labels() -> tuple[str, ...]:
    return tuple(shared("voc50/labels.txt").read_text(encoding="utf-8").splitlines())


def annotations() -> Path:
    return shared("voc50/annotations.json")


def test_fastestdet_reaches_its_published_precision() -> None:
    pixels = Input("input.1", (1, 3, 352, 352), pixel_format="bgr", resize=Resize("stretch"), scale=1 / 255)
    network = Network(shared("fastestdet/FastestDet.onnx"), "detection", fastestdet, pixels, labels())
    scenes = list(scenes_of_voc50(network, conf=0.05))
    config = Config(conf=0.05, iou=0.45)
    whole = average_precision(finished(scenes, network, config), annotations())
    assert whole["AP"] == pytest.approx(0.338, abs=0.005)
    assert whole["AP50"] == pytest.approx(0.603, abs=0.008)
    scenes = [replace(scene, decoded=replace(scene.decoded, clip=True)) for scene in scenes]
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


def outputs_of(path: str, feed: Array) -> list[Array]:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(shared(path)), providers=["CPUExecutionProvider"])
    values: list[Array] = session.run(None, {session.get_inputs()[0].name: feed})
    return values


@pytest.mark.parametrize("upsample", [1, 4])
def test_openpose_finds_the_four_people_of_a_photo(upsample: int) -> None:
    import cv2

    picture = cv2.resize(cv2.imread(str(shared("photos/3.jpg"))), (544, 368)).astype(np.float32)  # type: ignore[arg-type]
    (maps,) = outputs_of("openpose_thin/mobilenet_thin_nchw.onnx", picture.transpose(2, 0, 1)[None])
    bound = (Output("heatmaps", (), role="heatmaps"), Output("pafs", (), role="pafs"))
    manifest = Manifest("m", "pose", (), bound, Decoder("openpose"))
    (people,) = openpose.decode(
        {"heatmaps": maps[:, :19], "pafs": maps[:, 19:]},
        manifest,
        replace(openpose.COCO_18, upsample=upsample),
        0.4,
        input_size=(544, 368),
    )
    found = (people.joint_scores > 0).sum(axis=1)
    assert (found >= 12).sum() == 4
    necks = people.xy[found >= 12, 1]
    expected = [[106, 117], [236, 186], [284, 182], [380, 202]]  # pixels, read off the photo
    np.testing.assert_allclose(necks[necks[:, 0].argsort()], expected, atol=12)


def test_selfie_segmentation_finds_the_astronaut() -> None:
    import cv2

    data = pytest.importorskip("skimage.data")
    picture = data.astronaut()  # RGB
    feed = cv2.resize(picture, (256, 256)).astype(np.float32)[None] / 255
    (values,) = outputs_of("selfie_segmentation/selfie_256.onnx", feed)
    outputs = [Output("activation", values.shape)]
    manifest = Manifest(
        "m",
        "segmentation",
        (),
        (replace(outputs[0], role="probability"),),
        Decoder("mask"),
        labels=("person",),
    )
    parameters = mask.claims(outputs)
    assert parameters is not None
    (decoded,) = mask.decode({"activation": values}, manifest, parameters, 0.5, input_size=(256, 256))
    placement = place((512, 512), (256, 256), Resize("stretch"))
    result = segmentation.finish(decoded, Frame((picture,)), placement, manifest, Config())
    assert result.to_dict()["segmentation"]["fractions"]["person"] == pytest.approx(0.54, abs=0.01)
