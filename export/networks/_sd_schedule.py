"""A pipeline's scheduler in terms of runtime/diffusion: schedule, prediction, spacing, and the sampler that it is.

In: scheduler_config.json, and the class of the pipeline.  Out: Scheduled.  Next: stable_diffusion.py.
tests/runtime/diffusion/test_against_diffusers.py shows for each sampler that it is its scheduler.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vedette.runtime.diffusion.schedules import Schedule
from vedette.runtime.errors import ModelError

SAMPLERS = {
    "DDPMScheduler": "ddpm",
    "DDIMScheduler": "ddim",
    "EulerDiscreteScheduler": "euler",
    "EulerAncestralDiscreteScheduler": "euler_ancestral",
    "HeunDiscreteScheduler": "heun",
    "DPMSolverMultistepScheduler": "dpmpp_2m",
    "UniPCMultistepScheduler": "unipc",
    "LCMScheduler": "lcm",
    "PNDMScheduler": "pndm",
}
STOCHASTIC = "sde-dpmsolver++"
SCHEDULES = {"linear": "linear", "scaled_linear": "scaled_linear", "squaredcos_cap_v2": "cosine"}
PREDICTIONS = {"epsilon": "epsilon", "v_prediction": "v", "sample": "sample"}
ASKED = (
    "num_train_timesteps",
    "beta_start",
    "beta_end",
    "beta_schedule",
)  # that a wrong guess would ruin every picture
# what our samplers do; a scheduler that is told to do otherwise is another
FIXED: Mapping[str, tuple[Any, ...]] = {
    "trained_betas": (None,),
    "thresholding": (False,),
    "interpolation_type": ("linear",),
    "timestep_type": ("discrete",),
    "final_sigmas_type": ("zero",),
    "use_exponential_sigmas": (False, None),
    "use_beta_sigmas": (False, None),
    "use_lu_lambdas": (False, None),
    "use_flow_sigmas": (False, None),
    "sigma_min": (None,),
    "sigma_max": (None,),
    "solver_order": (2,),
    "solver_type": ("midpoint", "bh2"),
    "algorithm_type": ("dpmsolver++", STOCHASTIC),
    "lower_order_final": (True,),
    "euler_at_final": (False,),
    "predict_x0": (True,),
    "disable_corrector": ([], ()),
    "original_inference_steps": (50,),
    "timestep_scaling": (10.0,),
    "variance_type": ("fixed_small", None),
    "beta_schedule": tuple(SCHEDULES),
    "prediction_type": tuple(PREDICTIONS),
    "timestep_spacing": ("leading", "linspace", "trailing"),
}
CORRECTED = {  # pipelines that change what old configurations say
    "StableDiffusionPipeline": {"steps_offset": 1, "clip_sample": False},
    "StableDiffusionImg2ImgPipeline": {"steps_offset": 1, "clip_sample": False},
    "StableDiffusionInpaintPipeline": {"steps_offset": 1},
}


@dataclass(frozen=True, slots=True)
class Scheduled:
    """What the runtime is told of it.

    Attributes:
        parameters: of the bundle.
        note: what differs from the pipeline's own sampler, or nothing.
    """

    parameters: Mapping[str, Any]
    note: str = ""

    @property
    def sampler(self) -> str:
        return str(self.parameters["sampler"])

    @property
    def schedule(self) -> Schedule:
        told = self.parameters
        ends = float(told["beta_start"]), float(told["beta_end"])
        return Schedule(told["schedule"], *ends, told["train_steps"], told["zero_terminal_snr"])

    @property
    def few_steps(self) -> bool:
        """Whether it is told to visit the last timestep in a single step, as networks distilled to one step are (Turbo)."""
        euler = self.sampler.startswith("euler")
        return (
            euler and self.parameters["spacing"] == "trailing" and self.parameters["prediction"] == "epsilon"
        )


def scheduled(given: Mapping[str, Any], pipeline: str) -> Scheduled:
    """Translate a scheduler's configuration.

    Args:
        given: scheduler_config.json.
        pipeline: class of the pipeline, some of which correct what is given.

    Raises:
        ModelError: a scheduler or an option of it that has no equal here, or one that is missing.
    """
    name = str(given.get("_class_name"))
    if name not in SAMPLERS:
        raise _refused(f"its scheduler is {name}", f"there are {', '.join(SAMPLERS)}")
    for key in ASKED:
        if key not in given:
            raise _refused(
                f"scheduler_config.json has no {key}", "it cannot be guessed", cure="copy the folder again"
            )
    config = _whole(name, given) | {
        key: value for key, value in CORRECTED.get(pipeline, {}).items() if key in _whole(name, given)
    }
    for key, known in FIXED.items():
        if key in config and config[key] not in known and not (name == "PNDMScheduler" and key not in ASKED):
            raise _refused(
                f"its scheduler has {key} {str(config[key])[:60]!r}",
                f"known is {' or '.join(map(repr, known))}",
            )
    if config.get("clip_sample"):
        raise _refused(
            "its scheduler clips denoised latents", "clip_sample is true, which latents are not made for"
        )
    return _scheduled(name, config, given)


def _whole(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """With the class's own defaults."""
    import diffusers

    try:
        return dict(getattr(diffusers, name).from_config(dict(given)).config)
    except (ValueError, TypeError, NotImplementedError, ImportError, OverflowError) as error:
        raise _refused(f"{name} refuses scheduler_config.json", str(error)[:200]) from None


def _scheduled(name: str, config: Mapping[str, Any], given: Mapping[str, Any]) -> Scheduled:
    stochastic = config.get("algorithm_type") == STOCHASTIC
    sampler = "dpmpp_sde" if stochastic else SAMPLERS[name]
    parameters = {
        "schedule": SCHEDULES[config["beta_schedule"]],
        "beta_start": float(config["beta_start"]),
        "beta_end": float(config["beta_end"]),
        "train_steps": int(config["num_train_timesteps"]),
        "zero_terminal_snr": bool(config.get("rescale_betas_zero_snr", False)),
        "prediction": PREDICTIONS[config["prediction_type"]],
        "spacing": config["timestep_spacing"],
        "spacing_offset": int(config.get("steps_offset", 0)),
        "clean_end": bool(config.get("set_alpha_to_one", given.get("set_alpha_to_one", True))),
        "karras": bool(config.get("use_karras_sigmas", False)),
        "sampler": sampler,
    }
    runge_kutta = name == "PNDMScheduler" and not config["skip_prk_steps"]
    note = (
        "its sampler begins with Runge-Kutta's method (skip_prk_steps is false); ours does not"
        if runge_kutta
        else ""
    )
    return Scheduled(parameters, note)


def _refused(what: str, why: str, *, cure: str = "") -> ModelError:
    return ModelError(
        f"the pipeline cannot be exported: {what}",
        why=why,
        cure=cure or "load it with diffusers, give it another scheduler with from_config, and save it again",
    )
