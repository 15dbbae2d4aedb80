"""People from joint heatmaps and part affinity fields (PAFs): peaks, limbs between them, limbs joined.

In: maps at any resolution.  Out: joints in map cells.  runtime/decoders/openpose.py knows the strides.
A heatmap is near 1 at its joint; a limb has two PAFs, the unit vector from its first to its second joint.
Next: _paf_reference.py and _paf_assembly.py (the meaning), native/paf.cpp, affinity.h, paf.cu.

Source: Cao et al., OpenPose, TPAMI 2021, and the constants of its implementation.
"""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vedette.kernels import native
from vedette.kernels._paf_cases import CASES as CASES
from vedette.kernels.native import F32, FLOAT, I32, INT

Array = NDArray[Any]
Pairs = Sequence[tuple[int, int]]
MAX_PEAKS = 127  # of one joint; bounds the work that a map of noise can cause
MOST_JOINTS = 64
MOST_SAMPLES = 25  # along one limb
LARGEST_VALUE = np.float32(1e18)  # of a map; what is not smaller, and NaN, counts as 0


@dataclass(frozen=True, slots=True)
class Rules:
    """What the maps mean, and when a peak, a limb and a person count; thresholds by default as in OpenPose.

    A peak is put to a fraction of a cell by its `window`: 0, the vertices of the parabolas through it and its neighbours on
    each axis; 3, 5, 7, the centroid of a window of that side. For a Gaussian of a width of one cell the parabola errs by up to
    a twentieth of a cell on each axis; a 3x3 centroid, which leans to the centre, by a quarter. (docs/decisions/0009)
    """

    pairs: Pairs  # the joints of each limb, in the order in which limbs are joined
    channels: Pairs  # the x and y PAF of each limb
    cell: float = 8.0  # side of a map cell, input pixels
    window: int = 0
    openpose: bool = False  # its rules for peaks that tie or lie at the border, and its order of limbs
    peak_threshold: float = 0.05
    samples: int = 0  # along a limb; 0: 5 to 25, by its length, of which a share must count
    sample_threshold: float = 0.05
    share: float = 0.95
    min_parts: int = 3  # people with fewer joints are left out
    min_score: float = 0.4  # and those who score less
    table: Array = field(
        init=False, repr=False, compare=False
    )  # int32 [pairs, 4]: both joints, channels of x and y

    def __post_init__(self) -> None:
        if self.window % 2 != (self.window > 0) or not 0 <= self.window <= 15:
            raise ValueError(f"window {self.window} is neither 0 nor odd and at most 15")
        if not 0 <= self.samples <= 100 or self.min_parts < 1 or len(self.pairs) != len(self.channels):
            raise ValueError("samples are 0..100, min_parts is 1 or more, and every pair has its channels")
        if any(first == second for first, second in self.pairs):
            raise ValueError("a limb joins two different joints")
        if not (self.cell > 0 and self.peak_threshold >= 0):
            raise ValueError("cell is above 0, and peak_threshold not below")
        rows = [(*pair, *xy) for pair, xy in zip(self.pairs, self.channels, strict=True)]
        object.__setattr__(self, "table", np.array(rows, np.int32).reshape(-1, 4))

    def near(self, height: int, width: int) -> float:
        """Cells: limbs below this length need no support, for they are inside one another's joints."""
        return float(np.sqrt(width * height) / 150)

    @property
    def faint(self) -> float:
        """What such limbs score."""
        return self.sample_threshold + 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class Skeletons:
    """Assembled people, best first; a missing joint has score 0 and lies at (0, 0)."""

    xy: Array  # float32 [P, K, 2] map cells; the centre of the first cell is (0, 0)
    joint_scores: Array  # float32 [P, K]
    scores: Array  # float32 [P], a little under 2 at best


def paf_reference(heatmaps: Array, pafs: Array, rules: Rules) -> Skeletons:
    """Find peaks, score the limbs between them, and join those into people: see _paf_reference.py and _paf_assembly.py.

    Args:
        heatmaps: [K, h, w], one a joint.
        pafs: [C, h, w].
        rules: pairs and channels are indices into these.

    Raises:
        ValueError: they are not.
    """
    from vedette.kernels._paf_assembly import assemble
    from vedette.kernels._paf_reference import find_peaks, score_limbs

    check_maps(heatmaps, pafs, rules)
    peaks = find_peaks(heatmaps, rules)
    return assemble(peaks, score_limbs(pafs, peaks, rules), len(heatmaps), rules)


def paf(heatmaps: Array, pafs: Array, rules: Rules) -> Skeletons:
    """paf_reference by the C++ kernel where it is built: the same people, to the bit, for the same arguments."""
    kernel = native.function("vedette_paf", _ARGUMENTS, ctypes.c_int64)
    if kernel is None:
        return paf_reference(heatmaps, pafs, rules)
    check_maps(heatmaps, pafs, rules)
    joints = len(heatmaps)
    most = joints * MAX_PEAKS // rules.min_parts
    xy, joint_scores = np.empty((most, joints, 2), np.float32), np.empty((most, joints), np.float32)
    scores = np.empty(most, np.float32)
    count = kernel(*arguments(heatmaps, pafs, rules), xy, joint_scores, scores)
    return Skeletons(xy[:count].copy(), joint_scores[:count].copy(), scores[:count].copy())


_ARGUMENTS = (F32, F32, INT, INT, INT, I32, *[INT] * 5, *[FLOAT] * 7, F32, F32, F32)


def arguments(heatmaps: Array, pafs: Array, rules: Rules) -> tuple[Any, ...]:
    """What vedette_paf takes before the arrays that it fills."""
    joints, height, width = heatmaps.shape
    thresholds = (
        rules.peak_threshold, rules.cell, rules.sample_threshold, rules.share, rules.near(height, width), rules.faint,
        rules.min_score,
    )  # fmt: skip
    return (
        np.ascontiguousarray(heatmaps, np.float32), np.ascontiguousarray(pafs, np.float32), joints, height, width,
        rules.table, len(rules.table), rules.window, int(rules.openpose), rules.samples, rules.min_parts,
        *map(float, thresholds),
    )  # fmt: skip


def check_maps(heatmaps: Array, pafs: Array, rules: Rules) -> None:
    """Arguments that the kernels may trust.

    Raises:
        ValueError: they do not fit each other.
    """
    if heatmaps.ndim != 3 or pafs.ndim != 3 or heatmaps.shape[1:] != pafs.shape[1:] or not heatmaps.size:
        raise ValueError(f"want heatmaps [K, h, w] and PAFs [C, h, w], not {heatmaps.shape} and {pafs.shape}")
    if len(heatmaps) > MOST_JOINTS or max(heatmaps.shape) > 2**15:
        raise ValueError(
            f"{heatmaps.shape} is more than {MOST_JOINTS} joints, or more than {2**15} cells a side"
        )
    for indices, of in ((rules.table[:, :2], heatmaps), (rules.table[:, 2:], pafs)):
        if indices.size and not 0 <= indices.min() <= indices.max() < len(of):
            raise ValueError(f"{indices.tolist()} are not all indices of {len(of)} maps")
