"""Train our YOLOv2 on digit scenes, from scratch, the same every time.

In: nothing.  Out: the weights, float16, with how they were made. Next: _region_loss.py, scenes.py.
Run: python -m vedette.export.training.yolov2 [--out FILE] [--threads N]; without --out it replaces the zoo's.
`--anchors` finds the anchors instead, which ../networks/yolov2.py holds.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.progress import Progress
from torch import nn

from vedette.export.networks.yolov2 import ANCHORS, STRIDE, network
from vedette.export.training._recipe import SEED, save
from vedette.export.training._region_loss import region_loss, shape_iou, truth_of
from vedette.export.training.scenes import Scene, scene
from vedette.runtime.frame import Array

TOLD_EVERY = 200  # steps


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long and how fast: AdamW, a ramp up and a cosine down."""

    steps: int = 3600
    batch: int = 16
    rate: float = 4e-3
    warm_up: int = 100
    decay: float = 1e-3
    clip: float = 5.0  # of the gradient's norm

    def rate_at(self, step: int) -> float:
        down = 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * step / self.steps))
        return self.rate * min(1.0, (step + 1) / self.warm_up) * down


def anchors_of(sizes: Array, count: int, *, rounds: int = 200) -> Array:
    """k-means with 1 - IoU for a distance.

    Args:
        sizes: [N, 2] widths and heights, N of count or more.
        count: of anchors.
        rounds: at most.

    Returns:
        float64 [count, 2], smallest area first.

    Source: Redmon and Farhadi, YOLO9000, section 2, Dimension Clusters.
    """
    ranked = sizes[sizes.prod(axis=1).argsort(kind="stable")].astype(np.float64)
    anchors = np.stack([part.mean(axis=0) for part in np.array_split(ranked, count)])
    for _ in range(rounds):
        nearest = shape_iou(ranked, anchors).argmax(axis=1)
        members = [ranked[nearest == index] for index in range(count)]
        moved = np.stack([part.mean(axis=0) if len(part) else anchors[i] for i, part in enumerate(members)])
        if np.allclose(moved, anchors):
            break
        anchors = moved
    return np.asarray(anchors[anchors.prod(axis=1).argsort()])


def training_anchors(*, scenes: int = 2000) -> Array:
    """The anchors of training scenes in cells, float64 [A, 2]."""
    boxes = np.concatenate([scene(index, seed=SEED).boxes_xyxy for index in range(scenes)])
    return anchors_of((boxes[:, 2:] - boxes[:, :2]) / STRIDE, len(ANCHORS))


def train(schedule: Schedule = Schedule()) -> nn.Module:
    """A trained network, in eval mode."""
    torch.manual_seed(SEED)
    module = network().train()
    optimiser = torch.optim.AdamW(module.parameters(), weight_decay=schedule.decay)
    with Progress(console=Console(stderr=True)) as progress:
        for step in progress.track(range(schedule.steps), description="yolov2"):
            optimiser.param_groups[0]["lr"] = schedule.rate_at(step)
            loss = _step(module, optimiser, _batch(step, schedule.batch), clip=schedule.clip)
            if step % TOLD_EVERY == 0:
                progress.console.print(f"step {step} of {schedule.steps}: loss {loss:.3f}")
    return module.eval()


def _batch(step: int, size: int) -> list[Scene]:
    return [scene(index, seed=SEED) for index in range(step * size, (step + 1) * size)]


def _step(
    module: nn.Module, optimiser: torch.optim.Optimizer, scenes: Sequence[Scene], *, clip: float
) -> float:
    """One step of the optimiser; returns the loss."""
    loss = region_loss(module(images_of(scenes)), truth_of(scenes))
    optimiser.zero_grad()
    torch.autograd.backward(loss)
    nn.utils.clip_grad_norm_(module.parameters(), clip)
    optimiser.step()
    return loss.item()


def images_of(scenes: Sequence[Scene]) -> torch.Tensor:
    """The network's input: float32 [N, 3, H, W], BGR, 0..1."""
    stacked = np.stack([one.image for one in scenes]).transpose(0, 3, 1, 2)
    return torch.from_numpy(stacked.astype(np.float32) / 255)


def main() -> None:
    """Train, or find the anchors."""
    zoo = Path(str(files("vedette").joinpath("export", "zoo", "yolov2.safetensors")))
    parser = argparse.ArgumentParser(description="Train our YOLOv2 on digit scenes.")
    parser.add_argument("--out", type=Path, default=zoo, help="the .safetensors to write (the zoo's)")
    parser.add_argument("--threads", type=int, default=1, help="of PyTorch; another number rounds otherwise")
    parser.add_argument("--anchors", action="store_true", help="find the anchors instead")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    if asked.anchors:
        print(training_anchors().round(2).tolist())  # noqa: T201
        return
    began = time.monotonic()
    schedule = Schedule()
    asked.out.parent.mkdir(parents=True, exist_ok=True)  # now, not after the training
    save(train(schedule), asked.out, schedule)
    print(f"wrote {asked.out} in {time.monotonic() - began:.0f} s")  # noqa: T201


if __name__ == "__main__":
    main()
