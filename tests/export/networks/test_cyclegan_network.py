"""CycleGAN's generators: which one a file holds, that it loads whole, and that the graph computes what PyTorch does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

for needed in ("torch", "onnx", "onnxslim", "onnxruntime", "safetensors", "cv2"):
    pytest.importorskip(needed)

import onnx  # noqa: E402
import torch  # noqa: E402
from safetensors.torch import save_file  # noqa: E402
from torch.nn import functional  # noqa: E402

from vedette.export.build import Options, export, onnx_of  # noqa: E402
from vedette.export.networks import cyclegan, cyclegan_back  # noqa: E402
from vedette.export.networks._resnet_generator import Plan, ResnetGenerator, plan_of  # noqa: E402
from vedette.export.precision import half_from_full  # noqa: E402
from vedette.runtime.backends.onnxruntime_ import OrtEngine  # noqa: E402
from vedette.runtime.errors import ModelError  # noqa: E402

ZOO = Path(__file__).parents[3] / "export/zoo"
SMALL = Plan(width=8, blocks=2)
PLANS = [
    Plan(),
    SMALL,
    replace(SMALL, norm="instance", bias=True),
    replace(SMALL, norm="affine", bias=True, blocks=6),
    replace(SMALL, norm="batch", dropout=True),
    replace(SMALL, channels=(1, 3)),
]


@pytest.mark.parametrize("plan", PLANS)
def test_a_plan_follows_from_the_weights(plan: Plan) -> None:
    assert plan_of(ResnetGenerator(plan).state_dict()) == plan


def file_of(
    plan: Plan, path: Path, *, prefix: str = "", block: str = "conv_block"
) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    state = ResnetGenerator(plan).state_dict()
    named = {prefix + name.replace("conv_block", block): value.contiguous() for name, value in state.items()}
    save_file(named, path)
    return state


@pytest.mark.parametrize(("prefix", "block"), [("", "conv_block"), ("module.", "conv_block"), ("", "block")])
def test_the_nine_blocks_load_by_the_names_of_several_trainers(
    prefix: str, block: str, tmp_path: Path
) -> None:
    plan = Plan(width=8, blocks=9, norm="affine", bias=True)
    path = tmp_path / "latest_net_G_A.safetensors"
    state = file_of(plan, path, prefix=prefix, block=block)
    module, card = cyclegan.from_weights(path)
    assert isinstance(module, ResnetGenerator)
    assert module.plan == plan
    assert all(torch.equal(value, state[name]) for name, value in module.state_dict().items())
    assert card.provenance == "weights of latest_net_G_A.safetensors"


def test_statistics_that_an_old_file_has_of_its_instance_norm_are_left_out(tmp_path: Path) -> None:
    plan = replace(SMALL, norm="instance", bias=True)
    path = tmp_path / "old.safetensors"
    state = file_of(plan, path)
    running = {"model.2.running_mean": torch.zeros(8), "model.2.num_batches_tracked": torch.tensor(3)}
    save_file({**{name: value.contiguous() for name, value in state.items()}, **running}, path)
    module, _ = cyclegan.from_weights(path)
    assert isinstance(module, ResnetGenerator)
    assert module.plan == plan


@pytest.mark.parametrize("name", ["model.4.weight", "model.11.conv_block.6.bias", "model.19.weight"])
def test_a_missing_and_a_misshaped_tensor_are_named(name: str, tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    state = {key: value.contiguous() for key, value in file_of(SMALL, path).items()}
    save_file({key: value for key, value in state.items() if key != name}, path)
    with pytest.raises(ModelError) as missing:
        cyclegan.from_weights(path)
    assert f"{name} is missing; expected {list(state[name].shape)}" in str(missing.value)
    save_file({**state, name: torch.zeros(7)}, path)
    with pytest.raises(ModelError) as misshaped:
        cyclegan.from_weights(path)
    assert f"{name} is [7]; expected {list(state[name].shape)}" in str(misshaped.value)


def test_a_discriminator_and_a_generator_of_grey_pictures_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_file({"model.0.weight": torch.zeros(64, 3, 4, 4)}, path)
    with pytest.raises(ModelError, match="does not hold the weights of a CycleGAN generator"):
        cyclegan.from_weights(path)
    file_of(replace(SMALL, channels=(1, 1)), path)
    with pytest.raises(ModelError, match="takes 1 channels and draws 1"):
        cyclegan.from_weights(path)


def by_functions(state: dict[str, torch.Tensor], x: torch.Tensor, blocks: int) -> torch.Tensor:
    """The generator with an instance norm of learnt gain, written anew from the paper's appendix."""

    def conv(x: torch.Tensor, name: str, *, pad: int, stride: int = 1) -> torch.Tensor:
        if pad and stride == 1:
            x = functional.pad(x, (pad,) * 4, mode="reflect")
        return functional.conv2d(
            x, state[f"{name}.weight"], state[f"{name}.bias"], stride, 0 if stride == 1 else pad
        )

    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        mean, variance = x.mean((2, 3), keepdim=True), x.var((2, 3), unbiased=False, keepdim=True)
        gain, offset = (state[f"{name}.{end}"][:, None, None] for end in ("weight", "bias"))
        return (x - mean) / (variance + 1e-5).sqrt() * gain + offset

    x = norm(conv(x, "model.1", pad=3), "model.2").relu()
    for layer in (4, 7):
        x = norm(conv(x, f"model.{layer}", pad=1, stride=2), f"model.{layer + 1}").relu()
    for layer in range(10, 10 + blocks):
        name = f"model.{layer}.conv_block"
        inner = norm(conv(x, f"{name}.1", pad=1), f"{name}.2").relu()
        x = x + norm(conv(inner, f"{name}.5", pad=1), f"{name}.6")
    for layer in (10 + blocks, 13 + blocks):
        weight, bias = (state[f"model.{layer}.{end}"] for end in ("weight", "bias"))
        x = functional.conv_transpose2d(x, weight, bias, stride=2, padding=1, output_padding=1)
        x = norm(x, f"model.{layer + 1}").relu()
    return conv(x, f"model.{17 + blocks}", pad=3).tanh()


def test_the_generator_is_the_paper_s() -> None:
    torch.manual_seed(0)
    module = ResnetGenerator(Plan(width=8, blocks=3, norm="affine", bias=True)).eval()
    x = torch.rand(2, 3, 32, 48) * 2 - 1
    with torch.inference_mode():
        expected = by_functions(module.state_dict(), x, 3)
        torch.testing.assert_close(module(x), expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("norm", ["batch", "affine"])
def test_the_graph_computes_what_pytorch_does_at_every_size_in_half_the_bytes(norm: str) -> None:
    torch.manual_seed(0)
    plan = replace(SMALL, norm=norm, bias=norm == "affine")  # type: ignore[arg-type]
    module = ResnetGenerator(plan).eval()
    full = onnx_of(module, cyclegan.card_of(plan, "cyclegan", (32, 64), cyclegan.OURS))
    half = half_from_full(full)
    sizes = [
        sum(
            onnx.numpy_helper.to_array(tensor).nbytes
            for tensor in onnx.load_from_string(each).graph.initializer
        )
        for each in (full, half)
    ]
    assert sizes[1] <= 0.52 * sizes[0]
    for model, limit in ((full, 1e-4), (half, 3e-2)):
        engine = OrtEngine(model)
        for batch, height, width in ((1, 32, 64), (2, 36, 40), (1, 100, 32)):
            images = np.random.default_rng(0).uniform(-1, 1, (batch, 3, height, width)).astype(np.float32)
            with torch.inference_mode():
                expected = module(torch.from_numpy(images)).numpy()
            found = engine({"images": images})["picture"]
            assert found.shape == images.shape
            assert np.abs(found - expected).max() <= limit


def test_batch_norm_is_gone_from_the_graph() -> None:
    model = onnx_of(ResnetGenerator(SMALL).eval(), cyclegan.card_of(SMALL, "x", (32, 32), cyclegan.OURS))
    operators = {node.op_type for node in onnx.load_from_string(model).graph.node}
    assert not operators & {"BatchNormalization", "InstanceNormalization"}


@pytest.mark.parametrize("direction", [cyclegan, cyclegan_back])
def test_a_direction_is_small_enough_and_its_weights_fit(direction: object, tmp_path: Path) -> None:
    name = str(getattr(direction, "__name__", "")).rpartition(".")[2]
    path = ZOO / f"{name}.safetensors"
    card = export(name, tmp_path / "m.onnx", options=Options((64, 48), precision="fp16"))
    assert sum(parameter.numel() for parameter in cyclegan.network().parameters()) <= 1.5e6
    assert path.stat().st_size < 4e6
    assert (card.name, card.task, card.decoder.family) == (name, "image", "image")
    assert card.accuracy
    assert card.licence == "Apache-2.0"
