"""Samplers on networks whose answers are known, the loop around them, and what is refused."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from vedette.runtime.diffusion import levels, samplers
from vedette.runtime.diffusion.levels import Level, Spacing
from vedette.runtime.diffusion.plans import Trained, names, plan
from vedette.runtime.diffusion.sampling import Limits, Network, Noise, Step, begun, sample
from vedette.runtime.diffusion.schedules import Schedule
from vedette.runtime.diffusion.updates import Prediction
from vedette.runtime.errors import ModelError, UsageError
from vedette.runtime.frame import Array

KINDS: tuple[Prediction, ...] = ("epsilon", "v", "sample")
PICTURES = 3, 1, 4, 4
SPREAD = 0.5


def level_of(schedule: Schedule, timestep: float) -> Level:
    bars = schedule.alpha_bars()
    share = float(
        np.exp(np.interp(timestep, np.arange(len(bars)), np.log(bars / (1 - bars))))
    )  # by log ratio
    return levels.level_of(share / (1 + share))


def predicted(kind: Prediction, level: Level, samples: Array, picture: Array) -> Array:
    noise = (samples - level.alpha * picture) / level.sigma
    found = {
        "epsilon": noise,
        "v": level.alpha * noise - level.sigma * picture,
        "sample": picture + 0 * samples,
    }
    wanted: Array = found[kind].astype(np.float32)
    return wanted


def knowing(picture: Array, kind: Prediction, schedule: Schedule) -> Network:
    """It has seen one picture only."""

    def network(samples: Array, timestep: float) -> tuple[Array, None]:
        return predicted(kind, level_of(schedule, timestep), samples, picture), None

    return network


def gaussian(kind: Prediction, schedule: Schedule) -> Network:
    """It has seen pictures of normal values with a deviation of SPREAD: the best guess of one is a share of the sample."""

    def network(samples: Array, timestep: float) -> tuple[Array, None]:
        level = level_of(schedule, timestep)
        share = level.alpha * SPREAD**2 / ((level.alpha * SPREAD) ** 2 + level.sigma**2)
        return predicted(kind, level, samples, share * samples), None

    return network


# pndm extrapolates predictions, and only the noise is the same at every level
KNOWN = [(name, kind) for name in names() for kind in KINDS if name != "pndm" or kind == "epsilon"]


@pytest.mark.parametrize("steps", [1, 4, 20, 50])
@pytest.mark.parametrize(("name", "kind"), KNOWN)
def test_every_sampler_ends_with_the_picture_that_the_network_knows(
    name: str, kind: Prediction, steps: int
) -> None:
    schedule, noise = Schedule(), Noise(range(3))
    picture = np.linspace(-0.9, 0.9, 16, dtype=np.float32).reshape(1, 4, 4)
    for strength in (1.0,) if name == "pndm" else (1.0, 0.5):  # see levels.repeated_from
        if name == "lcm" and strength < 1:
            steps = min(steps, 25)
        run = plan(name, Trained(schedule, kind), steps, strength=strength)
        given = None if strength == 1 else -picture
        samples = begun(run, noise(PICTURES[1:]), given)
        found = sample(knowing(picture, kind, schedule), samples, run.updates, noise, limits=Limits(-1, 1))
        if not run.updates:
            np.testing.assert_allclose(found, given + 0 * found, atol=1e-6)
        else:
            np.testing.assert_allclose(found, picture + 0 * found, atol=2e-3)


@pytest.mark.parametrize(
    "name", [name for name in samplers.SAMPLERS if name != "lcm"]
)  # which is for other networks
def test_samples_have_the_distribution_of_the_pictures(name: str) -> None:
    """20,000 values of a normal distribution: their deviation, and their tails, are known."""
    schedule, noise = Schedule(), Noise([5])
    steps = 50 if name in {"heun", "dpmpp_2m", "dpmpp_sde", "unipc"} else 200
    run = plan(name, Trained(schedule, "v"), steps)
    found = sample(gaussian("v", schedule), begun(run, noise((20_000,))), run.updates, noise)
    assert abs(found.std() / SPREAD - 1) < 0.04
    assert abs(found.mean()) < 0.02
    assert abs((np.abs(found) > 2 * SPREAD).mean() - 0.0455) < 0.012


def test_samplers_of_higher_order_are_nearer_to_the_end_of_the_equation() -> None:
    """Without drawing, the end is a known multiple of the beginning: the ratio of the two deviations."""
    schedule = Schedule()
    start = np.linspace(-2, 2, 9, dtype=np.float32)[None]
    errors = {}
    for name in ("ddim", "euler", "heun", "dpmpp_2m", "unipc"):
        run = plan(name, Trained(schedule, "epsilon"), 20)
        found = sample(gaussian("epsilon", schedule), start, run.updates, Noise([0]))
        ratio = SPREAD / math.sqrt((run.start.alpha * SPREAD) ** 2 + run.start.sigma**2)
        errors[name] = float(np.abs(found - ratio * start).max())
    assert max(errors["heun"], errors["dpmpp_2m"], errors["unipc"]) < min(errors["ddim"], errors["euler"]) / 2
    np.testing.assert_allclose(errors["ddim"], errors["euler"], rtol=0.1)  # the same method at these levels


@pytest.mark.parametrize("kind", KINDS)
def test_ddim_that_draws_all_anew_is_ddpm(kind: Prediction) -> None:
    """Song et al., section 4.1: eta = 1 is the posterior of DDPM."""
    visits = levels.chained(Schedule(), Spacing("trailing"), 10)
    for one, other in zip(samplers.ddpm(visits, kind), samplers.ddim(visits, kind, eta=1), strict=True):
        x, p = 0.3, -0.7
        results = []
        for update in (one, other):
            denoised = update.to_denoised[0] * x + update.to_denoised[1] * p
            results.append(update.sample * x + update.prediction * p + update.denoised[0] * denoised)
        np.testing.assert_allclose(results[0], results[1], rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(one.noise, other.noise, atol=2e-10)


def test_guidance_goes_beyond_the_condition() -> None:
    schedule, noise = Schedule(), Noise([1])
    plain, wanted = np.full((1, 2, 2), 0.1, np.float32), np.full((1, 2, 2), 0.3, np.float32)

    def network(samples: Array, timestep: float) -> tuple[Array, Array]:
        level = level_of(schedule, timestep)
        return predicted("sample", level, samples, wanted), predicted("sample", level, samples, plain)

    run = plan("ddim", Trained(schedule, "sample"), 5)
    for guidance, expected in ((1.0, 0.3), (0.0, 0.1), (4.0, 0.9)):
        found = sample(network, noise((1, 2, 2)), run.updates, noise, guidance=guidance)
        np.testing.assert_allclose(found, np.full((1, 1, 2, 2), expected), atol=1e-5)


def test_an_image_is_the_same_whatever_is_drawn_beside_it() -> None:
    schedule = Schedule()
    run = plan("ddpm", Trained(schedule, "v"), 8)

    def drawn(seeds: list[int]) -> Array:
        noise = Noise(seeds)
        return sample(gaussian("v", schedule), begun(run, noise((1, 4, 4))), run.updates, noise)

    together, alone = drawn([7, 8, 9]), drawn([8])
    np.testing.assert_array_equal(together[1], alone[0])
    assert np.abs(together[0] - together[1]).max() > 0.01


def test_previews_lead_to_the_picture_and_are_counted() -> None:
    schedule, noise, told = Schedule(), Noise([0]), list[Step]()
    run = plan("heun", Trained(schedule, "v"), 6)
    found = sample(gaussian("v", schedule), noise((1, 4, 4)), run.updates, noise, progress=told.append)
    assert [(step.done, step.total) for step in told] == [(count, 11) for count in range(1, 12)]
    distances = [float(np.abs(step.denoised - found).max()) for step in told]
    assert distances[-1] < 1e-5 < distances[0]
    assert max(distances[-3:]) < min(distances[:3])


def test_a_level_of_no_signal_is_left_with_v() -> None:
    schedule = Schedule(zero_terminal_snr=True)
    bars = schedule.alpha_bars()
    assert bars[-1] == 0 < bars[-2]
    np.testing.assert_allclose(bars[0], Schedule().alpha_bars()[0], rtol=1e-6)
    noise = Noise([3])
    run = plan("ddim", Trained(schedule, "v"), 10)
    assert run.start == Level(0.0, 1.0)

    def network(samples: Array, timestep: float) -> tuple[Array, None]:
        level = levels.level_of(float(bars[int(timestep)]))
        return predicted("v", level, samples, np.float32(0.4)), None  # type: ignore[arg-type]

    found = sample(network, noise((1, 2, 2)), run.updates, noise)
    np.testing.assert_allclose(found, np.full((1, 1, 2, 2), 0.4), atol=1e-5)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("which", [0, 1])
def test_a_prediction_that_is_no_number_is_told(value: float, which: int) -> None:
    def network(samples: Array, timestep: float) -> tuple[Array, Array]:
        answers = samples.copy(), samples.copy()
        if timestep < 500:
            answers[which][0, 0] = value
        return answers

    run = plan("ddim", Trained(Schedule(), "epsilon"), 4)
    with pytest.raises(ModelError, match="no number in step 3 of 4"):
        sample(network, np.zeros((1, 2), np.float32), run.updates, Noise([0]))


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"name": "dppm"}, "no sampler 'dppm'"),
    ({"name": "ddpm_karras"}, "no sampler"),
    ({"steps": 0}, "--steps 0"),
    ({"steps": -1}, "--steps -1"),
    ({"steps": 1001}, "--steps 1001"),
    ({"name": "lcm", "steps": 51}, "--steps 51"),
    ({"name": "lcm", "steps": 30, "strength": 0.5}, "--steps 30"),
    ({"strength": -0.1}, "--strength -0.1"),
    ({"strength": 1.01}, "--strength 1.01"),
    ({"strength": math.nan}, "--strength nan"),
]


@pytest.mark.parametrize(("changed", "told"), REFUSED)
def test_what_cannot_be_meant_is_refused(changed: dict[str, Any], told: str) -> None:
    asked: dict[str, Any] = {"name": "ddim", "steps": 20, **changed}
    name, steps = asked.pop("name"), asked.pop("steps")
    with pytest.raises(UsageError) as caught:
        plan(name, Trained(Schedule(), "epsilon"), steps, **asked)
    assert told in str(caught.value)
    assert str(caught.value).count("\n") == 2


def test_names_are_read_with_hyphens_and_underscores() -> None:
    trained = Trained(Schedule(), "v")
    assert plan("DPMPP-2M-Karras", trained, 7) == plan("dpmpp_2m_karras", trained, 7)
    assert plan("dpmpp_2m", trained, 7) != plan("dpmpp_2m_karras", trained, 7)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Schedule(train_steps=0),
        lambda: Schedule(beta_start=0.0),
        lambda: Schedule(beta_start=0.5, beta_end=0.1),
        lambda: Schedule(beta_end=1.0),
    ],
)
def test_a_schedule_that_cannot_be_is_refused(make: Callable[[], Schedule]) -> None:
    with pytest.raises(ValueError, match=r"want|train_steps"):
        make()


@pytest.mark.parametrize("kind", KINDS)
def test_ddim_with_all_noise_anew_is_ddpm(kind: Prediction) -> None:
    """Song et al., DDIM, 2021, section 4.1: over every step of the training, eta 1 is DDPM."""
    trained = Trained(Schedule(), kind)
    anew, chain = plan("ddim", trained, 1000, eta=1.0), plan("ddpm", trained, 1000)
    network, noise = gaussian(kind, Schedule()), Noise(range(2))
    found = sample(network, begun(anew, noise(PICTURES[1:])), anew.updates, noise)
    noise = Noise(range(2))
    expected = sample(network, begun(chain, noise(PICTURES[1:])), chain.updates, noise)
    np.testing.assert_allclose(found, expected, atol=1e-3)
    still = sample(
        network,
        begun(anew, Noise(range(2))(PICTURES[1:])),
        plan("ddim", trained, 1000, eta=0.0).updates,
        noise,
    )
    assert np.abs(still - expected).max() > 0.05
