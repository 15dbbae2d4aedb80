"""What a Result has of objects besides upright boxes and keypoints: a mask of each, or an angle.

In: arrays from tasks/instances.py.  Out: parts of a Result, under the field's attribute names.  Next: results.py.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from vedette.kernels.packed_masks import PackedMasks
from vedette.runtime.frame import Array


@dataclass(frozen=True, slots=True, eq=False)
class ObjectMasks:
    """One mask per object, kept as bits; `data` is made when it is asked for, and again each time."""

    packed: PackedMasks

    def __len__(self) -> int:
        return len(self.packed)

    def __getitem__(self, index: Any) -> "ObjectMasks":
        return ObjectMasks(self.packed[index])

    @property
    def data(self) -> Array:
        """Bool [N, H, W] at the original size."""
        height, width = self.packed.size[::-1]
        masks = np.zeros((len(self), height, width), bool)
        for index, mask in enumerate(masks):
            mask[:] = self.packed.whole(index)
        return masks

    @property
    def xy(self) -> list[Array]:
        """The outline of each, float32 [n, 2] pixels, through the centres of its outermost pixels; empty where there is none.

        Of a mask in several pieces, that of the largest; holes are not told.
        """
        return [_outline(self.packed, index) for index in range(len(self))]

    @property
    def xyn(self) -> list[Array]:
        """The same as shares of the picture's size."""
        return [outline / np.array(self.packed.size, np.float32) for outline in self.xy]


def _outline(masks: PackedMasks, index: int) -> Array:
    import cv2

    part = masks.window(index).astype(np.uint8)
    if not part.any():
        return np.zeros((0, 2), np.float32)
    pieces, _ = cv2.findContours(part, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    largest = max(pieces, key=cv2.contourArea).reshape(-1, 2)
    outline: Array = (largest + masks.windows[index, :2]).astype(np.float32)
    return outline


@dataclass(frozen=True, slots=True, eq=False)
class OrientedBoxes:
    """Boxes with an angle."""

    xywhr: Array  # float32 [N, 5] centre, width, height in pixels; angle of the width in radians, clockwise as seen
    conf: Array  # float32 [N]
    cls: Array  # int64 [N]
    orig_shape: tuple[int, int]  # (height, width)
    id: Array | None = None  # int64 [N], track identities

    def __len__(self) -> int:
        return len(self.xywhr)

    def __getitem__(self, index: Any) -> "OrientedBoxes":
        identity = None if self.id is None else self.id[index]
        return replace(self, xywhr=self.xywhr[index], conf=self.conf[index], cls=self.cls[index], id=identity)

    @property
    def xyxyxyxy(self) -> Array:
        """float32 [N, 4, 2] corners in pixels, around the box."""
        centre, (width, height), angle = self.xywhr[:, None, :2], self.xywhr[:, 2:4].T, self.xywhr[:, 4]
        along = np.stack([np.cos(angle), np.sin(angle)], axis=1) * width[:, None] / 2
        across = np.stack([-np.sin(angle), np.cos(angle)], axis=1) * height[:, None] / 2
        ways = [along + across, along - across, -along - across, across - along]
        corners: Array = centre + np.stack(ways, axis=1)
        return corners

    @property
    def xyxy(self) -> Array:
        """float32 [N, 4] upright boxes around them, in pixels."""
        corners = self.xyxyxyxy
        return np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)
