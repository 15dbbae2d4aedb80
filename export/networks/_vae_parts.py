"""The two ways of vae.py: a picture to where it may lie in the latent space, and a place there to a picture.

In and out: pictures float32 [N, C, H, W] in 0 to 1; mean, log_variance and latents float32 [N, L].  Next: _flow.py.
Sources: Kingma and Welling, Auto-Encoding Variational Bayes, ICLR 2014; github.com/csinva/gan-vae-pretrained-pytorch (the
names and shapes of the weights of a VAE for MNIST).
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from vedette.export.networks._flow import Flow

LATENTS = 16
SIDE = 32
WIDTHS = (32, 64, 96)  # channels at 16, 8 and 4 pixels


class Encoder(nn.Module):
    """Three convolutions, each to half the size, and a linear layer each for mean and log variance."""

    def __init__(self) -> None:
        super().__init__()
        first, second, third = WIDTHS
        self.conv1 = nn.Conv2d(1, first, 4, stride=2, padding=1)
        self.conv2 = nn.Conv2d(first, second, 4, stride=2, padding=1)
        self.conv3 = nn.Conv2d(second, third, 4, stride=2, padding=1)
        self.mean = nn.Linear(third * (SIDE // 8) ** 2, LATENTS)
        self.log_variance = nn.Linear(third * (SIDE // 8) ** 2, LATENTS)

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = functional.silu(self.conv1(images))
        x = functional.silu(self.conv2(x))
        x = functional.silu(self.conv3(x)).flatten(1)
        return self.mean(x), self.log_variance(x)


class Decoder(nn.Module):
    """The encoder backwards; `logits` are what a sigmoid makes the picture of."""

    def __init__(self) -> None:
        super().__init__()
        first, second, third = WIDTHS
        self.entry = nn.Linear(LATENTS, third * (SIDE // 8) ** 2)
        self.conv3 = nn.ConvTranspose2d(third, second, 4, stride=2, padding=1)
        self.conv2 = nn.ConvTranspose2d(second, first, 4, stride=2, padding=1)
        self.conv1 = nn.ConvTranspose2d(first, first, 4, stride=2, padding=1)
        self.exit = nn.Conv2d(first, 1, 3, padding=1)

    def logits(self, latents: torch.Tensor) -> torch.Tensor:
        x = functional.silu(self.entry(latents)).reshape(-1, WIDTHS[-1], SIDE // 8, SIDE // 8)
        x = functional.silu(self.conv3(x))
        x = functional.silu(self.conv2(x))
        x = functional.silu(self.conv1(x))
        logits: torch.Tensor = self.exit(x)
        return logits

    def forward(self, latents: torch.Tensor) -> torch.Tensor:
        return self.logits(latents).sigmoid()


class VAE(nn.Module):
    """Our convolutional VAE for digits of 32 x 32, and the flow between a unit normal distribution and its latents.

    The latents of all digits together are not quite such a distribution: between two digits there is room that no picture
    goes to, and what is drawn from there is neither. The flow leaves that room out.
    """

    latents, side = LATENTS, SIDE

    def __init__(self) -> None:
        super().__init__()
        self.encoder = Encoder()
        self.decoder = Decoder()
        self.flow = Flow(LATENTS)


class Seeing(nn.Module):
    """Its way to the latents, as the flow sees them from its other end; a variance is that of one number by itself."""

    def __init__(self, whole: VAE) -> None:
        super().__init__()
        self.encoder, self.flow = whole.encoder, whole.flow

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        mean, log_variance = self.encoder(images)
        mean, log_spread = self.flow.back(mean, 0.5 * log_variance)
        return mean, 2 * log_spread


class Drawing(nn.Module):
    """And back."""

    def __init__(self, whole: VAE) -> None:
        super().__init__()
        self.flow, self.decoder = whole.flow, whole.decoder

    def forward(self, latents: torch.Tensor) -> torch.Tensor:
        images: torch.Tensor = self.decoder(self.flow(latents))
        return images


class Dense(nn.Module):
    """784-400-20-400-784 for MNIST's 28 x 28: linear layers only, by the names of its author."""

    latents, side = 20, 28

    def __init__(self) -> None:
        super().__init__()
        self.fc1 = nn.Linear(784, 400)
        self.fc21 = nn.Linear(400, 20)
        self.fc22 = nn.Linear(400, 20)
        self.fc3 = nn.Linear(20, 400)
        self.fc4 = nn.Linear(400, 784)


class DenseEncoder(nn.Module):
    """Its way to the latents."""

    def __init__(self, whole: Dense) -> None:
        super().__init__()
        self.fc1, self.mean, self.log_variance = whole.fc1, whole.fc21, whole.fc22

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        hidden = self.fc1(images.flatten(1)).relu()
        return self.mean(hidden), self.log_variance(hidden)


class DenseDecoder(nn.Module):
    """And back."""

    def __init__(self, whole: Dense) -> None:
        super().__init__()
        self.fc3, self.fc4 = whole.fc3, whole.fc4

    def forward(self, latents: torch.Tensor) -> torch.Tensor:
        pixels: torch.Tensor = self.fc4(self.fc3(latents).relu()).sigmoid()
        return pixels.reshape(-1, 1, 28, 28)
