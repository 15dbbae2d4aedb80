"""Our YOLOv2: what is exported computes what PyTorch does, and what is stored finds the digits."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from accuracy import average_precision, by_image

for needed in ("torch", "onnx", "onnxslim", "onnxruntime", "safetensors", "cv2"):
    pytest.importorskip(needed)

import safetensors  # noqa: E402
import torch  # noqa: E402
from torch import nn  # noqa: E402

from vedette import Model  # noqa: E402
from vedette.export import build  # noqa: E402
from vedette.export.networks import yolov2, yolov2_darknet, yolov2_tiny_darknet  # noqa: E402
from vedette.export.networks._darknet import Convolution, Reorg  # noqa: E402
from vedette.export.to_onnx import onnx_from_torch  # noqa: E402
from vedette.export.weights import load_weights  # noqa: E402
from vedette.runtime.backends.onnxruntime_ import OrtEngine  # noqa: E402
from vedette.runtime.frame import Array  # noqa: E402
from vedette.runtime.manifest import Manifest  # noqa: E402

WEIGHTS = Path(__file__).parents[3] / "export/zoo/yolov2.safetensors"


def assert_same(module: nn.Module, card: Manifest, shapes: list[tuple[int, int, int]]) -> None:
    """Compare PyTorch with ONNX Runtime at every (batch, height, width), relative to the largest value."""
    engine = OrtEngine(onnx_from_torch(module.eval(), card))
    rng = np.random.default_rng(0)
    for batch, height, width in shapes:
        images = rng.random((batch, 3, height, width), np.float32)
        with torch.inference_mode():
            expected = module(torch.from_numpy(images)).numpy()
        found = engine({"images": images})["region"]
        assert found.shape == (batch, card.outputs[0].shape[1], *expected.shape[2:])
        assert np.abs(found - expected).max() <= 1e-4 * np.abs(expected).max()


def trained() -> nn.Module:
    module = yolov2.network()
    load_weights(module, WEIGHTS)
    return module


@pytest.mark.slow
def test_onnx_runtime_computes_the_same_on_every_axis() -> None:
    shapes = [(1, 128, 128), (2, 64, 64), (3, 96, 160), (8, 160, 96), (1, 512, 512)]
    assert_same(trained(), yolov2.card(), shapes)


@pytest.mark.slow
def test_onnx_runtime_computes_darknet_s_tiny_network_on_every_axis() -> None:
    assert_same(yolov2_tiny_darknet.network(), yolov2_tiny_darknet.card(), [(1, 160, 160), (2, 192, 160)])


class Passthrough(nn.Module):
    """The one part of darknet's YOLOv2 that the tiny one lacks."""

    def __init__(self) -> None:
        super().__init__()
        self.fine = nn.Sequential(*[Convolution(3, 3, 3, stride=2) for _ in range(4)], Convolution(3, 68, 1))
        self.passthrough = Reorg()
        self.region = nn.Conv2d(4 * 68, 425, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        output: torch.Tensor = self.region(self.passthrough(self.fine(images)))
        return output


@pytest.mark.slow
def test_onnx_runtime_computes_reorg_on_every_axis() -> None:
    assert_same(Passthrough(), yolov2_darknet.card(), [(1, 160, 160), (3, 192, 160), (8, 160, 320)])


def test_the_zoo_s_weights_are_small_and_say_how_they_were_made() -> None:
    with safetensors.safe_open(WEIGHTS, "np") as file:
        metadata = file.metadata()
    parameters = sum(parameter.numel() for parameter in yolov2.network().parameters())
    notes = WEIGHTS.with_suffix(".md").read_text(encoding="utf-8")
    assert WEIGHTS.stat().st_size < 4e6
    assert metadata["parameters"] == str(parameters)
    assert f"{parameters:,}" in notes
    assert metadata["source"] in notes


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("yolov2") / "y.onnx"
    build.export("yolov2", path)
    return path


@pytest.fixture(scope="module")
def held_out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("sklearn")
    pytest.importorskip("skimage")
    from vedette.export.training._coco import write_scenes

    folder = tmp_path_factory.mktemp("scenes")
    write_scenes(folder, 100, seed=20_260, split="val", size=128)
    return folder


def records(model: Model, folder: Path, conf: float) -> list[dict[str, Any]]:
    return [result.to_dict() for result in model(str(folder), conf=conf)]


@pytest.mark.slow
def test_the_stored_weights_find_the_digits_of_held_out_scenes(exported: Path, held_out: Path) -> None:
    annotations = held_out / "annotations.json"
    found = by_image(records(Model(str(exported)), held_out, 0.01), annotations)
    measured = average_precision(found, annotations)
    assert measured["AP50"] > 0.9
    assert measured["AP"] > 0.58


@pytest.mark.slow
def test_openvino_decides_the_same(exported: Path, held_out: Path) -> None:
    pytest.importorskip("openvino")
    ours, theirs = (
        records(Model(str(exported), backend=backend), held_out, 0.5)
        for backend in ("onnxruntime", "openvino")
    )
    kept = [
        any(box["class_id"] == other["class_id"] and close(box, other) for other in second["detections"])
        for first, second in zip(ours, theirs, strict=True)
        for box in first["detections"]
    ]
    assert len(kept) > 200
    assert np.mean(kept) >= 0.99


def close(first: dict[str, Any], second: dict[str, Any]) -> bool:
    a, b = (np.array(one["box_xyxy"]) for one in (first, second))
    return bool(np.abs(a - b).max() < 1)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_tensorrt_rtx_builds_it(tmp_path: Path, precision: str) -> None:
    pytest.importorskip("tensorrt_rtx")
    build.export("yolov2", tmp_path / "y.onnx", options=build.Options(precision=precision))
    _, built = build.build(tmp_path / "y.onnx", tmp_path / "y.engine", lane="tensorrt-rtx")
    assert len(built.plan) > 1e5


def test_a_blank_picture_has_no_digits(exported: Path) -> None:
    blank: Array = np.full((128, 128, 3), 114, np.uint8)
    [result] = Model(str(exported))(blank)
    assert len(result) == 0
