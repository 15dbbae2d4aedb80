"""What float16 does not hold stays float32, and a graph is written without ever being whole in memory."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import diffusers_folders as folders
import numpy as np
import pytest

folders.need_libraries()

import onnx  # noqa: E402
import torch  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402
from torch import nn  # noqa: E402

from vedette.export import _large  # noqa: E402
from vedette.export._hollow import Hollow, Upcast  # noqa: E402
from vedette.export._overflow import island, peaks  # noqa: E402
from vedette.export._skeleton import skeleton_of  # noqa: E402
from vedette.export._streamed import export_streamed  # noqa: E402
from vedette.export.networks._whole import Streamed  # noqa: E402
from vedette.export.networks.stable_diffusion import whole  # noqa: E402
from vedette.export.to_engine import engine_from_onnx  # noqa: E402
from vedette.runtime import manifest as manifests  # noqa: E402
from vedette.runtime.backends.onnxruntime_ import open_engine  # noqa: E402
from vedette.runtime.errors import ModelError  # noqa: E402
from vedette.runtime.manifest import Decoder, Input, Manifest, Output  # noqa: E402

# of NumPy 2 about PyTorch's arrays
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

Feed = dict[str, Any]


class Steps(nn.Module):
    """x, times 4, times `by`, divided again; two outputs, the first of which the second is made of."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.by = nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        small = self.first(x)
        return small, self.by(small) * 1e-4


def steps(by: float) -> Streamed:
    weights = {"first.weight": 4 * torch.eye(4), "by.weight": by * torch.eye(4)}
    card = Manifest(
        "steps", "generation", (Input("x", (-1, 4), minimum=(1, 4), typical=(2, 4), maximum=(8, 4)),),
        (Output("small", (-1, 4)), Output("large", (-1, 4))), Decoder("part"),
    )  # fmt: skip
    return Streamed(Hollow(Steps, {name: partial(torch.clone, one) for name, one in weights.items()}), card)


FEEDS = [(torch.arange(8.0).reshape(2, 4) / 7,), (torch.ones(1, 4),)]


def named(feeds: Sequence[tuple[torch.Tensor, ...]], name: str) -> list[Feed]:
    return [{name: each[0].numpy()} for each in feeds]


def made(path: Path, feeds: Feed) -> dict[str, Any]:
    card, files = manifests.load(path)
    engine = open_engine(card, files)
    found = {name: np.array(values) for name, values in engine(feeds).items()}
    engine.close()
    return found


@pytest.mark.parametrize(("by", "size"), [(1000.0, 0), (5000.0, 2), (30000.0, 2), (300000.0, 2)])
def test_an_island_is_what_reads_or_makes_a_large_value(by: float, size: int, tmp_path: Path) -> None:
    """4 times 5,000 is more than a quarter of what float16 holds: the product and what divides it."""
    card = export_streamed(steps(by), tmp_path / "m.onnx", FEEDS, "fp16")
    assert card.build["fp16_island"].startswith(f"{size} of ")
    found = made(tmp_path / "m.onnx", {"x": FEEDS[0][0].numpy()})
    np.testing.assert_allclose(found["small"], 4 * FEEDS[0][0].numpy(), rtol=2e-3)
    np.testing.assert_allclose(found["large"], 4 * by * 1e-4 * FEEDS[0][0].numpy(), rtol=2e-3)
    kept = onnx.load(tmp_path / "m.onnx").graph.initializer
    types = {weight.data_type for weight in kept if list(weight.dims) == [4, 4]}
    assert types == (
        {onnx.TensorProto.FLOAT16, onnx.TensorProto.FLOAT} if size else {onnx.TensorProto.FLOAT16}
    )


def test_without_an_island_the_check_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vedette.export._streamed.island", lambda *_: set())
    with pytest.raises(ModelError, match="steps overflows in float16") as caught:
        export_streamed(steps(30000.0), tmp_path / "m.onnx", FEEDS, "fp16")
    assert "65504" in caught.value.why


def test_no_number_is_found_though_nothing_comes_of_it(tmp_path: Path) -> None:
    """NaN in the middle of a graph whose output hides it."""
    from onnx import TensorProto, helper

    value = helper.make_tensor_value_info
    nodes = [
        helper.make_node("Log", ["x"], ["broken"]),
        helper.make_node("IsNaN", ["broken"], ["which"]),
        helper.make_node("Where", ["which", "x", "broken"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes, "g", [value("x", TensorProto.FLOAT, ["n"])], [value("y", TensorProto.FLOAT, ["n"])]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    seen = peaks(model, [{"x": np.array([-2.0, 1.0], np.float32)}], tmp_path)
    assert seen == {"x": 2.0, "broken": np.inf, "y": 2.0}


def test_what_is_not_finite_in_float32_is_refused(tmp_path: Path) -> None:
    part = steps(float("nan"))
    with pytest.raises(ModelError, match="not finite in float32"):
        island(skeleton_of(part.hollow, part.card), part.hollow.weights, named(FEEDS, "x"), tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def overflowing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pipeline whose VAE has values of 10⁵ on its way, which its norms make small again."""
    folder = folders.saved(tmp_path_factory.mktemp("vae") / "sd", "sd2")
    path = folder / "vae" / "diffusion_pytorch_model.safetensors"
    weights = load_file(path)
    weights["decoder.conv_in.weight"] *= 2e5
    save_file(weights, path)
    return folder


def test_a_vae_that_overflows_is_cured_by_an_island(overflowing: Path, tmp_path: Path) -> None:
    made_of = whole(overflowing)
    part, feeds = made_of.graphs["decoder"], made_of.feeds()["decoder"]
    module = part.hollow.full()
    with torch.inference_mode():
        [(latents,), _] = feeds
        expected = module(latents)
        assert not module.half()(latents.half()).isfinite().all()  # torch half, the naive way
    card = export_streamed(part, tmp_path / "decoder.onnx", feeds, "fp16")
    inside, _, nodes = card.build["fp16_island"].split()[:3]
    assert 0 < int(inside) < int(nodes) / 2
    found = made(tmp_path / "decoder.onnx", {"latents": latents.numpy()})["images"]
    assert np.isfinite(found).all()
    assert np.abs(found - expected.numpy()).max() < 0.02 * float(expected.abs().max())


def test_a_vae_that_overflows_is_caught_where_there_is_no_island(
    overflowing: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_of = whole(overflowing)
    monkeypatch.setattr("vedette.export._streamed.island", lambda *_: set())
    with pytest.raises(ModelError, match="decoder overflows in float16"):
        export_streamed(made_of.graphs["decoder"], tmp_path / "d.onnx", made_of.feeds()["decoder"], "fp16")


class Counted:
    """Weights of which it is known how many are in memory."""

    def __init__(self) -> None:
        self.alive: weakref.WeakSet[torch.Tensor] = weakref.WeakSet()
        self.most = 0

    def of(self, read: Callable[[], torch.Tensor]) -> Callable[[], torch.Tensor]:
        def counted() -> torch.Tensor:
            tensor = read().clone()
            self.alive.add(tensor)
            self.most = max(self.most, len(self.alive))
            return tensor

        return counted


@pytest.mark.parametrize("half", [False, True])
def test_weights_are_written_one_at_a_time(
    half: bool, overflowing: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vedette.export._half import halve
    from vedette.export._skeleton import drop_unused

    monkeypatch.setattr(_large, "LARGE", 1)
    part, counted = whole(overflowing).graphs["text_encoder"], Counted()
    weights = {name: counted.of(read) for name, read in part.hollow.weights.items()}
    skeleton = skeleton_of(Hollow(part.hollow.make, weights), part.card)
    assert counted.most == 0  # tracing reads none
    if half:
        halve(skeleton.model, [True] * len(skeleton.model.graph.node))
        drop_unused(skeleton.model.graph)
    gc.collect()
    files = _large.write(skeleton, weights, tmp_path / "m.onnx")
    assert counted.most <= 2
    assert set(files) == {"m.onnx", "m.onnx.data"}
    assert all(manifests.sha256((tmp_path / name).read_bytes()) == digest for name, digest in files.items())
    onnx.checker.check_model(str(tmp_path / "m.onnx"))
    sizes = [each() for each in part.hollow.weights.values()]
    assert (tmp_path / "m.onnx.data").stat().st_size >= sum(each.numel() for each in sizes) * (
        2 if half else 4
    ) * 0.9


@pytest.mark.slow
def test_an_engine_is_built_from_weights_beside_the_graph(
    overflowing: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tensorrt_rtx")
    made_of = whole(overflowing)
    part, feeds = made_of.graphs["text_encoder"], made_of.feeds()["text_encoder"]
    monkeypatch.setattr(_large, "LARGE", 1)
    card = export_streamed(part, tmp_path / "m.onnx", feeds, "fp16")
    card, files = manifests.load(tmp_path / "m.onnx")
    weights = {"m.onnx.data": files["m.onnx.data"]}
    built = engine_from_onnx(files["m.onnx"], card, lane="tensorrt-rtx", weights=weights)
    assert len(built.plan) > len(weights["m.onnx.data"])
    with pytest.raises(ModelError, match="lies outside"):
        engine_from_onnx(files["m.onnx"], card, lane="tensorrt-rtx", weights={"m.onnx.data": b"short"})


def test_float16_weights_are_wide_where_they_are_used() -> None:
    module = nn.Linear(3, 2).half()
    x = torch.tensor([[1 / 3, 1e-3, 7.0]])
    with torch.inference_mode(), Upcast():
        found = module(x)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, x @ module.weight.float().T + module.bias.float(), rtol=0, atol=1e-7)


def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from vedette.runtime.errors import DiskError

    monkeypatch.setattr(_large, "LARGE", 1)
    part = steps(1.0)
    skeleton = skeleton_of(part.hollow, part.card)
    monkeypatch.setattr(
        _large, "_point", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device"))
    )
    with pytest.raises(DiskError):
        _large.write(skeleton, part.hollow.weights, tmp_path / "m.onnx")
    assert not list(tmp_path.iterdir())
