"""Train the zoo's GAN on digits, from scratch, the same every time.

In: _drawn_digits.py.  Out: gan.safetensors, the generator in float16, with how it was made.
Run: python -m vedette.export.training.gan [FOLDER]; without one it replaces the zoo's.  Next: ../networks/gan.py, _recipe.py.

Sources: Goodfellow et al., Generative Adversarial Nets, NeurIPS 2014; Miyato et al., Spectral Normalization, ICLR 2018 (the
losses); Karras et al., Progressive Growing of GANs, ICLR 2018 (the generator's averaged weights).
"""

from __future__ import annotations

import torch
from torch.nn import functional

from vedette.export.networks._dcgan import LATENTS, Discriminator, Generator
from vedette.export.training._drawn_digits import training_digits
from vedette.export.training._recipe import SEED, Averaged, Schedule, chosen, command, told

SCHEDULE = Schedule(steps=5000, batch=64, rate=4e-4, decay=0.0)
KEEP = 0.995  # of the averaged weights a step
MOMENTUM = (0.5, 0.99)


def train(schedule: Schedule = SCHEDULE) -> dict[str, Generator]:
    """A trained generator, its weights averaged, in eval mode."""
    torch.manual_seed(SEED)
    random = torch.Generator().manual_seed(SEED)
    pictures = training_digits(seed=SEED, black=-1.0)
    generator, judge = _fresh(Generator()).train(), Discriminator().train()
    averaged = Averaged(generator, KEEP)
    optimisers = [
        torch.optim.AdamW(one.parameters(), betas=MOMENTUM, weight_decay=schedule.decay)
        for one in (generator, judge)
    ]
    losses: list[tuple[float, float]] = []
    for step in told("gan", schedule.steps, lambda: _line(losses)):
        for optimiser in optimisers:
            optimiser.param_groups[0]["lr"] = schedule.rate_at(step)
        real = chosen(pictures, random, schedule.batch)
        judged = _step_of_judge(generator, judge, optimisers[1], real, random)
        losses.append((judged, _step_of_generator(generator, judge, optimisers[0], len(real), random)))
        averaged.update()
    averaged.restore()
    return {"gan": generator.eval()}


def _fresh(generator: Generator) -> Generator:
    """Weights as the paper has them: from a normal distribution of 0.02."""
    for name, parameter in generator.named_parameters():
        if name.startswith("conv") and parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.02)
    return generator


def _line(losses: list[tuple[float, float]]) -> str:
    judge, generator = (sum(column) / len(column) for column in zip(*losses[-100:], strict=True))
    return f"discriminator {judge:.3f}, generator {generator:.3f}"


def _drawn(generator: Generator, count: int, random: torch.Generator) -> torch.Tensor:
    pictures: torch.Tensor = generator(torch.randn(count, LATENTS, generator=random))
    return pictures


def _step_of_judge(
    generator: Generator,
    judge: Discriminator,
    optimiser: torch.optim.Optimizer,
    real: torch.Tensor,
    random: torch.Generator,
) -> float:
    """Real pictures above 1, drawn ones below -1; returns the loss."""
    with torch.no_grad():
        drawn = _drawn(generator, len(real), random)
    with torch.autocast("cpu", torch.bfloat16):
        above, below = judge(real), judge(drawn)
    loss = functional.relu(1 - above.float()).mean() + functional.relu(1 + below.float()).mean()
    _follow(optimiser, loss)
    return loss.item()


def _step_of_generator(
    generator: Generator,
    judge: Discriminator,
    optimiser: torch.optim.Optimizer,
    count: int,
    random: torch.Generator,
) -> float:
    """What is drawn is to be judged as high as it can be; returns the loss."""
    with torch.autocast("cpu", torch.bfloat16):
        loss = -judge(_drawn(generator, count, random)).float().mean()
    _follow(optimiser, loss)
    value: float = loss.item()
    return value


def _follow(optimiser: torch.optim.Optimizer, loss: torch.Tensor) -> None:
    optimiser.zero_grad()
    torch.autograd.backward(loss)
    optimiser.step()


if __name__ == "__main__":
    command("gan", SCHEDULE, train)
