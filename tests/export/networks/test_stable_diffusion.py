"""Pipeline folders of diffusers as bundles, against the libraries' own modules."""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import diffusers_folders as folders
import numpy as np
import pytest
from numpy.typing import NDArray

folders.need_libraries()

import torch  # noqa: E402

from vedette.export import _large, _streamed  # noqa: E402
from vedette.export.bundle import export_bundle  # noqa: E402
from vedette.export.networks.stable_diffusion import whole  # noqa: E402
from vedette.runtime import bundle as bundles  # noqa: E402
from vedette.runtime.backends.onnxruntime_ import OrtEngine, open_engine  # noqa: E402

# of NumPy 2 about PyTorch's arrays
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

Floats = NDArray[np.float32]
CLOSE = 2e-5  # of values near 1
EXTERNAL = 20_000  # bytes, so that the larger parts keep their weights in files of their own


@pytest.fixture(scope="module")
def exported(pipelines: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """SD 1 as it is, SDXL with the weights beside its graphs."""
    root = tmp_path_factory.mktemp("bundles")
    with pytest.MonkeyPatch.context() as patched:
        export_bundle("stable-diffusion", root / "sd1", weights=pipelines["sd1"])
        patched.setattr(_large, "LARGE", EXTERNAL)
        export_bundle("stable-diffusion", root / "sdxl", weights=pipelines["sdxl"])
    return {kind: root / kind for kind in ("sd1", "sdxl")}


@pytest.fixture(scope="module")
def random() -> np.random.Generator:
    return np.random.default_rng(0)


def normal(random: np.random.Generator, *shape: int) -> Floats:
    return random.standard_normal(shape).astype(np.float32)


def theirs(folder: Path, component: str) -> Any:
    library, name = json.loads((folder / "model_index.json").read_text())[component]
    made = getattr(importlib.import_module(library), name)
    return made.from_pretrained(folder / component, local_files_only=True).eval()


def ran(bundle: Path, role: str, feeds: Mapping[str, Any]) -> dict[str, Floats]:
    part = bundles.load(bundle).parts[role]
    engine = open_engine(part.manifest, part.files)
    found = {name: np.array(values) for name, values in engine(feeds).items()}
    engine.close()
    return found


def tensors(feeds: Mapping[str, Floats]) -> list[torch.Tensor]:
    return [torch.from_numpy(each) for each in feeds.values()]


def close(found: Floats, expected: torch.Tensor) -> None:
    np.testing.assert_allclose(found, expected.numpy(), atol=CLOSE * max(1, float(expected.abs().max())))


def prompts(length: int = 77) -> NDArray[np.int64]:
    """Two, of different lengths, as CLIP's tokenizer makes them."""
    words = folders.vocabulary()
    rows = [[words[folders.START], *range(40, 40 + count), words[folders.END]] for count in (3, 20)]
    return np.array([row + [words[folders.END]] * (length - len(row)) for row in rows])


def test_a_bundle_has_its_parts_in_order_and_its_tokenizers(exported: dict[str, Path]) -> None:
    one, two = (bundles.load(exported[kind]) for kind in ("sd1", "sdxl"))
    assert list(one.parts) == ["text_encoder", "denoiser", "decoder", "encoder"]
    assert list(two.parts) == ["text_encoder", "text_encoder_2", "denoiser", "decoder", "encoder"]
    assert list(one.files) == ["tokenizer.json"]
    assert list(two.files) == ["tokenizer.json", "tokenizer_2.json"]
    for part in (*one.parts.values(), *two.parts.values()):
        assert {row.output for row in part.manifest.parity} == {spec.name for spec in part.manifest.outputs}
        assert len(part.manifest.reference_sha256) == 64
    assert "denoiser.onnx.data" in two.parts["denoiser"].files
    assert list(one.parts["denoiser"].files) == ["denoiser.onnx"]


@pytest.mark.parametrize("kind", ["sd1", "sdxl"])
def test_words_are_told_as_by_the_library(
    kind: str, exported: dict[str, Path], pipelines: dict[str, Path]
) -> None:
    tokens = prompts()
    model = theirs(pipelines[kind], "text_encoder")
    with torch.inference_mode():
        expected = model(torch.from_numpy(tokens), output_hidden_states=True)
    found = ran(exported[kind], "text_encoder", {"tokens": tokens})["states"]
    close(found, expected.last_hidden_state if kind == "sd1" else expected.hidden_states[-2])


def test_the_second_encoder_pools_at_the_first_end(
    exported: dict[str, Path], pipelines: dict[str, Path]
) -> None:
    tokens = prompts()
    with torch.inference_mode():
        expected = theirs(pipelines["sdxl"], "text_encoder_2")(
            torch.from_numpy(tokens), output_hidden_states=True
        )
    found = ran(exported["sdxl"], "text_encoder_2", {"tokens": tokens})
    close(found["states"], expected.hidden_states[-2])
    close(found["pooled"], expected.text_embeds)


@pytest.mark.parametrize("kind", ["sd1", "sdxl"])
@pytest.mark.parametrize(("batch", "height", "width"), [(1, 8, 8), (2, 4, 12), (3, 12, 8)])
def test_noise_is_predicted_as_by_the_library(
    kind: str, batch: int, height: int, width: int, exported: dict[str, Path], pipelines: dict[str, Path],
    random: np.random.Generator,
) -> None:  # fmt: skip
    feeds = {
        "sample": normal(random, batch, 4, height, width),
        "timestep": np.array([999, 500.25, 0], np.float32)[:batch],
        "states": normal(random, batch, 77, folders.WIDTH * (1 + (kind == "sdxl"))),
    }
    more: dict[str, Any] = {}
    if kind == "sdxl":
        told = normal(random, batch, folders.PROJECTED)
        sizes = np.array([[1024, 768, 16, 0, 1024, 768]] * batch, np.float32)
        more = {
            "added_cond_kwargs": {"text_embeds": torch.from_numpy(told), "time_ids": torch.from_numpy(sizes)}
        }
    with torch.inference_mode():
        expected = theirs(pipelines[kind], "unet")(*tensors(feeds), **more).sample
    if more:
        feeds |= {"pooled": told, "time_ids": sizes}
    close(ran(exported[kind], "denoiser", feeds)["prediction"], expected)


@pytest.mark.parametrize(("batch", "height", "width"), [(1, 8, 8), (2, 4, 12)])
def test_pictures_are_coded_as_by_the_library(
    batch: int, height: int, width: int, exported: dict[str, Path], pipelines: dict[str, Path], random: np.random.Generator
) -> None:  # fmt: skip
    vae = theirs(pipelines["sd1"], "vae")
    latents, images = normal(random, batch, 4, height, width), normal(random, batch, 3, 8 * height, 8 * width)
    with torch.inference_mode():
        drawn, places = (
            vae.decode(torch.from_numpy(latents)).sample,
            vae.encode(torch.from_numpy(images)).latent_dist,
        )
    close(ran(exported["sd1"], "decoder", {"latents": latents})["images"], drawn)
    found = ran(exported["sd1"], "encoder", {"images": images})
    close(found["mean"], places.mean)
    close(found["log_variance"], places.logvar)


@pytest.mark.parametrize("kind", ["sd2", "lcm", "inpainting"])
def test_other_denoisers_are_the_library_s(
    kind: str, pipelines: dict[str, Path], tmp_path: Path, random: np.random.Generator
) -> None:
    part = whole(pipelines[kind]).graphs["denoiser"]
    sides = {
        "sample": (2, 9 if kind == "inpainting" else 4, 12, 8),
        "timestep": (2,),
        "states": (2, 77, folders.WIDTH),
    }
    sides |= {"guidance_embedding": (2, folders.GUIDANCE)} if kind == "lcm" else {}
    feeds = {name: normal(random, *shape) for name, shape in sides.items()}
    _streamed.export_streamed(part, tmp_path / "denoiser.onnx", [tuple(tensors(feeds))], "fp32")
    found = OrtEngine((tmp_path / "denoiser.onnx").read_bytes())(feeds)["prediction"]
    told = {"timestep_cond": torch.from_numpy(feeds["guidance_embedding"])} if kind == "lcm" else {}
    with torch.inference_mode():
        expected = theirs(pipelines[kind], "unet")(*tensors(feeds)[:3], **told).sample
    close(found, expected)


def test_float16_tells_times_apart_that_it_does_not_hold(pipelines: dict[str, Path], tmp_path: Path) -> None:
    """999.25 and 999 are one number in float16; the U-Net's sines of them must not be computed there."""
    part = whole(pipelines["sd1"]).graphs["denoiser"]
    feeds = whole(pipelines["sd1"]).feeds()["denoiser"]
    card = _streamed.export_streamed(part, tmp_path / "denoiser.onnx", feeds, "fp16")
    engine = OrtEngine((tmp_path / "denoiser.onnx").read_bytes())
    sample, _, states = (each.numpy() for each in feeds[0])
    found = [
        np.array(
            engine({"sample": sample, "timestep": np.array([time], np.float32), "states": states})[
                "prediction"
            ]
        )
        for time in (999, 999.25)
    ]
    assert np.abs(found[0] - found[1]).max() > 1e-4
    assert "ONNX Runtime" in card.build["fp16_judge"]
    assert card.build["fp16_island"].startswith("0 of ")


def test_the_command_takes_the_folder(
    pipelines: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from vedette.commands.export import export

    pndm = ("PNDMScheduler", {"skip_prk_steps": False, "steps_offset": 1})
    folder = folders.saved(tmp_path / "pndm", "sd_turbo", scheduler=pndm)
    assert export("stable-diffusion", tmp_path / "out", folder, imgsz="16x32") == 0
    told = capsys.readouterr().out
    assert "Runge-Kutta" in told
    parameters = bundles.load(tmp_path / "out").bundle.parameters
    assert (parameters["size"], parameters["sampler"]) == ([16, 32], "pndm")
