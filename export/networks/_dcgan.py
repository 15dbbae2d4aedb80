"""The generator of gan.py: noise in, a picture out; and the discriminator that it learns from, which is not exported.

In: latents float32 [N, 64], from a unit normal distribution.  Out: pictures float32 [N, 1, 32, 32] in -1 to 1.
Source: Radford et al., Unsupervised Representation Learning with Deep Convolutional GANs, ICLR 2016.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

LATENTS = 64
SIDE = 32
WIDTHS = (192, 96, 48)  # channels at 4, 8 and 16 pixels


class Generator(nn.Module):
    """Four transposed convolutions with batch norm between them, then a tanh."""

    def __init__(self) -> None:
        super().__init__()
        first, second, third = WIDTHS
        self.conv1 = nn.ConvTranspose2d(LATENTS, first, 4, bias=False)
        self.norm1 = nn.BatchNorm2d(first)
        self.conv2 = nn.ConvTranspose2d(first, second, 4, stride=2, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(second)
        self.conv3 = nn.ConvTranspose2d(second, third, 4, stride=2, padding=1, bias=False)
        self.norm3 = nn.BatchNorm2d(third)
        self.conv4 = nn.ConvTranspose2d(third, 1, 4, stride=2, padding=1)

    def forward(self, latents: torch.Tensor) -> torch.Tensor:
        x = functional.relu(self.norm1(self.conv1(latents[:, :, None, None])))  # [N, 192, 4, 4]
        x = functional.relu(self.norm2(self.conv2(x)))
        x = functional.relu(self.norm3(self.conv3(x)))
        picture: torch.Tensor = self.conv4(x).tanh()
        return picture


class Discriminator(nn.Module):
    """Strided convolutions to one number a picture, high for real ones; spectral norm keeps its slope small.

    The spread of each feature over the batch is one more feature, so that a generator that always draws the same is found.
    Sources: Miyato et al., Spectral Normalization, ICLR 2018; Karras et al., Progressive Growing, ICLR 2018, section 3.
    """

    def __init__(self) -> None:
        super().__init__()
        third, second, first = 64, 96, 128
        normed = nn.utils.parametrizations.spectral_norm
        self.conv1 = normed(nn.Conv2d(1, third, 4, stride=2, padding=1))
        self.conv2 = normed(nn.Conv2d(third, second, 4, stride=2, padding=1))
        self.conv3 = normed(nn.Conv2d(second, first, 4, stride=2, padding=1))
        self.exit = normed(nn.Linear((first + 1) * 16, 1))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = functional.leaky_relu(self.conv1(images), 0.2)
        x = functional.leaky_relu(self.conv2(x), 0.2)
        x = functional.leaky_relu(self.conv3(x), 0.2)
        spread = (x.var(dim=0, unbiased=False) + 1e-6).sqrt().mean()
        x = torch.cat([x, spread.expand(len(x), 1, *x.shape[2:])], dim=1)
        score: torch.Tensor = self.exit(x.flatten(1))[:, 0]
        return score
