"""Stable Diffusion: a prompt, or a picture and a prompt, to pictures, by the graphs of a latent diffusion model.

The text encoders say what the prompt means, the denoiser goes from noise to latents in steps, the decoder makes pictures of
them. With --init, the encoder makes latents of that picture, and the last --strength of the steps are run; at 0 none, so what
comes back is the picture as encoder and decoder see it; at 1 all, from the picture with as much noise as there ever is.
With --mask besides, only what is white in it is drawn: by a denoiser that is told the rest, or by one that is not, whose
samples have the rest put back after each step. Both begin with noise alone at strength 1.

Each image has its own generator of random numbers, which draws in this order: the encoder's point for --init, where the picture
counts; the noise that the image begins with, unless --noise gives it; the encoder's point for what is outside the mask, where
the denoiser is told that; then the sampler's noise of each step.

Next: _sd_parameters.py, _sd_requests.py, _sd_conditions.py, _sd_pictures.py; ../diffusion.
Source: Rombach et al., High-resolution image synthesis with latent diffusion models, 2022; Meng et al., SDEdit, 2022, for --init.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from textwrap import shorten

import numpy as np

from vedette.runtime.bundles._generator import Progress, seeds_of
from vedette.runtime.bundles._graphs import Graphs
from vedette.runtime.bundles._sd_conditions import Denoiser, Guidance, conditions, is_guided
from vedette.runtime.bundles._sd_parameters import Parameters as Parameters
from vedette.runtime.bundles._sd_parameters import parts
from vedette.runtime.bundles._sd_pictures import decoded, encoded, kept_outside, mask_of, values_of
from vedette.runtime.bundles._sd_requests import planned
from vedette.runtime.bundles._sd_requests import settled as settled
from vedette.runtime.bundles._sd_stream import Stream
from vedette.runtime.diffusion.plans import Plan
from vedette.runtime.diffusion.sampling import Hold, Noise, as_it_is, begun, sample
from vedette.runtime.diffusion.tokens import tokens
from vedette.runtime.frame import Array
from vedette.runtime.request import Images, Request

PARTS = parts


def stream_of(name: str, graphs: Graphs, parameters: Parameters, request: Request) -> Stream:
    """A Runner that changes the pictures of a source as they come.

    Raises:
        UsageError: the request cannot be meant, or the denoiser wants a mask.
    """
    return Stream(name, graphs, parameters, request)


def notes(files: Mapping[str, bytes], parameters: Parameters, request: Request) -> list[str]:
    """Words of the prompts that no encoder is told.

    Raises:
        ModelError: the library that reads prompts is not installed.
    """
    found = []
    for what, prompt in (("prompt", request.prompt), ("negative prompt", request.negative)):
        dropped = [tokens(files[text.tokenizer], text, prompt or "").dropped for text in parameters.texts]
        if all(dropped):
            most = max(text.length for text in parameters.texts) - 2
            end = shorten(min(dropped, key=len), 200, placeholder=" …")
            found.append(f"the {what} is longer than {most} tokens; its end is left out: {end}")
    return found


@dataclass(frozen=True, slots=True, eq=False)
class Start:
    """Where a run begins, and what is kept through it."""

    samples: Array  # [N, c, h, w]
    hold: Hold = as_it_is
    beside: Array | None = None  # channels behind those of the samples


def generate(
    graphs: Graphs,
    parameters: Parameters,
    request: Request,
    images: Images,
    places: Sequence[int],
    progress: Progress,
) -> Array:
    """float32 [n, C, H, W]."""
    run, size = planned(parameters, request), request.size or parameters.size
    noise = Noise(seeds_of(request, places))
    told = conditions(graphs, parameters, request, size)
    start = _start(graphs, parameters, request, images, places, run, noise)
    scale, rescale = request.guidance or 0.0, request.rescale or 0.0
    network = Denoiser(graphs["denoiser"], told, start.samples.shape, Guidance(scale, rescale), start.beside)
    picture = partial(decoded, graphs["decoder"], parameters)
    latents = sample(
        network,
        start.samples,
        run.updates,
        noise,
        guidance=scale if is_guided(parameters, scale) else 1.0,
        hold=start.hold,
        progress=lambda step: progress(step.done, step.total, partial(picture, step.denoised)),
        on_device=network.on_device(progress),
    )
    return picture(latents)


def _start(
    graphs: Graphs,
    parameters: Parameters,
    request: Request,
    images: Images,
    places: Sequence[int],
    run: Plan,
    noise: Noise,
) -> Start:
    """The order of what is drawn is told above."""
    size, anew = request.size or parameters.size, images.mask is not None and request.strength == 1
    picture, latents = None, None
    if images.init is not None:
        picture = values_of(parameters, images.init, size)
        if not (anew and parameters.inpaints):
            latents = encoded(graphs["encoder"], parameters, picture, noise)
    shape = parameters.latent_channels, size[1] // parameters.factor, size[0] // parameters.factor
    drawn = noise(shape) if images.noise is None else images.noise[list(places)]
    samples = begun(run, drawn, None if anew else latents)
    if picture is None or images.mask is None:
        return Start(samples)
    mask = mask_of(images.mask, size)
    small = mask[None, None, :: parameters.factor, :: parameters.factor].astype(np.float32)
    if latents is not None and not parameters.inpaints:
        return Start(samples, hold=kept_outside(small, latents, drawn, run))
    outside = encoded(graphs["encoder"], parameters, np.where(mask, np.float32(0), picture), noise)
    return Start(
        samples, beside=np.concatenate([np.broadcast_to(small, (len(outside), *small.shape[1:])), outside], 1)
    )
