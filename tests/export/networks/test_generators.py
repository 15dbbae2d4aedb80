"""VAE, GAN and DDPM: their graphs compute what PyTorch does, in both precisions, and only their own weights are taken."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from accuracy import shared

for needed in ("torch", "onnx", "onnxslim", "onnxruntime", "safetensors", "cv2"):
    pytest.importorskip(needed)

import onnx  # noqa: E402
import torch  # noqa: E402
from safetensors.torch import save_file  # noqa: E402

from vedette.export._bundle_parity import parity_of_part, pictures  # noqa: E402
from vedette.export._half import half_inside  # noqa: E402
from vedette.export.build import Options, onnx_of  # noqa: E402
from vedette.export.bundle import export_bundle  # noqa: E402
from vedette.export.networks import ddpm, gan, vae  # noqa: E402
from vedette.export.networks._denoiser import Attention, Denoiser  # noqa: E402
from vedette.export.networks._flow import Flow  # noqa: E402
from vedette.export.networks._whole import Graph, Whole  # noqa: E402
from vedette.export.weights import load_weights  # noqa: E402
from vedette.runtime import bundle as bundles  # noqa: E402
from vedette.runtime.errors import ModelError, UsageError  # noqa: E402
from vedette.runtime.frame import Array  # noqa: E402
from vedette.runtime.generation import Generator  # noqa: E402
from vedette.runtime.preprocess import Size  # noqa: E402
from vedette.runtime.request import Request  # noqa: E402

WHOLES: dict[str, Callable[[Path | None, Size | None], Whole]] = {
    "vae": vae.whole, "gan": gan.whole, "ddpm": ddpm.whole,
}  # fmt: skip
PARTS = [("vae", "encoder"), ("vae", "decoder"), ("gan", "generator"), ("ddpm", "denoiser")]
ZOO = Path(__file__).parents[3] / "export/zoo"

each_kind = pytest.mark.parametrize("kind", WHOLES)
each_part = pytest.mark.parametrize(("kind", "role"), PARTS)


def fed(whole: Whole, role: str) -> list[tuple[torch.Tensor, ...]]:
    first = next(iter(whole.graphs.values())).card.inputs[0]
    return [whole.feeds(images)[role] for images in pictures(first)]


def weight_bytes(model: bytes) -> int:
    tensors = onnx.load_from_string(model).graph.initializer
    return sum(onnx.numpy_helper.to_array(tensor).nbytes for tensor in tensors)


@each_part
def test_the_graphs_compute_what_pytorch_does_and_half_of_the_weight_bytes_are_gone(
    kind: str, role: str
) -> None:
    torch.manual_seed(0)
    whole = WHOLES[kind](None, None)
    part = whole.graphs[role]
    full = onnx_of(part.module, part.card)
    half = half_inside(full, part.half)
    for model, precision, limit in ((full, "fp32", 1e-4), (half, "fp16", 2e-2)):
        card = replace(part.card, precision=precision)  # type: ignore[arg-type]
        for row in parity_of_part(part, model, card, fed(whole, role)):
            assert row.scale > 0
            assert row.max_abs <= limit * max(1.0, row.scale)
    assert weight_bytes(half) <= 0.52 * weight_bytes(full)


@each_part
def test_a_graph_s_doors_are_float32_and_its_batch_is_dynamic(kind: str, role: str) -> None:
    part = WHOLES[kind](None, None).graphs[role]
    graph = onnx.load_from_string(half_inside(onnx_of(part.module, part.card), part.half)).graph
    for value in (*graph.input, *graph.output):
        assert value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
        assert value.type.tensor_type.shape.dim[0].dim_param == "batch"


@each_kind
def test_the_bundle_says_what_the_parts_are_fed_with(kind: str) -> None:
    whole = WHOLES[kind](None, None)
    parameters = whole.bundle.parameters
    assert (whole.bundle.kind, whole.bundle.task) == (kind, "generation")
    assert parameters["size"] == [32, 32]
    assert parameters["channels"] == 1
    assert (parameters["black"], parameters["white"]) == ((0.0, 1.0) if kind == "vae" else (-1.0, 1.0))
    shapes = {spec.name: spec.shape for part in whole.graphs.values() for spec in part.card.inputs}
    latents, sample = (-1, parameters.get("latents", 0)), (-1, 1, 32, 32)
    expected: dict[str, dict[str, tuple[int, ...]]] = {
        "vae": {"images": sample, "latents": latents},
        "gan": {"latents": latents},
        "ddpm": {"sample": sample, "timestep": (-1,)},
    }
    assert shapes == expected[kind]


@each_kind
def test_another_size_is_refused(kind: str) -> None:
    with pytest.raises(UsageError, match="--imgsz 64x64 does not fit"):
        WHOLES[kind](None, (64, 64))


@each_kind
def test_a_missing_and_a_misshaped_tensor_are_named(kind: str, tmp_path: Path) -> None:
    module = {"vae": vae.network, "gan": gan.network, "ddpm": ddpm.network}[kind]()
    state = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    name = next(iter(state))
    path = tmp_path / "weights.safetensors"
    save_file({key: value for key, value in state.items() if key != name}, path)
    with pytest.raises(ModelError) as missing:
        WHOLES[kind](path, None)
    assert f"{name} is missing; expected {list(state[name].shape)}" in str(missing.value)
    save_file({**state, name: torch.zeros(7)}, path)
    with pytest.raises(ModelError) as misshaped:
        WHOLES[kind](path, None)
    assert f"{name} is [7]; expected {list(state[name].shape)}" in str(misshaped.value)


@each_kind
def test_a_tensor_too_many_is_named(kind: str, tmp_path: Path) -> None:
    module = {"vae": vae.network, "gan": gan.network, "ddpm": ddpm.network}[kind]()
    path = tmp_path / "weights.safetensors"
    save_file({**module.state_dict(), "surplus": torch.zeros(2)}, path)
    with pytest.raises(ModelError) as found:
        WHOLES[kind](path, None)
    assert "surplus is [2]; expected nothing" in str(found.value)


def test_a_sample_of_the_denoiser_does_not_depend_on_what_is_beside_it() -> None:
    torch.manual_seed(0)
    network = Denoiser().eval()
    samples, times = torch.randn(3, 1, 32, 32), torch.tensor([0.0, 500.0, 999.0])
    with torch.inference_mode():
        together = network(samples, times)
        alone = torch.cat([network(samples[i : i + 1], times[i : i + 1]) for i in range(3)])
        later = network(samples, times.flip(0))
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)
    assert (together[0] - later[0]).abs().max() > 1e-3
    torch.testing.assert_close(together[1], later[1], atol=1e-5, rtol=0)


def test_attention_is_that_of_pytorch() -> None:
    torch.manual_seed(0)
    layer = Attention(96).eval()
    x = torch.randn(2, 96, 4, 6)
    query, key, value = layer.qkv(layer.norm(x)).flatten(2).chunk(3, dim=1)  # [N, 96, 24]
    heads = [each.unflatten(1, (3, 32)).transpose(2, 3) for each in (query, key, value)]
    seen = torch.nn.functional.scaled_dot_product_attention(*heads)  # [N, 3, 24, 32]
    expected = x + layer.out(seen.transpose(2, 3).reshape(2, 96, 4, 6))
    torch.testing.assert_close(layer(x), expected, atol=1e-5, rtol=1e-5)


def flow_of(couplings: int) -> Flow:
    torch.manual_seed(0)
    flow = Flow(4, hidden=8, couplings=couplings).double()
    for parameter in flow.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return flow


def test_the_flow_is_gone_back_exactly() -> None:
    flow, normal = flow_of(3), torch.randn(5, 4).double()
    latents = flow(normal)
    assert (latents - normal).abs().max() > 0.1
    torch.testing.assert_close(flow.back(latents, latents)[0], normal)


def test_a_coupling_stretches_each_number_as_its_derivative_says() -> None:
    flow = flow_of(1)
    latents = torch.randn(1, 4).double()
    jacobian = torch.autograd.functional.jacobian(lambda x: flow.back(x, x)[0], latents)[0, :, 0]  # type: ignore[no-untyped-call]
    swapped = torch.stack([jacobian[index, (index + 2) % 4] for index in range(4)])
    torch.testing.assert_close(
        flow.back(latents, torch.zeros(1, 4))[1][0], swapped.abs().log(), check_dtype=False
    )


def dense_by_numpy(state: dict[str, torch.Tensor], images: Array) -> tuple[Array, Array]:
    """Mean of the latents and the picture that they give: the author's VAE written anew."""
    weights = {name: tensor.double().numpy() for name, tensor in state.items()}

    def layer(name: str, x: Array) -> Array:
        product: Array = x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]
        return product

    mean = layer("fc21", np.maximum(layer("fc1", images.reshape(len(images), -1)), 0))
    logits = layer("fc4", np.maximum(layer("fc3", mean), 0))
    return mean, (1 / (1 + np.exp(-logits))).reshape(-1, 1, 28, 28)


def test_the_vae_for_mnist_loads_strictly_and_computes_what_its_author_s_does() -> None:
    weights = shared("mnist_vae_gan/vae_epoch_25.pth")
    whole = vae.whole(weights)
    assert whole.bundle.parameters["latents"] == 20
    assert whole.bundle.parameters["size"] == [28, 28]
    images = np.random.default_rng(0).random((3, 1, 28, 28), np.float32)
    state = torch.load(weights, weights_only=True)
    mean, picture = dense_by_numpy(state, images)
    with torch.inference_mode():
        found, _ = whole.graphs["encoder"].module(torch.from_numpy(images))
        (again,) = whole.graphs["decoder"].module(found)
    np.testing.assert_allclose(found, mean, atol=1e-4)
    np.testing.assert_allclose(again, picture, atol=1e-4)


def test_a_file_of_the_mnist_vae_that_lacks_a_tensor_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "half.safetensors"
    save_file({"fc1.weight": torch.zeros(400, 784)}, path)
    with pytest.raises(ModelError, match="784-400-20-400-784") as found:
        vae.whole(path)
    assert "fc1.bias is missing; expected [400]" in str(found.value)


@pytest.mark.parametrize("name", ["vae", "gan", "ddpm"])
def test_the_zoo_s_weights_fit_and_weigh_under_4_mb(name: str) -> None:
    path = ZOO / f"{name}.safetensors"
    graphs: dict[str, Graph] = dict(WHOLES[name](path, None).graphs)
    assert path.stat().st_size < 4e6
    assert all(part.card.accuracy and part.card.licence == "Apache-2.0" for part in graphs.values())


def test_the_zoo_s_vae_gives_a_held_out_digit_back() -> None:
    pytest.importorskip("sklearn")
    from vedette.export.training._drawn_digits import digits

    drawn, _ = digits(50, seed=3, split="val")
    graphs = vae.whole(ZOO / "vae.safetensors").graphs
    with torch.inference_mode():
        mean, _ = graphs["encoder"].module(torch.from_numpy(drawn)[:, None])
        (again,) = graphs["decoder"].module(mean)
    error = np.mean((again[:, 0].numpy() - drawn) ** 2)
    assert error < 0.35 * drawn.var()  # 1 would be a constant grey


@each_kind
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_a_bundle_is_written_that_its_kind_takes(kind: str, precision: str, tmp_path: Path) -> None:
    cards = export_bundle(kind, tmp_path / kind, options=Options(precision=precision))
    loaded = bundles.load(tmp_path / kind)
    assert [f"{kind}_{role}" for role in loaded.parts] == [card.name for card in cards]
    assert bundles.parameters_of(loaded.bundle).pixels().size == (32, 32)
    assert all(card.precision == precision and card.parity and card.reference_sha256 for card in cards)
    assert loaded.bundle.provenance
    assert loaded.bundle.accuracy


def test_the_runtime_draws_what_pytorch_does(tmp_path: Path) -> None:
    export_bundle("gan", tmp_path / "gan")
    module = gan.network()
    load_weights(module, ZOO / "gan.safetensors")
    latents = [np.random.default_rng(7 + index).standard_normal(64, np.float32) for index in range(3)]
    with torch.inference_mode():
        pictures = module.eval()(torch.from_numpy(np.stack(latents)))[:, 0].numpy()
    with closing(Generator(str(tmp_path / "gan"))) as generator:
        drawn = np.stack(list(generator.draw(generator.settled(Request(7, 3)))))
    assert np.abs(drawn - (pictures + 1) * 127.5).max() < 0.51
