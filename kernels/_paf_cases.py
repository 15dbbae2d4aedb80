"""Ideal maps of known people: the inputs that tests and benchmarks of paf.py share."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Pairs = Sequence[tuple[int, int]]
CASE_PAIRS, CASE_CHANNELS = ((0, 1), (1, 2), (2, 3), (3, 4)), ((0, 1), (2, 3), (4, 5), (6, 7))
# the same maps with limbs that close rings, so that people meet who have a joint in common
RING_PAIRS, RING_CHANNELS = (*CASE_PAIRS, (0, 2), (4, 1)), (*CASE_CHANNELS, (2, 3), (6, 7))
STANDING = np.array(  # COCO-18 joints of a standing person, 12 cells high
    [
        *((5, 1), (5, 3), (3, 3), (2, 5), (1.5, 7), (7, 3), (8, 5), (8.5, 7), (4, 7.5), (4, 10), (4, 12.5)),
        *((6.4, 7.5), (6.4, 10), (6.4, 12.5), (4.3, 0.4), (5.7, 0.4), (3.2, 1), (6.8, 1)),
    ]
)


def draw_maps(people: Array, *, size: tuple[int, int], pairs: Pairs, channels: Pairs) -> tuple[Array, Array]:
    """Draw what a perfect network gives.

    Args:
        people: [P, K, 2] map cells, NaN where a joint is missing.
        size: (height, width) in cells.
        pairs: the joints of each limb.
        channels: the x and y PAF of each limb.

    Returns:
        float32 heatmaps [K, h, w], Gaussians of sigma 1 cell, the greatest where several meet; and PAFs [2 * len(pairs), h, w],
        unit vectors within 1 cell of each limb, their mean where several meet.
    """
    heatmaps = np.zeros((people.shape[1], *size), np.float32)
    pafs = np.zeros((2 * len(pairs), *size), np.float32)
    counts = np.zeros((len(pairs), *size), np.float32)
    for person in people.astype(np.float32):
        for joint, place in enumerate(person):
            if (seen := _window(place[None], size, 6)) is not None:
                distances = np.square(_cells(seen) - place).sum(axis=-1)
                heatmaps[joint][seen] = np.fmax(heatmaps[joint][seen], np.exp(-distances / 2))
        for index, ((start, end), xy) in enumerate(zip(pairs, channels, strict=True)):
            if (seen := _window(person[[start, end]], size, 2)) is not None:
                near, unit = _limb(_cells(seen) - person[start], person[end] - person[start])
                for channel, component in zip(xy, unit, strict=True):
                    pafs[channel][seen] += near * component
                counts[index][seen] += near
    for index, xy in enumerate(channels):
        pafs[list(xy)] /= np.maximum(counts[index], 1)
    return heatmaps, pafs


def _window(places: Array, size: tuple[int, int], margin: int) -> tuple[slice, slice] | None:
    """The rows and columns within a margin of places [n, 2], if all are there."""
    if np.isnan(places).any():
        return None
    low = np.maximum(places.min(axis=0).astype(int) - margin, 0)
    high = np.maximum(places.max(axis=0).astype(int) + margin + 1, 0)
    return slice(low[1], min(high[1], size[0])), slice(low[0], min(high[0], size[1]))


def _cells(seen: tuple[slice, slice]) -> Array:
    """The x and y of a window's cells, float32 [h, w, 2]."""
    rows, columns = np.mgrid[seen]
    return np.stack([columns, rows], axis=-1).astype(np.float32)


def _limb(offsets: Array, vector: Array) -> tuple[Array, Array]:
    """The cells, given by their offsets [h, w, 2] from a limb's start, within 1 cell of it; its direction."""
    length = np.hypot(*vector)
    unit: Array = vector / length
    along, across = offsets @ unit, offsets @ np.array([-unit[1], unit[0]], unit.dtype)
    return (np.abs(across) <= 1) & (along >= -1) & (along <= length + 1), unit


def chains(count: int, *, joints: int = 5) -> Array:
    """Up to 60 bent chains of five joints, [count, 5, 2], in rows of ten; from `joints` on missing."""
    person, joint = np.arange(count)[:, None], np.arange(5)[None]
    x = 12 * (person % 10) + 6.3 + np.sin(person + joint)
    y = 14 * (person // 10) + 3.6 + 2.3 * joint
    return np.where((joint < joints)[..., None], np.stack(np.broadcast_arrays(x, y), axis=-1), np.nan)


def crowd(
    count: int, *, pairs: Pairs, seed: int = 0, size: tuple[int, int] = (135, 240), person: Array = STANDING
) -> Array:
    """People in one another's way, [count, K, 2], of any size, leaning to any side: their limbs cross.

    But no two equal joints lie within 3 cells, and equal limbs within 3 cells of each other have an angle of 37 to 102 degrees:
    fields of the others are ambiguous, or cancel.
    """
    random = np.random.default_rng(seed)
    placed: list[Array] = []
    while len(placed) < count:
        angle = random.uniform(-1, 1)
        turned = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        pose = person * random.uniform(1.3, 2.5) @ turned
        pose -= pose.min(axis=0)
        room = np.array(size[::-1]) - 2 - pose.max(axis=0)
        corner = 1 + random.uniform(0, 1, 2) * room
        if placed and random.random() < 0.7:  # beside somebody
            corner = placed[random.integers(len(placed))].min(axis=0) + random.normal(0, 8, 2)
        inside = (corner >= 1).all() and (corner <= room).all()
        if inside and all(_distinct(pose + corner, other, np.array(pairs)) for other in placed):
            placed.append(pose + corner)
    return np.stack(placed) if placed else np.zeros((0, *person.shape))


def _distinct(one: Array, other: Array, pairs: Array) -> bool:
    """Whether the limbs of two people, [K, 2] each, can be told apart."""
    if np.linalg.norm(one - other, axis=-1).min() < 3:
        return False
    ends = [(person[pairs[:, 0]], person[pairs[:, 1]]) for person in (one, other)]
    along = np.linspace(0, 1, 16)[:, None, None]
    points = [start + along * (end - start) for start, end in ends]  # [16, limbs, 2]
    near = np.linalg.norm(points[0][:, None] - points[1][None], axis=-1).min(axis=(0, 1)) < 3
    units = [(end - start) / np.linalg.norm(end - start, axis=-1, keepdims=True) for start, end in ends]
    cosines = (units[0] * units[1]).sum(axis=-1)
    return not (near & ((cosines > 0.8) | (cosines < -0.2))).any()


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
