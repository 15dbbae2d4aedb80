"""Crops of pictures with boxes, masks and joints drawn on them, as data: URIs.

In: a file and Shapes in its pixels.  Out: uint8 BGR, text.
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from vedette.runtime.draw import Colour
from vedette.runtime.errors import SourceError
from vedette.runtime.evaluation.data import Found, Truth, xyxy_of
from vedette.runtime.evaluation.masks import library
from vedette.runtime.frame import Array
from vedette.runtime.sources.images import read_picture

TRUTH: Colour = (110, 220, 60)
FOUND: Colour = (60, 50, 240)
SIDE = 400  # pixels of a crop's longest side: twice what a card shows, for fine screens
LARGEST = 4.0  # how far a small crop is enlarged
ROOM = 0.3  # of a box's longest side, on each side of it
LEAST = 48  # pixels of room


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    """One object on a picture."""

    xyxy: Array  # float64 [4]
    colour: Colour
    width: int = 3
    mask: Any = None  # COCO's RLE
    joints: Array | None = None  # float64 [K, 2]


def shape_of_true(truth: Truth, row: int, kind: str, *, width: int = 3) -> Shape:
    """A true object, in green."""
    seen = truth.keypoints[row, :, 2] > 0 if truth.keypoints is not None else None
    joints = truth.keypoints[row, seen, :2] if truth.keypoints is not None and kind == "keypoints" else None
    mask = truth.masks[row] if truth.masks is not None and kind == "segm" else None
    return Shape(_box(truth.boxes_xywh[row], devkit=truth.devkit), TRUTH, width, mask, joints)


def shape_of_found(found: Found, row: int, kind: str, *, devkit: bool, width: int = 3) -> Shape:
    """A found object, in red."""
    seen = found.keypoints[row, :, 2] > 0 if found.keypoints is not None else None
    joints = found.keypoints[row, seen, :2] if found.keypoints is not None and kind == "keypoints" else None
    mask = found.masks[row] if found.masks is not None and kind == "segm" else None
    return Shape(_box(found.boxes_xywh[row], devkit=devkit), FOUND, width, mask, joints)


def _box(xywh: Array, *, devkit: bool) -> Array:
    """The devkit's first pixel is 1."""
    shift = np.array([1.0, 1.0, 0.0, 0.0]) if devkit else np.zeros(4)
    box: Array = xyxy_of(xywh[None])[0] - shift
    return box


def crop_of(path: Path | None, shapes: Sequence[Shape], about: Sequence[Shape]) -> Array | None:
    """The part of a picture that some shapes are in, with all shapes drawn; None where it cannot be read."""
    picture = _picture(path) if path is not None else None
    if picture is None:
        return None
    height, width = picture.shape[:2]
    left, top, right, bottom = window_of(np.array([shape.xyxy for shape in about]), (width, height))
    cut = picture[top:bottom, left:right]
    scale = min(SIDE / max(cut.shape[:2]), LARGEST)
    canvas = _resized(cut, scale)
    for shape in shapes:
        mask = None if shape.mask is None else library().decode(shape.mask)[top:bottom, left:right]
        _draw(canvas, _moved(shape, np.array([left, top]), scale), mask)
    return canvas


def window_of(boxes_xyxy: Array, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """left, top, right, bottom around some boxes with room, inside the picture; all of it where they lie outside.

    Args:
        boxes_xyxy: float64 [N, 4].
        size: (width, height).
    """
    low, high = boxes_xyxy[:, :2].min(axis=0), boxes_xyxy[:, 2:].max(axis=0)
    room = max(ROOM * float((high - low).max()), LEAST)
    left, top = np.clip(np.floor(low - room), 0, size).astype(int).tolist()
    right, bottom = np.clip(np.ceil(high + room), 0, size).astype(int).tolist()
    return (left, top, right, bottom) if right > left and bottom > top else (0, 0, *size)


@lru_cache(maxsize=2)  # several cards in a row are of one picture
def _picture(path: Path) -> Array | None:
    try:
        return read_picture(path)
    except SourceError:
        return None


def _resized(image: Array, scale: float) -> Array:
    import cv2

    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)


def _moved(shape: Shape, origin: Array, scale: float) -> Shape:
    joints = None if shape.joints is None else (shape.joints - origin) * scale
    return replace(shape, xyxy=(shape.xyxy - np.tile(origin, 2)) * scale, joints=joints)


def _draw(canvas: Array, shape: Shape, mask: Array | None) -> None:
    """Each line on a wider dark one, so that it shows on any ground."""
    import cv2

    far = 4.0 * SIDE  # beyond what a crop shows; OpenCV's coordinates are small
    low, high = np.clip(np.rint(shape.xyxy), -far, far).astype(int).reshape(2, 2).tolist()
    contours = [] if mask is None else _contours(mask, canvas.shape[:2])
    for colour, width in (((20, 20, 20), shape.width + 2), (shape.colour, shape.width)):
        if contours:
            cv2.drawContours(canvas, contours, -1, colour, width, cv2.LINE_AA)
        else:
            cv2.rectangle(canvas, low, high, colour, width, cv2.LINE_AA)
        if shape.joints is not None:
            for x, y in np.clip(np.rint(shape.joints), -far, far).astype(int).tolist():
                cv2.circle(canvas, (x, y), width + 1, colour, -1, cv2.LINE_AA)


def _contours(mask: Array, shape: tuple[int, int]) -> Sequence[Array]:
    import cv2

    scaled = cv2.resize(np.ascontiguousarray(mask), shape[::-1], interpolation=cv2.INTER_NEAREST)
    return cv2.findContours(scaled, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0]


def data_uri(image: Array) -> str:
    """A uint8 BGR image inside the page."""
    import cv2

    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 84])
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode()
