"""Does a picture show what its caption says?   Run: python benchmarks/_caption_judge.py PNG_OR_FOLDER...

In: what `vedette generate tiny-sd CAPTION` wrote, grids or single pictures: the caption is in each.
Out: a row a kind of writing (thin, thick, tilted): how often the digit, the thickness and the tilt are the caption's, and how
often they are found so in real digits of held-out writers of the same kind, which tells what the judge itself is worth.

Digits are read by _digit_judge.py. Thickness is the mean ink, tilt the slant of its moments; each is the kind's whose mean over
real pictures of that digit is nearest.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from _digit_judge import WEIGHTS, classified

from vedette.commands._drawing import GAP
from vedette.export.training._captioned_digits import (
    NAMES,
    OTHER_WORDS,
    SIDE,
    THICKNESSES,
    Kind,
    Thickness,
    captioned_digits,
)
from vedette.runtime.frame import Array
from vedette.runtime.recipe import read

REAL = 60  # pictures of each kind of each digit
SEED = 5
KINDS = tuple(Kind(None, thickness, tilted) for thickness in THICKNESSES for tilted in (False, True))
HEAD = f"{'':14} images   digit (real)   thickness (real)   tilt (real)      ink (real)       slant (real)"


@dataclass(frozen=True, slots=True)
class Row:
    """Of pictures of one kind: shares that are as said, 0 to 1, and means."""

    images: int
    digit: float
    thickness: float
    tilt: float
    ink: float  # of the whole picture, 0 to 1
    slant: float  # pixels to the right a pixel upwards


def judged(pictures: Array, kinds: Sequence[Kind]) -> Row:
    """Pictures float32 [N, 32, 32], 0 to 1, of kinds whose digit is known."""
    _, seen = classified(pictures)
    inks, slants = pictures.mean(axis=(1, 2)), np.array([slant(picture) for picture in pictures])
    pairs = list(zip(kinds, inks, slants, strict=True))
    thick = [_nearest(_inks(kind), float(ink)).thickness == kind.thickness for kind, ink, _ in pairs]
    tilted = [_nearest(_slants(kind), float(found)).tilted == kind.tilted for kind, _, found in pairs]
    right = seen == np.array([kind.digit for kind in kinds])
    shares = (float(np.mean(each)) for each in (right, thick, tilted, inks, slants))
    return Row(len(pictures), *shares)


def slant(picture: Array) -> float:
    """Of float32 [H, W]: the covariance of its ink, x to the right and y upwards, by the variance along y."""
    y, x = np.indices(picture.shape)
    total = max(float(picture.sum()), 1e-6)
    x, y = x - (picture * x).sum() / total, y - (picture * y).sum() / total
    return float(-(picture * x * y).sum() / max(float((picture * y * y).sum()), 1e-6))


@cache
def _inks(kind: Kind) -> dict[Kind, float]:
    """The mean ink of real pictures that differ in thickness alone."""
    others = [replace(kind, thickness=thickness) for thickness in THICKNESSES]
    return {other: float(real(other).mean()) for other in others}


@cache
def _slants(kind: Kind) -> dict[Kind, float]:
    """The mean slant of real pictures that differ in tilt alone."""
    others = [replace(kind, tilted=tilted) for tilted in (False, True)]
    return {other: float(np.mean([slant(picture) for picture in real(other)])) for other in others}


def _nearest(means: dict[Kind, float], value: float) -> Kind:
    return min(means, key=lambda kind: abs(means[kind] - value))


@cache
def real(kind: Kind) -> Array:
    """Digits of held-out writers, of a kind, float32 [REAL, 32, 32]."""
    pictures, _ = captioned_digits(REAL, seed=SEED, split="val", kind=kind)
    return pictures


def kind_of(text: str) -> Kind:
    """What a caption says.

    Raises:
        ValueError: it names no digit, or more than one.
    """
    words = re.findall(r"[a-z]+|\d", text.lower())
    plain = {other: word for word, other in OTHER_WORDS.items()}
    words = [plain.get(word, word) for word in words]
    digits = [
        NAMES.index(word) if word in NAMES else int(word) for word in words if word in NAMES or word.isdigit()
    ]
    if len(digits) != 1:
        raise ValueError(f"{text!r} names {len(digits)} digits, not one")
    thickness: Thickness = next((each for each in THICKNESSES if each in words), "")
    return Kind(digits[0], thickness, "tilted" in words)


def told(pictures: Array, kinds: Sequence[Kind]) -> Iterator[tuple[str, Row, Row]]:
    """A name, drawn and real, for each kind of writing that there is, then for all; real ones are of the same digits."""
    writing = [replace(kind, digit=None) for kind in kinds]
    for kind in (*KINDS, None):
        chosen = [index for index, each in enumerate(writing) if kind in (None, each)]
        if not chosen:
            continue
        wanted = [kinds[index] for index in chosen]
        theirs = np.concatenate([real(each) for each in wanted])
        truth = [each for each in wanted for _ in range(REAL)]
        yield _name(kind), judged(pictures[chosen], wanted), judged(theirs, truth)


def _name(kind: Kind | None) -> str:
    if kind is None:
        return "all"
    return (
        " ".join([*([kind.thickness] if kind.thickness else []), *(["tilted"] if kind.tilted else [])])
        or "plain"
    )


def line(name: str, drawn: Row, of_real: Row) -> str:
    pairs = ("digit", "thickness", "tilt", "ink", "slant")
    values = (f"{getattr(drawn, each):7.3f} ({getattr(of_real, each):.3f})" for each in pairs)
    return f"{name:14} {drawn.images:6} {'  '.join(values)}"


def pictures_in(path: Path) -> list[Array]:
    """The pictures of a PNG, float32 [32, 32], 0 to 1: of a grid each."""
    whole = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if whole is None:
        raise SystemExit(f"{path} is no picture")
    step = SIDE + GAP
    height, width = whole.shape
    cut = [
        whole[y : y + SIDE, x : x + SIDE]
        for y in range(0, height - SIDE + 1, step)
        for x in range(0, width - SIDE + 1, step)
    ]
    return [part.astype(np.float32) / 255 for part in cut]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("paths", type=Path, nargs="+", metavar="PNG_OR_FOLDER")
    asked = parser.parse_args()
    if not WEIGHTS.is_file():
        raise SystemExit(f"no {WEIGHTS}: nothing here can judge")
    pictures: list[Array] = []
    kinds: list[Kind] = []
    for path in asked.paths:
        for file in sorted(path.glob("*.png")) if path.is_dir() else [path]:
            recipe = read(file)
            drawn = pictures_in(file)[: recipe.request.count]  # the last places of a grid may be empty
            pictures += drawn
            kinds += [kind_of(recipe.request.prompt or "")] * len(drawn)
    print(HEAD)
    for row in told(np.stack(pictures), kinds):
        print(line(*row))


if __name__ == "__main__":
    main()
