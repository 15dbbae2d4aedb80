"""The main path of export: module, ONNX, parity, manifest, engine."""

import json
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

for needed in ("torch", "onnx", "onnxslim", "tensorrt_rtx"):
    pytest.importorskip(needed)

import onnx  # noqa: E402
import tensorrt_rtx  # noqa: E402
import torch  # noqa: E402
import toy  # noqa: E402

from vedette.export import build, parity, to_engine, to_onnx, weights  # noqa: E402
from vedette.export.precision import half_from_full  # noqa: E402
from vedette.runtime import manifest as manifests  # noqa: E402
from vedette.runtime.backends.onnxruntime_ import OrtEngine  # noqa: E402
from vedette.runtime.errors import DeviceError, ModelError, UsageError  # noqa: E402
from vedette.runtime.plugins import load, names  # noqa: E402

NETWORKS = names(build.NETWORKS)


class Toy(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 7, 8, stride=8, bias=False)
        self.norm = torch.nn.BatchNorm2d(7)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        outputs: torch.Tensor = self.norm(self.conv(images))
        return outputs


def trained() -> Toy:
    torch.manual_seed(0)
    module = Toy()
    buffers = dict(module.norm.named_buffers())
    buffers["running_mean"].uniform_(-1, 1)
    buffers["running_var"].uniform_(0.5, 2)
    module.eval()
    return module


@pytest.mark.parametrize(
    "name", [name for name in NETWORKS if not hasattr(load(build.NETWORKS, name), "whole")]
)
def test_every_network_of_one_graph_says_what_the_runtime_must_know(name: str) -> None:
    network = load(build.NETWORKS, name)
    card = network.card()
    assert manifests.parse(manifests.dumps(card)) == manifests.parse(manifests.dumps(card))
    assert card.name == name
    assert card.licence != "unknown"
    assert card.provenance
    shape = [1, *card.inputs[0].bounds()[1][1:]]
    with torch.inference_mode():
        outputs = network.network().eval()(torch.zeros(shape))
    found = [outputs] if isinstance(outputs, torch.Tensor) else list(outputs)
    assert len(found) == len(card.outputs)
    for tensor, spec in zip(found, card.outputs, strict=True):
        assert all(side in (-1, got) for side, got in zip(spec.shape, tensor.shape, strict=True)), spec.name


def test_exported_graphs_are_opset_17_with_named_tensors_and_dynamic_batch() -> None:
    graph = onnx.load_from_string(to_onnx.onnx_from_torch(trained(), toy.CARD))
    assert graph.opset_import[0].version == 17
    assert [value.name for value in graph.graph.input] == ["images"]
    assert [value.name for value in graph.graph.output] == ["grid"]
    assert graph.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"
    assert not any(node.op_type == "BatchNormalization" for node in graph.graph.node)


@pytest.mark.parametrize("batch", [1, 3])
def test_the_exported_graph_computes_what_the_module_does(batch: int) -> None:
    module = trained()
    engine = OrtEngine(to_onnx.onnx_from_torch(module, toy.CARD))
    images = np.random.default_rng(0).random((batch, 3, 32, 32), np.float32)
    with torch.inference_mode():
        expected = module(torch.from_numpy(images)).numpy()
    np.testing.assert_allclose(engine({"images": images})["grid"], expected, atol=1e-5)


def test_half_precision_lives_in_the_graph_with_float32_doors() -> None:
    full = to_onnx.onnx_from_torch(trained(), toy.CARD)
    graph = onnx.load_from_string(half_from_full(full))
    kinds = {tensor.data_type for tensor in graph.graph.initializer}
    assert kinds == {onnx.TensorProto.FLOAT16}
    assert graph.graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    assert graph.graph.output[0].type.tensor_type.elem_type == onnx.TensorProto.FLOAT


def test_a_weight_beyond_float16_is_caught_by_parity() -> None:
    module = trained()
    with torch.no_grad():
        module.conv.weight[0] = 1e6
    with pytest.raises(ModelError, match="does not compute"):
        parity.parity_of(
            module,
            half_from_full(to_onnx.onnx_from_torch(module, toy.CARD)),
            replace(toy.CARD, precision="fp16"),
        )


def test_parity_refuses_a_graph_of_another_network() -> None:
    other = trained()
    with torch.no_grad():
        other.conv.weight += 0.01
    with pytest.raises(ModelError, match="does not compute"):
        parity.parity_of(trained(), to_onnx.onnx_from_torch(other, toy.CARD), toy.CARD)


def test_parity_reports_every_output_against_its_size() -> None:
    module = trained()
    [row] = parity.parity_of(module, to_onnx.onnx_from_torch(module, toy.CARD), toy.CARD)
    assert (row.output, row.feeds) == ("grid", 3)
    assert 0 <= row.mean_abs <= row.max_abs < 1e-4 < row.scale


def test_a_network_of_one_s_own_is_exported_with_its_card(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mynet.py").write_text(
        "import torch, toy\n"
        "def card(): return toy.CARD\n"
        "def make(): return torch.nn.Conv2d(3, 7, 8, stride=8)\n"
        "broken = 3\n"
    )
    monkeypatch.chdir(tmp_path)
    module = torch.nn.Conv2d(3, 7, 8, stride=8)
    torch.save(module.state_dict(), tmp_path / "w.pt")
    card = build.export("mynet:make", tmp_path / "m.onnx", weights=tmp_path / "w.pt")
    assert card.reference_sha256 == manifests.sha256((tmp_path / "w.pt").read_bytes())
    assert manifests.load(tmp_path / "m.onnx")[0].files == card.files
    for wrong in ("mynet:absent", "nomodule:make"):
        with pytest.raises(ModelError):
            build.export(wrong, tmp_path / "x.onnx")
    sys.modules.pop("mynet")


def test_a_network_without_a_card_becomes_a_checked_graph_without_a_manifest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bare.py").write_text(
        "import torch\ndef make(): return torch.nn.Conv2d(3, 2, 1)\ndef odd(): return torch.nn.Linear(5, 2)\n"
    )
    monkeypatch.chdir(tmp_path)
    card = build.export("bare:make", tmp_path / "m.onnx", options=build.Options(imgsz=(32, 16)))
    assert [row.output for row in card.parity] == ["output0"]
    assert not (tmp_path / "m.onnx.json").exists()
    engine = OrtEngine((tmp_path / "m.onnx").read_bytes())
    assert engine({"images": np.zeros((2, 3, 16, 32), np.float32)})["output0"].shape == (2, 2, 16, 32)
    with pytest.raises(ModelError, match="does not run"):
        build.export("bare:odd", tmp_path / "m.onnx")
    sys.modules.pop("bare")


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    torch.save({"conv.weight": torch.zeros(1)}, tmp_path / "w.pt")
    with pytest.raises(ModelError, match="weights of this network"):
        weights.load_weights(trained(), tmp_path / "w.pt")


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04 broken", b"\x80\x02]q\x00."])
def test_files_that_are_no_weights_are_refused(tmp_path: Path, content: bytes) -> None:
    for suffix in (".pt", ".safetensors"):
        path = tmp_path / f"w{suffix}"
        path.write_bytes(content)
        with pytest.raises(ModelError):
            weights.read(path)


def test_imgsz_fixes_the_size_and_dynamic_keeps_it_open() -> None:
    card = load(build.NETWORKS, "nanodet").card()
    fixed = build.sized(card, build.Options(imgsz=(640, 384))).inputs[0]
    assert fixed.shape == (-1, 3, 384, 640)
    assert fixed.bounds()[0] == (1, 3, 384, 640)
    loose = build.sized(card, build.Options(imgsz=(640, 384), dynamic=True)).inputs[0]
    assert loose.shape == (-1, 3, -1, -1)
    assert loose.typical == (1, 3, 384, 640)
    with pytest.raises(UsageError, match="does not fit"):
        build.sized(card, build.Options(imgsz=(333, 333)))


def test_an_engine_is_built_without_a_gpu_and_remembers_its_origin(tmp_path: Path) -> None:
    model = toy.onnx_model(tmp_path)
    card, built = build.build(model, tmp_path / "toy.engine", lane="tensorrt-rtx")
    assert len(built.plan) > 1000
    written, files = manifests.load(tmp_path / "toy.engine")
    assert files["toy.engine"] == built.plan
    assert written == card
    assert written.build["lane"] == "tensorrt-rtx"
    assert written.build["version"] == tensorrt_rtx.__version__
    assert written.build["onnx_sha256"] == manifests.sha256(model.read_bytes())


def test_a_graph_that_tensorrt_cannot_parse_is_refused_with_its_reason(tmp_path: Path) -> None:
    from onnx import TensorProto, helper

    graph = helper.make_graph(
        [helper.make_node("NonZero", ["images"], ["grid"])], "g",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, 32, 32])],
        [helper.make_tensor_value_info("grid", TensorProto.INT64, None)],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    with pytest.raises(ModelError, match="refuses the graph"):
        to_engine.engine_from_onnx(model.SerializeToString(), toy.CARD, lane="tensorrt-rtx")


def test_a_lane_that_is_not_here_is_told_with_its_cure() -> None:
    with pytest.raises(UsageError):
        to_engine.choose_lane("abacus")
    if not find_spec("tensorrt"):
        with pytest.raises(DeviceError) as caught:
            to_engine.choose_lane("tensorrt")
        assert "vedette[rtx]" in caught.value.cure


def test_an_unknown_target_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="sm_12"):
        build.build(toy.onnx_model(tmp_path), tmp_path / "t.engine", lane="tensorrt-rtx", target="sm_12")


def test_the_manifest_beside_an_export_is_plain_json(tmp_path: Path) -> None:
    build.export("selfie_segmentation", tmp_path / "s.onnx")
    document = json.loads((tmp_path / "s.onnx.json").read_text())
    assert document["inputs"][0]["pixel_format"] == "rgb"
    assert document["parity"][0]["max_abs"] < 1e-4
