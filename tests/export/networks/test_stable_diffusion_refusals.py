"""Pipeline folders that cannot be exported: each with what, why and what to do, before anything is loaded."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers_folders as folders
import pytest

folders.need_libraries()

import torch  # noqa: E402

from vedette.commands.export import export as export_verb  # noqa: E402
from vedette.export import _streamed  # noqa: E402
from vedette.export.build import Options  # noqa: E402
from vedette.export.bundle import export_bundle  # noqa: E402
from vedette.export.networks import _sd_parts, stable_diffusion  # noqa: E402
from vedette.export.networks.stable_diffusion import whole  # noqa: E402
from vedette.runtime.errors import ModelError, UsageError, VedetteError  # noqa: E402

# of NumPy 2 about PyTorch's arrays
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return folders.saved(tmp_path_factory.mktemp("whole") / "sd", "sd_turbo")


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "sd"))


def says(path: Path, **changes: Any) -> None:
    """Change keys of a JSON file; None takes one away."""
    document = json.loads(path.read_text())
    for key, value in changes.items():
        document.pop(key, None)
        if value is not None:
            document[key] = value
    path.write_text(json.dumps(document))


def refused(folder: Path, match: str, *, size: tuple[int, int] | None = None) -> VedetteError:
    with pytest.raises(VedetteError, match=match) as caught:
        whole(folder, size)
    assert caught.value.why
    assert caught.value.cure
    return caught.value


def test_pickles_are_refused_before_anything_is_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = folder / "vae" / "diffusion_pytorch_model.safetensors"
    weights.rename(weights.with_suffix(".bin"))
    read: list[Any] = []
    monkeypatch.setattr(torch, "load", lambda *given, **_: read.append(given))
    monkeypatch.setattr(_sd_parts, "_library", lambda *given: read.append(given))
    error = refused(folder, r"vae/diffusion_pytorch_model.bin is refused: it is a pickle")
    assert "run code" in error.why
    assert "safe_serialization" in error.cure
    assert not read


def test_a_pickle_beside_safetensors_is_left_alone(folder: Path) -> None:
    (folder / "unet" / "diffusion_pytorch_model.bin").write_bytes(b"a pickle")
    assert "denoiser" in whole(folder).graphs


def of_another_class(folder: Path) -> None:
    says(folder / "model_index.json", unet=["their_module", "TheirUNet"])


def without_unet(folder: Path) -> None:
    shutil.rmtree(folder / "unet")


def without_tokenizer(folder: Path) -> None:
    says(folder / "model_index.json", tokenizer=[None, None])


def without_weights(folder: Path) -> None:
    (folder / "text_encoder" / "model.safetensors").unlink()


def damaged(folder: Path) -> None:
    (folder / "text_encoder" / "model.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0{}")


def elsewhere(folder: Path) -> None:
    (folder / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    index = {"weight_map": {"conv_in.weight": "../../secret.safetensors"}}
    (folder / "unet" / "diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps(index))


def without_words(folder: Path) -> None:
    (folder / "tokenizer" / "tokenizer.json").unlink()


def not_json(folder: Path) -> None:
    (folder / "unet" / "config.json").write_text("{")


UNET, VAE, TEXT = "unet/config.json", "vae/config.json", "text_encoder/config.json"
SCHEDULER = "scheduler/scheduler_config.json"


def changed(path: str, **changes: Any) -> Callable[[Path], None]:
    return lambda folder: says(folder / path, **changes)


BROKEN: dict[str, Callable[[Path], None]] = {
    r"no unet": without_unet,
    r"no tokenizer": without_tokenizer,
    r"unet of sd is a TheirUNet": of_another_class,
    r"text_encoder has no weights": without_weights,
    r"cannot read text_encoder/model.safetensors": damaged,
    r"names '../../secret.safetensors'": elsewhere,
    r"tokenizer has no words": without_words,
    r"cannot read unet/config.json": not_json,
    r"is a FluxPipeline": changed("model_index.json", _class_name="FluxPipeline"),
    r"has no cross_attention_dim": changed(UNET, cross_attention_dim=None),
    r"has no latent_channels": changed(VAE, latent_channels=None),
    r"has no max_position_embeddings": changed(TEXT, max_position_embeddings=None),
    r"class_embed_type 'timestep'": changed(UNET, class_embed_type="timestep"),
    r"U-Net takes 5 channels": changed(UNET, in_channels=5),
    r"its scheduler is LMSDiscreteScheduler": changed(SCHEDULER, _class_name="LMSDiscreteScheduler"),
    r"has no beta_start": changed(SCHEDULER, beta_start=None),
    r"trained_betas": changed(SCHEDULER, trained_betas=[0.1, 0.2]),
    r"refuses scheduler_config.json|beta_schedule": changed(SCHEDULER, beta_schedule="sigmoid"),
    r"final_sigmas_type 'sigma_min'": changed(SCHEDULER, final_sigmas_type="sigma_min"),
}


@pytest.mark.parametrize("match", BROKEN)
def test_what_is_wrong_with_a_folder_is_said(match: str, folder: Path) -> None:
    BROKEN[match](folder)
    error = refused(folder, match)
    assert isinstance(error, ModelError)


def test_one_file_is_no_folder(folder: Path) -> None:
    refused(folder / "model_index.json", "is no pipeline folder")


def test_a_size_that_cannot_be_halved_is_refused(folder: Path) -> None:
    error = refused(folder, "--imgsz 30x32 does not fit", size=(30, 32))
    assert "32x32" in error.cure


def test_weights_of_another_network_are_refused(folder: Path, tmp_path: Path) -> None:
    says(folder / "text_encoder/config.json", intermediate_size=20)
    with pytest.raises(ModelError, match="do not fit the configuration") as caught:
        export_bundle("stable-diffusion", tmp_path / "out", weights=folder)
    assert "mlp.fc1" in caught.value.why


def test_a_denoiser_s_weights_are_looked_at_before_it_is_traced(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = whole(folder)
    says(folder / "unet/config.json", block_out_channels=[8, 32])
    monkeypatch.setattr(_streamed, "skeleton_of", lambda *_: pytest.fail("it was traced"))
    with pytest.raises(ModelError, match="do not fit the configuration"):
        _streamed.export_streamed(
            whole(folder).graphs["denoiser"], tmp_path / "m.onnx", made.feeds()["denoiser"], "fp32"
        )
    assert not list(tmp_path.glob("*.onnx"))


def test_a_library_that_is_missing_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stable_diffusion, "LIBRARIES", ("diffusers", "no_such_library"))
    error = refused(folder, "needs no_such_library")
    assert "vedette[train]" in error.cure


def test_no_folder_is_said(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no weights for stable-diffusion"):
        export_bundle("stable-diffusion", tmp_path / "out")


def test_a_folder_is_given_once(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="given twice"):
        export_verb("stable-diffusion", tmp_path / "out", folder, weights=folder)


def test_another_network_takes_no_lora(tmp_path: Path) -> None:
    from vedette.export._lora import Lora

    with pytest.raises(UsageError, match="--lora does not fit"):
        export_bundle("vae", tmp_path / "out", options=Options(loras=(Lora(tmp_path / "a.safetensors"),)))


def test_a_lora_is_safetensors(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--lora a\.bin is not taken"):
        export_verb("stable-diffusion", tmp_path / "out", tmp_path, lora=["a.bin"])
