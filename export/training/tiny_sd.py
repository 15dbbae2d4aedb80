"""Train the zoo's tiny Stable Diffusion on captioned digits, from scratch, the same every time.

In: _captioned_digits.py.  Out: a folder tiny_sd as diffusers has them, float16, each file below 4 MB.
Next: _caption_tokens.py (the words), _recipe.py (steps and averages), ../../benchmarks/_caption_judge.py (what came of it).
Run: python -m vedette.export.training.tiny_sd [FOLDER]; without one it replaces the zoo's.

First the VAE learns the pictures; then the U-Net and the text encoder learn together to tell noise from latents of them by
captions, of which some are left out so that guidance has something to lead away from. Sources: Rombach et al., Latent
diffusion models, CVPR 2022 (the parts, the schedule); Ho and Salimans, Classifier-free diffusion guidance, 2022.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional

from vedette.export.training._caption_tokens import LENGTH, tokenizer, tokens_of, write_tokenizer
from vedette.export.training._captioned_digits import SIDE, Kind, caption, captioned_digits
from vedette.export.training._recipe import SEED, Averaged, Schedule, chosen, recent, told
from vedette.runtime.diffusion.schedules import Schedule as NoiseSchedule
from vedette.runtime.errors import UsageError

SCHEDULE = Schedule(steps=2600, batch=64, rate=2e-3)
VAE_SCHEDULE = Schedule(steps=900, batch=32, rate=2e-3, warm_up=50, decay=1e-4)
COUNT = 24000  # pictures, drawn once
BETAS = (0.9, 0.99)
KEEP = 0.998  # of the averaged weights a step
CLIP = 1.0  # of the gradient's norm
SHARPNESS = 0.5  # of the absolute error beside the squared one
DIVERGENCE = 2e-3  # of the latents from a normal distribution
LEFT_OUT = 0.1  # of the captions
WIDTH = 64  # of the text encoder
NOISE = NoiseSchedule("scaled_linear", 0.00085, 0.012)


@dataclass(frozen=True, slots=True)
class Parts:
    """The networks of a pipeline and its tokenizer."""

    tokenizer: Any
    text_encoder: nn.Module
    unet: nn.Module
    vae: nn.Module


def train(schedule: Schedule = SCHEDULE, vae_schedule: Schedule = VAE_SCHEDULE) -> Parts:
    """Trained parts, the U-Net's and the text encoder's weights averaged, in eval mode."""
    torch.manual_seed(SEED)
    random = torch.Generator().manual_seed(SEED)
    drawn, kinds = captioned_digits(COUNT, seed=SEED)
    pictures = torch.from_numpy(drawn)[:, None] * 2 - 1
    parts = fresh()
    _train_vae(parts.vae, pictures, vae_schedule, random)
    latents = _scaled_latents(parts.vae, pictures)
    _train_unet(parts, latents, kinds, schedule, random)
    return parts


def fresh() -> Parts:
    """Untrained."""
    diffusers, transformers = libraries()
    made = tokenizer()
    return Parts(made, _text_encoder(transformers, made), _unet(diffusers), _vae(diffusers))


def libraries() -> tuple[Any, Any]:
    """The modules diffusers and transformers.

    Raises:
        UsageError: one of them is not installed.
    """
    try:
        import diffusers
        import transformers
    except ImportError as error:
        raise UsageError(
            f"no module {error.name}",
            why="tiny_sd is made of the networks of diffusers and transformers",
            cure="pip install 'vedette[train]'",
        ) from error
    return diffusers, transformers


def _text_encoder(transformers: Any, tokenizer: Any) -> nn.Module:
    """0.1 M parameters."""
    special = {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("bos", "eos", "pad")}
    module: nn.Module = transformers.CLIPTextModel(transformers.CLIPTextConfig(
        vocab_size=len(tokenizer), max_position_embeddings=LENGTH, hidden_size=WIDTH, intermediate_size=4 * WIDTH,
        projection_dim=WIDTH, num_hidden_layers=2, num_attention_heads=4, **special,
    ))  # fmt: skip
    return module


def _unet(diffusers: Any) -> nn.Module:
    """1.8 M parameters; latents are 8 x 8, and diffusers takes attention_head_dim for the number of heads."""
    module: nn.Module = diffusers.UNet2DConditionModel(
        down_block_types=("CrossAttnDownBlock2D",) * 2, up_block_types=("CrossAttnUpBlock2D",) * 2,
        block_out_channels=(48, 80), layers_per_block=1, cross_attention_dim=WIDTH, attention_head_dim=4,
        norm_num_groups=8, sample_size=SIDE // 4,
    )  # fmt: skip
    return module


def _vae(diffusers: Any) -> nn.Module:
    """0.4 M parameters; two halvings."""
    module: nn.Module = diffusers.AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 3, up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(16, 32, 48), layers_per_block=1, latent_channels=4, norm_num_groups=8, sample_size=SIDE,
    )  # fmt: skip
    return module


def _train_vae(vae: Any, pictures: torch.Tensor, schedule: Schedule, random: torch.Generator) -> None:
    """On pictures [N, 1, 32, 32], -1 to 1."""
    optimiser = _optimiser(vae.train(), schedule)
    losses: list[float] = []
    for step in told("tiny_sd, vae", schedule.steps, lambda: f"loss {recent(losses):.4f}"):
        optimiser.param_groups[0]["lr"] = schedule.rate_at(step)
        batch = chosen(pictures, random, schedule.batch).expand(-1, 3, -1, -1)
        losses.append(_step(vae, optimiser, picture_loss(vae, batch, random)))
    vae.eval()


def picture_loss(vae: Any, pictures: torch.Tensor, random: torch.Generator) -> torch.Tensor:
    """What is wrong in pictures [N, 3, H, W] after both ways, and how far their latents are from normal."""
    found = vae.encode(pictures).latent_dist
    back = vae.decode(found.sample(random)).sample
    error = functional.mse_loss(back, pictures) + SHARPNESS * functional.l1_loss(back, pictures)
    loss: torch.Tensor = error + DIVERGENCE * found.kl().mean() / found.mean[0].numel()
    return loss


@torch.no_grad()
def _scaled_latents(vae: Any, pictures: torch.Tensor) -> torch.Tensor:
    """Means of pictures [N, 1, 32, 32], float32 [N, 4, 8, 8], by the factor that makes their deviation 1; the VAE keeps it."""
    parts = torch.split(pictures, 500)
    means = torch.cat([vae.encode(part.expand(-1, 3, -1, -1)).latent_dist.mode() for part in parts])
    factor = 1 / float(means.std())
    vae.register_to_config(scaling_factor=factor)
    return means * factor


def _train_unet(
    parts: Parts, latents: torch.Tensor, kinds: Sequence[Kind], schedule: Schedule, random: torch.Generator
) -> None:
    """With the text encoder."""
    both = nn.ModuleList([parts.unet, parts.text_encoder]).train()
    averaged, optimiser = Averaged(both, KEEP), _optimiser(both, schedule)
    losses: list[float] = []
    batches = _batches(latents, kinds, schedule.batch, random)
    for step in told("tiny_sd", schedule.steps, lambda: f"loss {recent(losses):.4f}"):
        optimiser.param_groups[0]["lr"] = schedule.rate_at(step)
        clean, texts = next(batches)
        losses.append(_step(both, optimiser, noise_loss(parts, clean, texts, random)))
        averaged.update()
    averaged.restore()
    both.eval()


def _batches(
    latents: torch.Tensor, kinds: Sequence[Kind], count: int, random: torch.Generator
) -> Iterator[tuple[torch.Tensor, list[str]]]:
    """Latents and new captions of them, some of which are empty."""
    rng = np.random.default_rng(SEED)
    while True:
        index = torch.randint(len(latents), (count,), generator=random)
        texts = ["" if rng.random() < LEFT_OUT else caption(kinds[each], rng) for each in index.tolist()]
        yield latents[index], texts


def noise_loss(
    parts: Parts, clean: torch.Tensor, texts: Sequence[str], random: torch.Generator
) -> torch.Tensor:
    """How wrong the noise is that the U-Net finds in noisy latents [N, 4, 8, 8] at random times."""
    bars = torch.from_numpy(NOISE.alpha_bars()).float()
    times = torch.randint(len(bars), (len(clean),), generator=random)
    kept = bars[times][:, None, None, None]
    noise = torch.randn(clean.shape, generator=random)
    noisy = kept.sqrt() * clean + (1 - kept).sqrt() * noise
    states = parts.text_encoder(tokens_of(parts.tokenizer, texts)).last_hidden_state
    return functional.mse_loss(parts.unet(noisy, times, states).sample, noise)


def _optimiser(module: nn.Module, schedule: Schedule) -> torch.optim.Optimizer:
    return torch.optim.AdamW(module.parameters(), betas=BETAS, weight_decay=schedule.decay)


def _step(module: nn.Module, optimiser: torch.optim.Optimizer, loss: torch.Tensor) -> float:
    """One step of the optimiser; returns the loss."""
    optimiser.zero_grad()
    torch.autograd.backward(loss)
    torch.nn.utils.clip_grad_norm_(module.parameters(), CLIP)
    optimiser.step()
    return loss.item()


def write(parts: Parts, folder: Path, schedule: Schedule = SCHEDULE) -> None:
    """Write what diffusers' StableDiffusionPipeline opens, with its origin; the weights become float16."""
    _pipeline(parts).save_pretrained(folder)
    for file in (folder / "tokenizer").iterdir():
        file.unlink()  # newer transformers write a file of their own alone, which others cannot read
    write_tokenizer(folder / "tokenizer")
    for file in sorted(folder.rglob("*.safetensors")):
        # the names of published files; newer transformers write others, but read both
        _relabel(file, schedule, "text_model." if file.parent.name == "text_encoder" else "")


def _pipeline(parts: Parts) -> Any:
    """With DDIM; Euler draws the same, guidance 5 and 20 steps are enough for both (../zoo/tiny_sd.md)."""
    diffusers, _ = libraries()
    scheduler = diffusers.DDIMScheduler(
        beta_schedule=NOISE.name, beta_start=NOISE.beta_start, beta_end=NOISE.beta_end, clip_sample=False,
        set_alpha_to_one=False, steps_offset=1,
    )  # fmt: skip
    return diffusers.StableDiffusionPipeline(
        vae=parts.vae.half(), text_encoder=parts.text_encoder.half(), tokenizer=parts.tokenizer, unet=parts.unet.half(),
        scheduler=scheduler, safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip


def _relabel(file: Path, schedule: Schedule, prefix: str) -> None:
    """The same tensors under names that begin so, with how they were made."""
    state = load_file(file)
    metadata = {
        "format": "pt",  # which diffusers and transformers insist on
        "source": "python -m vedette.export.training.tiny_sd",
        "licence": "Apache-2.0",
        "schedule": f"{schedule}, seed {SEED}, torch {torch.__version__}",
    }
    named = {name if name.startswith(prefix) else prefix + name: value for name, value in state.items()}
    save_file(named, file, metadata)
    file.chmod(0o644)  # safetensors leaves it readable by its owner only


def main() -> None:
    zoo = Path(str(files("vedette").joinpath("export", "zoo")))
    parser = argparse.ArgumentParser(description="Train the zoo's tiny_sd.")
    parser.add_argument(
        "out", type=Path, nargs="?", default=zoo, help="the folder to write tiny_sd into (the zoo)"
    )
    parser.add_argument("--steps", type=int, default=SCHEDULE.steps, help="of the U-Net; the VAE has a third")
    parser.add_argument("--threads", type=int, default=1, help="of PyTorch; another number rounds otherwise")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    libraries()  # fails now, not after the training
    asked.out.mkdir(parents=True, exist_ok=True)
    began, began_cpu = time.monotonic(), time.process_time()
    vae_steps = -(-asked.steps * VAE_SCHEDULE.steps // SCHEDULE.steps)
    schedule = replace(SCHEDULE, steps=asked.steps)
    write(train(schedule, replace(VAE_SCHEDULE, steps=vae_steps)), asked.out / "tiny_sd", schedule)
    wall, cpu = time.monotonic() - began, time.process_time() - began_cpu
    print(f"wrote tiny_sd into {asked.out} in {wall:.0f} s, {cpu:.0f} s of CPU")  # noqa: T201


if __name__ == "__main__":
    main()
