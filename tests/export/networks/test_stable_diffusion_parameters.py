"""What the runtime is told of a pipeline folder: its numbers, its words, and its weights with LoRAs in them."""

from __future__ import annotations

import functools
import shutil
from pathlib import Path
from typing import Any

import diffusers_folders as folders
import pytest

folders.need_libraries()

import torch  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402

from vedette.export.networks.stable_diffusion import whole  # noqa: E402
from vedette.runtime import bundle as bundles  # noqa: E402

# of NumPy 2 about PyTorch's arrays
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.mark.parametrize("kind", ["sdxl", "sdxl_turbo"])  # vocab.json and merges.txt, and tokenizer.json
def test_tokenizers_make_the_library_s_tokens(kind: str, pipelines: dict[str, Path]) -> None:
    from tokenizers import Tokenizer

    made = whole(pipelines[kind])
    texts = ["a thick seven", "", "The  two:\nin-TWO 7!  naïve 🙂", "seven " * 90]
    for told in made.bundle.parameters["texts"]:
        name = told["tokenizer"].removesuffix(".json")
        original = theirs_tokenizer(pipelines[kind] / name)
        expected = original(texts, padding="max_length", max_length=77, truncation=True).input_ids
        tokenizer = Tokenizer.from_str(made.files[told["tokenizer"]].decode())
        plain = [tokenizer.encode(text, add_special_tokens=False).ids[:75] for text in texts]
        whole_ones = [[told["begin"], *ids, told["end"]] for ids in plain]
        assert [ids + [told["pad"]] * (told["length"] - len(ids)) for ids in whole_ones] == expected
    assert made.bundle.parameters["texts"][1]["pad"] == folders.vocabulary()["!"]


def theirs_tokenizer(folder: Path) -> Any:
    return folders.transformers().CLIPTokenizer.from_pretrained(folder, local_files_only=True)


SD = {"steps": 50, "guidance": 7.5, "sampler": "ddim", "prediction": "epsilon", "spacing": "leading",
      "spacing_offset": 1, "clean_end": False, "inpaints": False, "guidance_embedding": 0,
      "time_ids": False, "zero_empty_negative": False}  # fmt: skip
XL = SD | {
    "guidance": 5.0,
    "sampler": "euler",
    "time_ids": True,
    "zero_empty_negative": True,
    "clean_end": True,
}
EXPECTED: dict[str, dict[str, Any]] = {
    "sd1": SD | {"sampler": "pndm", "factor": 8, "multiple": 16, "size": [64, 64], "smallest": [32, 32], "largest": [96, 96]},
    "sd2": SD | {"prediction": "v"},
    "sdxl": XL | {"scaling_factor": 0.13025, "factor": 2, "multiple": 4},
    "sd_turbo": SD | {"steps": 1, "guidance": 0.0, "sampler": "euler", "spacing": "trailing", "clean_end": True},
    "sdxl_turbo": XL | {"steps": 1, "guidance": 0.0, "sampler": "euler_ancestral", "spacing": "trailing", "spacing_offset": 0},
    "lcm": SD | {"steps": 4, "guidance": 8.5, "sampler": "lcm", "guidance_embedding": 32, "clean_end": True, "spacing_offset": 0},
    "inpainting": SD | {"inpaints": True},
}  # fmt: skip


@pytest.mark.parametrize("kind", folders.KINDS)
def test_what_the_runtime_is_told(kind: str, pipelines: dict[str, Path]) -> None:
    bundle = whole(pipelines[kind]).bundle
    assert {key: bundle.parameters[key] for key in EXPECTED[kind]} == EXPECTED[kind]
    assert (bundle.parameters["beta_start"], bundle.parameters["beta_end"]) == (0.00085, 0.012)
    bundles.parameters_of(bundle)  # which its kind checks


def test_a_size_is_the_middle_of_its_bounds(pipelines: dict[str, Path]) -> None:
    made = whole(pipelines["sd1"], (96, 64))
    assert [made.bundle.parameters[key] for key in ("size", "smallest", "largest")] == [
        [96, 64],
        [32, 32],
        [144, 144],
    ]
    sample = made.graphs["denoiser"].card.input("sample")
    assert [bound[2:] for bound in sample.bounds()] == [(4, 4), (8, 12), (18, 18)]
    assert sample.multiple_of == (1, 1, 2, 2)


def test_a_lora_is_in_the_weights_that_are_exported(pipelines: dict[str, Path], tmp_path: Path) -> None:
    from vedette.export._lora import Lora

    layer = "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q"
    down, up = torch.ones(2, 16), torch.eye(16)[:, :2]
    save_file(
        {f"unet.{layer}.lora_A.weight": down, f"unet.{layer}.lora_B.weight": up.contiguous()},
        tmp_path / "a.safetensors",
    )
    loras = [Lora(tmp_path / "a.safetensors", 0.25)]
    before, after = (
        whole(pipelines["sdxl"], None, given).graphs["denoiser"].hollow.weights[f"unet.{layer}.weight"]()
        for given in ((), loras)
    )
    torch.testing.assert_close(after - before, 0.25 * up @ down, rtol=0, atol=1e-6)


def test_ours_is_in_the_box() -> None:
    from vedette.export.build import zoo_weights
    from vedette.export.networks import tiny_sd

    folder = zoo_weights("tiny-sd")
    assert folder is not None
    made = tiny_sd.whole(folder)
    parameters = bundles.parameters_of(made.bundle)
    assert (made.bundle.name, parameters.size, parameters.sampler, parameters.steps) == (
        "tiny_sd",
        (32, 32),
        "ddim",
        20,
    )
    assert all(path.stat().st_size < 4_000_000 for path in folder.rglob("*") if path.is_file())


def test_files_of_older_releases_have_other_names(pipelines: dict[str, Path], tmp_path: Path) -> None:
    """As Stable Diffusion 1.5 was published: text_model. in front, positions kept, the VAE's attention named otherwise."""
    folder = Path(shutil.copytree(pipelines["sd2"], tmp_path / "old"))
    words, vae = folder / "text_encoder/model.safetensors", folder / "vae/diffusion_pytorch_model.safetensors"
    older = {f"text_model.{name}": value for name, value in load_file(words).items()}
    save_file(older | {"text_model.embeddings.position_ids": torch.arange(77)[None]}, words)
    names = {".to_q.": ".query.", ".to_k.": ".key.", ".to_v.": ".value.", ".to_out.0.": ".proj_attn."}

    def old(name: str) -> str:
        return functools.reduce(lambda made, pair: made.replace(*pair), names.items(), name)

    save_file({old(name): value for name, value in load_file(vae).items()}, vae)
    assert any("proj_attn" in name for name in load_file(vae))
    before, after = whole(pipelines["sd2"]).graphs, whole(folder).graphs
    for role in ("text_encoder", "decoder", "encoder"):
        after[role].hollow.check()
        one, other = (graphs[role].hollow.weights for graphs in (before, after))
        assert one.keys() == other.keys()
        assert all(torch.equal(read(), other[name]()) for name, read in one.items())
