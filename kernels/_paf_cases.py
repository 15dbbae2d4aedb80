"""Ideal maps of known people: the inputs that tests and benchmarks of paf.py share."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Pairs = Sequence[tuple[int, int]]
CASE_PAIRS, CASE_CHANNELS = ((0, 1), (1, 2), (2, 3), (3, 4)), ((0, 1), (2, 3), (4, 5), (6, 7))


def draw_maps(people: Array, *, size: tuple[int, int], pairs: Pairs, channels: Pairs) -> tuple[Array, Array]:
    """Draw what a perfect network gives.

    Args:
        people: [P, K, 2] map cells, NaN where a joint is missing.
        size: (height, width) in cells.
        pairs: the joints of each limb.
        channels: the x and y PAF of each limb.

    Returns:
        float32 heatmaps [K, h, w], Gaussians of sigma 1 cell, and PAFs [2 * len(pairs), h, w], unit vectors
        within 1 cell of each limb.
    """
    grid = np.stack(np.meshgrid(np.arange(size[1]), np.arange(size[0])), axis=-1).astype(np.float32)
    heatmaps = np.zeros((people.shape[1], *size), np.float32)
    pafs = np.zeros((2 * len(pairs), *size), np.float32)
    for person in people.astype(np.float32):
        distances = np.square(grid - person[:, None, None]).sum(axis=-1)  # [K, h, w]
        heatmaps = np.fmax(heatmaps, np.exp(-distances / 2))
        for (start, end), xy in zip(pairs, channels, strict=True):
            near, unit = _limb(grid - person[start], person[end] - person[start])
            pafs[list(xy)] = np.where(near, unit[:, None, None], pafs[list(xy)])
    return heatmaps, pafs


def _limb(offsets: Array, vector: Array) -> tuple[Array, Array]:
    """The cells, given by their offsets [h, w, 2] from a limb's start, within 1 cell of it; its direction."""
    length = np.hypot(*vector)
    unit: Array = vector / length
    along, across = offsets @ unit, offsets @ np.array([-unit[1], unit[0]])
    return (np.abs(across) <= 1) & (along >= -1) & (along <= length + 1), unit


def chains(count: int, *, joints: int = 5) -> Array:
    """Up to 60 bent chains of five joints, [count, 5, 2], in rows of ten; from `joints` on missing."""
    person, joint = np.arange(count)[:, None], np.arange(5)[None]
    x = 12 * (person % 10) + 6.3 + np.sin(person + joint)
    y = 14 * (person // 10) + 3.6 + 2.3 * joint
    return np.where((joint < joints)[..., None], np.stack(np.broadcast_arrays(x, y), axis=-1), np.nan)


def _case(people: Array, *, size: tuple[int, int] = (86, 122)) -> tuple[Array, Array]:
    return draw_maps(people, size=size, pairs=CASE_PAIRS, channels=CASE_CHANNELS)


def _filled(value: float) -> tuple[Array, Array]:
    return np.full((5, 46, 54), value, np.float32), np.full((8, 46, 54), value, np.float32)


def _noise() -> tuple[Array, Array]:
    """Peaks and limbs everywhere: the most work that maps of this size can make."""
    random = np.random.default_rng(0)
    return random.random((5, 86, 122), np.float32), random.random((8, 86, 122), np.float32)


CASES: Mapping[str, Callable[[], tuple[Array, Array]]] = {
    "one cell": lambda: _case(chains(0), size=(1, 1)),
    "nobody": lambda: _case(chains(0)),
    "one joint": lambda: _case(chains(1, joints=1)),
    "one": lambda: _case(chains(1)),
    "crowd": lambda: _case(chains(60)),
    "ties": lambda: _filled(0.5),
    "not a number": lambda: _filled(np.nan),
    "infinite": lambda: _filled(np.inf),
    "worst": _noise,
}
