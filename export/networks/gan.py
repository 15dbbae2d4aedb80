"""GAN: noise to a picture; a bundle of one graph, the generator of a DCGAN.

In: latents float32 [N, 64], from a unit normal distribution.  Out: images float32 [N, 1, 32, 32], -1 to 1.
Trained by ../training/gan.py.  Next: _dcgan.py (the modules), ../bundle.py.

Sources: Goodfellow et al., Generative Adversarial Nets, NeurIPS 2014; Radford et al., DCGAN, ICLR 2016.
"""

from __future__ import annotations

from pathlib import Path

from vedette.export.networks._dcgan import LATENTS, SIDE, Generator
from vedette.export.networks._generation import (
    DIGITS,
    About,
    bundle,
    fitted,
    graph,
    images,
    only_size,
    tensor,
)
from vedette.export.networks._whole import Whole
from vedette.export.weights import read
from vedette.runtime.preprocess import Size

OURS = About(
    "Apache-2.0",
    DIGITS,
    "an MNIST classifier is sure of 86 % of its digits (97 % of real ones), all ten occur",
)


def network() -> Generator:
    """Our generator with fresh weights."""
    return Generator()


def whole(weights: Path | None = None, imgsz: Size | None = None) -> Whole:
    """Our generator with a file's weights, or fresh ones.

    Raises:
        ModelError: the file is unreadable, or a tensor is missing, unknown or of another shape.
        UsageError: another size than the weights'.
    """
    size = SIDE, SIDE
    only_size("gan", size, imgsz)
    module = network()
    if weights:
        module = fitted(module, read(weights), weights.name, "our GAN's generator")
    generator = graph(module, "gan_generator", (tensor("latents", LATENTS),), (images(1, size),), OURS)
    parameters = {"latents": LATENTS, "channels": 1, "size": list(size), "black": -1.0, "white": 1.0}
    return Whole(
        bundle("gan", parameters, OURS), {"generator": generator}, lambda latents: {"generator": (latents,)}
    )
