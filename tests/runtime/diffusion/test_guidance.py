"""Guidance against the formulas of the papers as diffusers has them, and levels that a run passes."""

import importlib
from typing import Any

import numpy as np
import pytest

from vedette.runtime.diffusion.guidance import embedded, rescaled
from vedette.runtime.diffusion.levels import Spacing
from vedette.runtime.diffusion.plans import Trained, plan
from vedette.runtime.diffusion.sampling import Noise, begun, sample
from vedette.runtime.diffusion.schedules import Schedule
from vedette.runtime.frame import Array

SHAPE = 2, 4, 6, 5


@pytest.mark.parametrize("count", [2, 3, 32, 256, 513])
@pytest.mark.parametrize("guidance", [0.0, 1.0, 8.5])
def test_the_embedding_is_that_of_latent_consistency_models(guidance: float, count: int) -> None:
    torch: Any = pytest.importorskip("torch")
    pipelines: Any = pytest.importorskip("diffusers")
    made = pipelines.LatentConsistencyModelPipeline.get_guidance_scale_embedding
    if count < 4:  # theirs divides by 0
        assert embedded(guidance, count).shape == (count,)
        return
    theirs = made(None, torch.tensor([guidance - 1]), embedding_dim=count)[0].numpy()
    np.testing.assert_allclose(
        embedded(guidance, count), theirs, atol=2e-3
    )  # of angles up to 7500 in float32


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_rescaling_is_that_of_the_paper(share: float) -> None:
    torch: Any = pytest.importorskip("torch")
    pytest.importorskip("diffusers")
    theirs_of: Any = importlib.import_module(
        "diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion"
    ).rescale_noise_cfg
    random = np.random.default_rng(0)
    prompt, without = (random.standard_normal(SHAPE, np.float32) for _ in range(2))
    guided = without + np.float32(7.5) * (prompt - without)
    theirs = theirs_of(torch.from_numpy(guided), torch.from_numpy(prompt), guidance_rescale=share)
    np.testing.assert_allclose(rescaled(prompt, without, 7.5, share), theirs.numpy(), rtol=1e-5, atol=1e-5)


def test_rescaling_of_nothing_is_nothing() -> None:
    nothing = np.zeros(SHAPE, np.float32)
    np.testing.assert_array_equal(rescaled(nothing, nothing, 7.5, 0.7), nothing)


@pytest.mark.parametrize("rule", ["leading", "trailing"])
@pytest.mark.parametrize("name", ["ddim", "euler", "heun", "dpmpp_2m", "unipc", "euler_karras"])
@pytest.mark.parametrize("strength", [1.0, 0.5])
def test_each_update_ends_at_the_level_that_the_plan_says(name: str, rule: Any, strength: float) -> None:
    """With a network that knows the noise, samples are on the line between noise and picture."""
    random = np.random.default_rng(1)
    picture, noise = (random.standard_normal(SHAPE, np.float32) for _ in range(2))
    run = plan(
        name,
        Trained(Schedule("scaled_linear", 0.00085, 0.012), "epsilon", Spacing(rule)),
        5,
        strength=strength,
    )
    start = np.float32(run.start.alpha) * picture + np.float32(run.start.sigma) * noise
    seen: list[Array] = []

    def hold(samples: Array, index: int) -> Array:
        assert index == len(seen)
        seen.append(samples)
        return samples

    sample(lambda samples, timestep: (noise, None), start, run.updates, Noise([0]), hold=hold)
    assert len(seen) == len(run.ends) == len(run.updates)
    for samples, end in zip(seen, run.ends, strict=True):
        np.testing.assert_allclose(samples, end.alpha * picture + end.sigma * noise, atol=3e-4)


def test_what_is_held_is_what_the_run_goes_on_with() -> None:
    run = plan("ddim", Trained(Schedule(), "epsilon"), 3)
    fed: list[float] = []

    def network(samples: Array, timestep: float) -> tuple[Array, None]:
        fed.append(float(samples[0, 0, 0, 0]))
        return np.zeros_like(samples), None

    begin = begun(run, np.ones(SHAPE, np.float32))
    held = sample(network, begin, run.updates, Noise([0]), hold=np.full_like)
    assert fed == [1.0, 0.0, 1.0]
    assert (held == 2).all()
