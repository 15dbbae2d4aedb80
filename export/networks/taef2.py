"""TAEF2: a picture to the 32-channel latents of FLUX.2 and back, by a tiny network that was distilled from its VAE.

In: a picture, float32 [N, 3, H, W], RGB, 0 to 1, H and W multiples of 8.  Out: what is left of it, of that shape.
One graph of both ways, which shows what the pair is worth; Encoder and Decoder are modules for those who need one way.
No weights are in the box: `vedette export taef2 --weights taef2_encoder.pth`, with taef2_decoder.pth beside it.

Source: github.com/madebyollin/taesd (MIT; the layers, and the names and shapes of the weights).
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

from vedette.export.networks._generation import fitted
from vedette.export.weights import read
from vedette.runtime.errors import ModelError
from vedette.runtime.manifest import Decoder as Decoding
from vedette.runtime.manifest import Input, Manifest, Output, Resize

WIDTH, LATENTS, STEP = 64, 32, 8
HALVES = ("encoder", "decoder")
MOST = 3.0  # of a latent's absolute value, softly


class Block(nn.Module):
    """Three 3x3 convolutions around a skip; where the maps are smallest, a look at whole groups of channels before them."""

    def __init__(self, *, pooled: bool = False) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv2d(WIDTH, WIDTH, 3, padding=1), nn.ReLU(),
            nn.Conv2d(WIDTH, WIDTH, 3, padding=1), nn.ReLU(),
            nn.Conv2d(WIDTH, WIDTH, 3, padding=1),
        )  # fmt: skip
        self.pool: nn.Module | None = None
        if pooled:
            self.pool = nn.Sequential(
                nn.Conv2d(WIDTH, 4 * WIDTH, 1, bias=False), nn.GroupNorm(4, 4 * WIDTH), nn.ReLU(),
                nn.Conv2d(4 * WIDTH, WIDTH, 1, bias=False),
            )  # fmt: skip

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x if self.pool is None else x + self.pool(x)
        return functional.relu(self.conv(x) + x)


class Clamp(nn.Module):
    """Latents within -3 to 3."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x / MOST).tanh() * MOST


def _halving() -> nn.Module:
    return nn.Conv2d(WIDTH, WIDTH, 3, stride=2, padding=1, bias=False)


def _doubling() -> list[nn.Module]:
    return [nn.Upsample(scale_factor=2), nn.Conv2d(WIDTH, WIDTH, 3, padding=1, bias=False)]


def _blocks(*, pooled: bool = False) -> list[nn.Module]:
    return [Block(pooled=pooled) for _ in range(3)]


def encoder() -> nn.Sequential:
    """Picture [N, 3, H, W], 0 to 1, to latents [N, 32, H / 8, W / 8]."""
    return nn.Sequential(
        nn.Conv2d(3, WIDTH, 3, padding=1), Block(),
        _halving(), *_blocks(), _halving(), *_blocks(), _halving(), *_blocks(pooled=True),
        nn.Conv2d(WIDTH, LATENTS, 3, padding=1),
    )  # fmt: skip


def decoder() -> nn.Sequential:
    """And back."""
    return nn.Sequential(
        Clamp(), nn.Conv2d(LATENTS, WIDTH, 3, padding=1), nn.ReLU(), *_blocks(pooled=True),
        *_doubling(), *_blocks(), *_doubling(), *_blocks(), *_doubling(), Block(),
        nn.Conv2d(WIDTH, 3, 3, padding=1),
    )  # fmt: skip


class Both(nn.Module):
    """Picture to latents to picture."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder(), decoder()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        picture: torch.Tensor = self.decoder(self.encoder(images))
        return picture


def network() -> nn.Module:
    """Both ways with fresh weights."""
    return Both()


def card() -> Manifest:
    """What the runtime must know: RGB, 0 to 1, any size in steps of 8."""
    pixels = Input(
        "images", (-1, 3, -1, -1), minimum=(1, 3, 64, 64), typical=(1, 3, 512, 512), maximum=(4, 3, 2160, 3840),
        multiple_of=(1, 1, STEP, STEP), pixel_format="rgb", resize=Resize("letterbox"), scale=1 / 255,
    )  # fmt: skip
    return Manifest(
        "taef2", "image", (pixels,), (Output("picture", (-1, 3, -1, -1), role="picture"),), Decoding("image"),
        licence="MIT", provenance="github.com/madebyollin/taesd",
    )  # fmt: skip


def from_weights(path: Path) -> tuple[nn.Module, Manifest]:
    """Both ways, of either half's file with the other beside it, or of one file with encoder. and decoder. before the names.

    Raises:
        ModelError: a file is unreadable or not there, or a tensor is missing, unknown or of another shape.
    """
    state = read(path)
    if any(name.startswith(HALVES) for name in state):
        return fitted(Both(), state, path.name, "TAEF2"), card()
    both = Both()
    for half in HALVES:
        file = _half(path, half)
        fitted(getattr(both, half), read(file), file.name, f"TAEF2's {half}")
    return both.eval(), card()


def _half(path: Path, half: str) -> Path:
    """The file of a half, by the name of the other's.

    Raises:
        ModelError: the name is of neither, or the file is not there.
    """
    other = HALVES[1 - HALVES.index(half)]
    file = path if half in path.stem else path.with_name(path.name.replace(other, half))
    if half not in file.stem or not file.is_file():
        raise ModelError(
            f"{path.name} is one half of TAEF2 at most",
            why=f"there is no file of the {half} beside it",
            cure="put taef2_encoder.pth and taef2_decoder.pth into one folder, and name one of them",
        )
    return file
