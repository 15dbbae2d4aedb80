"""People from joint heatmaps and part affinity fields (PAFs): peaks, limbs between them, limbs joined.

In: maps at any resolution.  Out: joints in map cells.  runtime/decoders/openpose.py knows the strides.
A heatmap is near 1 at its joint; a limb has two PAFs, the unit vector from its first to its second joint.

Source: Cao et al., OpenPose, TPAMI 2021, and the constants of its implementation.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vedette.kernels._paf_cases import CASES as CASES

Array = NDArray[Any]
Pairs = Sequence[tuple[int, int]]
MAX_PEAKS = 127  # of one joint; bounds the work that a map of noise can cause
MAX_SAMPLES = 25  # along one limb


@dataclass(frozen=True, slots=True, eq=False)
class Peaks:
    """Joints that may belong to anybody, by joint, then best first."""

    xy: Array  # float32 [n, 2] map cells; the centre of the first cell is (0, 0)
    scores: Array  # float32 [n]
    joints: Array  # int64 [n], the heatmap of each


@dataclass(frozen=True, slots=True, eq=False)
class Limbs:
    """Connections that the PAFs support, by pair; many exclude each other."""

    pairs: Array  # int64 [m], which of the joint pairs
    starts: Array  # int64 [m], index into Peaks
    ends: Array  # int64 [m], index into Peaks
    scores: Array  # float32 [m]


@dataclass(frozen=True, slots=True, eq=False)
class Skeletons:
    """Assembled people, best first; a missing joint has score 0 and lies at (0, 0)."""

    xy: Array  # float32 [P, K, 2] map cells
    joint_scores: Array  # float32 [P, K]
    scores: Array  # float32 [P], a little under 2 at best


def find_peaks_reference(heatmaps: Array, *, threshold: float) -> Peaks:
    """Find the local maxima of every heatmap, to a fraction of a cell.

    A peak is greater than `threshold` and than its 3x3 neighbourhood; of equal neighbours the first in
    reading order counts. At the border only the neighbours that exist are asked: without peaks there, all
    joints within one stride of the picture's edge would be lost. What is not finite counts as 0. The best
    MAX_PEAKS of each joint are kept.

    The position on each axis is the vertex of the parabola through the peak and its two neighbours, or the
    cell's centre where one is missing. (A centroid of the 3x3 values leans to the centre of the cell.)

    Args:
        heatmaps: [K, h, w], one a joint.
        threshold: at least 0.
    """
    maps = np.where(np.isfinite(heatmaps), heatmaps, 0).astype(np.float32)
    joints, rows, columns = np.nonzero(_is_peak(maps, threshold))
    scores = maps[joints, rows, columns]
    order = np.lexsort((-scores, joints))
    rank = np.arange(len(order)) - np.searchsorted(joints, joints[order])
    order = order[rank < MAX_PEAKS]
    joints, rows, columns = joints[order], rows[order], columns[order]
    padded = np.pad(maps, ((0, 0), (1, 1), (1, 1)), constant_values=np.nan)
    x = columns + _vertex(*(padded[joints, rows + 1, columns + step] for step in (0, 1, 2)))
    y = rows + _vertex(*(padded[joints, rows + step, columns + 1] for step in (0, 1, 2)))
    return Peaks(np.stack([x, y], axis=1).astype(np.float32), scores[order], joints)


def _is_peak(maps: Array, threshold: float) -> Array:
    """Where [K, h, w] maps are greater than the neighbours before, and not less than those after."""
    _, height, width = maps.shape
    padded = np.pad(maps, ((0, 0), (1, 1), (1, 1)), constant_values=-np.inf)
    peak: Array = maps > threshold
    for index in (0, 1, 2, 3, 5, 6, 7, 8):
        row, column = divmod(index, 3)
        neighbour = padded[:, row : row + height, column : column + width]
        peak &= (maps > neighbour) if index < 4 else (maps >= neighbour)
    return peak


def _vertex(before: Array, here: Array, after: Array) -> Array:
    """Offset, -0.5 to 0.5, of the top of the parabola through three values; 0 if one is NaN or all equal."""
    bend = 2 * here - before - after
    curved = bend > 0
    return np.where(curved, 0.5 * (after - before) / np.where(curved, bend, 1), 0)


def score_limbs_reference(
    pafs: Array,
    peaks: Peaks,
    *,
    pairs: Pairs,
    channels: Pairs,
    cell: float,
    threshold: float = 0.05,
    share: float = 0.95,
) -> Limbs:
    """Score every connection of two peaks by the PAFs along it.

    clamp(round(sqrt(5 * longer side in pixels)), 5, 25) samples lie evenly from the first joint to before
    the second, each read at its nearest cell. A sample is the PAF's component along the limb; it counts if
    above `threshold`. If more than `share` of them count, the score is their mean. Of the others, limbs
    shorter than sqrt(w * h) / 150 (but not 0) score just above the threshold; the rest are left out.

    Args:
        pafs: [C, h, w] at the resolution of the peaks.
        peaks: from find_peaks_reference.
        pairs: the joints of each limb.
        channels: the x and y PAF of each limb.
        cell: side of a map cell, pixels.
        threshold: least component that counts.
        share: of the samples that must count.
    """
    fields = np.where(np.isfinite(pafs), pafs, 0).astype(np.float32)
    found = [(np.zeros(0, np.int64),) * 3 + (np.zeros(0, np.float32),)]
    for index, (pair, xy) in enumerate(zip(pairs, channels, strict=True)):
        first, second = (np.flatnonzero(peaks.joints == joint) for joint in pair)
        scores = _support(fields[list(xy)], peaks.xy[first], peaks.xy[second], cell, threshold, share)
        start, end = np.nonzero(scores)
        found.append((np.full(len(start), index), first[start], second[end], scores[start, end]))
    return Limbs(*(np.concatenate(columns) for columns in zip(*found, strict=True)))


def _support(field: Array, starts: Array, ends: Array, cell: float, threshold: float, share: float) -> Array:
    """Score limbs from [n, 2] to [m, 2] by a [2, h, w] field: float32 [n, m], 0 where it gives no support."""
    _, height, width = field.shape
    vectors = ends[None] - starts[:, None]  # [n, m, 2]
    lengths = np.hypot(vectors[..., 0], vectors[..., 1])
    number = np.clip(np.rint(np.sqrt(5 * cell * np.abs(vectors).max(axis=-1))), 5, MAX_SAMPLES)
    steps = np.arange(MAX_SAMPLES) / number[..., None]  # [n, m, MAX_SAMPLES]; those from 1 on are not used
    points = np.rint(starts[:, None, None] + steps[..., None] * vectors[:, :, None])
    column, row = np.clip(points, 0, [width - 1, height - 1]).astype(np.int64).transpose(3, 0, 1, 2)
    unit_x, unit_y = (vectors / np.maximum(lengths, 1e-9)[..., None]).transpose(2, 0, 1)[..., None]
    along = field[0, row, column] * unit_x + field[1, row, column] * unit_y
    counts = (along > threshold) & (steps < 1)
    counted = counts.sum(axis=-1)
    mean = np.where(counts, along, 0).sum(axis=-1) / np.maximum(counted, 1)
    short = (lengths > 1e-6) & (lengths < np.sqrt(width * height) / 150)
    otherwise = np.where(short, threshold + 1e-6, 0)
    return np.where(counted > share * number, mean, otherwise).astype(np.float32)


def assemble_reference(
    peaks: Peaks, limbs: Limbs, *, joints: int, min_parts: int = 3, min_score: float = 0.4
) -> Skeletons:
    """Join limbs into people.

    Limbs are taken pair by pair, best first (ties: the earlier), each peak once a pair. Every peak begins as
    its own person; a limb joins the people at its ends if they have no joint in common, and is dropped
    otherwise. A person's score is the sum of its joint and limb scores, over its number of joints.

    Args:
        peaks: from find_peaks_reference.
        limbs: from score_limbs_reference.
        joints: K.
        min_parts: people with fewer joints are left out.
        min_score: people who score less are left out.
    """
    owners = [_Person({int(joint): index}) for index, joint in enumerate(peaks.joints)]
    for index in _one_to_one(limbs):
        first, second = owners[limbs.starts[index]], owners[limbs.ends[index]]
        if first is second:
            first.support += float(limbs.scores[index])
        elif not first.parts.keys() & second.parts.keys():
            first.parts.update(second.parts)
            first.support += second.support + float(limbs.scores[index])
            for peak in second.parts.values():
                owners[peak] = first
    people = {id(person): person for person in owners if len(person.parts) >= min_parts}
    return _skeletons(list(people.values()), peaks, joints, min_score)


@dataclass(slots=True, eq=False)
class _Person:
    parts: dict[int, int]  # joint -> peak
    support: float = 0.0  # sum of limb scores


def _one_to_one(limbs: Limbs) -> Iterator[int]:
    """Indices of limbs, pair by pair and best first, that share no peak with a better one of their pair."""
    taken: set[tuple[int, int]] = set()
    for index in np.lexsort((-limbs.scores, limbs.pairs)).tolist():
        pair = int(limbs.pairs[index])
        ends = {(pair, int(limbs.starts[index])), (pair, int(limbs.ends[index]))}
        if not taken & ends:
            taken |= ends
            yield index


def _skeletons(people: list[_Person], peaks: Peaks, joints: int, min_score: float) -> Skeletons:
    xy = np.zeros((len(people), joints, 2), np.float32)
    joint_scores = np.zeros((len(people), joints), np.float32)
    for row, person in enumerate(people):
        parts, indices = list(person.parts), list(person.parts.values())
        xy[row, parts], joint_scores[row, parts] = peaks.xy[indices], peaks.scores[indices]
    parts_found = np.array([len(person.parts) for person in people], np.float32)
    support = np.array([person.support for person in people], np.float32)
    scores = (joint_scores.sum(axis=1) + support) / parts_found
    order = np.argsort(-scores, kind="stable")
    order = order[scores[order] >= min_score]
    return Skeletons(xy[order], joint_scores[order], scores[order])


find_peaks = find_peaks_reference
score_limbs = score_limbs_reference
assemble = assemble_reference
