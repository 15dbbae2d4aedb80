"""Simple shapes that a scene has besides its digits: told apart by outline or by texture.

In: how a shape looks.  Out: its opacity and its pattern at any size and angle. Next: scenes.py.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vedette.runtime.frame import Array

SHAPES = ("disc", "triangle", "stripes", "checks")
HALF_SQUARE = 0.68  # of the textured squares, in half sides: they fit at every angle


@dataclass(frozen=True, slots=True)
class Shape:
    """One shape: discs and triangles have one colour, the textured squares two."""

    kind: str
    bands: int  # across a textured square

    def drawn(self, side: int, angle: float) -> tuple[Array, Array]:
        """Opacity and share of the second colour at an angle in radians, float32 [side, side] each."""
        steps = (np.arange(2 * side, dtype=np.float32) + 0.5) / side - 1
        cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
        u = cos * steps - sin * steps[:, None]
        v = sin * steps + cos * steps[:, None]
        return _pooled(self._inside(u, v)), _pooled(self._second(u, v))

    def _inside(self, u: Array, v: Array) -> Array:
        """Whether points in half sides from the centre belong to the shape."""
        if self.kind == "disc":
            return np.asarray(u * u + v * v < 0.9)
        if self.kind == "triangle":
            slope = np.float32(np.sqrt(3))
            return (v < 0.48) & (slope * u - v < 0.96) & (-slope * u - v < 0.96)
        return (np.abs(u) < HALF_SQUARE) & (np.abs(v) < HALF_SQUARE)

    def _second(self, u: Array, v: Array) -> Array:
        """Whether points have the second colour."""
        if self.kind in {"disc", "triangle"}:
            return np.zeros(u.shape, bool)
        across, down = (np.floor((way / HALF_SQUARE + 1) / 2 * self.bands) for way in (u, v))
        return np.asarray((across + (down if self.kind == "checks" else 0)) % 2 == 1)


def random_shape(rng: np.random.Generator) -> Shape:
    """A shape of any kind."""
    return Shape(SHAPES[rng.integers(len(SHAPES))], int(rng.integers(4, 7)))


def _pooled(inside: Array) -> Array:
    """The share of each 2 x 2 points, float32."""
    side = len(inside) // 2
    pooled: Array = inside.reshape(side, 2, side, 2).mean(axis=(1, 3), dtype=np.float32)
    return pooled
