"""TAEF2: its weights load strictly, its graph computes what PyTorch does, and a photo comes back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from accuracy import shared

for needed in ("torch", "onnx", "onnxslim", "onnxruntime", "safetensors", "cv2"):
    pytest.importorskip(needed)

import cv2  # noqa: E402
import torch  # noqa: E402
from safetensors.torch import save_file  # noqa: E402

from vedette.export.build import Options, export  # noqa: E402
from vedette.export.networks import taef2  # noqa: E402
from vedette.runtime import manifest as manifests  # noqa: E402
from vedette.runtime.backends.onnxruntime_ import OrtEngine  # noqa: E402
from vedette.runtime.errors import ModelError  # noqa: E402

PHOTO = Path(__file__).parents[3] / "export/astronaut.jpg"


@pytest.fixture(scope="module")
def weights() -> Path:
    return shared("taef2") / "taef2_encoder.pth"


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_a_photo_comes_back_at_30_db(weights: Path, precision: str, tmp_path: Path) -> None:
    path = tmp_path / "taef2.onnx"
    card = export(
        "taef2", path, weights=weights, options=Options((128, 128), dynamic=True, precision=precision)
    )
    assert card.precision == precision
    pixels = cv2.imread(str(PHOTO))
    assert pixels is not None
    photo = pixels[..., ::-1]
    side = [length - length % taef2.STEP for length in photo.shape[:2]]
    images = np.ascontiguousarray(photo[: side[0], : side[1]].transpose(2, 0, 1)[None]).astype(np.float32)
    _, files = manifests.load(path)
    picture = OrtEngine(files[path.name])({"images": images / np.float32(255)})["picture"].clip(0, 1)
    error = np.mean((picture - images / 255) ** 2)
    assert -10 * np.log10(error) >= 30


def test_either_half_s_file_gives_the_same_pair(weights: Path) -> None:
    first, _ = taef2.from_weights(weights)
    second, _ = taef2.from_weights(weights.with_name("taef2_decoder.pth"))
    for name, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[name])


def test_a_pair_in_one_file_loads_and_a_half_alone_does_not(tmp_path: Path) -> None:
    state = taef2.network().state_dict()
    path = tmp_path / "both.safetensors"
    save_file(state, path)
    module, _ = taef2.from_weights(path)
    assert module.state_dict().keys() == state.keys()
    half = tmp_path / "my_encoder.safetensors"
    save_file(taef2.encoder().state_dict(), half)
    with pytest.raises(ModelError, match="no file of the decoder beside it"):
        taef2.from_weights(half)


def test_a_missing_and_a_misshaped_tensor_are_named(tmp_path: Path) -> None:
    state = taef2.network().state_dict()
    path = tmp_path / "both.safetensors"
    name = "decoder.3.pool.1.weight"
    save_file({key: value for key, value in state.items() if key != name}, path)
    with pytest.raises(ModelError) as missing:
        taef2.from_weights(path)
    assert f"{name} is missing; expected [256]" in str(missing.value)
    save_file({**state, name: torch.zeros(64)}, path)
    with pytest.raises(ModelError) as misshaped:
        taef2.from_weights(path)
    assert f"{name} is [64]; expected [256]" in str(misshaped.value)


def test_latents_are_an_eighth_of_the_size_and_stay_within_3() -> None:
    torch.manual_seed(0)
    with torch.inference_mode():
        latents = taef2.encoder().eval()(torch.rand(1, 3, 64, 96))
        assert latents.shape == (1, 32, 8, 12)
        assert taef2.decoder().eval()(latents).shape == (1, 3, 64, 96)
        held = taef2.Clamp()(torch.tensor([-1e3, 0.0, 1e-3, 1e3]))
    torch.testing.assert_close(held, torch.tensor([-3.0, 0.0, 1e-3, 3.0]))
