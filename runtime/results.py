"""What a model found in one frame, in original-image pixels, under the field's attribute names.

In: arrays from tasks/.  Out: numbers, text, JSON, pictures.  supervision's `from_ultralytics` takes a Result unchanged.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vedette.runtime.frame import Array, Frame
from vedette.runtime.plugins import load

if TYPE_CHECKING:
    from vedette.runtime.objects import ObjectMasks, OrientedBoxes


@dataclass(frozen=True, slots=True, eq=False)
class Boxes:
    """Axis-aligned boxes."""

    xyxy: Array  # float32 [N, 4] pixels
    conf: Array  # float32 [N]
    cls: Array  # int64 [N]
    orig_shape: tuple[int, int]  # (height, width)
    id: Array | None = None  # int64 [N], track identities from 1; less where a box is of no track

    def __len__(self) -> int:
        return len(self.xyxy)

    def track(self, index: int) -> int | None:
        """The identity of one box; None where it has none."""
        return None if self.id is None or self.id[index] < 1 else int(self.id[index])

    def __getitem__(self, index: Any) -> "Boxes":
        identity = None if self.id is None else self.id[index]
        return replace(self, xyxy=self.xyxy[index], conf=self.conf[index], cls=self.cls[index], id=identity)

    @property
    def xywh(self) -> Array:
        """[N, 4] centre x, centre y, width, height in pixels."""
        low, high = self.xyxy[:, :2], self.xyxy[:, 2:]
        return np.concatenate([(low + high) / 2, high - low], axis=1)

    @property
    def xyxyn(self) -> Array:
        """[N, 4] as fractions of the image."""
        height, width = self.orig_shape
        return self.xyxy / np.array([width, height, width, height], np.float32)

    @property
    def xywhn(self) -> Array:
        """[N, 4] centre and size as fractions of the image."""
        height, width = self.orig_shape
        return self.xywh / np.array([width, height, width, height], np.float32)


def no_boxes(frame: Frame) -> Boxes:
    """The Boxes of a frame in which nothing was found."""
    width, height = frame.size
    return Boxes(
        np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64), (height, width)
    )


@dataclass(frozen=True, slots=True, eq=False)
class Masks:
    """One bool mask per object or class."""

    data: Array  # bool [N, H, W] at the original size

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: Any) -> "Masks":
        return Masks(self.data[index])


@dataclass(frozen=True, slots=True, eq=False)
class Keypoints:
    """Joints of people; a joint that was not found has conf 0 and lies at (0, 0)."""

    xy: Array  # float32 [P, K, 2] pixels
    conf: Array  # float32 [P, K]

    def __len__(self) -> int:
        return len(self.xy)

    def __getitem__(self, index: Any) -> "Keypoints":
        return Keypoints(self.xy[index], self.conf[index])


@dataclass(frozen=True, slots=True, eq=False)
class Segmentation:
    """A class for every pixel. What is derived is made when it is asked for, and again each time."""

    label_map: Array  # int16 [H, W]: index into names, -1 where none
    maps: Array  # float32 [C, h, w] at the network's resolution, letterbox removed
    logits: bool = False  # what `maps` are, else probabilities

    @property
    def probabilities(self) -> Array:
        """Of every class, float32 [C, h, w] at the network's resolution, letterbox removed."""
        return softmax(self.maps) if self.logits else self.maps

    def probability(self, channel: int) -> Array:
        """Of one class, float32 [H, W] at the original size."""
        import cv2

        chosen = np.ascontiguousarray(self.probabilities[channel])
        height, width = self.label_map.shape
        return cv2.resize(chosen, (width, height), interpolation=cv2.INTER_LINEAR)

    @property
    def fractions(self) -> dict[int, float]:
        """The share of the picture of every class that is there, by rising class."""
        counts = np.bincount(self.label_map.ravel() + 1)[1:]
        return {int(index): float(counts[index] / self.label_map.size) for index in np.flatnonzero(counts)}


def softmax(logits: Array) -> Array:
    """Over the first axis, float32; 0 where that is no number."""
    with np.errstate(invalid="ignore"):
        powers = np.exp(logits - logits.max(axis=0))
        shares: Array = powers / powers.sum(axis=0)
    return np.where(np.isfinite(shares), shares, np.float32(0))


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """What one model found in one frame."""

    frame: Frame
    model: str
    task: str
    names: Mapping[int, str]
    boxes: Boxes | None = None
    masks: "Masks | ObjectMasks | None" = None
    keypoints: Keypoints | None = None
    obb: "OrientedBoxes | None" = None
    segmentation: Segmentation | None = None
    image: Array | None = (
        None  # uint8 [H, W, 3] BGR that a network made of the frame, at the frame's size or larger
    )
    skeleton: tuple[tuple[int, int], ...] = ()
    latency_ms: Mapping[str, float] = field(default_factory=dict)
    dropped: int = 0
    age_ms: float | None = None  # of the frame when its inference began, since its decoder handed it over

    @property
    def orig_shape(self) -> tuple[int, int]:
        """(height, width) of the original image."""
        width, height = self.frame.size
        return height, width

    @property
    def orig_img(self) -> Array:
        """The frame as uint8 [H, W, 3] BGR."""
        return self.frame.bgr()

    @property
    def path(self) -> str:
        """The file or URI it came from."""
        return self.frame.source

    def __len__(self) -> int:
        parts = (self.boxes, self.masks, self.keypoints)
        return next((len(part) for part in parts if part is not None), 0)

    def __getitem__(self, index: int | slice | Array) -> "Result":
        """The same result with only some of its objects."""
        keep = np.atleast_1d(np.arange(len(self))[index])
        parts = {
            name: part[keep]
            for name in ("boxes", "masks", "keypoints", "obb")
            if (part := getattr(self, name)) is not None
        }
        return replace(self, **parts)

    def __iter__(self) -> Iterator["Result"]:
        return (self[index] for index in range(len(self)))

    def timed(self, latency_ms: Mapping[str, float]) -> "Result":
        """The same result with its latencies."""
        return replace(self, latency_ms=latency_ms)

    def summary(self) -> str:
        """'4 persons, 1 dog', or 'nothing'."""
        count = Counter(self._labels())
        ordered = sorted(count, key=[*self.names.values(), "picture"].index)
        return ", ".join(f"{count[name]} {_plural(name, count[name])}" for name in ordered) or "nothing"

    def _labels(self) -> list[str]:
        if self.boxes is not None:
            return [self.names[int(index)] for index in self.boxes.cls]
        if self.segmentation is not None:
            return [self.names[int(i)] for i in np.unique(self.segmentation.label_map) if i >= 0]
        if self.image is not None:
            return ["picture"]
        return []

    def to_dict(self) -> dict[str, Any]:
        """The JSON record of this frame and model; only the task's own key is present."""
        frame = self.frame
        return {
            "stream": frame.stream,
            "source": frame.source,
            "frame": frame.index,
            "time_s": round(frame.time_s, 6),
            "size": list(frame.size),
            "model": self.model,
            "task": self.task,
            "suspect": frame.suspect,
            "dropped": self.dropped,
            "latency_ms": {stage: round(value, 3) for stage, value in self.latency_ms.items()},
            **_task(self.task).record(self),
        }

    def to_json(self) -> str:
        """to_dict as one line."""
        return json.dumps(self.to_dict(), separators=(",", ":"), allow_nan=False)

    def plot(self, image: Array | None = None) -> Array:
        """The result drawn on a copy of the frame, or onto a given uint8 BGR image."""
        canvas = self.orig_img.copy() if image is None else image
        _task(self.task).draw(canvas, self)
        return canvas

    def save(self, path: str | Path) -> Path:
        """Write the plot as a picture.

        Raises:
            DiskError: the file cannot be written.
        """
        from vedette.runtime.draw import write_picture

        target = Path(path)
        write_picture(target, self.plot())
        return target


def _task(name: str) -> Any:
    return load("vedette.runtime.tasks", name)


def _plural(noun: str, count: int) -> str:
    if count == 1:
        return noun
    return noun + ("es" if noun.endswith(("s", "sh", "ch", "x")) else "s")
