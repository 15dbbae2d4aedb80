"""What paf.py means, in NumPy: peaks, and limbs between them. The C++ and CUDA forms do the same operations, to the bit.

In: maps.  Out: Peaks, then Limbs.  Next: _paf_assembly.py, which joins them into people.
"""

from dataclasses import dataclass

import numpy as np

from vedette.kernels.paf import LARGEST_VALUE, MAX_PEAKS, MOST_SAMPLES, Array, Rules

HALF = np.float32(0.5)


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


def find_peaks(heatmaps: Array, rules: Rules) -> Peaks:
    """Find the local maxima of every heatmap, to a fraction of a cell.

    A peak is greater than the threshold and than its 3x3 neighbourhood; of equal neighbours the first in reading order counts.
    At the border only the neighbours that exist are asked: else all joints within one stride of the picture's edge would be
    lost. What is not finite counts as 0. The best MAX_PEAKS of each joint are kept, ties to the first in reading order.
    `rules.openpose` has no peak equal to a neighbour, except next to the outermost cells, and none in those.
    """
    maps = _clean(heatmaps)
    joints, rows, columns = np.nonzero(_is_peak(maps, rules))
    scores = maps[joints, rows, columns]
    order = np.lexsort((-scores, joints))
    rank = np.arange(len(order)) - np.searchsorted(joints, joints[order])
    order = order[rank < MAX_PEAKS]
    joints, rows, columns = joints[order], rows[order], columns[order]
    offsets = _centroid if rules.window else _vertices
    xy = np.stack([columns, rows], axis=1).astype(np.float32) + offsets(
        maps, joints, rows, columns, rules.window
    )
    return Peaks(xy, scores[order], joints)


def _clean(maps: Array) -> Array:
    with np.errstate(over="ignore"):
        values = maps.astype(np.float32)
    return np.where(np.abs(values) < LARGEST_VALUE, values, np.float32(0))


def _is_peak(maps: Array, rules: Rules) -> Array:
    """Bool [K, h, w]."""
    _, height, width = maps.shape
    padded = np.pad(maps, ((0, 0), (1, 1), (1, 1)), constant_values=-np.inf)
    shifted = [padded[:, i // 3 : i // 3 + height, i % 3 : i % 3 + width] for i in range(9)]
    high: Array = maps > np.float32(rules.peak_threshold)
    if not rules.openpose:
        before = np.all([maps > other for other in shifted[:4]], axis=0)
        high &= before & np.all([maps >= other for other in shifted[5:]], axis=0)
        return high
    others = shifted[:4] + shifted[5:]
    row, column = np.arange(height)[:, None], np.arange(width)
    inner = (row > 1) & (row < height - 2) & (column > 1) & (column < width - 2)
    beside = (row == 1) | (row == height - 2) | (column == 1) | (column == width - 2)
    strict = np.all([maps > other for other in others], axis=0)
    high &= np.where(inner, strict, beside & np.all([maps >= other for other in others], axis=0))
    return high


def _vertices(maps: Array, joints: Array, rows: Array, columns: Array, _: int) -> Array:
    """Offsets [n, 2], -0.5 to 0.5, of the tops of the parabolas through three values; 0 where one is missing."""
    padded = np.pad(maps, ((0, 0), (1, 1), (1, 1)), constant_values=np.nan)
    here = padded[joints, rows + 1, columns + 1]
    sides = []
    for x, y in ((1, 0), (0, 1)):
        before, after = (padded[joints, rows + 1 + step * y, columns + 1 + step * x] for step in (-1, 1))
        bend = 2 * here - before - after
        curved = bend > 0
        sides.append(np.where(curved, HALF * (after - before) / np.where(curved, bend, 1), np.float32(0)))
    return np.stack(sides, axis=1)


def _centroid(maps: Array, joints: Array, rows: Array, columns: Array, side: int) -> Array:
    """Offsets [n, 2] of the mean place of the positive values of a window, weighted by them."""
    reach = side // 2
    padded = np.pad(maps, ((0, 0), (reach, reach), (reach, reach)))
    sums = np.zeros((3, len(joints)), np.float32)  # of x, y and 1, times the values
    for y in range(-reach, reach + 1):
        for x in range(-reach, reach + 1):
            values = np.maximum(padded[joints, rows + reach + y, columns + reach + x], 0)
            sums += np.array([x, y, 1], np.float32)[:, None] * values
    offsets: Array = (sums[:2] / sums[2]).T
    return offsets


def score_limbs(pafs: Array, peaks: Peaks, rules: Rules) -> Limbs:
    """Score every connection of two peaks by the PAFs along it.

    clamp(round(sqrt(5 * longer side in pixels)), 5, 25) samples lie evenly from the first joint to before the second, each
    read at its nearest cell. A sample is the PAF's component along the limb; it counts if above the threshold. If more than
    `rules.share` of them count, the score is their mean. Of the others, limbs shorter than sqrt(w * h) / 150 (but not 0)
    score just above the threshold; the rest are left out. With a fixed number of samples the score is the mean of all, which
    must exceed the threshold.
    """
    fields = _clean(pafs)
    found = [(np.zeros(0, np.int64),) * 3 + (np.zeros(0, np.float32),)]
    for index, (pair, xy) in enumerate(zip(rules.pairs, rules.channels, strict=True)):
        first, second = (np.flatnonzero(peaks.joints == joint) for joint in pair)
        scores = _support(fields[list(xy)], peaks.xy[first], peaks.xy[second], rules)
        start, end = np.nonzero(scores)
        found.append((np.full(len(start), index), first[start], second[end], scores[start, end]))
    return Limbs(*(np.concatenate(columns) for columns in zip(*found, strict=True)))


def _support(field: Array, starts: Array, ends: Array, rules: Rules) -> Array:
    """Score limbs from [n, 2] to [m, 2] by a [2, h, w] field: float32 [n, m], 0 where it gives no support."""
    vectors = ends[None] - starts[:, None]  # [n, m, 2]
    lengths = np.sqrt(vectors[..., 0] * vectors[..., 0] + vectors[..., 1] * vectors[..., 1])
    units = vectors / np.maximum(lengths, np.float32(1e-6))[..., None]
    number = _sample_counts(np.abs(vectors).max(axis=-1), rules)
    steps = vectors / number[..., None]
    sums, counted = np.zeros(lengths.shape, np.float32), np.zeros(lengths.shape, np.float32)
    for k in range(rules.samples or MOST_SAMPLES):
        along = _along(field, starts[:, None] + np.float32(k) * steps, units)
        counts = (
            (along > np.float32(rules.sample_threshold)) & (k < number) if not rules.samples else k < number
        )
        sums += np.where(counts, along, 0)
        counted += counts
    mean = sums / np.maximum(counted, 1)
    if rules.samples:
        score = np.where(mean > np.float32(rules.sample_threshold), mean, 0)
    else:
        near = lengths < np.float32(rules.near(*field.shape[1:]))
        otherwise = np.where(near, np.float32(rules.faint), np.float32(0))
        enough = (counted / number > np.float32(rules.share)) & (counted > 0)
        score = np.where(enough, mean, otherwise)
    return np.where(lengths > np.float32(1e-6), score, np.float32(0))


def _sample_counts(longer: Array, rules: Rules) -> Array:
    """Float32 [n, m], of limbs whose longer side is so many cells."""
    if rules.samples:
        return np.full(longer.shape, rules.samples, np.float32)
    by_length = np.sqrt(np.float32(5) * np.float32(rules.cell) * longer) + HALF
    return np.clip(by_length.astype(np.int64), 5, MOST_SAMPLES).astype(np.float32)


def _along(field: Array, places: Array, units: Array) -> Array:
    """The component along `units` [n, m, 2] of a [2, h, w] field at the cells nearest to `places` [n, m, 2]."""
    height, width = field.shape[1:]
    cells = np.clip((places + HALF).astype(np.int64), 0, [width - 1, height - 1])
    x, y = field[:, cells[..., 1], cells[..., 0]]
    product: Array = x * units[..., 0] + y * units[..., 1]
    return product
