"""What may be asked of Stable Diffusion, and what holds where nothing is asked.

In: a Request and Images.  Out: the Request with every choice made; its Plan.  Used by stable_diffusion.py.
"""

import math
from dataclasses import replace
from functools import lru_cache

import numpy as np

from vedette.runtime.bundles._sd_conditions import is_guided
from vedette.runtime.bundles._sd_parameters import Parameters
from vedette.runtime.diffusion.plans import Plan, canonical, plan
from vedette.runtime.errors import UsageError
from vedette.runtime.frame import Array
from vedette.runtime.preprocess import Size
from vedette.runtime.request import Images, Request, refuse

STRENGTH, STRENGTH_OF_MASK = 0.8, 1.0
MOST_GUIDANCE = 1000.0


def settled(name: str, parameters: Parameters, request: Request, images: Images) -> Request:
    """Refuse what it has no use for or cannot mean, and choose where nobody did.

    Raises:
        UsageError: something is refused.
    """
    refuse(name, request, images, ("to",), "only an autoencoder goes from one picture to another")
    if request.prompt is None:
        raise UsageError(
            f"{name} wants a prompt",
            why="it draws what a text says",
            cure=f'vedette generate {name} "a text"',
        )
    _check_pictures(name, parameters, request, images)
    chosen = request.filled(
        count=1 if images.noise is None else len(images.noise),
        size=_size(parameters, images.init),
        sampler=parameters.default_sampler,
        steps=parameters.steps,
        guidance=parameters.guidance,
    )
    if images.init is not None:
        chosen = chosen.filled(strength=STRENGTH if images.mask is None else STRENGTH_OF_MASK)
    _check_size(name, parameters, chosen.size or parameters.size)
    chosen = _guided(name, parameters, chosen)
    _check_noise(parameters, chosen, images.noise)
    _check_steps(parameters, chosen)
    return replace(chosen, sampler=canonical(chosen.sampler or parameters.sampler))


@lru_cache(maxsize=8)  # asked for when it is settled, and by every batch
def planned(parameters: Parameters, request: Request) -> Plan:
    """The run of a settled request."""
    strength = 1.0 if request.strength is None else request.strength
    return plan(
        request.sampler or parameters.default_sampler,
        parameters.trained(),
        parameters.steps if request.steps is None else request.steps,
        strength=strength,
        eta=request.eta,
    )


def _check_pictures(name: str, parameters: Parameters, request: Request, images: Images) -> None:
    if images.init is None:
        refuse(
            name, request, images, ("strength",), "it says how much of --init is changed, and there is none"
        )
        refuse(name, request, images, ("mask",), "it says what of --init is drawn anew, and there is none")
    if parameters.inpaints and images.mask is None:
        raise UsageError(
            f"{name} wants --init and --mask",
            why="it was trained to fill what is masked in a picture",
            cure="--init PICTURE.png --mask MASK.png, white where it is to draw",
        )


def _guided(name: str, parameters: Parameters, request: Request) -> Request:
    """With a share of rescaling, which as the negative prompt means nothing without guidance."""
    guidance = parameters.guidance if request.guidance is None else request.guidance
    if not 0 <= guidance <= MOST_GUIDANCE:
        raise UsageError(
            f"--guidance {guidance:g} is out of range",
            why=f"it is how much the prompt counts, 0 to {MOST_GUIDANCE:g}; up to 1 there is none",
            cure=f"use --guidance {parameters.guidance:g}, say",
        )
    if request.rescale is not None and not 0 <= request.rescale <= 1:
        raise UsageError(
            f"--rescale {request.rescale:g} is out of range", why="it is a share, 0 to 1", cure="use --rescale 0.7, say"
        )  # fmt: skip
    if is_guided(parameters, guidance):
        return request.filled(rescale=parameters.guidance_rescale)
    for flag, value in (("--negative", request.negative), ("--rescale", request.rescale)):
        if value:
            told = parameters.guidance_embedding
            raise UsageError(
                f"{name} has no use for {flag} here",
                why="it runs once a step, and is told the guidance" if told else f"there is none at --guidance {guidance:g}",
                cure=f"leave {flag} out" + ("" if told else ", or use --guidance 7.5"),
            )  # fmt: skip
    return replace(request, rescale=0.0)


def _size(parameters: Parameters, init: Array | None) -> Size:
    """Of a picture that is changed, its own as far as it can be drawn; else the model's."""
    if init is None:
        return parameters.size
    own = init.shape[1], init.shape[0]
    shrunk = min(1.0, *(large / side for large, side in zip(parameters.largest, own, strict=True)))
    return _nearest(parameters, (round(own[0] * shrunk), round(own[1] * shrunk)))


def _nearest(parameters: Parameters, size: Size) -> Size:
    """That can be drawn."""
    by = parameters.multiple
    bounds = zip(parameters.smallest, size, parameters.largest, strict=True)
    width, height = (
        min(max(math.floor(side / by + 0.5) * by, small), large) for small, side, large in bounds
    )
    return width, height


def _check_size(name: str, parameters: Parameters, size: Size) -> None:
    nearest = _nearest(parameters, size)
    if nearest != size:
        small, large = ("x".join(map(str, ends)) for ends in (parameters.smallest, parameters.largest))
        raise UsageError(
            f"--size {size[0]}x{size[1]} does not fit {name}",
            why=f"its sides are multiples of {parameters.multiple}, from {small} to {large}",
            cure=f"the nearest is --size {nearest[0]}x{nearest[1]}",
        )


def _check_noise(parameters: Parameters, request: Request, noise: Array | None) -> None:
    if noise is None:
        return
    width, height = request.size or parameters.size
    sides = height // parameters.factor, width // parameters.factor
    wanted = request.count, parameters.latent_channels, *sides
    if noise.shape != wanted or not np.isfinite(noise).all():
        raise UsageError(
            f"--noise of {list(noise.shape)} does not fit",
            why=f"for {request.count} images of {width}x{height} it is {list(wanted)}, all finite",
            cure="make it of that shape, or change -n and --size",
        )


def _check_steps(parameters: Parameters, request: Request) -> None:
    if not planned(parameters, request).updates and request.strength:
        raise UsageError(
            f"--strength {request.strength:g} of {request.steps} steps is no step",
            why="the steps that are run are that share of them, rounded down",
            cure="use more --steps or a larger --strength; --strength 0 changes nothing",
        )
