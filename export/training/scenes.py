"""Digit scenes: handwritten digits and simple shapes on real photos, with every annotation exact.

In: a seed and an index.  Out: a Scene, the same for ever: picture, boxes, masks, keypoints and a label map.
Run: python -m vedette.export.training.scenes OUT --count N --seed S [--video]; it writes held-out scenes.
Next: _digits.py, _shapes.py and _photos.py (what is drawn), _compose.py (how), _clip.py (motion), _coco.py (files).

Everything is of what can be seen. A pixel belongs to the topmost thing that covers more than half of it; a
digit's mask is its pixels, its box their extent, and its keypoints are the middle ones of its outermost pixels
each way and, as its centre, the mean of all. A digit of which less than a quarter can be seen (only in clips, at
crossings) has no annotation, while its pixels stay in the label map.
Coordinates are pixels, the edge of the picture at 0: the centre of the first pixel is at 0.5.

The splits share no writer and no photo: `val` has the last three of scikit-learn's fourteen forms and five photos.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from vedette.export.training._compose import (
    KEYPOINTS,
    SEMANTIC,
    Scene,
    Thing,
    annotated,
    blended,
    coloured,
    ownership,
    random_camera,
    random_digit,
    random_shaped,
)
from vedette.export.training._photos import background
from vedette.runtime.frame import Array

__all__ = ["KEYPOINTS", "SEMANTIC", "SIZE", "SPLITS", "Scene", "scene"]

SIZE = 128
SPLITS = ("train", "val")
DIGITS = (2, 5)  # least and most in a scene
SHAPES = (1, 3)
SEEN = 0.75  # of each digit at least, so that it can be told
TRIES = 8


def scene(index: int, *, seed: int = 0, split: str = "train", size: int = SIZE) -> Scene:
    """Make a scene.

    Args:
        index: which of the seed's scenes, 0 or more.
        seed: 0 or more.
        split: train or val; they share no writer and no photo.
        size: side of the picture in pixels; everything in it scales along.

    Raises:
        ValueError: no such split.
    """
    if split not in SPLITS:
        raise ValueError(f"the splits are train and val, not {split!r}")
    rng = np.random.default_rng([seed, index, SPLITS.index(split)])
    picture = background(rng, split, size)
    things: list[Thing] = []
    for kind in _plan(rng):
        thing = _placed(rng, kind, things, split, picture)
        if thing is not None:
            picture = blended(picture, thing)
            things.append(thing)
    return annotated(rng, random_camera(rng), picture, things)


def _plan(rng: np.random.Generator) -> list[str]:
    """What to draw, from the bottom to the top; a digit comes first, so that there is always one."""
    digits, shapes = (int(rng.integers(least, most + 1)) for least, most in (DIGITS, SHAPES))
    rest = ["digit"] * (digits - 1) + ["shape"] * shapes
    return ["digit", *(rest[index] for index in rng.permutation(len(rest)))]


def _placed(
    rng: np.random.Generator, kind: str, below: list[Thing], split: str, picture: Array
) -> Thing | None:
    """A new thing that leaves every digit below it recognisable, if one is found in a few tries."""
    size = len(picture)
    for _ in range(TRIES):
        thing = random_digit(rng, split, size) if kind == "digit" else random_shaped(rng, size)
        if not _hides(thing, below, size):
            return coloured(rng, thing, picture)
    return None


def _hides(thing: Thing, below: list[Thing], size: int) -> bool:
    """Whether a thing on top would cover too much of a digit, or of the square that one is written in."""
    digits = [other for other in below if other.class_id >= 0]
    if thing.class_id >= 0 and any(thing.overlap(other) > 0.25 for other in digits):
        return True
    if not any(thing.overlap(other) for other in digits):
        return False
    owner = ownership([*below, thing], size)
    seen = [np.count_nonzero(owner == index) for index in range(len(below))]
    return any(
        count < SEEN * other.ink for count, other in zip(seen, below, strict=True) if other.class_id >= 0
    )


def main() -> None:
    """Write the scenes that the command line asks for."""
    from vedette.export.training._coco import write_clip, write_scenes  # which imports this file

    parser = argparse.ArgumentParser(description="Digit scenes with COCO annotations and label maps.")
    parser.add_argument("out", type=Path, help="the folder to write")
    parser.add_argument("--count", type=int, default=100, help="scenes, or frames of the clip (100)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--video", action="store_true", help="a clip of moving digits instead of pictures")
    parser.add_argument("--split", choices=SPLITS, default="val", help="val (default) was never trained on")
    parser.add_argument("--size", type=int, help="side in pixels (128; 256 for a clip)")
    asked = parser.parse_args()
    if asked.video:
        write_clip(asked.out, asked.count, seed=asked.seed, split=asked.split, size=asked.size or 2 * SIZE)
    else:
        write_scenes(asked.out, asked.count, seed=asked.seed, split=asked.split, size=asked.size or SIZE)
    print(f"wrote {asked.count} {'frames' if asked.video else 'scenes'} to {asked.out}")  # noqa: T201


if __name__ == "__main__":
    main()
