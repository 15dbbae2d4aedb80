"""The worst of a detection: what was found with the highest scores and is not so, and the largest that were missed.

In: Evaluation, and where its pictures are.  Out: Html.  Next: _gallery_crops.py.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vedette.runtime.evaluation._gallery_crops import Shape, crop_of, data_uri, shape_of_found, shape_of_true
from vedette.runtime.evaluation._page import Html, tag
from vedette.runtime.evaluation.data import Found, Truth
from vedette.runtime.evaluation.evaluation import CAUSES, Errors, Evaluation
from vedette.runtime.evaluation.matching import Matches
from vedette.runtime.evaluation.overlaps import FLOOR, box_overlaps

MOST = 12  # of each kind
WRONG = ("duplicate", "class", "localisation", "background")
Pictures = Callable[[int], Path | None]  # the file of a picture, by its number in the truth


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """The parts of an Evaluation that has objects."""

    kind: str
    truth: Truth
    found: Found
    matches: Matches
    errors: Errors

    def name(self, row: int) -> str:
        """Of something found, with its score: 'dog 0.91'."""
        return f"{self.truth.names[self.found.category[row]]} {self.found.scores[row]:.2f}"


@dataclass(frozen=True, slots=True, eq=False)
class Card:
    """One picture of a gallery; the shapes are drawn in their order, and the crop is of `about`."""

    image: int
    head: str
    told: str
    alt: str
    shapes: tuple[Shape, ...]
    about: tuple[Shape, ...]


def rows_of(evaluation: Evaluation) -> Rows | None:
    """None where there are no objects."""
    truth, found, matches, errors = (
        evaluation.truth,
        evaluation.found,
        evaluation.matches,
        evaluation.errors,
    )
    if truth is None or found is None or matches is None or errors is None:
        return None
    return Rows(evaluation.kind, truth, found, matches, errors)


def worst_wrong(rows: Rows, most: int = MOST) -> list[int]:
    """Found objects that are wrong, the highest scores first."""
    wrong = np.flatnonzero(np.isin(rows.errors.cause, [CAUSES.index(name) for name in WRONG]))
    order: list[int] = wrong[np.argsort(-rows.found.scores[wrong], kind="stable")].tolist()
    return order[:most]


def largest_missed(rows: Rows, most: int = MOST) -> list[int]:
    """True objects that were missed, the largest first."""
    missed = np.flatnonzero(rows.errors.missed)
    order: list[int] = missed[np.argsort(-rows.truth.areas[missed], kind="stable")].tolist()
    return order[:most]


def wrong_card(rows: Rows, row: int) -> Card:
    """What was found, in red, over all that is true there, in green."""
    image, cause = int(rows.found.image[row]), CAUSES[rows.errors.cause[row]]
    there = np.flatnonzero(rows.truth.image == image)
    overlap = box_overlaps(rows.truth, rows.found, np.full(len(there), row), there)
    near = there[overlap >= FLOOR][np.argsort(-overlap[overlap >= FLOOR], kind="stable")][:1]
    own = shape_of_found(rows.found, row, rows.kind, devkit=rows.truth.devkit)
    true = [shape_of_true(rows.truth, other, rows.kind, width=2) for other in there.tolist()]
    about = (own, *(shape_of_true(rows.truth, other, rows.kind) for other in near.tolist()))
    alt = f"Found: {rows.name(row)}; wrong: {cause}"
    return Card(image, rows.name(row), _why(rows, row, cause), alt, (*true, own), about)


def _why(rows: Rows, row: int, cause: str) -> str:
    if cause == "class":
        name = rows.truth.names[rows.truth.category[rows.errors.other[row]]]
        return f"class: in truth {name} (overlap {rows.errors.other_overlap[row]:.2f})"
    if cause == "duplicate":
        return f"duplicate: that one was found already (overlap {rows.matches.overlap[row]:.2f})"
    if cause == "localisation":
        return f"localisation: overlaps too little ({rows.matches.overlap[row]:.2f})"
    return "background: nothing of the kind is marked there"


def missed_card(rows: Rows, row: int) -> Card:
    """What was missed, in green, with the best three that were found over it, in red."""
    truth, found = rows.truth, rows.found
    image, name = int(truth.image[row]), truth.names[truth.category[row]]
    taken = rows.errors.cause != CAUSES.index("below the threshold")
    there = np.flatnonzero(taken & (found.image == image))
    there = there[box_overlaps(truth, found, there, np.full(len(there), row)) >= FLOOR]
    there = there[np.argsort(-found.scores[there], kind="stable")][:3]
    others = there.tolist()
    shapes = [shape_of_found(found, other, rows.kind, devkit=truth.devkit, width=2) for other in others]
    own = shape_of_true(truth, row, rows.kind, width=3)
    size = "{:.0f} × {:.0f} pixels".format(*truth.boxes_xywh[row, 2:])
    told = f"{size}; found there: {', '.join(map(rows.name, others)) or 'nothing'}"
    return Card(image, name, told, f"Missed: {name}, {size}", (*shapes, own), (own,))


def gallery(cards: Iterable[Card], truth: Truth, pictures: Pictures) -> Html:
    """A figure for each."""
    return tag("div", *(_figure(card, truth, pictures) for card in cards), class_="gallery")


def _figure(card: Card, truth: Truth, pictures: Pictures) -> Html:
    picture = truth.pictures[card.image]
    cut = crop_of(pictures(card.image), card.shapes, card.about)
    shown = (
        tag("p", "picture not at hand")
        if cut is None
        else tag("img", src=data_uri(cut), alt=f"{card.alt}; in {picture.name}")
    )
    words = [tag("b", card.head), " ", card.told, tag("span", picture.name, class_="file")]
    return tag("figure", tag("div", shown, class_="frame"), tag("figcaption", *words))
