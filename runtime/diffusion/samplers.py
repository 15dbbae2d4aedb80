"""The samplers, a function each, in the order of their papers: from the levels that a run visits to the weights of its steps.

In: Visits, and what the network predicts.  Out: an Update a call of the network.  Next: sampling.py.
In each, x is at the level (alpha_s, sigma_s) and goes to (alpha_t, sigma_t); h is the step in log_snr. All write samples as
alpha picture + sigma noise: see levels.py.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from vedette.runtime.diffusion import levels
from vedette.runtime.diffusion._unipc import corrected, predicted
from vedette.runtime.diffusion.levels import Level, Visit, Visits
from vedette.runtime.diffusion.updates import Prediction, Update, to_denoised, to_noise

_LEAST_VARIANCE = 1e-20
_TIMESTEP_SCALE, _DATA_SIGMA = 10.0, 0.5  # of a latent consistency model


Steps = Callable[[Visits, Prediction], Iterator[Update]]  # a sampler


def _with_next(visits: Visits) -> Iterator[tuple[Visit, Visit | None]]:
    """Each visit and the one after it."""
    return zip(visits, (*visits[1:], None), strict=False)  # of no visits, none


def ddpm(visits: Visits, kind: Prediction) -> Iterator[Update]:
    """The mean and variance of the posterior. Source: Ho et al., Denoising diffusion probabilistic models, 2020, equation 7."""
    for visit in visits:
        start, end = visit.start, visit.end
        kept = (start.alpha / end.alpha) ** 2
        variance = max((end.sigma / start.sigma) ** 2 * (1 - kept), _LEAST_VARIANCE)
        yield Update(
            visit.timestep, to_denoised(kind, start),
            sample=math.sqrt(kept) * (end.sigma / start.sigma) ** 2,
            denoised=(end.alpha * (1 - kept) / start.sigma**2, 0, 0),
            noise=math.sqrt(variance) if visit.timestep > 0 else 0.0,
        )  # fmt: skip


def ddim(visits: Visits, kind: Prediction, *, eta: float = 0.0) -> Iterator[Update]:
    """Along the noise that was predicted; with eta a share of it is drawn anew. Source: Song et al., DDIM, 2021, equation 12."""
    for visit in visits:
        start, end = visit.start, visit.end
        kept = (start.alpha / end.alpha) ** 2
        drawn = eta * end.sigma / start.sigma * math.sqrt(1 - kept)
        towards = math.sqrt(max(end.sigma**2 - drawn**2, 0.0))
        noise = to_noise(kind, start)  # of the prediction as it is, though the picture may be clipped
        yield Update(
            visit.timestep, to_denoised(kind, start),
            sample=towards * noise[0], prediction=towards * noise[1], denoised=(end.alpha, 0, 0), noise=drawn,
        )  # fmt: skip


def _straight(start: Level, end: Level) -> tuple[float, float]:
    """What sample and picture count on a straight line from noise to the picture: an Euler step."""
    left = end.sigma / start.sigma
    return left, end.alpha - left * start.alpha


_ADAMS_BASHFORTH = (1.0,), (3 / 2, -1 / 2), (23 / 12, -16 / 12, 5 / 12), (55 / 24, -59 / 24, 37 / 24, -9 / 24)


def pndm(visits: Visits, kind: Prediction) -> Iterator[Update]:
    """DDIM along a blend of the last four predictions, after a first step that is made twice: PLMS.

    Source: Liu et al., Pseudo numerical methods for diffusion models on manifolds, 2022, equations 11 and 12.
    """
    for index, visit in enumerate(visits):
        again = index == 1  # from the sample that the first began with, to where it led
        start, end = (visit.end, visit.start) if again else (visit.start, visit.end)
        noise = to_noise(kind, start)
        towards = end.sigma - end.alpha * start.sigma / start.alpha
        kept = end.alpha / start.alpha + towards * noise[0]
        yield Update(
            visit.timestep, to_denoised(kind, start),
            sample=0.0 if again else kept, prediction=towards * noise[1], last_sample=kept if again else 0.0,
            blend=(0.5, 0.5) if again else _ADAMS_BASHFORTH[min(max(index - 1, 0), 3)], keeps=not again,
        )  # fmt: skip


def euler(visits: Visits, kind: Prediction) -> Iterator[Update]:
    """Euler's method. Source: Karras et al., Elucidating the design space of diffusion models, 2022, section 3."""
    for visit in visits:
        sample, denoised = _straight(visit.start, visit.end)
        yield Update(visit.timestep, to_denoised(kind, visit.start), sample, denoised=(denoised, 0, 0))


def euler_ancestral(visits: Visits, kind: Prediction) -> Iterator[Update]:
    """Euler's method to below the level, and fresh noise up to it. Source: crowsonkb/k-diffusion (facts, no code)."""
    for visit in visits:
        start, end = visit.start, visit.end
        up = end.ratio * math.sqrt(max(1 - (end.ratio / start.ratio) ** 2, 0.0))
        down = math.sqrt(max(end.ratio**2 - up**2, 0.0))
        sample, denoised = _straight(start, levels.level_at(down))
        scale = end.alpha / levels.level_at(down).alpha
        yield Update(
            visit.timestep, to_denoised(kind, start),
            sample=scale * sample, denoised=(scale * denoised, 0, 0), noise=end.alpha * up,
        )  # fmt: skip


def heun(visits: Visits, kind: Prediction) -> Iterator[Update]:
    """Euler's step, then half of it and half a step with the slope at its end; not for the last step, whose end has none.

    Source: Karras et al., Elucidating the design space of diffusion models, 2022, algorithm 2 without churn.
    """
    for visit, following in _with_next(visits):
        start, end = visit.start, visit.end
        sample, denoised = _straight(start, end)
        yield Update(visit.timestep, to_denoised(kind, start), sample, denoised=(denoised, 0, 0))
        if following is None:
            return
        slope = (end.ratio - start.ratio) / (2 * end.ratio)
        yield Update(
            following.timestep, to_denoised(kind, end),
            sample=0.5 + slope, denoised=(-slope * end.alpha, 0, 0), last_sample=0.5 * end.alpha / start.alpha,
        )  # fmt: skip


def dpmpp_2m(visits: Visits, kind: Prediction) -> Iterator[Update]:
    """Of second order, by the picture of the step before. Source: Lu et al., DPM-Solver++, 2022, algorithm 2."""
    for index, visit in enumerate(visits):
        start, end = visit.start, visit.end
        gain = -end.alpha * math.expm1(start.log_snr - end.log_snr)
        now, before = _extrapolated(visits, index)
        yield Update(
            visit.timestep, to_denoised(kind, start),
            sample=end.sigma / start.sigma, denoised=(gain * now, gain * before, 0),
        )  # fmt: skip


def dpmpp_sde(visits: Visits, kind: Prediction) -> Iterator[Update]:
    """The same of the stochastic equation. Source: Lu et al., DPM-Solver++, 2022, appendix; its order as in algorithm 2."""
    for index, visit in enumerate(visits):
        start, end = visit.start, visit.end
        h = end.log_snr - start.log_snr
        gain = -end.alpha * math.expm1(-2 * h)
        now, before = _extrapolated(visits, index)
        yield Update(
            visit.timestep, to_denoised(kind, start),
            sample=end.sigma / start.sigma * math.exp(-h), denoised=(gain * now, gain * before, 0),
            noise=end.sigma * math.sqrt(-math.expm1(-2 * h)),
        )  # fmt: skip


def _extrapolated(visits: Visits, index: int) -> tuple[float, float]:
    """What the picture of now and of the step before count; the latter nothing in the first step and in the last, of no end."""
    visit = visits[index]
    if index == 0 or visit.end.sigma == 0:
        return 1.0, 0.0
    before = visits[index - 1].start.log_snr
    r = (visit.start.log_snr - before) / (visit.end.log_snr - visit.start.log_snr)
    return 1 + 1 / (2 * r), -1 / (2 * r)


def unipc(visits: Visits, kind: Prediction) -> Iterator[Update]:
    """Of second order, and every step is corrected once its end is known. Source: Zhao et al., UniPC, 2023, B(h) = e^h - 1."""
    made: list[tuple[float, float, float]] = []  # what the predictor of each step weighed: sample, pictures
    for index, visit in enumerate(visits):
        order = min(2, index + 1, len(visits) - index)
        # the sample at the beginning of the step, from x and the pictures of now, 1 and 2 steps before
        here = corrected(visits, index, made) if index else (1.0, 0.0, 0.0, 0.0)
        there = predicted(visits, index, order)
        made.append(there)
        sample, now, before = there
        yield Update(
            visit.timestep, to_denoised(kind, visit.start),
            sample=sample * here[0],
            denoised=(sample * here[1] + now, sample * here[2] + before, sample * here[3]),
        )  # fmt: skip


def lcm(visits: Visits, kind: Prediction) -> Iterator[Update]:
    """The picture at once, then fresh noise. Source: Luo et al., Latent consistency models, 2023, algorithm 3."""
    for visit, following in _with_next(visits):
        scaled = visit.timestep * _TIMESTEP_SCALE
        skip = _DATA_SIGMA**2 / (scaled**2 + _DATA_SIGMA**2)
        out = scaled / math.sqrt(scaled**2 + _DATA_SIGMA**2)
        end = visit.end if following else levels.CLEAN
        yield Update(
            visit.timestep, to_denoised(kind, visit.start),
            sample=end.alpha * skip, denoised=(end.alpha * out, 0, 0), noise=end.sigma,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Sampler:
    """A sampler, and the levels that it is made for."""

    steps: Steps
    visits: levels.Make
    between: bool = False  # whether its levels may lie between those of the schedule, as Karras' do


SAMPLERS: Mapping[str, Sampler] = {
    "ddpm": Sampler(ddpm, levels.chained),
    "ddim": Sampler(ddim, levels.backwards),
    "pndm": Sampler(pndm, levels.repeated),
    "euler": Sampler(euler, levels.between, between=True),
    "euler_ancestral": Sampler(euler_ancestral, levels.between),
    "heun": Sampler(heun, levels.between, between=True),
    "dpmpp_2m": Sampler(dpmpp_2m, levels.before_the_last, between=True),
    "dpmpp_sde": Sampler(dpmpp_sde, levels.before_the_last, between=True),
    "unipc": Sampler(unipc, levels.before_the_last, between=True),
    "lcm": Sampler(lcm, levels.distilled),
}
