"""Seeded raw outputs of every family: the inputs that tests and benchmarks of decode_boxes.py share."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vedette.kernels.box_layouts import (
    V5,
    V8,
    EndToEnd,
    FastestDet,
    Layout,
    NanoDet,
    Priors,
    Region,
    Yolox,
)

Array = NDArray[Any]
VOC_ANCHORS = ((1.08, 1.19), (3.42, 4.41), (6.63, 11.38), (9.42, 5.11), (16.62, 10.52))  # tiny YOLOv2


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """Arguments of decode_boxes."""

    layout: Layout
    outputs: tuple[Array, ...]
    conf: float = 0.25
    multi_label: bool = False
    max_candidates: int = 30_000


def scene(objects: int = 30, *, classes: int = 80, anchors: int = 8400, seed: int = 0) -> Array:
    """A V8 output [4 + classes, anchors] of a busy 640 x 640 scene.

    Each object has about 40 anchors above 0.25; about 1 pair of anchor and class in 100 is above 0.001.
    """
    random = np.random.default_rng(seed)
    output = np.empty((4 + classes, anchors), np.float32)
    output[4:] = random.uniform(0, 0.0006, (classes, anchors))
    output[:2], output[2:4] = random.uniform(0, 640, (2, anchors)), random.uniform(10, 200, (2, anchors))
    spread = random.permutation(anchors)
    for number in range(objects):
        near = spread[number * 57 : number * 57 + 57]
        centre, size, cls = random.uniform(60, 580, 2), random.uniform(30, 160, 2), random.integers(classes)
        output[:4, near] = np.concatenate([centre, size])[:, None] + random.normal(0, 4, (4, len(near)))
        output[4 + cls, near] = random.uniform(0.05, 0.95, len(near)) ** 1.2
        others = random.integers(0, classes, (3, len(near)))
        output[4 + others, near] = np.maximum(output[4 + others, near], random.uniform(0, 0.02, others.shape))
    return output


def _uniform(*shape: int, seed: int = 1, low: float = 0.0, high: float = 1.0) -> Array:
    return np.random.default_rng(seed).uniform(low, high, shape).astype(np.float32)


def _rows(anchors: int, classes: int, *, extras: int = 0, seed: int = 1) -> Array:
    """[anchors, 5 + classes + extras] of boxes with an objectness."""
    rows = _uniform(anchors, 5 + classes + extras, seed=seed)
    rows[:, :4] *= 64
    return rows


def _spoiled(output: Array) -> Array:
    """The same with NaN and infinities of both signs in a tenth of its numbers."""
    random = np.random.default_rng(3)
    values = random.choice(np.array([np.nan, np.inf, -np.inf], np.float32), output.shape)
    spoiled: Array = np.where(random.uniform(size=output.shape) < 0.1, values, output).astype(np.float32)
    return spoiled


def _v8(anchors: int, classes: int = 3, *, extras: int = 0) -> Array:
    output = _uniform(4 + classes + extras, anchors)
    output[:4] *= 64
    return output


def _end_to_end(rows: int = 300) -> Array:
    output = _uniform(rows, 8, high=640)
    output[:, 4], output[:, 5] = _uniform(rows, seed=2), np.arange(rows) % 80
    output[::50, 5], output[1::50, 5] = -1, 0.5  # no classes
    return output


def _priors(anchors: int, classes: int) -> Priors:
    return Priors(_uniform(anchors, 4, low=10, high=200), background=1 if classes > 1 else 0)


CASES: Mapping[str, Callable[[], Case]] = {
    "v8 scene": lambda: Case(V8(), (scene(),)),
    "v8 scene, every class": lambda: Case(V8(), (scene(),), 0.001, multi_label=True),
    "v8 none": lambda: Case(V8(), (_v8(0),)),
    "v8 one": lambda: Case(V8(), (_v8(1),), 0.0),
    "v8 odd": lambda: Case(V8(extras=33), (_v8(197, 5, extras=33),), 0.5),
    "v8 ties": lambda: Case(V8(), (np.full((9, 131), 0.5, np.float32),), 0.25),
    "v8 ties, every class, few kept": lambda: Case(
        V8(), (np.full((9, 131), 0.5, np.float32),), 0.25, True, 77
    ),
    "v8 at the threshold": lambda: Case(V8(), (np.full((6, 65), 0.5, np.float32),), 0.5),
    "v8 not finite": lambda: Case(V8(), (_spoiled(_v8(333, 7)),), 0.1),
    "v8 not finite, every class": lambda: Case(V8(), (_spoiled(_v8(333, 7)),), 0.1, True),
    "v8 worst": lambda: Case(V8(), (_v8(8400, 80),), 0.0, True),
    "v5": lambda: Case(V5(extras=32), (_rows(503, 21, extras=32),)),
    "v5 every class": lambda: Case(V5(), (_rows(503, 21),), 0.5, True),
    "v5 not finite": lambda: Case(V5(), (_spoiled(_rows(200, 5)),), 0.2, True),
    "end to end": lambda: Case(EndToEnd(), (_end_to_end(),)),
    "end to end, not finite": lambda: Case(EndToEnd(), (_spoiled(_end_to_end()),)),
    "yolox": lambda: Case(Yolox((96, 64)), (_uniform(126, 5 + 17, low=-1.5, high=1.2),), 0.3),
    "yolox every class": lambda: Case(
        Yolox((96, 64)), (_uniform(126, 5 + 17, low=-1.5, high=1.2),), 0.3, True
    ),
    "region": lambda: Case(Region((416, 416), VOC_ANCHORS), (_uniform(125, 13, 13, low=-4, high=2),), 0.2),
    "region every class": lambda: Case(
        Region((416, 320), VOC_ANCHORS), (_uniform(50, 5, 13, low=-4, high=2),), 0.01, True
    ),
    "fastestdet": lambda: Case(FastestDet((352, 352)), (_uniform(85, 22, 22, low=-0.5),), 0.7),
    "fastestdet every class": lambda: Case(FastestDet((96, 64)), (_uniform(9, 3, 5),), 0.5, True),
    "nanodet": lambda: Case(NanoDet(8, 13), (_uniform(169, 80), _uniform(169, 44, low=-5, high=5)), 0.98),
    "nanodet every class": lambda: Case(
        NanoDet(16, 7), (_uniform(21, 6), _uniform(21, 32, low=-5, high=5)), 0.5, True
    ),
    "nanodet not finite": lambda: Case(
        NanoDet(8, 10), (_spoiled(_uniform(100, 9)), _spoiled(_uniform(100, 12))), 0.9, True
    ),
    "priors": lambda: Case(
        _priors(211, 21), (_uniform(211, 21, low=-6, high=6), _uniform(211, 4, low=-2)), 0.3
    ),
    "priors every class": lambda: Case(
        _priors(211, 21), (_uniform(211, 21, low=-6, high=6), _uniform(211, 4, low=-2)), 0.1, True
    ),
}
