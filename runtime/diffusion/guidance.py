"""Guidance beyond the weighted sum of guided_step.py: predictions brought back to their spread, and guidance as an input.

In: predictions with and without the prompt, or a number.  Out: one prediction, or an embedding.
"""

import math

import numpy as np

from vedette.runtime.frame import Array

PERIOD = 10000.0  # the longest of the embedding's waves, by the shortest


def rescaled(prediction: Array, unconditional: Array, guidance: float, share: float) -> Array:
    """The guided prediction, a share of it with the deviation that the one with the prompt has, image by image.

    Args:
        prediction: float32 [N, …].
        unconditional: the same shape.
        guidance: of their difference.
        share: 0 to 1.

    Returns:
        float32 [N, …].

    Source: Lin et al., Common diffusion noise schedules and sample steps are flawed, 2024, section 3.4.
    """
    guided = unconditional + np.float32(guidance) * (prediction - unconditional)
    axes = tuple(range(1, guided.ndim))
    wanted, found = (array.std(axis=axes, keepdims=True) for array in (prediction, guided))
    ratio = wanted / np.maximum(found, np.finfo(np.float32).tiny)
    scaled: Array = guided * (np.float32(share) * ratio + np.float32(1 - share))
    return scaled


def embedded(guidance: float, count: int) -> Array:
    """Sines and cosines of guidance - 1, which a network distilled with its guidance takes: float32 [count].

    Source: Luo et al., Latent consistency models, 2023, section 4.2; the waves are those of the timestep.
    """
    half = count // 2
    rates = np.exp(np.arange(half, dtype=np.float32) * np.float32(-math.log(PERIOD) / max(half - 1, 1)))
    angles = np.float32((guidance - 1) * 1000) * rates
    waves = np.concatenate([np.sin(angles), np.cos(angles)])
    return np.pad(waves, (0, count - 2 * half)).astype(np.float32)
