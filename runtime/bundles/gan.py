"""GAN: a point of a normal distribution to a picture, by one graph.

Source: Goodfellow et al., Generative adversarial nets, 2014; Radford et al., DCGAN, 2016.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vedette.runtime.bundle import Loaded
from vedette.runtime.bundles._generator import (
    Graph,
    Pixels,
    Progress,
    graphs_of,
    no_defaults,
    no_runner,
    only_size,
    seeds_of,
)
from vedette.runtime.diffusion.sampling import Noise
from vedette.runtime.engine import Engine
from vedette.runtime.frame import Array
from vedette.runtime.manifest import STRICT
from vedette.runtime.preprocess import Size
from vedette.runtime.request import COUNT, Images, Request, refuse
from vedette.runtime.runner import Runner
from vedette.runtime.tasks import Config

PARTS = {"generator": ({"latents": 2}, {"images": 4})}
defaults = no_defaults


@dataclass(frozen=True, slots=True)
class Parameters:
    """What bundle.json says."""

    __pydantic_config__ = STRICT
    latents: int
    channels: int
    size: Size
    black: float = -1.0
    white: float = 1.0

    def __post_init__(self) -> None:
        self.pixels()
        if not 1 <= self.latents <= 65536:
            raise ValueError("latents are 1 to 65536")

    def pixels(self) -> Pixels:
        return Pixels.of(self.channels, self.size, self.black, self.white)


def runner_of(
    loaded: Loaded, engines: Mapping[str, Engine], config: Config, *, imgsz: Size | None = None
) -> Runner:
    """There is none: see no_runner."""
    return no_runner(loaded)


def parts_of(loaded: Loaded, engines: Mapping[str, Engine]) -> dict[str, Graph]:
    """The generator, checked."""
    return graphs_of(loaded, engines, PARTS)


def settled(name: str, parameters: Parameters, request: Request, images: Images) -> Request:
    """Refuse what a GAN has no use for."""
    unused = ("prompt", "steps", "sampler", "guidance", "strength", "init", "to")
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
