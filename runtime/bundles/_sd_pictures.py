"""Pictures as latents and back: what is drawn from, what is kept, and what is drawn.

In: pictures, masks, and the encoder and decoder of Stable Diffusion.  Out: latents, pictures.  Used by stable_diffusion.py.
"""

from dataclasses import replace

import numpy as np

from vedette.runtime.bundles._graphs import Graph
from vedette.runtime.bundles._sd_parameters import Parameters
from vedette.runtime.diffusion.plans import Plan
from vedette.runtime.diffusion.sampling import Hold, Noise
from vedette.runtime.frame import Array
from vedette.runtime.preprocess import Size

MOST_LOG_VARIANCE = 30.0  # as exports have it; e^15 is beyond any picture, and no infinity


def values_of(parameters: Parameters, image: Array, size: Size) -> Array:
    """float32 [1, C, H, W] of a picture uint8 [H, W, 3] BGR of any size."""
    return replace(parameters.pixels(), size=size).to_values(image)[None]


def mask_of(image: Array, size: Size) -> Array:
    """Of a picture, bool [H, W]: what is drawn anew, where it is more white than black."""
    import cv2

    gray = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    fitted = gray if gray.shape[::-1] == size else cv2.resize(gray, size, interpolation=cv2.INTER_LINEAR)
    drawn: Array = fitted >= 128
    return drawn


def encoded(encoder: Graph, parameters: Parameters, values: Array, noise: Noise) -> Array:
    """Latents [N, c, h, w] of one picture [1, C, H, W], an own point of the encoder's distribution for each image."""
    found = encoder.finite(images=values)
    spread = np.exp(found["log_variance"].clip(max=MOST_LOG_VARIANCE) / 2)
    points = found["mean"] + spread * noise(found["mean"].shape[1:])
    scaled: Array = (points - np.float32(parameters.shift_factor)) * np.float32(parameters.scaling_factor)
    return scaled


def decoded(decoder: Graph, parameters: Parameters, latents: Array) -> Array:
    """Pictures [N, C, H, W] of latents."""
    shift = np.float32(parameters.shift_factor)
    return decoder.finite(latents=latents / np.float32(parameters.scaling_factor) + shift)["images"]


def kept_outside(mask: Array, latents: Array, noise: Array, plan: Plan) -> Hold:
    """Puts the picture back outside the mask after each step, with as much noise as the next step begins with.

    Args:
        mask: float32 [1, 1, h, w], 1 where something is drawn.
        latents: float32 [N, c, h, w] of the picture.
        noise: of the same shape.
        plan: of the run.

    Source: Lugmayr et al., RePaint, 2022, algorithm 1, without going back.
    """
    rest = 1 - mask

    def hold(samples: Array, index: int) -> Array:
        end = plan.ends[index]
        here = np.float32(end.alpha) * latents + np.float32(end.sigma) * noise
        held: Array = samples * mask + here * rest
        return held

    return hold
