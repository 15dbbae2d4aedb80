"""DDPM: noise to a picture, a little at a time; a bundle of one graph, the network that is asked at every step.

In: sample float32 [N, 1, 32, 32], timestep float32 [N], 0 to 999.  Out: prediction [N, 1, 32, 32], v of a linear schedule.
Trained by ../training/ddpm.py.  Next: _denoiser.py (the module), ../bundle.py; runtime/diffusion draws with it.

Source: Ho et al., Denoising Diffusion Probabilistic Models, NeurIPS 2020; Salimans and Ho, ICLR 2022 (v).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch

from vedette.export.networks._denoiser import Denoiser
from vedette.export.networks._generation import (
    DIGITS,
    LARGEST_BATCH,
    TYPICAL_BATCH,
    About,
    bundle,
    fitted,
    graph,
    only_size,
    tensor,
)
from vedette.export.networks._whole import Tensors, Whole
from vedette.export.weights import read
from vedette.runtime.manifest import Input, Output
from vedette.runtime.preprocess import Size

SIDE = 32
TRAIN_STEPS, BETA_START, BETA_END = 1000, 1e-4, 0.02  # of the schedule that it is trained with
SAMPLER, STEPS = "dpmpp_2m", 20  # where none is asked for
OURS = About(
    "Apache-2.0",
    DIGITS,
    "an MNIST classifier is sure of 93 % of its digits (97 % of real ones), all ten occur",
)


def network() -> Denoiser:
    """Our denoiser with fresh weights."""
    return Denoiser()


def whole(weights: Path | None = None, imgsz: Size | None = None) -> Whole:
    """Our denoiser with a file's weights, or fresh ones.

    Raises:
        ModelError: the file is unreadable, or a tensor is missing, unknown or of another shape.
        UsageError: another size than the weights'.
    """
    size = SIDE, SIDE
    only_size("ddpm", size, imgsz)
    module = network()
    if weights:
        module = fitted(module, read(weights), weights.name, "our denoiser")
    shape = module.plan.channels, *size
    prediction = Output("prediction", (-1, *shape), role="prediction")
    denoiser = graph(
        module, "ddpm_denoiser", (tensor("sample", *shape), _timestep()), (prediction,), OURS, half="net"
    )
    parameters = {
        "channels": module.plan.channels, "size": list(size), "black": -1.0, "white": 1.0, "schedule": "linear",
        "beta_start": BETA_START, "beta_end": BETA_END, "train_steps": TRAIN_STEPS, "prediction": "v", "clip": True,
        "sampler": SAMPLER, "steps": STEPS,
    }  # fmt: skip
    return Whole(bundle("ddpm", parameters, OURS), {"denoiser": denoiser}, _feeds)


def _timestep() -> Input:
    return replace(tensor("timestep"), minimum=(1,), typical=(TYPICAL_BATCH,), maximum=(LARGEST_BATCH,))


def _feeds(samples: torch.Tensor) -> Mapping[str, Tensors]:
    """Each sample at another time, the last one at the end."""
    times = torch.linspace(0, TRAIN_STEPS - 1, len(samples) + 1)[1:].round()
    return {"denoiser": (samples, times)}
