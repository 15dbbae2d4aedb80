"""Generated scenes to track: walkers who cross and hide one another, what a detector would say of them, and a plain matcher.

Shared by bench_tracking.py and tests/runtime/test_tracking_scenes.py. Everything is drawn from a seed.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vedette.runtime.evaluation.evaluation import Evaluation
from vedette.runtime.evaluation.track_files import TrackBoxes
from vedette.runtime.evaluation.tracks import evaluate
from vedette.runtime.frame import Array, Frame
from vedette.runtime.results import Boxes, Result
from vedette.runtime.tracking.motion import overlaps
from vedette.runtime.tracking.tracker import TrackConfig, Tracker

SIZE = (1280, 720)
CONF = 0.25
DEFAULT = TrackConfig(conf=CONF)


@dataclass(frozen=True, slots=True)
class Scene:
    """What there is, and how it is seen.

    Attributes:
        objects: in the picture at any time; who leaves is followed by somebody else.
        missed: the share of boxes that a detector leaves out for no reason.
        jitter: deviation of the edges, of the object's size.
        false: boxes a frame of nothing, on average; most score below CONF.
        drop: "third": every third frame is dropped; "varying": up to two between any two; empty: none.
    """

    seed: int
    objects: int = 20
    seconds: float = 20.0
    rate: float = 25.0
    missed: float = 0.1
    jitter: float = 0.04
    false: float = 2.0
    drop: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Instant:
    """One frame: what is true, and what is found."""

    time_s: float
    boxes_xyxy: Array  # float64 [n, 4]
    ids: Array  # int64 [n]
    found: Boxes


def instants(scene: Scene) -> list[Instant]:
    """The frames that reach the tracker."""
    rng = np.random.default_rng(scene.seed)
    world = _World(rng, scene.objects)
    frames = []
    for index in range(round(scene.seconds * scene.rate)):
        boxes, ids = world.step(1 / scene.rate)
        found = _seen(rng, boxes, scene)
        frames.append(Instant(index / scene.rate, boxes, ids, found))
    return [frames[index] for index in _kept(rng, len(frames), scene.drop)]


def _kept(rng: np.random.Generator, count: int, drop: str) -> Array:
    if drop == "third":
        return np.flatnonzero(np.arange(count) % 3 != 2)
    if drop == "varying":
        kept = np.cumsum(rng.choice([1, 1, 2, 3], count))
        return kept[kept < count]
    return np.arange(count)


class _World:
    """Walkers of several depths; the nearer, the larger and lower, and in front of the others."""

    def __init__(self, rng: np.random.Generator, objects: int) -> None:
        self._rng, self._issued = rng, objects
        self._depth = rng.uniform(0, 1, objects)
        self._x = rng.uniform(0, SIZE[0], objects)
        self._speed = rng.choice([-1, 1], objects) * rng.uniform(0.5, 1.6, objects)
        self._ids = np.arange(objects)
        self._drift = rng.uniform(-0.03, 0.03, objects)

    def step(self, seconds: float) -> tuple[Array, Array]:
        """Boxes [n, 4] of those in the picture, the farthest first, and who they are."""
        rng, count = self._rng, len(self._x)
        height = self._height()
        self._speed += rng.normal(0, 0.25, count) * np.sqrt(seconds)
        self._x += self._speed * height * seconds
        self._depth = np.clip(self._depth + self._drift * seconds, 0, 1)
        gone = np.flatnonzero((self._x < -0.2 * height) | (self._x > SIZE[0] + 0.2 * height))
        for index in gone:
            self._enter(int(index))
        return self._boxes()

    def _enter(self, index: int) -> None:
        rng = self._rng
        side = rng.integers(2)
        self._depth[index] = rng.uniform(0, 1)
        self._x[index] = side * SIZE[0]
        self._speed[index] = (1 - 2 * side) * rng.uniform(0.5, 1.6)
        self._ids[index], self._issued = self._issued, self._issued + 1

    def _height(self) -> Array:
        height: Array = 70 + 130 * self._depth
        return height

    def _boxes(self) -> tuple[Array, Array]:
        height = self._height()
        foot, half = 300 + 380 * self._depth, 0.2 * height
        boxes = np.stack([self._x - half, foot - height, self._x + half, foot], axis=1)
        boxes[:, ::2] = boxes[:, ::2].clip(0, SIZE[0])
        order = np.argsort(foot)
        order = order[(boxes[order, 2] - boxes[order, 0]) > 0.5 * half[order]]
        return boxes[order], self._ids[order].copy()


def _seen(rng: np.random.Generator, boxes: Array, scene: Scene) -> Boxes:
    """What a detector says: scores fall as objects are hidden, and what is nearly hidden is not found."""
    hidden = _hidden(boxes)
    scores = rng.normal(0.7, 0.1, len(boxes)) * np.clip(1.35 - 1.2 * hidden, 0, 1)
    kept = (rng.random(len(boxes)) >= scene.missed) & (hidden < 0.85) & (scores > 0.05)
    size = np.sqrt((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]))
    moved = boxes + rng.normal(0, scene.jitter, boxes.shape) * size[:, None]
    false, low = _nothing(rng, scene.false)
    found = np.concatenate([moved[kept], false]).astype(np.float32)
    conf = np.concatenate([scores[kept].clip(0.05, 0.99), low]).astype(np.float32)
    order = np.argsort(-conf)
    return Boxes(found[order], conf[order], np.zeros(len(conf), np.int64), (SIZE[1], SIZE[0]))


def _nothing(rng: np.random.Generator, mean: float) -> tuple[Array, Array]:
    count = int(rng.poisson(mean))
    low = rng.uniform((0, 200), (SIZE[0] - 60, SIZE[1] - 140), (count, 2))
    size = rng.uniform((25, 70), (60, 140), (count, 2))
    return np.concatenate([low, low + size], axis=1), rng.beta(2, 9, count).clip(0.05, 0.6)


def _hidden(boxes: Array) -> Array:
    """The largest share of each box that one in front of it, later in the order, covers."""
    low = np.maximum(boxes[:, None, :2], boxes[:, :2])
    high = np.minimum(boxes[:, None, 2:], boxes[:, 2:])
    common = np.clip(high - low, 0, None).prod(axis=2)
    share = np.triu(common / (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)[:, None], 1)
    covered: Array = share.max(axis=1, initial=0)
    return covered


def tracked(scene: Sequence[Instant], config: TrackConfig = DEFAULT) -> list[Array]:
    """The identities that the tracker gives: an int64 array a frame, -1 for nobody."""
    tracker = Tracker(config)
    ids = []
    for index, instant in enumerate(scene):
        result = tracker.update(result_of(instant, index))
        assert result.boxes is not None
        assert result.boxes.id is not None
        by_box = {box.tobytes(): name for box, name in zip(result.boxes.xyxy, result.boxes.id, strict=True)}
        ids.append(np.array([by_box.get(box.tobytes(), -1) for box in instant.found.xyxy], np.int64))
    return ids


def result_of(instant: Instant, index: int) -> Result:
    """As a Runner would give it."""
    frame = Frame((np.broadcast_to(np.uint8(0), (SIZE[1], SIZE[0], 3)),), index=index, time_s=instant.time_s)
    return Result(frame, "generated", "detection", {0: "person"}, boxes=instant.found)


def greedy(
    scene: Sequence[Instant], *, conf: float = CONF, iou: float = 0.3, lost_s: float = 1.0
) -> list[Array]:
    """The baseline: boxes of conf and more take the last box that they overlap most, best pair first.

    A box is remembered for lost_s seconds, where it was; 0 remembers only that of the last frame.
    """
    last: dict[int, tuple[Array, float]] = {}
    issued, before, ids = 0, -1.0, []
    for instant in scene:
        names = np.full(len(instant.found), -1, np.int64)
        last = {
            name: (box, at)
            for name, (box, at) in last.items()
            if at >= before or instant.time_s - at <= lost_s
        }
        known = list(last)
        likeness = overlaps(np.array([last[name][0] for name in known]).reshape(-1, 4), instant.found.xyxy)
        likeness[:, instant.found.conf < conf] = 0
        while likeness.size and likeness.max() >= iou:
            row, column = np.unravel_index(likeness.argmax(), likeness.shape)
            names[column] = known[int(row)]
            likeness[row], likeness[:, column] = 0, 0
        for column in np.flatnonzero((names < 0) & (instant.found.conf >= conf)):
            names[column], issued = issued, issued + 1
        for column in np.flatnonzero(names >= 0):
            last[int(names[column])] = (instant.found.xyxy[column], instant.time_s)
        before = instant.time_s
        ids.append(names)
    return ids


def judged(scene: Sequence[Instant], ids: Sequence[Array]) -> Evaluation:
    """How good identities are; boxes of nobody do not count."""
    true = _boxes(
        [
            (number, name, box)
            for number, one in enumerate(scene, 1)
            for name, box in zip(one.ids, one.boxes_xyxy, strict=True)
        ],
        len(scene),
    )
    found = _boxes(
        [
            (number, name, box)
            for number, (one, names) in enumerate(zip(scene, ids, strict=True), 1)
            for name, box in zip(names, one.found.xyxy, strict=True)
            if name >= 0
        ],
        len(scene),
    )
    return evaluate(true, found)


def _boxes(rows: Sequence[tuple[int, int, Array]], frames: int) -> TrackBoxes:
    boxes = np.array([box for _, _, box in rows], np.float64).reshape(-1, 4)
    everywhere = np.ones(len(rows), bool)
    numbers = np.array([row[:2] for row in rows], np.int64).reshape(-1, 2)
    return TrackBoxes(numbers[:, 0], numbers[:, 1], boxes, everywhere, ~everywhere, np.arange(1, frames + 1))
