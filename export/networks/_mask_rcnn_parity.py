"""Proposals of two runs side by side: their order turns on differences that no one cares about.

In: the outputs of Features by PyTorch and by another.  Out: the same, box by box. Next: ../_bundle_parity.py.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from vedette.runtime.frame import Array

Outputs = dict[str, Array]


def proposals_aligned(expected: Mapping[str, Array], found: Mapping[str, Array]) -> tuple[Outputs, Outputs]:
    """Both with proposal_boxes [n, 4] in the same order: each expected box, and the found one of its level nearest to it.

    Those near the cut, where a level's proposals end, are left out: another may have taken their place. Scores are compared
    rank by rank as they are, which no difference in order can hurt.
    """
    columns = [run[f"proposal_{of}"] for run in (expected, found) for of in ("boxes", "scores", "levels")]
    pairs = [_pair(*image) for image in zip(*columns, strict=True)]
    boxes = [np.concatenate(column) for column in zip(*pairs, strict=True)]
    return {**expected, "proposal_boxes": boxes[0]}, {**found, "proposal_boxes": boxes[1]}


def _pair(
    boxes: Array, scores: Array, levels: Array, found_boxes: Array, found_scores: Array, found_levels: Array
) -> tuple[Array, Array]:
    """Of one image: [n, 4] each."""
    ours, theirs = [], []
    for level in np.unique(levels):
        rows, others = levels == level, found_levels == level
        margin = 4 * np.abs(scores[rows] - found_scores[others]).max()
        safe = boxes[rows][scores[rows] > scores[rows].min() + margin]
        gaps = np.abs(safe[:, None] - found_boxes[others]).max(axis=2)  # [n, k]
        ours.append(safe)
        theirs.append(found_boxes[others][gaps.argmin(axis=1)])
    return np.concatenate(ours), np.concatenate(theirs)
