"""What a user asks of a run, checked, and turned into updates.

In: a sampler's name, steps, strength, and how the network was trained.  Out: Plan.  Next: levels.py, samplers.py.
"""

from dataclasses import dataclass, field
from functools import partial

from vedette.runtime.diffusion import levels
from vedette.runtime.diffusion.levels import Level, Spacing, Visits
from vedette.runtime.diffusion.samplers import SAMPLERS, Sampler, ddim
from vedette.runtime.diffusion.schedules import Schedule
from vedette.runtime.diffusion.updates import Prediction, Update
from vedette.runtime.errors import UsageError

KARRAS = "_karras"  # after the name of a sampler: at Karras' levels


@dataclass(frozen=True, slots=True)
class Trained:
    """How a network was trained, and how its timesteps are spaced."""

    schedule: Schedule
    prediction: Prediction
    spacing: Spacing = field(default_factory=lambda: Spacing("trailing"))


@dataclass(frozen=True, slots=True)
class Plan:
    """A run: the level where it begins, what noise alone counts there, and its updates; none where a picture stays as it is.

    Attributes:
        ends: the level that the next update begins at, or that of a picture without noise after the last.
    """

    start: Level
    noise: float
    updates: tuple[Update, ...]
    ends: tuple[Level, ...]


def names() -> list[str]:
    """Every sampler, and those that take Karras' levels with them."""
    return [
        name + end for name, sampler in SAMPLERS.items() for end in ("", KARRAS) if not end or sampler.between
    ]


def canonical(name: str) -> str:
    """A sampler's name, hyphens and underscores alike.

    Raises:
        UsageError: there is none.
    """
    found = name.lower().replace("-", "_")
    if found not in names():
        raise UsageError(
            f"no sampler {name!r}",
            why=f"there are {', '.join(SAMPLERS)}; of these with {KARRAS} behind it:"
            f" {', '.join(name for name, sampler in SAMPLERS.items() if sampler.between)}",
            cure="name one of them, or leave --sampler out",
        )
    return found


def plan(name: str, trained: Trained, steps: int, *, strength: float = 1.0, eta: float | None = None) -> Plan:
    """The updates of a run.

    Args:
        name: of a sampler.
        trained: how the network was.
        steps: of the whole run.
        strength: the share of it that is run, for a picture that is changed.
        eta: of DDIM: the share of noise that is drawn anew, 0 to 1.

    Raises:
        UsageError: no such sampler, or a number that cannot be meant.
    """
    name = canonical(name)
    sampler, spacing = _sampler(name, trained.spacing)
    _check_strength(strength)
    _check_eta(name, sampler, eta)
    _check_steps(name, sampler, trained, steps, strength)
    visits = _visits(sampler, trained.schedule, spacing, steps, strength)
    start = visits[0].start if visits else levels.CLEAN
    # samplers of Karras et al. begin with noise of that level, without the little that the picture would count
    exact = sampler.visits is levels.between and spacing.rule != "leading"
    steps_of = partial(ddim, eta=eta) if eta else sampler.steps
    updates = tuple(steps_of(visits, trained.prediction))
    return Plan(start, start.sigma if exact else 1.0, updates, _ends(visits, len(updates)))


def _ends(visits: Visits, updates: int) -> tuple[Level, ...]:
    """Of each update; Heun has two a visit, which lead to the same level, and one for the last."""
    starts = [*(visit.start for visit in visits[1:]), levels.CLEAN]
    by = 2 if updates > len(visits) else 1
    return tuple(starts[index // by] for index in range(updates))


def _sampler(name: str, spacing: Spacing) -> tuple[Sampler, Spacing]:
    if not name.endswith(KARRAS):
        return SAMPLERS[name], spacing
    at_karras = Spacing(spacing.rule, spacing.offset, karras=True, clean_end=spacing.clean_end)
    return SAMPLERS[name.removesuffix(KARRAS)], at_karras


def _visits(sampler: Sampler, schedule: Schedule, spacing: Spacing, steps: int, strength: float) -> Visits:
    if strength < 1 and sampler.visits is levels.distilled:
        some = int(levels.DISTILLED_STEPS * strength) > 0
        return levels.distilled_from(schedule, spacing, steps, strength) if some else ()
    if sampler.visits is levels.repeated:
        count = min(int(steps * strength), steps)
        return levels.repeated_from(schedule, spacing, steps, steps - count) if count else ()
    return levels.part_of(sampler.visits(schedule, spacing, steps), strength)


def _check_strength(strength: float) -> None:
    if not 0 <= strength <= 1:
        raise UsageError(
            f"--strength {strength:g} is out of range",
            why="it is the share of the steps that change the picture, 0 to 1",
            cure="use --strength 0.6, say",
        )


def _check_eta(name: str, sampler: Sampler, eta: float | None) -> None:
    if eta is not None and sampler.steps is not ddim:
        raise UsageError(
            f"--eta means nothing to {name}",
            why="it is the share of its noise that DDIM draws anew",
            cure="use --sampler ddim, or leave --eta out",
        )
    if eta is not None and not 0 <= eta <= 1:
        raise UsageError(
            f"--eta {eta:g} is out of range",
            why="it is a share: 0 draws no noise anew, 1 as much as DDPM",
            cure="use --eta 0.5, say",
        )


def _check_steps(name: str, sampler: Sampler, trained: Trained, steps: int, strength: float) -> None:
    most = trained.schedule.train_steps
    why = f"it was trained with {most} steps"
    if sampler.visits is levels.distilled:
        most = min(most, max(1, int(levels.DISTILLED_STEPS * strength)))
        why = f"a consistency model has the {levels.DISTILLED_STEPS} steps of its teacher, times the strength"
    elif sampler.visits is levels.before_the_last and trained.spacing.rule != "trailing":
        most -= 1  # which is the one that is not visited
    if not 1 <= steps <= most:
        raise UsageError(
            f"--steps {steps} is out of range", why=why, cure=f"use --steps {min(20, most)}, say"
        )
