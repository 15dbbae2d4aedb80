"""Heatmaps of joints: what the tests and the benchmark of heatmap_keypoints.py share."""

from collections.abc import Callable, Mapping

import numpy as np

from vedette.kernels.picture import Array

Case = tuple[Array, Array]  # heatmaps [N, K, h, w], rois_xyxy [N, 4]


def peaked(
    objects: int, joints: int, *, side: int = 56, size: tuple[float, float] = (300, 600), noise: float = 0.3
) -> Case:
    """As a trained network makes them: logits about -8 with a hill of 15 where the joint is."""
    random = np.random.default_rng((objects, joints, side))
    x, y = random.uniform(0, side, (2, objects, joints, 1, 1))
    across, down = np.arange(side) + 0.5, np.arange(side)[:, None] + 0.5
    hill = np.exp(-((across - x) ** 2 + (down - y) ** 2) / 8)
    maps = 15 * hill - 8 + noise * random.standard_normal(hill.shape)
    return maps.astype(np.float32), _rois(random, objects, size)


def noise(objects: int, joints: int, *, side: int = 56, size: tuple[float, float] = (300, 600)) -> Case:
    """As a network without training makes them."""
    random = np.random.default_rng((objects, joints, side))
    maps = random.standard_normal((objects, joints, side, side)).astype(np.float32)
    return maps, _rois(random, objects, size)


def _rois(random: "np.random.Generator", objects: int, size: tuple[float, float]) -> Array:
    low = random.uniform(-20, 900, (objects, 2))
    return np.concatenate([low, low + size], axis=1).astype(np.float32)


def _flat() -> Case:
    """One value everywhere, and a plateau: the first of the equal pixels."""
    maps = np.zeros((2, 1, 7, 7), np.float32)
    maps[1, 0, 2:, 2:] = 3
    return maps, np.array([[0, 0, 21, 40], [5, 5, 26, 45]], np.float32)


def _far_apart() -> Case:
    """Two equal pixels, of which the first is further to the right."""
    maps = np.zeros((1, 1, 150, 140), np.float32)
    maps[0, 0, 5, 135] = maps[0, 0, 133, 2] = 3
    return maps, np.array([[0, 0, 140, 150]], np.float32)


def _not_finite() -> Case:
    """Some, only some and no numbers, and regions that are none."""
    maps, rois = noise(6, 2, side=9, size=(30, 20))
    maps[0, 0, 4, 4], maps[1, 0, :4] = np.nan, -np.inf
    maps[2], maps[3, 0, 3, 3], maps[3, 1, 2, 2] = np.nan, np.inf, 3e38
    rois[4], rois[5, 2] = np.nan, np.inf
    rois[5, 0] = 3
    return maps, rois


CASES: Mapping[str, Callable[[], Case]] = {
    "none": lambda: noise(0, 17),
    "one value": lambda: noise(1, 1, side=1, size=(5.5, 3.2)),
    "one pixel": lambda: noise(3, 2, size=(0.0, 1.0)),
    "turned inside out": lambda: noise(2, 2, size=(-40.0, 12.0)),
    "flat": _flat,
    "equal pixels far apart": _far_apart,
    "not finite": _not_finite,
    "reduced": lambda: peaked(3, 5, size=(19.3, 31.9)),
    "of equal size": lambda: noise(2, 3, size=(56.0, 56.0)),
    "one way only": lambda: noise(2, 3, size=(9.0, 130.5)),
    "noise": lambda: noise(2, 3, side=28, size=(140.7, 91.2)),
    "a person": lambda: peaked(1, 17, size=(150.5, 310.25)),
}
