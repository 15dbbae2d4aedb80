"""GAN: a point of a normal distribution to a picture, by one graph.

Source: Goodfellow et al., Generative adversarial nets, 2014; Radford et al., DCGAN, 2016.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vedette.runtime.bundles._generator import LATENT, PROMPTED, Drawn, Progress, only_size, seeds_of
from vedette.runtime.bundles._graphs import Graph, Wanted
from vedette.runtime.diffusion.sampling import Noise
from vedette.runtime.frame import Array
from vedette.runtime.request import COUNT, Images, Request, refuse

PARTS: Wanted = {"generator": ({"latents": 2}, {"images": 4})}


@dataclass(frozen=True, slots=True)
class Parameters(Drawn):
    """What bundle.json says."""

    black: float = -1.0


def settled(name: str, parameters: Parameters, request: Request, images: Images) -> Request:
    """Refuse what a GAN has no use for."""
    unused = (*PROMPTED, *LATENT, "steps", "sampler", "eta", "strength", "init", "to")
    refuse(name, request, images, unused, "a GAN draws in one step, from random numbers alone")
    only_size(name, parameters.size, request)
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
    latents = Noise(seeds_of(request, places))((parameters.latents,))
    drawn = graphs["generator"].finite(latents=latents)["images"]
    progress(1, 1)
    return drawn
