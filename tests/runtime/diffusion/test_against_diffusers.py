"""Every sampler against its scheduler in diffusers: the same levels, timesteps and, from the same model outputs, samples."""

import itertools
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from vedette.kernels.guided_step import Weights, guided_step_reference
from vedette.runtime.diffusion import levels
from vedette.runtime.diffusion.levels import Spacing, Visits
from vedette.runtime.diffusion.plans import Trained, plan
from vedette.runtime.diffusion.samplers import SAMPLERS, ddim
from vedette.runtime.diffusion.schedules import Schedule
from vedette.runtime.diffusion.updates import Prediction, Update
from vedette.runtime.frame import Array

torch: Any = pytest.importorskip("torch")
diffusers: Any = pytest.importorskip("diffusers")

# of NumPy 2 about PyTorch's arrays, in their code
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
SCHEDULES = {
    "linear": Schedule("linear"),
    "scaled_linear": Schedule("scaled_linear", 0.00085, 0.012),
    "cosine": Schedule("cosine"),
}
BETAS = {"linear": "linear", "scaled_linear": "scaled_linear", "cosine": "squaredcos_cap_v2"}
KINDS: dict[Prediction, str] = {"epsilon": "epsilon", "v": "v_prediction", "sample": "sample"}
CLASSES = {
    "ddpm": "DDPMScheduler",
    "ddim": "DDIMScheduler",
    "pndm": "PNDMScheduler",
    "euler": "EulerDiscreteScheduler",
    "euler_ancestral": "EulerAncestralDiscreteScheduler",
    "heun": "HeunDiscreteScheduler",
    "dpmpp_2m": "DPMSolverMultistepScheduler",
    "dpmpp_sde": "DPMSolverMultistepScheduler",
    "unipc": "UniPCMultistepScheduler",
    "lcm": "LCMScheduler",
}
BY_RATIO = {"euler", "euler_ancestral", "heun"}  # whose samples are picture + ratio noise there
CLIPPING = {"ddpm", "ddim", "heun", "lcm"}  # of denoised pictures, there
STEPS, STRENGTHS = (1, 4, 20, 50), (1.0, 0.5, 0.3)
SHAPE = (2, 1, 6, 6)
ETA = 0.7
TOLERANCE = 1e-4  # of 1, or of the largest value of a step if that is larger
# The cosine schedule begins at a ratio of 20,291. Half a step of Heun's from there to near 1 multiplies the rounding of float32:
# diffusers' own samples are 2e-4 off those in float64.
TOLERANCE_OF_HEUN_ON_COSINE = 1e-3
# PNDM of v takes the difference of two terms of that size there; its runs there are in float64.
IN_FLOAT64 = {"pndm"}


def theirs(name: str, schedule: Schedule, spacing: Spacing, kind: Prediction, *, clip: bool = False) -> Any:
    options: dict[str, Any] = {
        "beta_start": schedule.beta_start, "beta_end": schedule.beta_end, "beta_schedule": BETAS[schedule.name],
        "prediction_type": KINDS[kind], "timestep_spacing": spacing.rule, "steps_offset": spacing.offset,
    }  # fmt: skip
    if name == "pndm":
        options["skip_prk_steps"] = True
    elif name != "heun":
        options["rescale_betas_zero_snr"] = schedule.zero_terminal_snr
    if name in CLIPPING:
        options["clip_sample"] = clip
    if SAMPLERS[name].between:
        options["use_karras_sigmas"] = spacing.karras
    if name in {"ddim", "pndm", "lcm"}:
        options["set_alpha_to_one"] = spacing.clean_end
    if name == "dpmpp_sde":
        options["algorithm_type"] = "sde-dpmsolver++"
    made = getattr(diffusers, CLASSES[name])(**options)
    if name in IN_FLOAT64:
        made.alphas_cumprod = torch.from_numpy(schedule.alpha_bars())
        made.final_alpha_cumprod = torch.tensor(1.0).double() if spacing.clean_end else made.alphas_cumprod[0]
    if schedule.zero_terminal_snr:
        _same_shares(made, schedule, name, spacing)
    return made


def _same_shares(made: Any, schedule: Schedule, name: str, spacing: Spacing) -> None:
    """Of float32's rounding there, which PyTorch's square root makes other than NumPy's; the shares have a test of their own."""
    shares = torch.from_numpy(schedule.alpha_bars().astype(np.float32))
    if name not in {"ddpm", "ddim", "lcm"}:
        shares[-1] = 2.0**-24
    made.alphas_cumprod = shares
    if name == "ddim" and not spacing.clean_end:
        made.final_alpha_cumprod = shares[0]


def begun(
    made: Any, name: str, schedule: Schedule, spacing: Spacing, steps: int, strength: float
) -> tuple[Visits, Any]:
    """Our visits, and their timesteps, from where a run of this strength begins."""
    if name == "lcm" and strength < 1:
        made.set_timesteps(steps, strength=strength)
        return levels.distilled_from(schedule, spacing, steps, strength), made.timesteps
    made.set_timesteps(steps)
    skipped = (steps - min(int(steps * strength), steps)) * made.order
    if hasattr(made, "set_begin_index"):
        made.set_begin_index(skipped)
    if name == "pndm":
        return levels.repeated_from(schedule, spacing, steps, skipped), made.timesteps[skipped:]
    visits = SAMPLERS[name].visits(schedule, spacing, steps)
    return levels.part_of(visits, strength), made.timesteps[skipped:]


def stepped(
    update: Update, x: Array, p: Array, z: Array, kept: list[Array], last: Array, *, clip: bool
) -> tuple[Array, Array]:
    now, before, earlier = update.denoised
    limits = (-1.0, 1.0) if clip else (-np.inf, np.inf)
    numbers = update.sample, update.prediction, now, before, update.last_sample or earlier, update.noise
    others = dict(zip(("before", "earlier"), kept, strict=False)) | {"noise": z}
    if update.last_sample:
        others["earlier"] = last
    assert all(weight == 0 for weight in (before, earlier)[len(kept) :])
    return guided_step_reference(x, p, Weights(1.0, *update.to_denoised, *limits, *numbers), others)


def worst_of(
    monkeypatch: pytest.MonkeyPatch, name: str, schedule: Schedule, spacing: Spacing, kind: Prediction,
    steps: int, strength: float, *, clip: bool = False,
) -> tuple[float, float]:  # fmt: skip
    """The largest difference of any sample of a run, by the size of its values; and that of any timestep."""
    random = np.random.default_rng(0)
    made = theirs(name, schedule, spacing, kind, clip=clip)
    visits, told = begun(made, name, schedule, spacing, steps, strength)
    updates = list(ddim(visits, kind, eta=ETA) if name == "ddim" else SAMPLERS[name].steps(visits, kind))
    assert len(updates) == len(told)
    noise, picture = (random.standard_normal(SHAPE).astype(np.float32) for _ in range(2))
    start = visits[0].start
    if strength < 1:
        ours = np.float32(start.alpha) * picture + np.float32(start.sigma) * noise
        sample = made.add_noise(torch.from_numpy(picture), torch.from_numpy(noise), told[:1])
    else:
        run = plan(name + "_karras" * spacing.karras, Trained(schedule, kind, spacing), steps)
        ours, sample = np.float32(run.noise) * noise, torch.from_numpy(noise) * made.init_noise_sigma
    sample = sample.double() if name in IN_FLOAT64 else sample
    worst = float(np.abs(made.scale_model_input(sample, told[0]).numpy() - ours).max())
    late, last, kept, known, sizes = 0.0, ours, list[Array](), list[Array](), [1.0, 1.0]
    for update, timestep in zip(updates, told, strict=True):
        late = max(late, abs(float(timestep) - update.timestep))
        # both begin each step at the same sample
        ours = made.scale_model_input(sample, timestep).numpy().astype(np.float32)
        prediction, drawn = (random.standard_normal(SHAPE).astype(np.float32) for _ in range(2))
        module = sys.modules[type(made).__module__]
        if hasattr(module, "randn_tensor"):
            monkeypatch.setattr(module, "randn_tensor", lambda *_, drawn=drawn, **__: torch.from_numpy(drawn))
        options = {"eta": ETA} if name == "ddim" else {}
        sizes = [*sizes[-2:], float(sample.abs().max())]
        sample = made.step(torch.from_numpy(prediction), timestep, sample, **options).prev_sample
        blended = [prediction, *known][: len(update.blend)]
        known = [prediction, *known[:2]] if update.keeps else known
        if update.blend:
            prediction = np.tensordot(np.array(update.blend, np.float32), np.stack(blended), 1)
        following, denoised = stepped(update, ours, prediction, drawn, kept, last, clip=clip)
        last = ours
        kept = [denoised, *kept[:1]]
        scale = float((made.sigmas[made.step_index] ** 2 + 1) ** 0.5) if name in BY_RATIO else 1.0
        difference = float(np.abs(sample.numpy() - following * np.float32(scale)).max())
        worst = max(worst, difference / max(*sizes, float(sample.abs().max())))
    return worst, late


def spacings(name: str, schedule: Schedule) -> Iterator[Spacing]:
    """All rules, with Stable Diffusion's offset and end where the schedule is its own."""
    latent = schedule.name == "scaled_linear"
    for karras in (False, True) if SAMPLERS[name].between else (False,):
        for rule in ("leading", "linspace", "trailing"):
            yield Spacing(rule, int(latent and rule == "leading"), karras, clean_end=not latent)


def theirs_has(name: str, kind: Prediction, zero: bool) -> bool:
    if zero and (kind == "epsilon" or name in {"heun", "pndm"}):
        return False  # the first has no answer, the others no such option there
    return not (kind == "sample" and name in {"euler_ancestral", "pndm"})


COMBINATIONS = [
    each
    for each in itertools.product(CLASSES, KINDS, SCHEDULES, (False, True))
    if theirs_has(*each[:2], each[3])
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "kind", "schedule", "zero"), COMBINATIONS)
def test_every_step_is_theirs(
    name: str, kind: Prediction, schedule: str, zero: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = SCHEDULES[schedule]
    chosen = Schedule(plain.name, plain.beta_start, plain.beta_end, zero_terminal_snr=zero)
    runs = [  # 24 to 48 runs of up to 99 steps
        (spacing, steps, strength)
        for spacing in spacings(name, chosen)
        for steps in STEPS
        for strength in STRENGTHS
        if int(steps * strength) and (name != "lcm" or int(50 * strength) >= steps)
    ]
    assert len(runs) > 15
    for spacing, steps, strength in runs:
        worst, late = worst_of(monkeypatch, name, chosen, spacing, kind, steps, strength)
        steep = name == "heun" and schedule == "cosine"
        assert worst <= (TOLERANCE_OF_HEUN_ON_COSINE if steep else TOLERANCE), (spacing, steps, strength)
        # there Karras' timesteps of a cosine schedule are cut off, not rounded
        cut = spacing.karras and schedule == "cosine" and name.startswith("dpmpp")
        assert late <= (1 if cut else 0.01), (spacing, steps, strength)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", sorted(CLIPPING))
def test_clipped_steps_are_theirs(name: str, kind: Prediction, monkeypatch: pytest.MonkeyPatch) -> None:
    for rule in ("leading", "trailing"):
        for steps in STEPS:
            spacing = Spacing(rule)
            worst, _ = worst_of(monkeypatch, name, SCHEDULES["linear"], spacing, kind, steps, 1.0, clip=True)
            assert worst <= TOLERANCE


@pytest.mark.parametrize("steps", [1, 4, 20, 50, 333, 1000])
@pytest.mark.parametrize("name", CLASSES)
def test_timesteps_are_theirs_for_any_number_of_steps(name: str, steps: int) -> None:
    for spacing in spacings(name, SCHEDULES["linear"]):
        beyond = SAMPLERS[name].visits is levels.before_the_last and spacing.rule != "trailing"
        if (name == "lcm" and steps > 50) or (beyond and steps == 1000) or spacing.karras:
            continue
        made = theirs(name, SCHEDULES["linear"], spacing, "epsilon")
        made.set_timesteps(steps)
        visits = SAMPLERS[name].visits(SCHEDULES["linear"], spacing, steps)
        updates = SAMPLERS[name].steps(visits, "epsilon")
        np.testing.assert_allclose([update.timestep for update in updates], made.timesteps, atol=1e-3)


@pytest.mark.parametrize("zero", [False, True])
@pytest.mark.parametrize("name", SCHEDULES)
def test_the_shares_of_signal_are_theirs(name: str, zero: bool) -> None:
    plain = SCHEDULES[name]
    options = {"beta_schedule": BETAS[name], "beta_start": plain.beta_start, "beta_end": plain.beta_end}
    made = diffusers.DDPMScheduler(**options, rescale_betas_zero_snr=zero)
    ours = Schedule(plain.name, plain.beta_start, plain.beta_end, zero_terminal_snr=zero).alpha_bars()
    np.testing.assert_allclose(ours, made.alphas_cumprod.numpy(), atol=1e-6 if zero else 0, rtol=0)
