"""Train the zoo's VAE on digits, from scratch, the same every time.

In: _drawn_digits.py.  Out: vae.safetensors, float16, with how it was made.  Next: ../networks/vae.py, _recipe.py.
Run: python -m vedette.export.training.vae [FOLDER]; without one it replaces the zoo's.

Sources: Kingma and Welling, Auto-Encoding Variational Bayes, ICLR 2014; Higgins et al., beta-VAE, ICLR 2017 (the weight);
Dinh et al., Real NVP, ICLR 2017 (the flow).
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch.nn import functional

from vedette.export.networks._flow import Flow
from vedette.export.networks._vae_parts import VAE
from vedette.export.training._drawn_digits import training_digits
from vedette.export.training._recipe import SEED, Averaged, Schedule, chosen, command, recent, told

SCHEDULE = Schedule(steps=3400, batch=64, rate=2e-3)
BETA = 1.5  # of the divergence: more leaves less room between digits, less is sharper
FLOW_BATCH = 256
FLOW_CLIP = 5.0
KEEP = 0.998  # of the averaged weights a step
CLIP = 200.0  # of the gradient's norm; the loss is a sum over pixels


def train(schedule: Schedule = SCHEDULE) -> dict[str, VAE]:
    """A trained network, in eval mode."""
    torch.manual_seed(SEED)
    random = torch.Generator().manual_seed(SEED)
    pictures = training_digits(seed=SEED, black=0.0)
    network = VAE().train()
    averaged = Averaged(network, KEEP)
    optimiser = torch.optim.AdamW(network.parameters(), weight_decay=schedule.decay)
    losses: list[tuple[float, float]] = []
    for step in told("vae", schedule.steps, lambda: _line(losses)):
        optimiser.param_groups[0]["lr"] = schedule.rate_at(step)
        losses.append(_step(network, optimiser, chosen(pictures, random, schedule.batch), random))
        averaged.update()
    averaged.restore()
    _train_flow(network.eval(), pictures, replace(schedule, steps=-(-schedule.steps // 2)), random)
    return {"vae": network}


def _line(losses: list[tuple[float, float]]) -> str:
    errors, divergences = (sum(column) / len(column) for column in zip(*losses[-100:], strict=True))
    return f"error {errors:.1f}, divergence {divergences:.1f}"


def _step(
    network: VAE, optimiser: torch.optim.Optimizer, images: torch.Tensor, random: torch.Generator
) -> tuple[float, float]:
    """One step of the optimiser; returns both losses."""
    error, divergence = losses_of(network, images, random)
    optimiser.zero_grad()
    torch.autograd.backward(error + BETA * divergence)
    torch.nn.utils.clip_grad_norm_(network.parameters(), CLIP)
    optimiser.step()
    return error.item(), divergence.item()


def losses_of(
    network: VAE, images: torch.Tensor, random: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Of a picture in nats: what is wrong in it after both ways, and how far its latents are from the prior's.

    Source: Kingma and Welling, appendix B (the divergence of two normal distributions).
    """
    mean, log_variance = network.encoder(images)
    noise = torch.randn(mean.shape, generator=random)
    logits = network.decoder.logits(mean + noise * (0.5 * log_variance).exp())
    error = functional.binary_cross_entropy_with_logits(logits, images, reduction="sum")
    divergence = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum()
    return error / len(images), divergence / len(images)


def _train_flow(network: VAE, pictures: torch.Tensor, schedule: Schedule, random: torch.Generator) -> None:
    """Then the flow alone: latents of pictures are to be probable at its normal end."""
    with torch.no_grad():
        encoded = [network.encoder(part) for part in torch.split(pictures, 500)]
    mean, log_variance = (torch.cat(parts) for parts in zip(*encoded, strict=True))
    optimiser = torch.optim.AdamW(network.flow.parameters(), weight_decay=schedule.decay)
    losses: list[float] = []
    for step in told("vae, flow", schedule.steps, lambda: f"loss {recent(losses):.2f}"):
        optimiser.param_groups[0]["lr"] = schedule.rate_at(step)
        index = torch.randint(len(mean), (FLOW_BATCH,), generator=random)
        noise = torch.randn((FLOW_BATCH, mean.shape[1]), generator=random)
        loss = improbability(network.flow, mean[index] + noise * (0.5 * log_variance[index]).exp())
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(network.flow.parameters(), FLOW_CLIP)
        optimiser.step()
        losses.append(loss.item())


def improbability(flow: Flow, latents: torch.Tensor) -> torch.Tensor:
    """Minus the log of their density, without its constant, a mean over [N, L].

    Source: Dinh et al., Real NVP, ICLR 2017, equation 2.
    """
    normal, log_stretch = flow.back(latents, torch.zeros_like(latents))
    return (0.5 * normal.square() - log_stretch).sum(dim=1).mean()


if __name__ == "__main__":
    command("vae", SCHEDULE, train)
