"""The sampling loop: the network, then one weighted sum, once a step.

In: a network as a callable, Updates, and where the samples begin.  Out: pictures, in the network's own values.
Next: kernels/guided_step.py, which does all of a step but the network in one pass.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from vedette.kernels.guided_step import Weights, guided_step
from vedette.runtime.diffusion.plans import Plan
from vedette.runtime.diffusion.updates import Update
from vedette.runtime.errors import ModelError
from vedette.runtime.frame import Array

# From samples [N, …] and the timestep to the prediction, and the one without the condition where it is guided.
Network = Callable[[Array, float], tuple[Array, Array | None]]


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """What a progress callback is told after each step."""

    done: int
    total: int
    denoised: Array  # [N, …], the pictures as far as they can be seen: a preview


@dataclass(frozen=True, slots=True)
class Limits:
    """Where denoised pictures are clipped."""

    low: float = -np.inf
    high: float = np.inf


class Noise:
    """Normal numbers of a generator an image, so that an image does not depend on what is drawn beside it.

    Args:
        seeds: one an image.
    """

    def __init__(self, seeds: Sequence[int]) -> None:
        self._generators = [np.random.default_rng(seed) for seed in seeds]

    def __call__(self, shape: Sequence[int]) -> Array:
        """float32 [N, *shape]."""
        return np.stack([random.standard_normal(shape, np.float32) for random in self._generators])


def begun(plan: Plan, noise: Array, pictures: Array | None = None) -> Array:
    """Where a run begins: noise alone, or pictures with as much noise as the first level has."""
    if pictures is None:
        return np.float32(plan.noise) * noise
    return np.float32(plan.start.alpha) * pictures + np.float32(plan.start.sigma) * noise


def sample(
    network: Network,
    samples: Array,
    updates: Sequence[Update],
    noise: Noise,
    *,
    guidance: float = 1.0,
    limits: Limits = Limits(),
    progress: Callable[[Step], None] = lambda _: None,
) -> Array:
    """Run the network once an update.

    Args:
        network: what predicts.
        samples: float32 [N, …], at the level of the first update.
        updates: of a sampler.
        noise: asked once an update that draws.
        guidance: of the difference between the predictions with and without the condition, where there are two.
        limits: where denoised pictures are clipped.
        progress: called after each.

    Returns:
        float32 [N, …].

    Raises:
        ModelError: a prediction is not finite.
    """
    pictures: list[Array] = []  # of the last updates, the newest first
    last = samples
    for done, update in enumerate(updates, 1):
        prediction, unconditional = network(samples, update.timestep)
        for each in (prediction, unconditional):
            if each is not None:
                _check(each, done, len(updates), update.timestep)
        others = _history(update, pictures, last)
        if update.noise:
            others["noise"] = noise(samples.shape[1:])
        if unconditional is not None:
            others["unconditional"] = unconditional
        last, (samples, denoised) = (
            samples,
            guided_step(samples, prediction, _weights(update, guidance, limits), others),
        )
        pictures = [denoised, *pictures[:1]]
        progress(Step(done, len(updates), denoised))
    return samples


def _history(update: Update, pictures: Sequence[Array], last: Array) -> dict[str, Array]:
    """Those of before that count."""
    found = {
        name: picture
        for name, picture, weight in zip(("before", "earlier"), pictures, update.denoised[1:], strict=False)
        if weight
    }
    return {**found, "earlier": last} if update.last_sample else found


def _weights(update: Update, guidance: float, limits: Limits) -> Weights:
    now, before, earlier = update.denoised
    return Weights(
        guidance, *update.to_denoised, limits.low, limits.high,
        update.sample, update.prediction, now, before, update.last_sample or earlier, update.noise,
    )  # fmt: skip


def _check(prediction: Array, step: int, steps: int, timestep: float) -> None:
    if not np.isfinite(prediction).all():
        raise ModelError(
            f"the network predicts what is no number in step {step} of {steps}",
            why=f"at timestep {timestep:g} its output has NaN or infinite values, as float16 does where it overflows",
            cure="export it with --precision fp32, or use another sampler or more steps",
        )
