"""What paf.py means, in NumPy, continued: limbs joined into people.

In: Peaks and Limbs of _paf_reference.py.  Out: Skeletons.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from vedette.kernels._paf_reference import Limbs, Peaks
from vedette.kernels.paf import Rules, Skeletons


def assemble(peaks: Peaks, limbs: Limbs, joints: int, rules: Rules) -> Skeletons:
    """Join limbs into people.

    Limbs are taken pair by pair, best first (ties: the earlier), each peak once a pair. Then a limb gives way to two that it
    kept out, one from its start and one to its end, if their other ends would be alone and the two together score more: where
    limbs cross, one between two people may be better than either's own. With `rules.openpose` limbs of all pairs are taken in
    one order, by their score and a tenth of both joints'.

    Every peak begins as its own person; a limb joins the people at its ends if they have no joint in common, and is dropped
    otherwise. A person's score is the sum of its joint and limb scores, over its number of joints.
    """
    owners = [_Person({int(joint): index}) for index, joint in enumerate(peaks.joints)]
    for index in _by_total(limbs, peaks) if rules.openpose else _one_to_one(limbs, len(rules.pairs)):
        first, second = owners[limbs.starts[index]], owners[limbs.ends[index]]
        if first is second:
            first.support += float(limbs.scores[index])
        elif not first.parts.keys() & second.parts.keys():
            first.parts.update(second.parts)
            first.support += second.support + float(limbs.scores[index])
            for peak in second.parts.values():
                owners[peak] = first
    people = {id(person): person for person in owners if len(person.parts) >= rules.min_parts}
    return _skeletons(list(people.values()), peaks, joints, rules.min_score)


@dataclass(slots=True, eq=False)
class _Person:
    parts: dict[int, int]  # joint -> peak
    support: float = 0.0  # sum of limb scores


def _by_total(limbs: Limbs, peaks: Peaks) -> Iterator[int]:
    """Indices of all limbs, best first. Source: CMU OpenPose bodyPartConnectorBase.cpp, pafPtrIntoVector."""
    tenths = np.float32(0.1) * peaks.scores
    total = limbs.scores + tenths[limbs.starts] + tenths[limbs.ends]
    yield from np.argsort(-total, kind="stable").tolist()


def _one_to_one(limbs: Limbs, pairs: int) -> Iterator[int]:
    """Indices of limbs, pair by pair and best first, of which no two of a pair share a peak."""
    order = np.lexsort((-limbs.scores, limbs.pairs))
    for pair in range(pairs):
        ranked = order[limbs.pairs[order] == pair].tolist()
        yield from _giving_way(limbs, ranked, _best_first(limbs, ranked))


def _best_first(limbs: Limbs, ranked: Sequence[int]) -> list[int]:
    """Each limb that shares no peak with one before it."""
    starts, ends, kept = set(), set(), []
    for index in ranked:
        start, end = int(limbs.starts[index]), int(limbs.ends[index])
        if start not in starts and end not in ends:
            starts.add(start)
            ends.add(end)
            kept.append(index)
    return kept


def _giving_way(limbs: Limbs, ranked: Sequence[int], kept: Sequence[int]) -> list[int]:
    """Replace a limb that keeps out two others whose far ends stay alone, where those two score more than it."""
    start_of, end_of = limbs.starts.tolist(), limbs.ends.tolist()
    chosen = set(kept)
    starts, ends = {start_of[index] for index in kept}, {end_of[index] for index in kept}
    from_start: dict[int, int] = {}  # the best of a start whose end is alone
    to_end: dict[int, int] = {}
    for index in ranked:
        if index not in chosen and end_of[index] not in ends:
            from_start.setdefault(start_of[index], index)
        elif index not in chosen and start_of[index] not in starts:
            to_end.setdefault(end_of[index], index)
    for index in kept:
        one, other = from_start.get(start_of[index]), to_end.get(end_of[index])
        if one is None or other is None or end_of[one] in ends or start_of[other] in starts:
            continue
        if limbs.scores[one] + limbs.scores[other] > limbs.scores[index]:
            chosen = chosen - {index} | {one, other}
            ends.add(end_of[one])
            starts.add(start_of[other])
    return [index for index in ranked if index in chosen]


def _skeletons(people: list[_Person], peaks: Peaks, joints: int, min_score: float) -> Skeletons:
    xy = np.zeros((len(people), joints, 2), np.float32)
    joint_scores = np.zeros((len(people), joints), np.float32)
    for row, person in enumerate(people):
        parts, indices = list(person.parts), list(person.parts.values())
        xy[row, parts], joint_scores[row, parts] = peaks.xy[indices], peaks.scores[indices]
    parts_found = np.array([len(person.parts) for person in people], np.float64)
    support = np.array([person.support for person in people], np.float64)
    total = np.cumsum(joint_scores, axis=1, dtype=np.float64)[:, -1]  # in order, as a sum is not
    scores = ((total + support) / parts_found).astype(np.float32)
    order = np.argsort(-scores, kind="stable")
    order = order[scores[order] >= np.float32(min_score)]
    return Skeletons(xy[order], joint_scores[order], scores[order])
