"""Handwritten digits, split by their writers, and drawn at any size.

In: scikit-learn's digits, 8 x 8 pixels (the test part of UCI's "Optical Recognition of Handwritten Digits").
Out: a Glyph, one digit whose strokes have an opacity at every pixel. Next: scenes.py.

Every writer filled in the same form, so the sequence of labels starts anew with each: that tells where one ends.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from vedette.runtime.frame import Array

FORMS = (0, 130, 256, 386, 516, 646, 776, 906, 1029, 1157, 1287, 1415, 1545, 1667, 1797)  # where they start
HELD_OUT = 3  # the last forms are for validation
SOURCE_SIDE = 48  # the 8 x 8 pixels, a frame of one, made smooth
WOBBLE = 0.045  # how far training bends strokes, in sides: so that eleven writers stand for more


@dataclass(frozen=True, slots=True, eq=False)
class Glyph:
    """One handwritten digit and the way it is written this time."""

    field: Array  # float32 [48, 48] in [0, 1]; the strokes are where it exceeds the level
    digit: int
    level: float  # low is thick
    slant: float
    width: float  # in heights
    bend: Array  # float32 [2, 4, 4], sides

    def drawn(self, side: int, angle: float) -> tuple[Array, Array]:
        """Opacity and share of the second colour (none) at an angle in radians, float32 [side, side] each."""
        import cv2

        x, y = self._source_xy(2 * side, angle)
        field = cv2.remap(self.field, x, y, cv2.INTER_LINEAR)
        ink = 1 / (1 + np.exp((self.level - field) * 14))
        pooled = ink.reshape(side, 2, side, 2).mean(axis=(1, 3))
        alpha = np.clip(pooled * 1.02 - 0.02, 0, 1).astype(np.float32)  # nothing where there is no ink
        return alpha, np.zeros_like(alpha)

    def _source_xy(self, side: int, angle: float) -> tuple[Array, Array]:
        """Where each pixel of a side x side picture lies in the field, float32 [side, side] each."""
        import cv2

        steps = (np.arange(side, dtype=np.float32) + 0.5) / side - 0.5
        dx, dy = (cv2.resize(way, (side, side), interpolation=cv2.INTER_CUBIC) for way in self.bend)
        cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
        x = cos * steps - sin * steps[:, None]
        y = sin * steps + cos * steps[:, None]
        x = (x + self.slant * y) / self.width
        scale = SOURCE_SIDE * 0.95
        middle = (SOURCE_SIDE - 1) / 2
        return (x + dx) * scale + middle, (y + dy) * scale + middle


def random_glyph(
    rng: np.random.Generator,
    split: str,
    *,
    levels: tuple[float, float] = (0.36, 0.56),
    slant: float = 0.2,
    narrowest: float = 0.8,
    wobble: float = WOBBLE,
) -> Glyph:
    """A digit by a writer of the split, its ink from a level between two, slanted by so much either way at most."""
    fields, digits = handwriting(split)
    index = int(rng.integers(len(digits)))
    bend = rng.uniform(-1, 1, (2, 4, 4)).astype(np.float32) * (wobble if split == "train" else 0)
    return Glyph(
        fields[index],
        int(digits[index]),
        level=rng.uniform(*levels),
        slant=rng.uniform(-slant, slant),
        width=rng.uniform(narrowest, 1.0),
        bend=bend,
    )


@cache
def handwriting(split: str) -> tuple[Array, Array]:
    """The digits of a split as fields, float32 [N, 48, 48] in [0, 1], and which they are, int64 [N]."""
    import cv2
    from sklearn.datasets import load_digits

    loaded = load_digits()
    chosen = indices(split)
    images = np.pad(loaded.images[chosen].astype(np.float32) / 16, ((0, 0), (1, 1), (1, 1)))
    size = (SOURCE_SIDE, SOURCE_SIDE)
    fields = [cv2.resize(image, size, interpolation=cv2.INTER_CUBIC) for image in images]
    return np.clip(np.stack(fields), 0, 1), loaded.target[chosen].astype(np.int64)


def indices(split: str) -> Array:
    """Which of scikit-learn's digits are a split's, int64 [N].

    Raises:
        ValueError: the split is neither train nor val.
    """
    if split not in {"train", "val"}:
        raise ValueError(f"the splits are train and val, not {split!r}")
    border = FORMS[-1 - HELD_OUT]
    return np.arange(border) if split == "train" else np.arange(border, FORMS[-1])
