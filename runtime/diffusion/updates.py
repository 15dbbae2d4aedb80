"""One step of a sampler as weights: every sampler's next sample is a weighted sum of a few arrays.

In: what the network predicts, and the level.  Out: Update, which kernels/guided_step.py applies in one pass.
Next: samplers.py, which makes them; sampling.py, which keeps the arrays.

From the sample x and the prediction p, guided already:  denoised d = x * to_denoised[0] + p * to_denoised[1], clipped where
asked; and the next sample = x * sample + p * prediction + d * denoised[0] + the d of 1 and of 2 updates before * denoised[1] and
[2] + the x of the update before * last_sample + fresh noise * noise. Multistep methods blend p of several predictions first.
"""

from dataclasses import dataclass
from typing import Literal

from vedette.runtime.diffusion.levels import Level

Prediction = Literal["epsilon", "v", "sample"]
Pair = tuple[float, float]  # what the sample and what the prediction counts


@dataclass(frozen=True, slots=True)
class Update:
    """A call of the network, and what follows from it."""

    timestep: float  # that the network is told
    to_denoised: Pair
    sample: float = 0.0
    prediction: float = 0.0
    denoised: tuple[float, float, float] = (0.0, 0.0, 0.0)  # of now, and of 1 and 2 updates before
    last_sample: float = 0.0  # that the update before began with; not beside the denoised of 2 before
    noise: float = 0.0
    blend: tuple[
        float, ...
    ] = ()  # what p is made of, where not of the newest alone: that, and those kept, the newest first
    keeps: bool = True  # the newest for later blends


def to_denoised(kind: Prediction, level: Level) -> Pair:
    """From sample and prediction to the picture without noise.

    Source of v: Salimans and Ho, Progressive distillation, 2022, appendix D.
    """
    if kind == "epsilon":
        return 1 / level.alpha, -level.sigma / level.alpha
    return (level.alpha, -level.sigma) if kind == "v" else (0.0, 1.0)


def to_noise(kind: Prediction, level: Level) -> Pair:
    """From sample and prediction to the noise."""
    if kind == "epsilon":
        return 0.0, 1.0
    return (level.sigma, level.alpha) if kind == "v" else (1 / level.sigma, -level.alpha / level.sigma)
