"""VAE: a point of a normal distribution to a picture, and a picture to such points, by two graphs.

Without pictures, points of the whole distribution. From --init alone, points around it, as its encoder says (reparameterised);
from --init to --to, points on the line between the two.

Source: Kingma and Welling, Auto-encoding variational Bayes, 2014.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vedette.runtime.bundles._generator import LATENT, PROMPTED, Drawn, Pixels, Progress, only_size, seeds_of
from vedette.runtime.bundles._graphs import Graph, Wanted
from vedette.runtime.diffusion.sampling import Noise
from vedette.runtime.errors import UsageError
from vedette.runtime.frame import Array
from vedette.runtime.request import COUNT, Images, Request, refuse

PARTS: Wanted = {
    "encoder": ({"images": 4}, {"mean": 2, "log_variance": 2}),
    "decoder": ({"latents": 2}, {"images": 4}),
}
MOST_LOG_VARIANCE = 30.0  # e^15 is beyond any picture, and no infinity


@dataclass(frozen=True, slots=True)
class Parameters(Drawn):
    """What bundle.json says."""

    black: float = 0.0


def settled(name: str, parameters: Parameters, request: Request, images: Images) -> Request:
    """Refuse what a VAE has no use for."""
    unused = (*PROMPTED, *LATENT, "steps", "sampler", "eta", "strength")
    refuse(name, request, images, unused, "a VAE draws in one step")
    only_size(name, parameters.size, request)
    if images.to is not None and images.init is None:
        raise UsageError(
            "--to needs --init", why="pictures are drawn from one to the other", cure="--init A.png --to B.png"
        )  # fmt: skip
    return request.filled(count=COUNT)


def generate(
    graphs: Mapping[str, Graph],
    parameters: Parameters,
    request: Request,
    images: Images,
    places: Sequence[int],
    progress: Progress,
) -> Array:
    """float32 [n, C, H, W]."""
    latents = _latents(graphs["encoder"], parameters, request, images, places)
    drawn = graphs["decoder"].finite(latents=latents)["images"]
    progress(1, 1)
    return drawn


def _latents(
    encoder: Graph, parameters: Parameters, request: Request, images: Images, places: Sequence[int]
) -> Array:
    """float32 [n, latents]."""
    if images.init is None:
        return Noise(seeds_of(request, places))((parameters.latents,))
    mean, spread = _encoded(encoder, parameters.pixels(), images.init)
    if images.to is None:
        around: Array = mean + spread * Noise(seeds_of(request, places))((parameters.latents,))
        return around
    end, _ = _encoded(encoder, parameters.pixels(), images.to)
    last = max((request.count or 1) - 1, 1)
    shares = (np.array(places, np.float32) / np.float32(last))[:, None]
    between: Array = mean + shares * (end - mean)
    return between


def _encoded(encoder: Graph, pixels: Pixels, image: Array) -> tuple[Array, Array]:
    """Mean and standard deviation, float32 [1, latents]."""
    found = encoder.finite(images=pixels.to_values(image)[None])
    spread: Array = np.exp(found["log_variance"].clip(max=MOST_LOG_VARIANCE) / 2)
    return found["mean"], spread
