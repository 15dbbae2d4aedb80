"""What was counted over all frames: decisions of a reference and of what is judged, and in what they differ."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from vedette.runtime.frame import Array

Unit = Literal["boxes", "instances", "people", "pixels"]
UNITS: dict[str, Unit] = {
    "detection": "boxes",
    "instances": "instances",
    "pose": "people",
    "segmentation": "pixels",
    "image": "pixels",
}
LEAST = {"boxes": 10, "instances": 10, "people": 5, "pixels": 1000}  # decisions that are enough to judge by
BRIEF = 3  # examples that are told


@dataclass(slots=True)
class Tally:
    """Grows frame by frame.

    Attributes:
        conf: from which on a score makes a decision.
        decisions: of the reference.
        kept: those that the other side shares.
        found: decisions of the other side.
        invented: those that the reference does not share.
        drifts: |difference| of the scores of the same decision: sum, count, largest.
        classes: what the other side says of the same object or pixel in another class: (reference's, its own).
        offsets: of the same object, how far it lies to the right and below, as a share of its size and in pixels.
        mask_ious: of the same boxes.
        joints: of the same people, the share that lie near.
        apart: same boxes whose masks or joints are not the same.
        psnrs: in dB, of pictures.
        rows: detections of both sides by frame, for mAP.
    """

    unit: Unit
    conf: float = 0.5
    frames: int = 0
    decisions: int = 0
    kept: int = 0
    found: int = 0
    invented: int = 0
    drifts: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])
    classes: Counter[tuple[str, str]] = field(default_factory=Counter)
    offsets: list[Array] = field(default_factory=list)  # float64 [n, 4]
    mask_ious: list[float] = field(default_factory=list)
    joints: list[float] = field(default_factory=list)
    apart: Counter[str] = field(default_factory=Counter)
    psnrs: list[float] = field(default_factory=list)
    rows: list[tuple[Any, Any]] = field(default_factory=list)

    @property
    def share_kept(self) -> float:
        return self.kept / max(1, self.decisions)

    @property
    def share_invented(self) -> float:
        return self.invented / max(1, self.found)

    @property
    def drift_mean(self) -> float:
        return self.drifts[0] / max(1.0, self.drifts[1])

    def drifted(self, one: Array, other: Array) -> None:
        """Take in the scores of the same decisions."""
        gaps = np.abs(np.asarray(one, np.float64) - np.asarray(other, np.float64)).ravel()
        gaps = gaps[np.isfinite(gaps)]
        self.drifts[0] += float(gaps.sum())
        self.drifts[1] += gaps.size
        self.drifts[2] = max(self.drifts[2], float(gaps.max(initial=0)))

    def displacement(self) -> Array | None:
        """The median of all offsets [4], or None of too few."""
        offsets = np.concatenate(self.offsets) if self.offsets else np.zeros((0, 4))
        return np.median(offsets, axis=0) if len(offsets) >= LEAST["boxes"] else None

    def confused(self) -> str:
        """The classes that are most often taken for others."""
        most = self.classes.most_common(BRIEF)
        return ", ".join(f"{one} becomes {other} ({count})" for (one, other), count in most)
