"""Is a drawn picture a digit?  An independent classifier's answer, and how far it is from what the generator learnt from.

In: pictures float32 [N, H, W], 0 (black) to 1.  Out: the classifier's confidence and digit; distances.
The classifier is a LeNet for MNIST (99.1 % on its test set) from github.com/csinva/gan-vae-pretrained-pytorch, which lies beside
the checkout, ../shared/data/mnist_vae_gan; it has seen neither scikit-learn's digits nor these networks.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import nn
from torch.nn import functional

from vedette.runtime.frame import Array

WEIGHTS = Path(__file__).parents[2] / "shared/data/mnist_vae_gan/lenet_epoch=12_test_acc=0.991.pth"
SURE = 0.9
INK = 0.2  # what is darker is paper
BOX, SIDE = 20, 28  # of MNIST: a digit's longer side, and the picture's
MEAN, STD = 0.1307, 0.3081  # of MNIST's pixels, which the classifier was trained with


class LeNet(nn.Module):
    """Digits of 32 x 32, normalised, to probabilities [N, 10]. Source: LeCun et al., Gradient-based learning, 1998."""

    def __init__(self) -> None:
        super().__init__()
        self.convnet = nn.ModuleDict(
            {"c1": nn.Conv2d(1, 6, 5), "c3": nn.Conv2d(6, 16, 5), "c5": nn.Conv2d(16, 120, 5)}
        )
        self.fc = nn.ModuleDict({"f6": nn.Linear(120, 84), "f7": nn.Linear(84, 10)})

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = functional.max_pool2d(self.convnet["c1"](x).relu(), 2)
        x = functional.max_pool2d(self.convnet["c3"](x).relu(), 2)
        x = self.convnet["c5"](x).relu().flatten(1)
        probabilities: torch.Tensor = self.fc["f7"](self.fc["f6"](x).relu()).softmax(dim=1)
        return probabilities


def classified(pictures: Array) -> tuple[Array, Array]:
    """The classifier's confidence, float32 [N], and which digit it sees, int64 [N]."""
    network = LeNet()
    network.load_state_dict(torch.load(WEIGHTS, map_location="cpu", weights_only=True))
    small = torch.from_numpy(np.stack([as_mnist(picture) for picture in pictures]))[:, None]
    seen = functional.interpolate((small - MEAN) / STD, (32, 32), mode="bilinear")
    with torch.inference_mode():
        confidence, digits = network.eval()(seen).max(dim=1)
    return confidence.numpy(), digits.numpy()


def as_mnist(picture: Array) -> Array:
    """A digit as MNIST has it, float32 [28, 28]: its longer side is 20 pixels, its centre of mass in the middle.

    Source: LeCun and Cortes, The MNIST database (how its pictures were made).
    """
    rows, columns = np.nonzero(picture > INK)
    made = np.zeros((SIDE, SIDE), np.float32)
    if len(rows) == 0:
        return made
    cut = picture[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1].astype(np.float32)
    scale = BOX / max(cut.shape)
    size = max(1, round(cut.shape[1] * scale)), max(1, round(cut.shape[0] * scale))
    scaled: Any = cv2.resize(cut, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    top, left = (_start(scaled.sum(axis=axis)) for axis in (1, 0))
    made[top : top + size[1], left : left + size[0]] = scaled
    return made


def _start(weights: Array) -> int:
    """Where a row or column begins so that the centre of its weights is in the middle, if it fits."""
    centre = (weights * np.arange(len(weights))).sum() / weights.sum()
    return int(np.clip(round(SIDE / 2 - 0.5 - centre), 0, SIDE - len(weights)))


def nearest(pictures: Array, learnt: Array) -> Array:
    """The Euclidean distance of each picture to the nearest one of those that were learnt from, float32 [N]."""
    ours, theirs = (torch.from_numpy(each.reshape(len(each), -1)) for each in (pictures, learnt))
    return torch.cdist(ours, theirs).min(dim=1).values.numpy()
