"""DDPM: noise to a picture in steps, by one graph that is told how much noise there is.

With --init, the picture with noise of the level where the last --strength of the steps begins.
Next: ../diffusion.  Source: Ho et al., Denoising diffusion probabilistic models, 2020; Meng et al., SDEdit, 2022, for --init.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from vedette.runtime.bundles._generator import LATENT, PROMPTED, Pixels, Progress, only_size, seeds_of
from vedette.runtime.bundles._graphs import Graph, Wanted
from vedette.runtime.diffusion.levels import Rule, Spacing
from vedette.runtime.diffusion.plans import Plan, Trained, canonical, plan
from vedette.runtime.diffusion.sampling import Limits, Noise, begun, sample
from vedette.runtime.diffusion.schedules import Name, Schedule
from vedette.runtime.diffusion.updates import Prediction
from vedette.runtime.errors import UsageError
from vedette.runtime.frame import Array
from vedette.runtime.preprocess import Size
from vedette.runtime.request import COUNT, Images, Request, refuse

PARTS: Wanted = {"denoiser": ({"sample": 4, "timestep": 1}, {"prediction": 4})}
STRENGTH = 0.8


@dataclass(frozen=True, slots=True)
class Parameters:
    """What bundle.json says."""

    channels: int
    size: Size
    black: float = -1.0
    white: float = 1.0
    schedule: Name = "linear"
    beta_start: float = 1e-4
    beta_end: float = 0.02
    train_steps: int = 1000
    zero_terminal_snr: bool = False
    prediction: Prediction = "epsilon"
    clip: bool = True  # denoised pictures to black and white
    spacing: Rule = "trailing"
    sampler: str = "ddim"  # where the user names none
    steps: int = 50

    def __post_init__(self) -> None:
        self.pixels()
        if self.zero_terminal_snr and self.prediction == "epsilon":
            raise ValueError(
                "a level without signal tells nothing of the picture by its noise: predict v or sample"
            )
        try:
            plan(self.sampler, self.trained(), self.steps)
        except UsageError as error:
            raise ValueError(f"{error.what}: {error.why}") from None

    def pixels(self) -> Pixels:
        return Pixels.of(self.channels, self.size, self.black, self.white)

    def trained(self) -> Trained:
        schedule = Schedule(
            self.schedule, self.beta_start, self.beta_end, self.train_steps, self.zero_terminal_snr
        )
        return Trained(schedule, self.prediction, Spacing(self.spacing))


def settled(name: str, parameters: Parameters, request: Request, images: Images) -> Request:
    """Refuse what it has no use for or cannot mean, and choose sampler, steps and strength where nobody did."""
    refuse(name, request, images, PROMPTED, "it was trained without conditions that could guide it")
    refuse(name, request, images, LATENT, "it draws pixels, all of them")
    refuse(name, request, images, ("to",), "only an autoencoder goes from one picture to another")
    only_size(name, parameters.size, request)
    if images.init is None:
        refuse(
            name, request, images, ("strength",), "it says how much of --init is changed, and there is none"
        )
    else:
        request = request.filled(strength=STRENGTH)
    chosen = request.filled(count=COUNT, sampler=parameters.sampler, steps=parameters.steps)
    _planned(parameters, chosen)
    return replace(chosen, sampler=canonical(chosen.sampler or parameters.sampler))


def _planned(parameters: Parameters, request: Request) -> Plan:
    strength = 1.0 if request.strength is None else request.strength
    sampler, steps = request.sampler or parameters.sampler, request.steps
    return plan(
        sampler,
        parameters.trained(),
        parameters.steps if steps is None else steps,
        strength=strength,
        eta=request.eta,
    )


def generate(
    graphs: Mapping[str, Graph],
    parameters: Parameters,
    request: Request,
    images: Images,
    places: Sequence[int],
    progress: Progress,
) -> Array:
    """float32 [n, C, H, W]."""
    run = _planned(parameters, request)
    noise, pixels = Noise(seeds_of(request, places)), parameters.pixels()
    given = None if images.init is None else pixels.to_values(images.init)[None]
    samples = begun(run, noise((pixels.channels, pixels.size[1], pixels.size[0])), given)
    limits = Limits(pixels.black, pixels.white) if parameters.clip else Limits()

    def network(samples: Array, timestep: float) -> tuple[Array, None]:
        told = np.full(len(samples), timestep, np.float32)
        return graphs["denoiser"](sample=samples, timestep=told)["prediction"], None

    return sample(
        network,
        samples,
        run.updates,
        noise,
        limits=limits,
        progress=lambda step: progress(step.done, step.total, step.denoised),
        on_device=graphs["denoiser"].sampling(samples.shape, progress),
    )
