"""Trains the zoo's U-Net on digit scenes and stores it: `python -m vedette.export.training.unet`, 21 minutes of one core.

In: scenes.py's train split, drawn as it goes, so that no picture comes twice.  Out: ../zoo/unet.safetensors, float16, and the
mean intersection over union on held-out scenes.  Next: ../networks/unet.py.
"""

from __future__ import annotations

import argparse
import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from vedette.export.networks.unet import LABELS, UNet
from vedette.export.training._recipe import save
from vedette.export.training.scenes import scene
from vedette.runtime.frame import Array

log = logging.getLogger(__name__)
ZOO = Path(__file__).parents[1] / "zoo"


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long and how fast.

    Attributes:
        steps: of the optimiser.
        batch: scenes a step.
        rate: the highest learning rate, after `warm_up` steps; from there it falls to 0 along a cosine.
        seed: of the weights and the scenes.
    """

    steps: int = 5000
    batch: int = 8
    rate: float = 3e-3
    warm_up: int = 100
    seed: int = 0


def train(schedule: Schedule = Schedule()) -> UNet:
    """A trained network, in eval mode."""
    torch.manual_seed(schedule.seed)
    network = UNet().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimiser = torch.optim.AdamW(network.parameters(), lr=schedule.rate, weight_decay=1e-3, fused=True)
    rates = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: rate_at(step, schedule))
    network.train()
    for step, (pictures, labels) in enumerate(batches(schedule), start=1):
        with torch.autocast("cpu", torch.bfloat16):  # 1.6 times as fast where the processor has it
            logits = network(pictures)
        loss = loss_of(logits.float(), labels)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimiser.step()
        rates.step()
        if step % 100 == 0:
            log.info("step %d of %d, loss %.3f", step, schedule.steps, loss.item())
    trained: UNet = network.eval()
    return trained


def rate_at(step: int, schedule: Schedule) -> float:
    """The share of the highest learning rate: a straight line up, half a cosine down."""
    falling = 0.5 * (1 + math.cos(math.pi * min(1.0, step / schedule.steps)))
    return min(1.0, (step + 1) / schedule.warm_up) * falling


def batches(schedule: Schedule) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Pictures float32 [N, 3, H, W] and labels int64 [N, H, W], a pair a step."""
    random = np.random.default_rng(schedule.seed)
    for step in range(schedule.steps):
        indices = range(step * schedule.batch, (step + 1) * schedule.batch)
        scenes = [varied(random, *example(index, seed=schedule.seed)) for index in indices]
        yield (
            stacked([image for image, _ in scenes]),
            torch.from_numpy(np.stack([map_ for _, map_ in scenes])),
        )


def example(index: int, *, seed: int, split: str = "train") -> tuple[Array, Array]:
    """One scene: uint8 [H, W, 3] RGB and int64 [H, W]."""
    made = scene(index, seed=seed, split=split)
    return made.image[..., ::-1], made.labels.astype(np.int64)


def varied(random: np.random.Generator, image: Array, labels: Array) -> tuple[Array, Array]:
    """The same scene seen another way, because there are few photos to train with, and most of them are grey."""
    if random.random() < 0.7:
        image = recoloured(random, image)
    if random.random() < 0.3:
        image, labels = image[:, ::-1], labels[:, ::-1]
    return image, np.ascontiguousarray(labels)


def recoloured(random: np.random.Generator, image: Array) -> Array:
    """Channels mixed at random, some more and some less bright: grey becomes any colour."""
    mixture = np.eye(3)[random.permutation(3)] + random.normal(0, 0.3, (3, 3))
    shifted = (image - 128.0) @ mixture.T + 128 + random.normal(0, 25, 3)
    return np.clip(np.rint(shifted), 0, 255).astype(np.uint8)


def stacked(images: list[Array]) -> torch.Tensor:
    """uint8 [H, W, 3] each, as the network's input [N, 3, H, W], 0..1, its channels last in memory."""
    whole = torch.from_numpy(np.stack(images).astype(np.float32) / np.float32(255))
    return whole.permute(0, 3, 1, 2)


def loss_of(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Cross entropy, and what is missing from the overlap of each class, because the small ones count as much (soft Jaccard)."""
    probabilities = logits.softmax(dim=1)
    truth = functional.one_hot(labels, logits.shape[1]).permute(0, 3, 1, 2).float()
    shared = (probabilities * truth).sum(dim=(0, 2, 3))
    united = (probabilities + truth).sum(dim=(0, 2, 3)) - shared
    overlap = (shared + 1) / (united + 1)
    return functional.cross_entropy(logits, labels) + 1 - overlap.mean()


def mean_iou(network: torch.nn.Module, *, count: int, seed: int, split: str = "val") -> dict[str, float]:
    """Intersection over union of every class over all pixels of some scenes, and under "mean" their mean."""
    classes = len(LABELS)
    confusion = np.zeros((classes, classes), np.int64)  # [truth, found]
    for index in range(count):
        image, labels = example(index, seed=seed, split=split)
        with torch.inference_mode():
            found = network(stacked([image])).argmax(dim=1)[0].numpy()
        confusion += np.bincount((labels * classes + found).ravel(), minlength=classes**2).reshape(
            classes, classes
        )
    shared = confusion.diagonal()
    overlap = shared / np.maximum(confusion.sum(axis=0) + confusion.sum(axis=1) - shared, 1)
    return {"mean": float(overlap.mean()), **dict(zip(LABELS, overlap.tolist(), strict=True))}


def main() -> None:
    """Train as the command line says."""
    defaults = Schedule()
    parser = argparse.ArgumentParser(description="Train the U-Net of the zoo on digit scenes.")
    parser.add_argument("--out", type=Path, default=ZOO, help="the folder for unet.safetensors")
    parser.add_argument("--steps", type=int, default=defaults.steps)
    parser.add_argument("--seed", type=int, default=defaults.seed)
    parser.add_argument("--threads", type=int, default=1)
    asked = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(asked.threads)
    asked.out.mkdir(parents=True, exist_ok=True)  # now, not after the training
    schedule = Schedule(steps=asked.steps, seed=asked.seed)
    network, path = train(schedule), asked.out / "unet.safetensors"
    save(network, path, schedule)
    log.info("%s: %d bytes", path.name, path.stat().st_size)
    log.info("IoU on held-out scenes: %s", mean_iou(network, count=200, seed=1))


if __name__ == "__main__":
    main()
