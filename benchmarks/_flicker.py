"""How much a network's video flickers: what changes from frame to frame, by what changes in the input.

In: a clip, and a folder of weights or none (the zoo's).  Out: a ratio a direction; 1 is as much as the input.
Change is the mean absolute difference of two frames that follow each other, in standard deviations of the pixels of its own
video: at the same contrast, that is, since a drawing has more of it than a photo.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch

from vedette.export.networks import cyclegan
from vedette.export.weights import load_weights
from vedette.runtime.frame import Array

FRAMES = 48
WIDTH = 480
STEP = 4
DIRECTIONS = ("cyclegan", "cyclegan_back")


def flicker_of(clip: Path, weights: Path | None = None) -> dict[str, float]:
    """By direction."""
    frames = frames_of(clip)
    zoo = Path(__file__).parents[1] / "export" / "zoo"
    ratios = {}
    for name in DIRECTIONS:
        network = cyclegan.network()
        load_weights(network, (weights or zoo) / f"{name}.safetensors")
        made = [translated(network.eval(), frame) for frame in frames]
        ratios[name] = change(made) / change(frames)
    return ratios


def frames_of(clip: Path) -> list[Array]:
    """The first frames, uint8 BGR, WIDTH wide, sides in steps of 4."""
    video = cv2.VideoCapture(str(clip))
    found = [frame for good, frame in (video.read() for _ in range(FRAMES)) if good]
    height = round(WIDTH * found[0].shape[0] / found[0].shape[1] / STEP) * STEP
    return [cv2.resize(frame, (WIDTH, height), interpolation=cv2.INTER_AREA) for frame in found]


def translated(network: torch.nn.Module, frame: Array) -> Array:
    """A frame, uint8 BGR [H, W, 3], by a generator of RGB pictures in -1 to 1."""
    rgb = np.ascontiguousarray(frame[..., ::-1].transpose(2, 0, 1)[None]).astype(np.float32)
    with torch.inference_mode():
        picture = network(torch.from_numpy(rgb / np.float32(127.5) - 1))[0].numpy()
    levels = ((picture + 1) * 127.5).clip(0, 255).round().astype(np.uint8)
    return np.ascontiguousarray(levels.transpose(1, 2, 0)[..., ::-1])


def change(frames: Sequence[Array]) -> float:
    """Mean absolute difference of frames that follow each other, in standard deviations of all pixels."""
    values = np.stack(frames).astype(np.float32)
    return float(np.abs(np.diff(values, axis=0)).mean() / values.std())
