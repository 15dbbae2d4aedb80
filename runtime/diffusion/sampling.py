"""The sampling loop: the network, then one weighted sum, once a step.

In: a network as a callable, Updates, and where the samples begin.  Out: pictures, in the network's own values.
Next: kernels/guided_step.py, which does all of a step but the network in one pass.
"""

import logging
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass

import numpy as np

from vedette.kernels.guided_step import Weights, guided_step
from vedette.runtime.diffusion.plans import Plan
from vedette.runtime.diffusion.updates import Update
from vedette.runtime.errors import ModelError
from vedette.runtime.frame import Array

_LOGGER = logging.getLogger(__name__)

# From samples [N, …] and the timestep to the prediction, and the one without the condition where it is guided.
Network = Callable[[Array, float], tuple[Array, Array | None]]
Hold = Callable[
    [Array, int], Array
]  # samples [N, …] after an update, by its index, to those that the run goes on with

# The same loop on a GPU, from where the samples begin to where they end: see device_sampling.py.
OnDevice = Callable[[Array, Sequence[Update], Sequence[Weights], "Noise"], Array]


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


def as_it_is(samples: Array, index: int) -> Array:
    """A Hold that changes nothing."""
    return samples


def begun(plan: Plan, noise: Array, pictures: Array | None = None) -> Array:
    """Where a run begins: noise alone, or pictures with as much noise as the first level has."""
    if pictures is None:
        return np.float32(plan.noise) * noise
    return np.float32(plan.start.alpha) * pictures + np.float32(plan.start.sigma) * noise


class Run:
    """Samples on their way through updates, one prediction after another.

    Args:
        samples: float32 [N, …], at the level of the first update.
        updates: of a sampler.
        noise: asked once an update that draws.
        guidance: of the difference between the predictions with and without the condition, where there are two.
        limits: where denoised pictures are clipped.
        hold: changes what each update leads to.
    """

    def __init__(
        self,
        samples: Array,
        updates: Sequence[Update],
        noise: Noise,
        *,
        guidance: float = 1.0,
        limits: Limits = Limits(),
        hold: Hold = as_it_is,
    ) -> None:
        self.samples, self._noise, self._hold = samples, noise, hold
        self._updates, self._done, self._clips = updates, 0, limits != Limits()
        self._weights = [_weights(update, guidance, limits) for update in updates]
        self._last, self._pictures = samples, list[Array]()  # of the last updates, the newest first
        self._guidance = np.float32(guidance)
        self._predictions: list[Array] = []  # that blends are made of, the newest first

    @property
    def timestep(self) -> float | None:
        """That the network is to be told next; None: the samples are pictures."""
        return self._updates[self._done].timestep if self._done < len(self._updates) else None

    def step(self, prediction: Array, unconditional: Array | None = None) -> Step:
        """Go on by an update.

        Raises:
            ModelError: a prediction is not finite.
        """
        update, total = self._updates[self._done], len(self._updates)
        if update.blend:
            prediction, unconditional = self._blended(update, prediction, unconditional), None
        others = _history(update, self._pictures, self._last)
        if update.noise:
            others["noise"] = self._noise(self.samples.shape[1:])
        if unconditional is not None:
            others["unconditional"] = unconditional
        following, denoised = guided_step(self.samples, prediction, self._weights[self._done], others)
        # what is no number in a prediction is none in the picture either, unless clipping hides it
        for each in (prediction, unconditional) if self._clips else (denoised,):
            _check(each, self._done + 1, total, update.timestep)
        self._last, self.samples = self.samples, self._hold(following, self._done)
        self._pictures = [denoised, *self._pictures[:1]]
        self._done += 1
        return Step(self._done, total, denoised)

    def _blended(self, update: Update, prediction: Array, unconditional: Array | None) -> Array:
        """The guided prediction with those that were kept."""
        if unconditional is not None:
            prediction = unconditional + self._guidance * (prediction - unconditional)
        known = [prediction, *self._predictions]
        if update.keeps:
            self._predictions = [prediction.copy(), *self._predictions[:2]]
        blended = np.zeros_like(prediction)
        for weight, each in zip(update.blend, known, strict=False):
            blended += np.float32(weight) * each
        return blended


def sample(
    network: Network,
    samples: Array,
    updates: Sequence[Update],
    noise: Noise,
    *,
    guidance: float = 1.0,
    limits: Limits = Limits(),
    hold: Hold = as_it_is,
    progress: Callable[[Step], None] = lambda _: None,
    on_device: OnDevice | None = None,
) -> Array:
    """Run the network once an update.

    Args:
        network: what predicts.
        samples: see Run, as what follows.
        updates: of a sampler.
        noise: asked once an update that draws.
        guidance: of the difference between the predictions.
        limits: where denoised pictures are clipped.
        hold: changes what each update leads to.
        progress: called after each.
        on_device: in place of the network and progress, for runs that need nothing else of the host.

    Returns:
        float32 [N, …].

    Raises:
        ModelError: a prediction is not finite.
    """
    stays = on_device is not None and hold is as_it_is and _stays_on_device(updates)
    if on_device and stays:
        weights = [_weights(update, guidance, limits) for update in updates]
        found = on_device(samples, updates, weights, deepcopy(noise))
        # a prediction that is no number leaves none in any sample after it; the loop below tells in which step it was
        if np.isfinite(found).all():
            return found
    run = Run(samples, updates, noise, guidance=guidance, limits=limits, hold=hold)
    while (timestep := run.timestep) is not None:
        progress(run.step(*network(run.samples, timestep)))
    if stays:
        _LOGGER.warning("the sampling loop on the GPU gave what is no number, that on the host did not")
    return run.samples


def _stays_on_device(updates: Sequence[Update]) -> bool:
    """Whether there are some, and guided_step does all of each, `earlier` being of one kind."""
    last = any(update.last_sample for update in updates)
    earlier = any(update.denoised[2] for update in updates)
    return bool(updates) and not (last and earlier) and not any(update.blend for update in updates)


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


def _check(values: Array | None, step: int, steps: int, timestep: float) -> None:
    if values is not None and not np.logical_and.reduce(np.isfinite(values), axis=None):
        raise ModelError(
            f"the network predicts what is no number in step {step} of {steps}",
            why=f"at timestep {timestep:g} its output has NaN or infinite values, as float16 does where it overflows",
            cure="export it with --precision fp32, or use another sampler or more steps",
        )
