"""Train the zoo's CycleGAN, photos to drawings and back, from scratch, the same every time.

In: the photos of _photos.py, and _inked.py's drawings of other parts of them: nothing says which photo a drawing is of.
Out: cyclegan.safetensors (to drawings) and cyclegan_back.safetensors (to photos), float16.
Run: python -m vedette.export.training.cyclegan [FOLDER]; without one it replaces the zoo's.  Next: _inked.py, _recipe.py.

Sources: Zhu et al., Unpaired Image-to-Image Translation, ICCV 2017; Chu et al., CycleGAN, a Master of Steganography, 2017
(why there is noise on what the way back gets: else it is told the photo by a pattern that nobody sees, but that flickers).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from vedette.export.networks._resnet_generator import ResnetGenerator
from vedette.export.training._inked import inked
from vedette.export.training._photos import photos
from vedette.export.training._recipe import SEED, Averaged, Schedule, command, told
from vedette.export.training.unet import recoloured
from vedette.runtime.frame import Array

SCHEDULE = Schedule(steps=3300, batch=4, rate=1e-3, decay=0.0)
SIDE = 64  # of a crop
ZOOM = (0.9, 2.4)  # pixels of a photo a pixel of a crop
CYCLE = 10.0  # weights of the losses, beside the judges' 1
SAME = 10.0, 2.0  # at the beginning, when colours are to be learnt, and at the end
SETTLED = 0.6  # of the steps; from there on batch norm is what it will be when nothing is learnt any more
MEMORY = 0.02  # of batch norm, which sees photos, drawings and what was made of both in turn
GRAIN = 0.03  # noise on what the way there gets, which is not to be drawn: video has it; black to white are 2
NOISE = 0.06  # on what the way back gets
KEEP = 0.995  # of the averaged weights a step
MOMENTUM = (0.5, 0.99)


class Judge(nn.Module):
    """Is it of this kind? One number for every 8 x 8 pixels, seen in a patch of 46 x 46."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        normed = nn.utils.parametrizations.spectral_norm
        self.layers = nn.Sequential(
            normed(nn.Conv2d(3, width, 4, stride=2, padding=1)), nn.LeakyReLU(0.2),
            normed(nn.Conv2d(width, 2 * width, 4, stride=2, padding=1)), nn.LeakyReLU(0.2),
            normed(nn.Conv2d(2 * width, 4 * width, 4, stride=2, padding=1)), nn.LeakyReLU(0.2),
            normed(nn.Conv2d(4 * width, 1, 4, padding=1)),
        )  # fmt: skip

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.layers(pictures)
        return scores


class Pair(nn.Module):
    """Both generators and the judge of what each draws."""

    def __init__(self) -> None:
        super().__init__()
        self.there, self.back = ResnetGenerator(), ResnetGenerator()
        self.judge_drawing, self.judge_photo = Judge(), Judge()

    def generators(self) -> Iterator[nn.Parameter]:
        yield from self.there.parameters()
        yield from self.back.parameters()

    def judges(self) -> Iterator[nn.Parameter]:
        yield from self.judge_drawing.parameters()
        yield from self.judge_photo.parameters()


def train(schedule: Schedule = SCHEDULE) -> dict[str, ResnetGenerator]:
    """Both trained generators, their weights averaged, in eval mode."""
    torch.manual_seed(SEED)
    random, noise = np.random.default_rng(SEED), torch.Generator().manual_seed(SEED)
    pair = remembering(Pair().train())
    averaged = [Averaged(pair.there, KEEP), Averaged(pair.back, KEEP)]
    optimisers = [
        torch.optim.AdamW(of, betas=MOMENTUM, weight_decay=schedule.decay)
        for of in (pair.generators(), pair.judges())
    ]
    told_of = [""]
    for step in told("cyclegan", schedule.steps, lambda: told_of[0]):
        for optimiser in optimisers:
            optimiser.param_groups[0]["lr"] = schedule.rate_at(step)
        photo, drawing = batch(random, schedule.batch)
        if step == int(SETTLED * schedule.steps):
            settle(pair)
        done = step / schedule.steps
        same = SAME[0] + (SAME[1] - SAME[0]) * done
        told_of[0] = _step(pair, optimisers, photo, drawing, noise, same)
        for average in averaged:
            average.update()
    for average in averaged:
        average.restore()
    return {"cyclegan": pair.there.eval(), "cyclegan_back": pair.back.eval()}


def remembering(pair: Pair) -> Pair:
    """The same, its batch norms with a longer memory."""
    for layer in pair.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = MEMORY
    return pair


def settle(pair: Pair) -> None:
    """Batch norm keeps the statistics that it has."""
    for layer in pair.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.eval()


def batch(random: np.random.Generator, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Parts of photos and drawings of other parts, float32 [N, 3, SIDE, SIDE] each, RGB, -1 to 1."""
    photo = [crop(random) for _ in range(count)]
    drawing = [inked(crop(random)) for _ in range(count)]
    return _tensor(photo), _tensor(drawing)


def crop(random: np.random.Generator, split: str = "train") -> Array:
    """A part of a photo, mirrored or not, in its colours or others: uint8 BGR [SIDE, SIDE, 3]."""
    import cv2

    photo = photos(split)[random.integers(len(photos(split)))]
    side = round(SIDE * random.uniform(*ZOOM))
    top, left = (int(random.integers(length - side + 1)) for length in photo.shape[:2])
    part = photo[top : top + side, left : left + side]
    part = np.ascontiguousarray(part[:, ::-1] if random.random() < 0.5 else part)
    scaled: Array = cv2.resize(part, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    grey = np.ptp(scaled.astype(np.int16), axis=2).mean() < 4
    return recoloured(random, scaled) if grey or random.random() < 0.3 else scaled


def _tensor(pictures: list[Array]) -> torch.Tensor:
    stacked = np.stack(pictures)[..., ::-1].astype(np.float32) / np.float32(127.5) - 1
    return torch.from_numpy(np.ascontiguousarray(stacked.transpose(0, 3, 1, 2)))


def _step(
    pair: Pair,
    optimisers: Sequence[torch.optim.Optimizer],
    photo: torch.Tensor,
    drawing: torch.Tensor,
    random: torch.Generator,
    same: float,
) -> str:
    """One step of the generators, then one of the judges; returns the losses as a line."""
    drawn, real, losses = _generators_loss(pair, photo, drawing, random)
    _follow(optimisers[0], losses["judged"] + CYCLE * losses["cycle"] + same * losses["same"])
    losses["judges"] = _judges_loss(pair.judge_drawing, drawing, drawn.detach()) + _judges_loss(
        pair.judge_photo, photo, real.detach()
    )
    _follow(optimisers[1], losses["judges"])
    return ", ".join(f"{name} {loss.item():.3f}" for name, loss in losses.items())


def _generators_loss(
    pair: Pair, photo: torch.Tensor, drawing: torch.Tensor, random: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor, dict[str, torch.Tensor]]:
    """The photos drawn, the drawings as photos, and: are they judged as that, do they come back, are others left alone?"""
    with torch.autocast("cpu", torch.bfloat16):
        drawn, real = pair.there(_noisy(photo, GRAIN, random)), pair.back(_noisy(drawing, GRAIN, random))
        scores = pair.judge_drawing(drawn), pair.judge_photo(real)
        returned = pair.back(_noisy(drawn, NOISE, random)), pair.there(_noisy(real, NOISE, random))
        same = pair.there(drawing), pair.back(photo)
    judged = sum((score.float() - 1).square().mean() for score in scores)
    cycle = functional.l1_loss(returned[0].float(), photo) + functional.l1_loss(returned[1].float(), drawing)
    kept = functional.l1_loss(same[0].float(), drawing) + functional.l1_loss(same[1].float(), photo)
    return drawn, real, {"judged": torch.as_tensor(judged), "cycle": cycle, "same": kept}


def _noisy(pictures: torch.Tensor, much: float, random: torch.Generator) -> torch.Tensor:
    return pictures + much * torch.randn(pictures.shape, generator=random)


def _judges_loss(judge: Judge, real: torch.Tensor, made: torch.Tensor) -> torch.Tensor:
    """Least squares: 1 for what is of the kind, 0 for what was made."""
    with torch.autocast("cpu", torch.bfloat16):
        above, below = judge(real), judge(made)
    loss: torch.Tensor = (above.float() - 1).square().mean() + below.float().square().mean()
    return loss


def _follow(optimiser: torch.optim.Optimizer, loss: torch.Tensor) -> None:
    optimiser.zero_grad()
    torch.autograd.backward(loss)
    optimiser.step()


if __name__ == "__main__":
    command("cyclegan", SCHEDULE, train)
