"""VAE: a picture to a place in a latent space, and any place there to a picture; a bundle of two graphs.

In: encoder: images float32 [N, 1, H, W], 0 to 1. Out: mean and log_variance [N, L]. In: decoder: latents [N, L], from a unit
normal distribution, or of the encoder. Out: images [N, 1, H, W], 0 to 1.
Ours (32 x 32) is trained by ../training/vae.py; the 784-400-20-400-784 of github.com/csinva/gan-vae-pretrained-pytorch, for
MNIST, loads by its names; which it is follows from the weights.  Next: _vae_parts.py (the modules), ../bundle.py.

Source: Kingma and Welling, Auto-Encoding Variational Bayes, ICLR 2014.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from vedette.export.networks._generation import (
    DIGITS,
    About,
    bundle,
    fitted,
    graph,
    images,
    only_size,
    picture,
    tensor,
)
from vedette.export.networks._vae_parts import VAE, Dense, DenseDecoder, DenseEncoder, Drawing, Seeing
from vedette.export.networks._whole import Graph, Tensors, Whole
from vedette.export.weights import read
from vedette.runtime.manifest import Output
from vedette.runtime.preprocess import Size

OURS = About(
    "Apache-2.0",
    DIGITS,
    "an MNIST classifier is sure of 91 % of its digits (97 % of real ones), all ten occur",
)


def network() -> VAE:
    """Our VAE with fresh weights."""
    return VAE()


def whole(weights: Path | None = None, imgsz: Size | None = None) -> Whole:
    """The VAE of a file of weights, or ours with fresh ones.

    Raises:
        ModelError: the file is unreadable, or a tensor is missing, unknown or of another shape.
        UsageError: another size than the weights'.
    """
    state = read(weights) if weights else {}
    origin = weights.name if weights else ""
    if "fc1.weight" in state:
        dense = fitted(Dense(), state, origin, "a VAE of 784-400-20-400-784")
        about = About(provenance=f"weights of {origin}")
        return _whole(DenseEncoder(dense), DenseDecoder(dense), Dense.latents, Dense.side, about, imgsz)
    ours = fitted(VAE(), state, origin, "our VAE") if weights else VAE().eval()
    return _whole(Seeing(ours), Drawing(ours), VAE.latents, VAE.side, OURS, imgsz)


def _whole(
    encoder: nn.Module, decoder: nn.Module, count: int, side: int, about: About, imgsz: Size | None
) -> Whole:
    size = side, side
    only_size("vae", size, imgsz)
    places = tuple(Output(name, (-1, count), role=name) for name in ("mean", "log_variance"))
    graphs: dict[str, Graph] = {
        "encoder": graph(encoder, "vae_encoder", (picture(1, size),), places, about),
        "decoder": graph(decoder, "vae_decoder", (tensor("latents", count),), (images(1, size),), about),
    }
    parameters = {"latents": count, "channels": 1, "size": list(size), "black": 0.0, "white": 1.0}

    def feeds(pictures: torch.Tensor) -> Mapping[str, Tensors]:
        with torch.inference_mode():
            mean, _ = encoder(pictures)
        return {"encoder": (pictures,), "decoder": (mean,)}

    return Whole(bundle("vae", parameters, about), graphs, feeds)
