"""Handwritten digits one a picture, as the generators learn them: 32 x 32, white strokes on black.

In: a split of the writers.  Out: pictures, and which digit each is.  Next: _digits.py (where they come from).
"""

from __future__ import annotations

import numpy as np
import torch

from vedette.export.training._digits import Glyph, random_glyph
from vedette.runtime.frame import Array

SIDE = 32
WOBBLE = 0.03  # how far strokes bend, in sides: so that eleven writers stand for more
COUNT = 24000  # that a training draws once and then learns from


def digits(count: int, *, seed: int, split: str = "train") -> tuple[Array, Array]:
    """Seeded digits: pictures float32 [N, 32, 32] in 0 (black) to 1, and which they are, int64 [N].

    Held-out writers' strokes are not bent: these are as they were written.
    """
    rng = np.random.default_rng(seed)
    glyphs = [_glyph(rng, split) for _ in range(count)]
    pictures = [glyph.drawn(SIDE, rng.uniform(-0.06, 0.06))[0] for glyph in glyphs]
    return np.stack(pictures), np.array([glyph.digit for glyph in glyphs])


def _glyph(rng: np.random.Generator, split: str) -> Glyph:
    """Thinner, straighter and less bent than in scenes: of what it sees, a generator draws the strangest, too."""
    return random_glyph(rng, split, levels=(0.38, 0.52), slant=0.12, narrowest=0.82, wobble=WOBBLE)


def training_digits(*, seed: int, black: float, count: int = COUNT) -> torch.Tensor:
    """The pictures to learn from, float32 [N, 1, 32, 32], black to 1."""
    pictures, _ = digits(count, seed=seed)
    return torch.from_numpy(pictures)[:, None] * (1 - black) + black
