"""Small pipeline folders of diffusers with random weights, saved as safetensors: what `vedette export stable-diffusion` takes.

In: a kind, a seed.  Out: a folder with model_index.json and the components; about 100,000 weights, a tenth of a second each.

sd1         one text encoder, noise predicted, DDIM; its VAE has four levels, so a latent is 8 pixels as in the real one
sd2         linear projections, v predicted, GELU, pads with "!"
sdxl        two text encoders, time ids, zeros for an empty negative prompt
sd_turbo    sd2's network, noise predicted, Euler at trailing timesteps
sdxl_turbo  sdxl's network, Euler ancestral at trailing timesteps
lcm         sd1's network with its guidance embedded, LCM
inpainting  sd1's network with 9 channels: the sample, the mask, the masked picture
"""

from __future__ import annotations

import importlib
import json
import shutil
import tempfile
import warnings
from pathlib import Path
from typing import Any

import pytest

KINDS = ("sd1", "sd2", "sdxl", "sd_turbo", "sdxl_turbo", "lcm", "inpainting")
START, END = "<|startoftext|>", "<|endoftext|>"
MERGES = ("t h", "th e</w>", "s e", "se v", "e n</w>", "sev en</w>", "t w", "tw o</w>", "i n", "c k</w>")
WIDTH, PROJECTED, GUIDANCE = 16, 12, 32
SEEN_BY_SDXL = (
    6 * 8 + PROJECTED
)  # what its U-Net adds to the time: six time ids of 8 numbers, and the pooled text
SCALED = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
SCHEDULERS: dict[str, tuple[str, dict[str, Any]]] = {
    "sd1": ("PNDMScheduler", {"skip_prk_steps": True, "set_alpha_to_one": False, "steps_offset": 1}),
    "sd2": (
        "DDIMScheduler",
        {"set_alpha_to_one": False, "steps_offset": 1, "clip_sample": False, "prediction_type": "v_prediction"},
    ),
    "sdxl": ("EulerDiscreteScheduler", {"steps_offset": 1, "timestep_spacing": "leading"}),
    "sd_turbo": ("EulerDiscreteScheduler", {"timestep_spacing": "trailing"}),
    "sdxl_turbo": ("EulerAncestralDiscreteScheduler", {"timestep_spacing": "trailing"}),
    "lcm": ("LCMScheduler", {"set_alpha_to_one": True, "clip_sample": False}),
    "inpainting": ("DDIMScheduler", {"set_alpha_to_one": False, "steps_offset": 1, "clip_sample": False}),
}  # fmt: skip
PIPELINES = {
    "sdxl": "StableDiffusionXLPipeline",
    "sdxl_turbo": "StableDiffusionXLPipeline",
    "lcm": "LatentConsistencyModelPipeline",
    "inpainting": "StableDiffusionInpaintPipeline",
}


LIBRARIES = "torch", "onnx", "onnxruntime", "safetensors", "cv2", "diffusers", "transformers", "tokenizers"


def need_libraries() -> None:
    """Skip a file of tests where a library is missing that exports pipelines."""
    for name in LIBRARIES:
        pytest.importorskip(name)


def diffusers() -> Any:
    return importlib.import_module("diffusers")


def transformers() -> Any:
    return importlib.import_module("transformers")


def saved(
    folder: Path, kind: str, *, seed: int = 0, scheduler: tuple[str, dict[str, Any]] | None = None
) -> Path:
    """Write a pipeline.

    Args:
        folder: that becomes it.
        kind: of KINDS.
        seed: of its weights.
        scheduler: name of a class and its options, in place of the kind's own.
    """
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as scratch:
        warnings.simplefilter("ignore")
        pipeline(Path(scratch), kind, seed=seed, scheduler=scheduler).save_pretrained(folder)
        if not kind.endswith(
            "turbo"
        ):  # theirs are tokenizer.json, the others' vocab.json and merges.txt, as published
            for made in Path(scratch).iterdir():
                shutil.rmtree(folder / made.name)
                shutil.copytree(made, folder / made.name)
    return folder


def pipeline(
    scratch: Path, kind: str, *, seed: int = 0, scheduler: tuple[str, dict[str, Any]] | None = None
) -> Any:
    """The pipeline itself, in float32; its tokenizers' files are written below `scratch`."""
    import torch

    torch.manual_seed(seed)
    large = kind.startswith("sdxl")
    made, options = scheduler or SCHEDULERS[kind]
    parts: dict[str, Any] = {
        "vae": vae((4, 4, 8, 8) if kind == "sd1" else (4, 8), scaling_factor=0.13025 if large else 0.18215),
        "unet": unet(kind),
        "scheduler": getattr(diffusers(), made)(**{**SCALED, **options}),
        "text_encoder": text_encoder(act="quick_gelu" if kind in {"sd1", "lcm", "inpainting"} or large else "gelu"),
        "tokenizer": tokenizer(scratch / "tokenizer", pad="!" if kind in {"sd2", "sd_turbo"} else END),
    }  # fmt: skip
    if large:
        parts["text_encoder_2"] = text_encoder(act="gelu", projected=True)
        parts["tokenizer_2"] = tokenizer(scratch / "tokenizer_2", pad="!")
        parts["force_zeros_for_empty_prompt"] = True
    else:
        parts |= {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
    return getattr(diffusers(), PIPELINES.get(kind, "StableDiffusionPipeline"))(**parts)


def unet(kind: str) -> Any:
    """The denoiser of a kind."""
    options: dict[str, Any] = {"cross_attention_dim": WIDTH, "attention_head_dim": 2}
    if kind in {"sd2", "sd_turbo"}:
        options |= {"use_linear_projection": True, "attention_head_dim": (1, 2)}
    if kind.startswith("sdxl"):
        options |= {
            "use_linear_projection": True, "cross_attention_dim": 2 * WIDTH, "attention_head_dim": (1, 2),
            "transformer_layers_per_block": (1, 2), "addition_embed_type": "text_time", "addition_time_embed_dim": 8,
            "projection_class_embeddings_input_dim": SEEN_BY_SDXL,
        }  # fmt: skip
    if kind == "lcm":
        options["time_cond_proj_dim"] = GUIDANCE
    return diffusers().UNet2DConditionModel(
        sample_size=8 if kind == "sd1" else 16, in_channels=9 if kind == "inpainting" else 4, out_channels=4, layers_per_block=1,
        block_out_channels=(8, 16), norm_num_groups=4, down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"), **options,
    ).eval()  # fmt: skip


def vae(channels: tuple[int, ...], *, scaling_factor: float) -> Any:
    """An autoencoder with a level of each number of channels: a latent is 2^(levels - 1) pixels wide."""
    levels = len(channels)
    return diffusers().AutoencoderKL(
        block_out_channels=channels, norm_num_groups=2, latent_channels=4, layers_per_block=1, sample_size=32,
        down_block_types=("DownEncoderBlock2D",) * levels, up_block_types=("UpDecoderBlock2D",) * levels,
        scaling_factor=scaling_factor,
    ).eval()  # fmt: skip


def text_encoder(*, act: str, projected: bool = False) -> Any:
    """CLIP's, of two layers; the second of SDXL projects."""
    words = vocabulary()
    config = transformers().CLIPTextConfig(
        vocab_size=len(words), hidden_size=WIDTH, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2,
        max_position_embeddings=77, hidden_act=act, projection_dim=PROJECTED, bos_token_id=words[START],
        eos_token_id=words[END], pad_token_id=words["!"],
    )  # fmt: skip
    made = transformers().CLIPTextModelWithProjection if projected else transformers().CLIPTextModel
    return made(config).eval()


def vocabulary() -> dict[str, int]:
    """CLIP's order: each byte, each byte that ends a word, the merges, start and end; "!" is 0."""
    printed = [chr(code) for code in (*range(33, 127), *range(161, 173), *range(174, 256))]
    printed += [
        chr(256 + index) for index in range(256 - len(printed))
    ]  # GPT-2's letters for the bytes without one
    merged = [merge.replace(" ", "") for merge in MERGES]
    words = [*printed, *(letter + "</w>" for letter in printed), *merged, START, END]
    return {word: index for index, word in enumerate(words)}


def tokenizer(folder: Path, *, pad: str = END) -> Any:
    """CLIP's, of the words above, read from vocab.json and merges.txt as published models have them."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps(vocabulary()))
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *MERGES]) + "\n")
    (folder / "tokenizer_config.json").write_text(json.dumps({
        "tokenizer_class": "CLIPTokenizer", "model_max_length": 77, "bos_token": START, "eos_token": END, "unk_token": END,
        "pad_token": pad,
    }))  # fmt: skip
    return transformers().CLIPTokenizer.from_pretrained(folder, local_files_only=True)
