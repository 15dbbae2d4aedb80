"""Maps of OpenPose's BODY_25 network from known people, in float64: nothing of the package's tables or arithmetic is used.

In: people as [P, 25, 2] map cells, in BODY_25's order.  Out: what its one output holds, [78, h, w].
Sources: Cao et al., OpenPose, TPAMI 2021, sections 3.3 and 3.4; CMU OpenPose doc/02_output.md (the order of joints) and
src/openpose/pose/poseParameters.cpp (the first channel of each limb's field, behind 25 joints and the background).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
NAMES = [
    "nose", "neck", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow", "left_wrist", "mid_hip",
    "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle", "right_eye", "left_eye", "right_ear",
    "left_ear", "left_big_toe", "left_small_toe", "left_heel", "right_big_toe", "right_small_toe", "right_heel",
]  # fmt: skip
FIELDS = {
    (1, 8): 0, (9, 10): 2, (10, 11): 4, (8, 9): 6, (8, 12): 8, (12, 13): 10, (13, 14): 12, (1, 2): 14, (2, 3): 16, (3, 4): 18,
    (2, 17): 20, (1, 5): 22, (5, 6): 24, (6, 7): 26, (5, 18): 28, (1, 0): 30, (0, 15): 32, (0, 16): 34, (15, 17): 36,
    (16, 18): 38, (14, 19): 40, (19, 20): 42, (14, 21): 44, (11, 22): 46, (22, 23): 48, (11, 24): 50,
}  # fmt: skip
JOINTS = len(NAMES)
BODY = np.array([  # seen from the front, in heads: right is left in the picture
    (0, 0.5), (0, 1.5), (-0.9, 1.6), (-1.4, 2.7), (-1.6, 3.9), (0.9, 1.5), (1.5, 2.6), (1.8, 3.7), (0, 3.8), (-0.6, 3.9),
    (-0.7, 5.6), (-0.8, 7.2), (0.6, 3.8), (0.8, 5.5), (1.0, 7.1), (-0.3, 0.2), (0.35, 0.2), (-0.7, 0.4), (0.75, 0.35),
    (1.5, 7.6), (1.9, 7.3), (0.8, 7.7), (-1.3, 7.7), (-1.7, 7.4), (-0.6, 7.8),
])  # fmt: skip


def body_25(people: Array, size: tuple[int, int]) -> Array:
    """[78, h, w] of people on maps of (height, width): joints, background, fields.

    A joint is a Gaussian with a sigma of one cell, the greatest where several meet; a limb the unit vector from its first
    joint to its second, within one cell of the line between them; where several meet, their mean.
    """
    rows, columns = np.mgrid[: size[0], : size[1]]
    cells = np.stack([columns, rows], axis=-1).astype(np.float64)
    maps = np.zeros((JOINTS + 1 + 2 * len(FIELDS), *size))
    for joint in range(JOINTS):
        squares = ((cells[:, :, None] - people[:, joint]) ** 2).sum(axis=-1)  # [h, w, P]
        maps[joint] = np.exp(-squares / 2).max(axis=-1, initial=0)
    maps[JOINTS] = 1 - maps[:JOINTS].max(axis=0)
    for (start, end), channel in FIELDS.items():
        number = np.zeros(size)
        for a, b in zip(people[:, start], people[:, end], strict=True):
            unit = (b - a) / np.hypot(*(b - a))
            along = np.clip((cells - a) @ unit, 0, np.hypot(*(b - a)))
            near = np.hypot(*np.moveaxis(cells - a - along[..., None] * unit, -1, 0)) <= 1
            maps[JOINTS + 1 + channel :][:2] += near * unit[:, None, None]
            number += near
        maps[JOINTS + 1 + channel :][:2] /= np.maximum(number, 1)
    return maps


def assert_joints(found: Array, truth: Array, *, within: float) -> None:
    """Every person once, in any order, [P, K, 2], and each joint at its own place."""
    assert found.shape == truth.shape
    distances = np.linalg.norm(found[:, None] - truth[None], axis=-1)  # [found, true, K]
    whose = distances.sum(axis=-1).argmin(axis=1)
    assert sorted(whose.tolist()) == list(range(len(truth)))
    own = distances[np.arange(len(found)), whose]  # [found, K]
    assert own.max() < within, f"joints {np.flatnonzero(own.max(axis=0) >= within)}"
