"""Digit scenes in motion: digits that keep their identity, and cross in pairs.

In: a seed and a number of frames.  Out: a Scene a frame. Next: scenes.py.

Everything goes straight on and bounces off the edges, swaying a little. Each pair of digits is aimed at one
place and time, from opposite sides; there the lower one is hidden for some frames.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from vedette.export.training._compose import (
    DIGIT_SIDE,
    SEMANTIC,
    SHAPE_SIDE,
    TILT,
    Camera,
    Scene,
    Thing,
    annotated,
    blended,
    contrasting,
    random_camera,
    random_side,
)
from vedette.export.training._digits import Glyph, random_glyph
from vedette.export.training._photos import background
from vedette.export.training._shapes import Shape, random_shape
from vedette.runtime.frame import Array

RATE = 25  # frames a second
MEETINGS = (0.3, 0.6)  # of the clip: when each pair of digits crosses
SHAPES = 2
SPEED = (0.005, 0.012)  # sides of the picture a frame
SWAY_FRAMES = 40


@dataclass(frozen=True, slots=True, eq=False)
class Actor:
    """Something that moves."""

    look: Glyph | Shape
    side: int
    colours: Array  # float32 [2, 3] BGR
    meeting: Array  # float [2] x, y in pixels, where its centre is at a time
    meeting_frame: float
    velocity: Array  # float [2] pixels a frame
    angle: float
    phase: float

    def at(self, frame: int, size: int) -> Thing:
        """What it is in a frame."""
        corner = self.meeting + self.velocity * (frame - self.meeting_frame) - self.side / 2
        left, top = (round(_bounced(float(place), size - self.side)) for place in corner)
        angle = self.angle + TILT / 2 * np.sin(2 * np.pi * frame / SWAY_FRAMES + self.phase)
        alpha, pattern = self.look.drawn(self.side, angle)
        digit = self.look.digit if isinstance(self.look, Glyph) else -1
        label = SEMANTIC.index("digit" if isinstance(self.look, Glyph) else self.look.kind)
        return Thing(label, digit, alpha, pattern, left, top, self.colours)


@dataclass(frozen=True, slots=True, eq=False)
class Cast:
    """All that a clip shows."""

    picture: Array  # float32 [H, W, 3], the background
    actors: tuple[Actor, ...]  # from the bottom to the top
    track_ids: tuple[int, ...]  # of the actors
    camera: Camera


def clip(count: int, *, seed: int, split: str, size: int) -> Iterator[Scene]:
    """Yield the frames of a clip, one Scene each; size is the picture's side in pixels."""
    rng = np.random.default_rng([seed, count, size])
    cast = _cast(rng, count, split, size)
    for frame in range(count):
        things = [actor.at(frame, size) for actor in cast.actors]
        picture = cast.picture
        for thing in things:
            picture = blended(picture, thing)
        yield annotated(rng, cast.camera, picture, things, cast.track_ids)


def _cast(rng: np.random.Generator, count: int, split: str, size: int) -> Cast:
    picture = background(rng, split, size)
    mean = picture.mean(axis=(0, 1))
    actors = [_shape(rng, count, size, mean) for _ in range(SHAPES)]
    for meeting in MEETINGS:
        place = rng.uniform(0.35, 0.65, 2) * size
        way = _velocity(rng, size)
        for velocity in (way, -way * rng.uniform(0.8, 1.2)):
            look = random_glyph(rng, split)
            actors.append(_actor(rng, look, (place, meeting * count, velocity), size, mean))
    ids = range(1, len(actors) + 1)
    return Cast(picture, tuple(actors), tuple(ids), random_camera(rng))


def _shape(rng: np.random.Generator, count: int, size: int, mean: Array) -> Actor:
    path = rng.uniform(0.3, 0.7, 2) * size, count / 2, _velocity(rng, size)
    return _actor(rng, random_shape(rng), path, size, mean)


def _actor(
    rng: np.random.Generator, look: Glyph | Shape, path: tuple[Array, float, Array], size: int, mean: Array
) -> Actor:
    """An actor of a random size and colour on a path: a place, the frame in which it is there, a velocity."""
    first = contrasting(rng, mean)
    upright = isinstance(look, Glyph)
    return Actor(
        look,
        random_side(rng, DIGIT_SIDE if upright else SHAPE_SIDE, size),
        np.stack([first, contrasting(rng, first)]),
        *path,
        angle=rng.uniform(-TILT, TILT) / 2 if upright else rng.uniform(0, 2 * np.pi),
        phase=rng.uniform(0, 2 * np.pi),
    )


def _velocity(rng: np.random.Generator, size: int) -> Array:
    way = rng.uniform(0, 2 * np.pi)
    velocity: Array = np.array([np.cos(way), np.sin(way)]) * rng.uniform(*SPEED) * size
    return velocity


def _bounced(place: float, room: int) -> float:
    """A place on a line, reflected at 0 and at room as often as needed."""
    if room <= 0:
        return 0.0
    folded = place % (2 * room)
    return min(folded, 2 * room - folded)
