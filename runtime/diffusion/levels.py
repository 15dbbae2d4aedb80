"""Which levels of noise a run visits, and what step of training the network is told at each.

In: a Schedule, a spacing, a number of steps.  Out: Levels, a Visit a call of the network.  Next: samplers.py.

A level is (alpha, sigma), alpha² + sigma² = 1: a sample there is alpha picture + sigma noise. Samplers whose papers write
picture + s noise have s = sigma / alpha here, and their samples times alpha; so every sampler's sample is what the network takes.
Timesteps and their rounding are those of huggingface/diffusers' schedulers (facts, no code); spacings have the names of
Lin et al., Common diffusion noise schedules and sample steps are flawed, 2024, table 2.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

import numpy as np

from vedette.runtime.diffusion.schedules import Schedule
from vedette.runtime.frame import Array

Rule = Literal["leading", "linspace", "trailing"]
LEAST_SIGNAL = 2.0**-24  # alpha bar, where a sampler divides by alpha
RHO = 7.0  # of Karras' spacing
DISTILLED_STEPS = 50  # of the teacher of a latent consistency model


@dataclass(frozen=True, slots=True)
class Level:
    """How much picture and how much noise."""

    alpha: float
    sigma: float

    @property
    def ratio(self) -> float:
        """Noise by picture: sigma of Karras et al."""
        return self.sigma / self.alpha

    @property
    def log_snr(self) -> float:
        """Half the logarithm of the signal-to-noise ratio, lambda of Lu et al.; infinite where nothing is noise."""
        return math.log(self.alpha) - math.log(self.sigma) if self.sigma > 0 else math.inf


CLEAN = Level(1.0, 0.0)


@dataclass(frozen=True, slots=True)
class Visit:
    """One step of a run: where it begins, where it leads to, and the timestep that the network is told."""

    timestep: float
    start: Level
    end: Level


@dataclass(frozen=True, slots=True)
class Spacing:
    """Which levels: the rule, what is added to leading timesteps, Karras' in place of the schedule's, and the last end."""

    rule: Rule = "leading"
    offset: int = 0
    karras: bool = False
    clean_end: bool = True  # else the last step of DDIM and LCM leads to the first level of the schedule


Visits = tuple[Visit, ...]
Make = Callable[[Schedule, Spacing, int], Visits]


def level_of(alpha_bar: float) -> Level:
    return Level(math.sqrt(alpha_bar), math.sqrt(1 - alpha_bar))


def level_at(ratio: float) -> Level:
    """Of sigma of Karras et al."""
    alpha = 1 / math.sqrt(1 + ratio * ratio)
    return Level(alpha, ratio * alpha)


def timesteps(train_steps: int, spacing: Spacing, steps: int) -> Array:
    """float64 [steps], falling, not rounded for linspace."""
    if spacing.rule == "linspace":
        return np.linspace(0, train_steps - 1, steps)[::-1]
    if spacing.rule == "leading":
        return np.arange(steps)[::-1] * float(train_steps // steps) + spacing.offset
    # as many as there are steps: a range by a fraction may have one more
    return np.round(train_steps - np.arange(steps) * (train_steps / steps)) - 1


def timesteps_before(train_steps: int, spacing: Spacing, steps: int) -> Array:
    """The same over one step more, of which the last is left out: samplers of high order stop before it."""
    if spacing.rule == "trailing":
        return timesteps(train_steps, spacing, steps)
    if spacing.rule == "linspace":
        return np.linspace(0, train_steps - 1, steps + 1)[:0:-1].round()
    return np.arange(1, steps + 1)[::-1] * float(train_steps // (steps + 1)) + spacing.offset


def chained(schedule: Schedule, spacing: Spacing, steps: int) -> Visits:
    """Each step leads to where the next one begins, the last to a clean picture: DDPM."""
    told = timesteps(schedule.train_steps, spacing, steps).round()
    bars = schedule.alpha_bars()
    levels = [*(level_of(bars[int(step)]) for step in told), CLEAN]
    return _visits(told, levels)


def backwards(schedule: Schedule, spacing: Spacing, steps: int) -> Visits:
    """Each step leads train_steps // steps back, whatever the spacing: DDIM.

    With linspace that is not where the next step begins; images are better with the other two.
    """
    told = timesteps(schedule.train_steps, spacing, steps).round()
    bars, by = schedule.alpha_bars(), schedule.train_steps // steps
    last = CLEAN if spacing.clean_end else level_of(bars[0])
    starts = (level_of(bars[int(step)]) for step in told)
    ends = (level_of(bars[int(step) - by]) if step >= by else last for step in told)
    return tuple(map(Visit, map(float, told), starts, ends))


def between(schedule: Schedule, spacing: Spacing, steps: int) -> Visits:
    """Levels between those of the schedule, for timesteps that are not whole: Euler and Heun."""
    told = timesteps(schedule.train_steps, spacing, steps)
    table = _ratios(schedule)
    ratios = np.interp(told, np.arange(len(table)), table)
    if spacing.karras:
        ratios = karras(ratios[-1], ratios[0], steps)
        told = _timesteps_of(ratios, table)
    return _visits(told, [*map(level_at, ratios.tolist()), CLEAN])


def before_the_last(schedule: Schedule, spacing: Spacing, steps: int) -> Visits:
    """Whole timesteps, of which the last is not visited: DPM-Solver++ and UniPC."""
    told = timesteps_before(schedule.train_steps, spacing, steps)
    table = _ratios(schedule)
    ratios = table[told.astype(int)]
    if spacing.karras:
        ratios = karras(table[0], table[-1], steps)
        told = _timesteps_of(ratios, table)
    return _visits(told.round(), [*map(level_at, ratios.tolist()), CLEAN])


def distilled(schedule: Schedule, spacing: Spacing, steps: int) -> Visits:
    """A part of the timesteps that a consistency model was distilled at: LCM.

    Source: Luo et al., Latent consistency models, 2023, section 4.3.
    """
    return distilled_from(schedule, spacing, steps, 1.0)


def distilled_from(schedule: Schedule, spacing: Spacing, steps: int, strength: float) -> Visits:
    """`distilled` of the first share of those timesteps."""
    by = schedule.train_steps // DISTILLED_STEPS
    every = np.arange(1, int(DISTILLED_STEPS * strength) + 1)[::-1] * by - 1
    told = every[np.floor(np.linspace(0, len(every), steps, endpoint=False)).astype(int)]
    bars = schedule.alpha_bars()
    levels = [level_of(bars[step]) for step in told]
    return _visits(told, [*levels, levels[-1]])  # the last step ends with a picture, not at a level


def repeated(schedule: Schedule, spacing: Spacing, steps: int) -> Visits:
    """`backwards`, with the second step made twice: pseudo linear multistep methods."""
    return repeated_from(schedule, spacing, steps, 0)


def repeated_from(schedule: Schedule, spacing: Spacing, steps: int, skipped: int) -> Visits:
    """`repeated` without its first ones. The new second one leads back up a step, to where the first is made once more.

    So it is in diffusers, though from the second on, where the one that was made twice is left out, a level is passed over.
    """
    falling = timesteps(schedule.train_steps, spacing, steps).round()
    told = [*falling[:2], *falling[1:]][skipped:]
    bars, by = _bars(schedule), schedule.train_steps // steps
    last = CLEAN if spacing.clean_end else level_of(bars[0])
    found = [
        Visit(float(step), level_of(bars[int(step)]), level_of(bars[int(step) - by]) if step >= by else last)
        for step in told
    ]
    if len(found) > 1:
        found[1] = replace(found[1], end=level_of(bars[int(told[1]) + by]))
    return tuple(found)


def part_of(visits: Visits, strength: float) -> Visits:
    """The last share of a run, for a picture that is changed so much: none of it at 0, all at 1."""
    count = min(int(len(visits) * strength), len(visits))
    return visits[len(visits) - count :]


def karras(least: float, most: float, steps: int) -> Array:
    """Sigmas, falling. Source: Karras et al., Elucidating the design space of diffusion models, 2022, equation 5."""
    high, low = most ** (1 / RHO), least ** (1 / RHO)
    sigmas: Array = (high + np.linspace(0, 1, steps) * (low - high)) ** RHO
    return sigmas


def _visits(told: Sequence[float] | Array, levels: Sequence[Level]) -> Visits:
    """From level to level."""
    return tuple(Visit(float(step), *pair) for step, pair in zip(told, pairwise(levels), strict=True))


def _bars(schedule: Schedule) -> Array:
    """Shares of signal, none of them nothing: float64 [train_steps]."""
    bars = schedule.alpha_bars()
    if schedule.zero_terminal_snr:
        bars[-1] = LEAST_SIGNAL
    return bars


def _ratios(schedule: Schedule) -> Array:
    """Sigma of Karras et al. of every step of training: float64 [train_steps]."""
    bars = _bars(schedule)
    ratios: Array = np.sqrt((1 - bars) / bars)
    return ratios


def _timesteps_of(ratios: Array, table: Array) -> Array:
    """Where they lie in a rising table, by their logarithms."""
    return np.interp(np.log(ratios), np.log(table), np.arange(len(table)))
