"""U-Net: weights by milesial's names, the exported graph, and what the weights in the box have learnt."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

for needed in ("torch", "onnx", "onnxslim", "safetensors", "sklearn", "skimage"):
    pytest.importorskip(needed)

import torch  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402
from torch.nn import functional  # noqa: E402

from vedette.export import build  # noqa: E402
from vedette.export.networks import unet  # noqa: E402
from vedette.export.networks.unet import LABELS, Plan, UNet, from_weights, plan_of  # noqa: E402
from vedette.export.to_onnx import onnx_from_torch  # noqa: E402
from vedette.export.training import scenes  # noqa: E402
from vedette.export.training._recipe import save  # noqa: E402
from vedette.export.training.unet import Schedule, example, loss_of, mean_iou, rate_at, train  # noqa: E402
from vedette.runtime.backends.onnxruntime_ import OrtEngine  # noqa: E402
from vedette.runtime.errors import ModelError  # noqa: E402

ZOO = Path(__file__).parents[2] / "export/zoo"
State = dict[str, torch.Tensor]
PLANS = {
    "transposed": Plan(classes=2, width=4),
    "bilinear": Plan(classes=1, width=4, bilinear=True),
    "with biases": Plan(channels=1, classes=5, width=6, bilinear=True, bias=True),
    "our own": Plan(),
}


def state_of(plan: Plan) -> State:
    """Random weights of the names, shapes and order of a file that milesial's trainer saves, written down independently."""
    w, half = plan.width, 2 if plan.bilinear else 1
    state: State = {}

    def double(name: str, channels: int, middle: int, width: int) -> None:
        for place, (before, after) in ((0, (channels, middle)), (3, (middle, width))):
            state[f"{name}.double_conv.{place}.weight"] = torch.randn(after, before, 3, 3) / (3 * before**0.5)
            if plan.bias:
                state[f"{name}.double_conv.{place}.bias"] = torch.randn(after)
            norm = f"{name}.double_conv.{place + 1}"
            state[f"{norm}.weight"], state[f"{norm}.bias"] = torch.rand(after) + 0.5, torch.randn(after)
            state[f"{norm}.running_mean"], state[f"{norm}.running_var"] = (
                torch.randn(after),
                torch.rand(after) + 0.5,
            )
            state[f"{norm}.num_batches_tracked"] = torch.tensor(7)

    double("inc", plan.channels, w, w)
    for level, width in enumerate((2 * w, 4 * w, 8 * w, 16 * w // half), start=1):
        double(f"down{level}.maxpool_conv.1", w * 2 ** (level - 1), width, width)
    for level, channels in enumerate((16 * w, 8 * w, 4 * w, 2 * w), start=1):
        if not plan.bilinear:
            state[f"up{level}.up.weight"] = torch.randn(channels, channels // 2, 2, 2) / channels**0.5
            state[f"up{level}.up.bias"] = torch.randn(channels // 2)
        width = channels // 2 if level == 4 else channels // 2 // half
        double(f"up{level}.conv", channels, channels // 2, width)
    state["outc.conv.weight"], state["outc.conv.bias"] = (
        torch.randn(plan.classes, w, 1, 1),
        torch.randn(plan.classes),
    )
    return state


def computed(state: Mapping[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    """The published network, function by function, from a state dict."""

    def double(name: str, x: torch.Tensor) -> torch.Tensor:
        for place in (0, 3):
            x = functional.conv2d(
                x,
                state[f"{name}.double_conv.{place}.weight"],
                state.get(f"{name}.double_conv.{place}.bias"),
                padding=1,
            )
            mean, variance, weight, bias = (
                state[f"{name}.double_conv.{place + 1}.{part}"]
                for part in ("running_mean", "running_var", "weight", "bias")
            )
            x = functional.relu(functional.batch_norm(x, mean, variance, weight, bias))
        return x

    skips = [double("inc", x)]
    for level in range(1, 5):
        skips.append(double(f"down{level}.maxpool_conv.1", functional.max_pool2d(skips[-1], 2)))
    x = skips.pop()
    for level in range(1, 5):
        weight, bias = (state.get(f"up{level}.up.{part}") for part in ("weight", "bias"))
        if weight is None:
            x = functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)
        else:
            x = functional.conv_transpose2d(x, weight, bias, stride=2)
        x = double(f"up{level}.conv", torch.cat([skips.pop(), x], dim=1))
    return functional.conv2d(x, state["outc.conv.weight"], state["outc.conv.bias"])


def saved(state: State, path: Path, **others: Any) -> Path:
    if path.suffix == ".safetensors":
        save_file(state, path)
    else:
        torch.save({**state, **others}, path)
    return path


@pytest.mark.parametrize("file", ["checkpoint_epoch5.pth", "net.safetensors"])
@pytest.mark.parametrize("name", PLANS)
def test_a_file_by_milesial_s_names_gives_its_network_exactly(tmp_path: Path, name: str, file: str) -> None:
    torch.manual_seed(1)
    plan, state = PLANS[name], state_of(PLANS[name])
    network, card = from_weights(saved(state, tmp_path / file))
    assert isinstance(network, UNet)
    assert network.plan == plan
    again = network.state_dict()
    assert list(again) == list(state)
    assert all(torch.equal(again[key], state[key]) for key in state)
    assert card.outputs[0].shape == (-1, plan.classes, -1, -1)
    assert card.inputs[0].shape[1] == plan.channels
    pictures = torch.rand(2, plan.channels, 48, 32)
    with torch.inference_mode():
        torch.testing.assert_close(network(pictures), computed(state, pictures), rtol=1e-4, atol=1e-4)


def test_the_grey_levels_that_the_trainer_adds_are_passed_over(tmp_path: Path) -> None:
    path = saved(state_of(PLANS["transposed"]), tmp_path / "c.pth", mask_values=[0, 255])
    network, card = from_weights(path)
    assert len(network.state_dict()) == len(state_of(PLANS["transposed"]))
    assert (card.labels, card.licence) == (("background", "foreground"), "unknown")


@pytest.mark.parametrize(("bilinear", "parameters"), [(False, 31_037_633), (True, 17_262_977)])
def test_the_published_size_has_the_published_number_of_parameters(
    *, bilinear: bool, parameters: int
) -> None:
    with torch.device("meta"):
        network = UNet(Plan(classes=1, width=64, bilinear=bilinear))
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters


LAYER = "down3.maxpool_conv.1.double_conv.3.weight"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({LAYER: torch.zeros(32, 31, 3, 3)}, rf"{LAYER} is \[32, 31, 3, 3\]; expected \[32, 32, 3, 3\]"),
        ({LAYER: None}, f"{LAYER} is missing"),
        ({"up2.up.bias": torch.zeros(3)}, r"up2.up.bias is \[3\]; expected \[16\]"),
        ({"head.weight": torch.zeros(3)}, r"head.weight is \[3\]; expected nothing"),
        ({"outc.conv.bias": None}, "outc.conv.bias is missing"),
        ({"outc.conv.weight": torch.zeros(2, 5, 1, 1)}, r"outc.conv.weight is \[2, 5, 1, 1\]; expected \[2, 4, 1, 1\]"),
        ({"inc.double_conv.0.weight": None}, "inc.double_conv.0.weight is missing"),
        ({"inc.double_conv.0.weight": torch.zeros(4)}, r"inc.double_conv.0.weight is \[4\]"),
        ({"inc.double_conv.0.weight": torch.zeros(5000, 1, 1, 1)}, r"is \[5000, 1, 1, 1\]"),
        ({"inc.double_conv.0.bias": torch.zeros(4)}, r"inc.double_conv.3.bias is missing"),
        ({"up1.up.weight": None}, r"down4.* is \[64.*expected \[32"),
    ],
)  # fmt: skip
def test_a_layer_of_another_size_is_refused_by_name(
    tmp_path: Path, change: dict[str, torch.Tensor | None], told: str
) -> None:
    state = {**state_of(PLANS["transposed"]), **change}
    path = saved({name: value for name, value in state.items() if value is not None}, tmp_path / "c.pth")
    with pytest.raises(ModelError, match=told) as caught:
        from_weights(path)
    assert caught.value.what.startswith("c.pth does not hold the weights of a U-Net")
    assert caught.value.cure


@pytest.mark.parametrize(
    "content", [{"a": 1}, [1, 2], {"mask_values": [0], "inc.double_conv.0.weight": "text"}]
)
def test_what_is_no_state_dict_is_refused(tmp_path: Path, content: Any) -> None:
    torch.save(content, tmp_path / "c.pth")
    with pytest.raises(ModelError):
        from_weights(tmp_path / "c.pth")
    (tmp_path / "d.pth").write_bytes(b"PK")
    for name in ("d.pth", "absent.pth"):
        with pytest.raises(ModelError):
            from_weights(tmp_path / name)


def test_the_plan_is_read_off_the_shapes() -> None:
    for plan in PLANS.values():
        assert plan_of(state_of(plan), "file") == plan


@pytest.mark.parametrize("name", PLANS)
def test_onnx_runtime_agrees_on_every_dynamic_axis(tmp_path: Path, name: str) -> None:
    torch.manual_seed(2)
    network, card = from_weights(saved(state_of(PLANS[name]), tmp_path / "w.pth"))
    engine = OrtEngine(onnx_from_torch(network, build.sized(card, build.Options((64, 32), dynamic=True))))
    for batch, height, width in ((1, 32, 32), (3, 48, 80), (2, 128, 16 * 9)):
        pictures = torch.rand(batch, PLANS[name].channels, height, width)
        with torch.inference_mode():
            expected = network(pictures).numpy()
        found = engine({"images": pictures.numpy()})["logits"]
        assert np.abs(found - expected).max() <= 1e-4 * np.abs(expected).max()


# ---- the weights in the box


@pytest.fixture(scope="module")
def trained() -> UNet:
    network, card = from_weights(ZOO / "unet.safetensors")
    assert card == unet.card()
    assert isinstance(network, UNet)
    return network


def test_the_box_has_less_than_4_mb_and_says_how_it_was_made(trained: UNet) -> None:
    path = ZOO / "unet.safetensors"
    notes = path.with_suffix(".md").read_text(encoding="utf-8")
    parameters = sum(parameter.numel() for parameter in trained.parameters())
    assert path.stat().st_size < 4e6
    assert {tensor.dtype for tensor in load_file(path).values()} == {torch.float16, torch.int64}
    assert f"{parameters:,}" in notes
    assert "python -m vedette.export.training.unet" in notes
    assert scenes.SEMANTIC == LABELS == unet.card().labels


def test_every_class_is_found_on_held_out_scenes(trained: UNet) -> None:
    found = mean_iou(trained, count=60, seed=20260101)
    sys.stdout.write(f"{found}\n")
    assert found["mean"] >= 0.8
    assert min(found.values()) >= 0.65


def test_half_precision_and_openvino_decide_alike(trained: UNet, tmp_path: Path) -> None:
    from vedette.export.precision import half_from_full

    full = onnx_from_torch(trained, unet.card())
    pictures = np.stack([example(index, seed=9, split="val")[0] for index in range(6)])
    feeds = {
        "images": np.ascontiguousarray(pictures.transpose(0, 3, 1, 2).astype(np.float32) / np.float32(255))
    }
    expected = OrtEngine(full)(feeds)["logits"].argmax(axis=1)
    assert (OrtEngine(half_from_full(full))(feeds)["logits"].argmax(axis=1) == expected).mean() > 0.998
    pytest.importorskip("openvino")
    import openvino

    (tmp_path / "u.onnx").write_bytes(full)
    compiled = openvino.compile_model(tmp_path / "u.onnx", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    assert (compiled(feeds)[0].argmax(axis=1) == expected).mean() >= 0.999


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_tensorrt_builds_an_engine_of_it(tmp_path: Path, precision: str) -> None:
    pytest.importorskip("tensorrt_rtx")
    model, engine = tmp_path / "unet.onnx", tmp_path / "unet.engine"
    card = build.export("unet", model, options=build.Options(precision=precision))
    assert card.parity[0].max_abs <= (1e-4 if precision == "fp32" else 5e-2) * card.parity[0].scale
    start = time.perf_counter()
    build.build(model, engine, lane="tensorrt-rtx")
    seconds = time.perf_counter() - start
    sizes = f"{model.stat().st_size} bytes of ONNX, {engine.stat().st_size} of engine"
    sys.stdout.write(f"{precision}: {sizes} in {seconds:.1f} s\n")
    assert engine.stat().st_size > model.stat().st_size / 4


# ---- the trainer


def test_training_is_reproducible(tmp_path: Path) -> None:
    schedule = Schedule(steps=2, batch=2)
    first, second = (train(schedule).state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)
    network = UNet()
    network.load_state_dict(first)
    save(network, tmp_path / "unet.safetensors", schedule)
    stored = load_file(tmp_path / "unet.safetensors")
    assert all(torch.equal(stored[name].double(), first[name].half().double()) for name in first)


def test_the_rate_rises_and_falls_to_nothing() -> None:
    schedule = Schedule(steps=1000, warm_up=10)
    rates = [rate_at(step, schedule) for step in range(1001)]
    assert np.argmax(rates) == 9
    assert rates[0] < 0.11
    assert rates[-1] < 1e-6


def test_a_perfect_answer_costs_nothing() -> None:
    labels = torch.randint(0, 6, (2, 8, 8), generator=torch.Generator().manual_seed(0))
    right = functional.one_hot(labels, 6).permute(0, 3, 1, 2) * 50.0
    assert loss_of(right, labels) < 1e-4
    assert loss_of(torch.zeros(2, 6, 8, 8), labels) > 2


@pytest.mark.slow
def test_an_export_takes_milesials_file(tmp_path: Path) -> None:
    torch.save(UNet(Plan(classes=2)).state_dict(), tmp_path / "carvana.pth")
    card = build.export("unet", tmp_path / "carvana.onnx", weights=tmp_path / "carvana.pth")
    assert card.decoder.family == "unet"
    assert card.outputs[0].shape[1] == 2
