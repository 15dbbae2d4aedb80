"""Train our Mask R-CNN on digit scenes, from scratch, the same every time.

In: nothing.  Out: the weights, float16, with how they were made. Next: _mask_rcnn_loss.py, scenes.py.
Run: python -m vedette.export.training.mask_rcnn [--out FILE] [--threads N]; without --out it replaces the zoo's.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.progress import Progress
from torch import nn

from vedette.export.networks._mask_rcnn_network import MaskRCNN
from vedette.export.networks.mask_rcnn import MEAN, STD, network
from vedette.export.training._mask_rcnn_loss import WEIGHTS, Losses
from vedette.export.training._mask_rcnn_targets import Truth
from vedette.export.training._recipe import SEED, save
from vedette.export.training.scenes import SIZE, Scene, scene
from vedette.export.training.unet import recoloured
from vedette.runtime.frame import Array

TOLD_EVERY = 100  # steps
RECOLOURED = 0.5  # of the scenes
PREDICTORS = {"cls_logits", "bbox_pred", "cls_score", "mask_fcn_logits", "kps_score_lowres"}


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long and how fast: AdamW, a ramp up and a cosine down."""

    steps: int = 4000
    batch: int = 8
    rate: float = 2e-3
    warm_up: int = 200
    decay: float = 1e-2
    clip: float = 5.0  # of the gradient's norm

    def rate_at(self, step: int) -> float:
        down = 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * step / self.steps))
        return self.rate * min(1.0, (step + 1) / self.warm_up) * down


def train(schedule: Schedule = Schedule()) -> MaskRCNN:
    """A trained network, in eval mode."""
    torch.manual_seed(SEED)
    random = np.random.default_rng(SEED)
    trained = fresh(network()).train()
    losses = Losses(trained, (SIZE, SIZE))
    optimiser = torch.optim.AdamW(trained.parameters(), weight_decay=schedule.decay)
    with Progress(console=Console(stderr=True)) as progress:
        for step in progress.track(range(schedule.steps), description="mask_rcnn"):
            optimiser.param_groups[0]["lr"] = schedule.rate_at(step)
            told = _step(losses, optimiser, _batch(random, step, schedule.batch), clip=schedule.clip)
            if step % TOLD_EVERY == 0:
                progress.console.print(f"step {step} of {schedule.steps}: {told}")
    return trained.eval()


def fresh(module: MaskRCNN) -> MaskRCNN:
    """New weights: small ones for layers that predict, else as for layers before a ReLU.

    Source: He et al., Delving Deep into Rectifiers, ICCV 2015.
    """
    for name, layer in module.named_modules():
        if not isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            continue
        if name.rpartition(".")[2] in PREDICTORS:
            nn.init.normal_(layer.weight, std=0.01)
        else:
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
    return module


def _batch(random: np.random.Generator, step: int, size: int) -> list[Scene]:
    scenes = [scene(index, seed=SEED) for index in range(step * size, (step + 1) * size)]
    return [varied(random, one) for one in scenes]


def varied(random: np.random.Generator, one: Scene) -> Scene:
    """The same scene, or the same in other colours, because there are few photos to train with."""
    return replace(one, image=recoloured(random, one.image)) if random.random() < RECOLOURED else one


def _step(losses: Losses, optimiser: torch.optim.Optimizer, scenes: Sequence[Scene], *, clip: float) -> str:
    """One step of the optimiser; returns the losses as a line."""
    found = losses(images_of([one.image for one in scenes]), [truth_of(one) for one in scenes])
    optimiser.zero_grad()
    torch.autograd.backward(sum(WEIGHTS[name] * loss for name, loss in found.items()))
    nn.utils.clip_grad_norm_(losses.parameters(), clip)
    optimiser.step()
    return ", ".join(f"{name} {loss.item():.3f}" for name, loss in found.items())


def images_of(pictures: Sequence[Array]) -> torch.Tensor:
    """uint8 BGR [H, W, 3] each, as the network's input: float32 [N, 3, H, W], RGB, normalised."""
    stacked = np.stack(pictures)[..., ::-1].astype(np.float32) / 255
    normal = (stacked - np.array(MEAN, np.float32)) / np.array(STD, np.float32)
    return torch.from_numpy(np.ascontiguousarray(normal.transpose(0, 3, 1, 2)))


def truth_of(one: Scene) -> Truth:
    """What is true of a scene, as tensors."""
    return Truth(
        torch.from_numpy(one.boxes_xyxy),
        torch.from_numpy(one.class_ids),
        torch.from_numpy(one.masks.astype(np.float32)),
        torch.from_numpy(one.keypoints[..., :2]),
    )


def main() -> None:
    """Train."""
    zoo = Path(str(files("vedette").joinpath("export", "zoo", "mask_rcnn.safetensors")))
    defaults = Schedule()
    parser = argparse.ArgumentParser(description="Train our Mask R-CNN on digit scenes.")
    parser.add_argument("--out", type=Path, default=zoo, help="the .safetensors to write (the zoo's)")
    parser.add_argument("--steps", type=int, default=defaults.steps)
    parser.add_argument("--threads", type=int, default=1, help="of PyTorch; another number rounds otherwise")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    began = time.monotonic()
    schedule = Schedule(steps=asked.steps)
    asked.out.parent.mkdir(parents=True, exist_ok=True)  # now, not after the training
    save(train(schedule), asked.out, schedule)
    print(f"wrote {asked.out} in {time.monotonic() - began:.0f} s")  # noqa: T201


if __name__ == "__main__":
    main()
