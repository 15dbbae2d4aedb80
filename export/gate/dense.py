"""Pixels of one frame as a reference and another model decide: labels, or a picture made of a picture.

In: two Results.  Out: counts, in a Tally.  Next: decisions.py (objects), verdict.py (what is too much).
"""

from collections import Counter
from collections.abc import Mapping
from math import log10

import numpy as np

from vedette.export.gate.tally import Tally
from vedette.runtime.frame import Array
from vedette.runtime.results import Result

ALIKE = 8  # of 255, in any channel, by which a pixel of a picture may differ
PERFECT_DB = 100.0  # stands for equal pictures, for JSON has no infinity
UNKNOWN = -2  # a class that the reference does not have


def compare_labels(tally: Tally, one: Result, other: Result) -> None:
    """Count the pixels that have a label; those without one count where the other side has one.

    Args:
        tally: grows.
        one: of the reference.
        other: of what is judged.
    """
    assert one.segmentation is not None
    assert other.segmentation is not None
    labels = one.segmentation.label_map
    others = _renamed(other.segmentation.label_map, other.names, one.names)
    same = labels == others
    decided, found = labels >= 0, others != -1
    tally.decisions += int(decided.sum())
    tally.kept += int((decided & same).sum())
    tally.found += int(found.sum())
    tally.invented += int((found & ~same).sum())
    tally.classes.update(
        _confusions(labels, other.segmentation.label_map, one.names, other.names, decided & ~same)
    )
    chances = one.segmentation.probabilities, other.segmentation.probabilities
    if chances[0].shape == chances[1].shape:
        tally.drifted(*chances)


def _renamed(label_map: Array, names: Mapping[int, str], wanted: Mapping[int, str]) -> Array:
    """The map in another's numbers of the same names; -1, which is no class, stays."""
    numbers = {name: index for index, name in wanted.items()}
    table = np.full(int(label_map.max(initial=-1)) + 2, UNKNOWN, np.int32)
    table[0] = -1
    for index, name in names.items():
        if index + 1 < len(table):
            table[index + 1] = numbers.get(name, UNKNOWN)
    renamed: Array = table[label_map.astype(np.int32) + 1]
    return renamed


def _confusions(
    labels: Array, others: Array, names: Mapping[int, str], their_names: Mapping[int, str], where: Array
) -> Counter[tuple[str, str]]:
    pairs, counts = np.unique(np.stack([labels[where], others[where]]), axis=1, return_counts=True)
    told = Counter[tuple[str, str]]()
    for (one, other), count in zip(pairs.T.tolist(), counts.tolist(), strict=True):
        told[names.get(one, str(one)), their_names.get(other, "nothing")] += count
    return told


def compare_pictures(tally: Tally, one: Result, other: Result) -> None:
    """Count the pixels that look alike.

    Args:
        tally: grows.
        one: of the reference.
        other: of what is judged.
    """
    assert one.image is not None
    assert other.image is not None
    count = int(np.prod(one.image.shape[:2]))
    alike, psnr = 0, 0.0
    if one.image.shape == other.image.shape:
        apart = np.abs(one.image.astype(np.float32) - other.image)
        alike, psnr = int((apart.max(axis=2) <= ALIKE).sum()), psnr_db(float(np.square(apart).mean()))
        tally.drifted(one.image / np.float32(255), other.image / np.float32(255))
    tally.decisions, tally.kept = tally.decisions + count, tally.kept + alike
    tally.found, tally.invented = tally.found + count, tally.invented + count - alike
    tally.psnrs.append(psnr)


def psnr_db(mean_square: float) -> float:
    """Of pictures of 0 to 255."""
    return min(PERFECT_DB, 10 * log10(255**2 / mean_square)) if mean_square > 0 else PERFECT_DB
