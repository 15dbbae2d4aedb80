"""From things to a scene: what covers what, and the annotations that follow from it.

In: a background and things from the bottom to the top.  Out: a Scene. Next: scenes.py, which says the conventions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from vedette.export.training._digits import random_glyph
from vedette.export.training._shapes import SHAPES, random_shape
from vedette.runtime.frame import Array

SEMANTIC = ("background", "digit", *SHAPES)  # by the label map's values
KEYPOINTS = ("top", "right", "bottom", "left", "centre")
DIGIT_SIDE = (22, 48)  # of the square that a digit is written in, in 128ths of the scene
SHAPE_SIDE = (24, 52)
BLACK = np.zeros((2, 3), np.float32)
TILT = 0.25  # radians, at most
ANNOTATED = 0.25  # of a digit must be seen
CONTRAST = 75  # mean difference between a digit's colour and what lies under it


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """A picture and all that is in it; N digits, from the bottom to the top."""

    image: Array  # uint8 [H, W, 3] BGR
    boxes_xyxy: Array  # float32 [N, 4] pixels, the extent of the mask
    class_ids: Array  # int64 [N], which digit
    masks: Array  # bool [N, H, W], disjoint
    keypoints: Array  # float32 [N, 5, 3]: x, y in pixels, 2 (visible); KEYPOINTS
    labels: Array  # uint8 [H, W], position in SEMANTIC
    track_ids: Array  # int64 [N], from 1; the same digit has the same through a clip


@dataclass(frozen=True, slots=True, eq=False)
class Thing:
    """Something drawn into a square of the scene."""

    label: int  # position in SEMANTIC
    class_id: int  # which digit, or -1
    alpha: Array  # float32 [h, h] opacity
    pattern: Array  # float32 [h, h] share of the second colour
    left: int
    top: int
    colours: Array = field(default_factory=BLACK.copy)  # float32 [2, 3] BGR, 0..255

    @property
    def region(self) -> tuple[slice, slice]:
        """Rows and columns of the scene."""
        height, width = self.alpha.shape
        return slice(self.top, self.top + height), slice(self.left, self.left + width)

    @property
    def solid(self) -> Array:
        """Where it covers more than half of a pixel, bool [h, h]."""
        return self.alpha > 0.5

    @property
    def ink(self) -> int:
        """How many pixels it covers."""
        return int(np.count_nonzero(self.solid))

    def overlap(self, other: Thing) -> float:
        """The share of the smaller square that lies in the other."""
        sides = len(self.alpha), len(other.alpha)
        across = min(self.left + sides[0], other.left + sides[1]) - max(self.left, other.left)
        down = min(self.top + sides[0], other.top + sides[1]) - max(self.top, other.top)
        return max(across, 0) * max(down, 0) / min(sides) ** 2


@dataclass(frozen=True, slots=True)
class Camera:
    """What stands between a scene and its picture."""

    blur: float  # standard deviation in pixels
    grain: float  # standard deviation of the noise, of 255

    def photographed(self, rng: np.random.Generator, picture: Array) -> Array:
        """The picture as uint8."""
        import cv2

        blurred = cv2.GaussianBlur(picture, (5, 5), self.blur) if self.blur > 0.2 else picture
        noise = rng.standard_normal(picture.shape, np.float32) * np.float32(self.grain)
        exposed: Array = np.clip(np.rint(blurred + noise), 0, 255).astype(np.uint8)
        return exposed


def random_camera(rng: np.random.Generator) -> Camera:
    """A sharp or soft, quiet or noisy one."""
    return Camera(blur=rng.uniform(0, 0.9), grain=rng.uniform(1, 9))


def random_digit(rng: np.random.Generator, split: str, size: int) -> Thing:
    """A handwritten digit somewhere, not yet coloured."""
    glyph = random_glyph(rng, split)
    drawn = glyph.drawn(random_side(rng, DIGIT_SIDE, size), rng.uniform(-TILT, TILT))
    return Thing(1, glyph.digit, *drawn, *_corner(rng, size, len(drawn[0])))


def random_shaped(rng: np.random.Generator, size: int) -> Thing:
    """A shape somewhere at any angle, not yet coloured."""
    shape = random_shape(rng)
    drawn = shape.drawn(random_side(rng, SHAPE_SIDE, size), rng.uniform(0, 2 * np.pi))
    return Thing(SEMANTIC.index(shape.kind), -1, *drawn, *_corner(rng, size, len(drawn[0])))


def coloured(rng: np.random.Generator, thing: Thing, picture: Array) -> Thing:
    """The thing in a colour that stands out from what it covers, and a second far from that."""
    first = contrasting(rng, picture[thing.region].mean(axis=(0, 1)))
    return replace(thing, colours=np.stack([first, contrasting(rng, first)]))


def blended(picture: Array, thing: Thing) -> Array:
    """The float32 picture with a thing on top."""
    drawn = picture.copy()
    first, second = thing.colours
    paint = first + (second - first) * thing.pattern[..., None]
    drawn[thing.region] += (paint - drawn[thing.region]) * thing.alpha[..., None]
    return drawn


def ownership(things: Sequence[Thing], size: int) -> Array:
    """Which thing each pixel belongs to, int16 [size, size]; -1 is the background."""
    owner = np.full((size, size), -1, np.int16)
    for index, thing in enumerate(things):
        owner[thing.region][thing.solid] = index
    return owner


def annotated(
    rng: np.random.Generator,
    camera: Camera,
    picture: Array,
    things: Sequence[Thing],
    track_ids: Sequence[int] = (),
) -> Scene:
    """The scene of a drawn picture: photographed, annotations read off."""
    owner = ownership(things, len(picture))
    ids = track_ids or range(1, len(things) + 1)
    shown = [index for index, thing in enumerate(things) if _is_annotated(thing, owner == index)]
    masks = np.array([owner == index for index in shown], bool).reshape(-1, *owner.shape)
    table = np.array([*(thing.label for thing in things), 0], np.uint8)  # the background is -1: the last
    return Scene(
        image=camera.photographed(rng, picture),
        boxes_xyxy=np.array([box_of(mask) for mask in masks], np.float32).reshape(-1, 4),
        class_ids=np.array([things[index].class_id for index in shown], np.int64),
        masks=masks,
        keypoints=np.array([keypoints_of(mask) for mask in masks], np.float32).reshape(-1, len(KEYPOINTS), 3),
        labels=table[owner],
        track_ids=np.array([ids[index] for index in shown], np.int64),
    )


def _is_annotated(thing: Thing, mask: Array) -> bool:
    """Whether a thing is a digit of which enough can be seen."""
    return thing.class_id >= 0 and int(mask.sum()) >= max(1, ANNOTATED * thing.ink)


def box_of(mask: Array) -> list[int]:
    """The extent of a bool mask that is not empty: x1, y1, x2, y2, pixel edges."""
    columns, rows = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
    return [int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1]


def keypoints_of(mask: Array) -> list[tuple[float, float, float]]:
    """KEYPOINTS of a mask: the middle one of its outermost pixels each way, and the mean of all."""
    left, top, right, bottom = box_of(mask)
    middle = {
        "top": (_median(mask[top]), top + 0.5),
        "right": (right - 0.5, _median(mask[:, right - 1])),
        "bottom": (_median(mask[bottom - 1]), bottom - 0.5),
        "left": (left + 0.5, _median(mask[:, left])),
        "centre": tuple(places.mean() + 0.5 for places in reversed(np.nonzero(mask))),
    }
    return [(*middle[name], 2.0) for name in KEYPOINTS]


def _median(line: Array) -> float:
    """The centre of the middle one of a line's pixels."""
    places = np.flatnonzero(line)
    return float(places[len(places) // 2]) + 0.5


def contrasting(rng: np.random.Generator, mean: Array) -> Array:
    """The first of ten random colours that is far from a mean, or the farthest: float32 [3]."""
    colours = rng.uniform(0, 255, (10, 3)).astype(np.float32)
    gaps = np.abs(colours - mean).mean(axis=1)
    chosen: Array = colours[np.argmax(gaps > CONTRAST) if (gaps > CONTRAST).any() else gaps.argmax()]
    return chosen


def random_side(rng: np.random.Generator, bounds: tuple[int, int], size: int) -> int:
    """A random side in pixels of a scene of a size."""
    return round(rng.uniform(*bounds) * size / 128)


def _corner(rng: np.random.Generator, size: int, side: int) -> tuple[int, int]:
    """Left and top of a square inside the scene."""
    return int(rng.integers(size - side + 1)), int(rng.integers(size - side + 1))
