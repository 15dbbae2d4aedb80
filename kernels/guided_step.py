"""Classifier-free guidance and one step of a diffusion sampler, in one pass over memory.

In: the sample, what the network predicted of it, and what the sampler keeps.  Out: the next sample, and the picture in it.
Used by runtime/diffusion/sampling.py.  Next: native/guided_step.cpp, guided_step.cu, guided_step.h.
"""

import ctypes
from collections.abc import Mapping

import numpy as np

from vedette.kernels import native
from vedette.kernels._guided_step_cases import CASES as CASES
from vedette.kernels._guided_step_cases import OTHERS
from vedette.kernels._guided_step_cases import Weights as Weights
from vedette.kernels.native import F32, INT
from vedette.kernels.picture import Array

_POINTER = ctypes.c_void_p
_ARGUMENTS = (*[_POINTER] * 6, F32, INT, INT, _POINTER, _POINTER)


def guided_step_reference(
    sample: Array, prediction: Array, weights: Weights, others: Mapping[str, Array] = {}
) -> tuple[Array, Array]:
    """The next sample, a weighted sum, and the picture that the sample seems to be made of.

    prediction = unconditional + guidance * (prediction - unconditional), where there is an unconditional one;
    denoised = from_sample * sample + from_prediction * prediction, clipped to low … high;
    next = sample * w + prediction * w + denoised * w + before * w + earlier * w + noise * w, each by its own weight.
    In float32, in that order; float16 is rounded once, at the end. What is no number stays none.

    Args:
        sample: float32 or float16 of any shape.
        prediction: of the same shape and type; the conditional one, where there are two.
        weights: of all arrays.
        others: unconditional, before (the denoised picture of the step before), earlier (of the one before that, or the sample
            that the step before began with), noise: those that there are, of the same shape and type.

    Returns:
        The next sample and the denoised picture, both of the same shape and type.

    Raises:
        ValueError: arrays that differ.

    Source: Ho and Salimans, Classifier-free diffusion guidance, 2022; the samplers are in runtime/diffusion/samplers.py.
    """
    _check(sample, prediction, others)
    guidance, from_sample, from_prediction, low, high, *sums = weights.array()
    with np.errstate(all="ignore"):
        x, p = sample.astype(np.float32), prediction.astype(np.float32)
        if "unconditional" in others:
            base = others["unconditional"].astype(np.float32)
            p = base + guidance * (p - base)
        denoised = (from_sample * x + from_prediction * p).clip(low, high)
        following = sums[0] * x + sums[1] * p + sums[2] * denoised
        for weight, name in zip(sums[3:], OTHERS[1:], strict=True):
            if name in others:
                following = following + weight * others[name].astype(np.float32)
        return following.astype(sample.dtype), denoised.astype(sample.dtype)


def guided_step(
    sample: Array, prediction: Array, weights: Weights, others: Mapping[str, Array] = {}
) -> tuple[Array, Array]:
    """guided_step_reference by the C++ kernel where it is built: the same values."""
    kernel = native.function("vedette_guided_step", _ARGUMENTS)
    if kernel is None:
        return guided_step_reference(sample, prediction, weights, others)
    _check(sample, prediction, others)
    arrays = [np.ascontiguousarray(array) for array in (sample, prediction)]
    kept = {
        name: np.ascontiguousarray(array) for name, array in others.items()
    }  # alive until the call returns
    following, denoised = np.empty_like(arrays[0]), np.empty_like(arrays[0])
    kernel(
        *(array.ctypes.data for array in arrays),
        *(kept[name].ctypes.data if name in kept else None for name in OTHERS),
        weights.array(), sample.size, int(sample.dtype == np.float16), following.ctypes.data, denoised.ctypes.data,
    )  # fmt: skip
    return following, denoised


def _check(sample: Array, prediction: Array, others: Mapping[str, Array]) -> None:
    """Arguments that the C++ may trust."""
    if sample.dtype not in (np.float32, np.float16):
        raise ValueError(f"want float32 or float16, not {sample.dtype}")
    if not others.keys() <= set(OTHERS):
        raise ValueError(f"want some of {', '.join(OTHERS)}, not {', '.join(others)}")
    for name, array in {"prediction": prediction, **others}.items():
        if array.shape != sample.shape or array.dtype != sample.dtype:
            raise ValueError(f"want {name} of {sample.dtype} {sample.shape}, not {array.dtype} {array.shape}")
