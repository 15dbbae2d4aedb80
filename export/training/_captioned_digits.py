"""Handwritten digits with captions, as a generator of text to image learns them: 32 x 32, white strokes on black.

In: a split of the writers.  Out: pictures, what each shows, and captions of that in words.  Next: tiny_sd.py, _digits.py.

A caption that says nothing of thickness means neither thick nor thin, one that says nothing of tilt means upright.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from vedette.export.training._digits import Glyph, handwriting
from vedette.runtime.frame import Array

Thickness = Literal["thin", "", "thick"]
SIDE = 32
WOBBLE = 0.03  # how far strokes bend, in sides: so that eleven writers stand for more
THICKNESSES: tuple[Thickness, ...] = ("thin", "", "thick")
LEVELS = {"thin": (0.60, 0.65), "": (0.43, 0.48), "thick": (0.25, 0.30)}  # the kinds do not touch
SLANTS = {True: (0.32, 0.46), False: (-0.06, 0.06)}  # to the right, as in italics
NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
ARTICLES = ("a", "a", "", "", "the")
NOUNS = ("digit", "number")
OPENINGS = ("a picture of", "a drawing of")
JOINTS = (" ",) * 6 + (" and ", ", ")
OTHER_WORDS = {"thick": "bold", "tilted": "slanted", "thin": "fine"}
WITH_OTHER_WORD = 0.1
WITH_OPENING = 0.05
WITH_NOUN = 0.15
SYMBOL = 0.15  # of the digits are named by their sign
AFTER = 0.1  # of the captions describe after the name
WITHOUT_DIGIT = 0.03  # say only how it is written: for negative prompts
WITH_STOP = 0.05


@dataclass(frozen=True, slots=True)
class Kind:
    """What a caption tells of a digit's picture; None: any."""

    digit: int | None = None
    thickness: Thickness | None = None
    tilted: bool | None = None


ANY = Kind()


def captioned_digits(
    count: int, *, seed: int, split: str = "train", kind: Kind = ANY
) -> tuple[Array, list[Kind]]:
    """Seeded digits of a kind: pictures float32 [N, 32, 32] in 0 (black) to 1, and what each shows, all of it known.

    Held-out writers' strokes are not bent: these are as they were written, but for thickness and tilt.
    """
    rng = np.random.default_rng(seed)
    glyphs, kinds = zip(*(_glyph(rng, split, kind) for _ in range(count)), strict=True)
    return np.stack([glyph.drawn(SIDE, rng.uniform(-0.04, 0.04))[0] for glyph in glyphs]), list(kinds)


def _glyph(rng: np.random.Generator, split: str, kind: Kind) -> tuple[Glyph, Kind]:
    """A digit by a writer of the split, written as asked."""
    fields, known = handwriting(split)
    wanted = np.arange(len(known)) if kind.digit is None else np.flatnonzero(known == kind.digit)
    index = int(rng.choice(wanted))
    thickness = THICKNESSES[rng.integers(3)] if kind.thickness is None else kind.thickness
    tilted = bool(rng.integers(2)) if kind.tilted is None else kind.tilted
    glyph = Glyph(
        fields[index],
        int(known[index]),
        level=rng.uniform(*LEVELS[thickness]),
        slant=rng.uniform(*SLANTS[tilted]),
        width=rng.uniform(0.84, 1.0),
        bend=rng.uniform(-1, 1, (2, 4, 4)).astype(np.float32) * (WOBBLE if split == "train" else 0),
    )
    return glyph, Kind(int(known[index]), thickness, tilted)


def caption(kind: Kind, rng: np.random.Generator) -> str:
    """One of the ways to say it: "seven", "a thick seven", "the tilted, thin digit 2", "a nine, thick and tilted"."""
    joint = str(rng.choice(JOINTS))
    said, name = joint.join(_qualities(kind, rng)), _named(kind, rng)
    after = bool(said) and rng.random() < AFTER
    words = f"{name}, {said.replace(',', ' and')}" if after else f"{said} {name}".strip()
    opening = f"{rng.choice(OPENINGS)} " if rng.random() < WITH_OPENING else ""
    return opening + _with_article(words, rng) + ("." if rng.random() < WITH_STOP else "")


def _qualities(kind: Kind, rng: np.random.Generator) -> list[str]:
    said = [*([kind.thickness] if kind.thickness else []), *(["tilted"] if kind.tilted else [])]
    if rng.random() < WITH_OTHER_WORD:
        said = [OTHER_WORDS[word] for word in said]
    return said if rng.random() < 0.5 else said[::-1]


def _named(kind: Kind, rng: np.random.Generator) -> str:
    """A name, a sign, either with a noun, or the noun alone."""
    noun = str(rng.choice(NOUNS))
    if kind.digit is None or rng.random() < WITHOUT_DIGIT:
        return noun
    name = str(kind.digit) if rng.random() < SYMBOL else NAMES[kind.digit]
    return f"{noun} {name}" if rng.random() < WITH_NOUN else name


def _with_article(words: str, rng: np.random.Generator) -> str:
    article = str(rng.choice(ARTICLES))
    if article == "a" and words.startswith(("8", "eight")) and rng.random() < 0.5:
        article = "an"  # both, for captions are also put together by programs
    return f"{article} {words}".strip()


def captions(kinds: Sequence[Kind], *, seed: int) -> list[str]:
    """Seeded, one each."""
    rng = np.random.default_rng(seed)
    return [caption(kind, rng) for kind in kinds]
