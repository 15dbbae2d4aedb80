"""The JSON lines of `vedette run --json` as what was found.

In: (line, record) pairs and the Truth.  Out: Found.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vedette.runtime.evaluation.data import Found, Truth, xywh_of
from vedette.runtime.evaluation.labels import positions, spelt
from vedette.runtime.evaluation.masks import library, rle_of
from vedette.runtime.evaluation.places import refuse
from vedette.runtime.frame import Array

LISTS = ("detections", "instances", "poses")
CURE = "give the file that vedette run --json wrote over these pictures"
Row = tuple[int, int, dict[str, Any]]  # line, picture, object


def found_from_records(path: Path, records: Sequence[tuple[int, Any]], truth: Truth) -> Found:
    """What some records say, in the truth's numbers; classes that the truth does not have are left out, and told.

    Raises:
        SourceError: a record is none, or of another picture; says at which line.
    """
    rows = _rows(path, records, truth)
    categories = positions(truth.names)
    named = [categories.get(spelt(_label(found, truth)), -1) for _, _, found in rows]
    others = {_label(found, truth) for (_, _, found), k in zip(rows, named, strict=True) if k < 0}
    kept = [row for row, k in zip(rows, named, strict=True) if k >= 0]
    notes = (
        (f"{len(others)} classes that the data does not have are left out: {_some(others)}",)
        if others
        else ()
    )
    try:
        return _found(kept, [k for k in named if k >= 0], truth, notes)
    except (KeyError, TypeError, ValueError) as error:
        line = _first_fault(kept)
        refuse(f"{path}:{line}", f"an object of that record is not as vedette run writes it: {error}", CURE)


def _rows(path: Path, records: Sequence[tuple[int, Any]], truth: Truth) -> list[Row]:
    images = _images(truth)
    rows: list[Row] = []
    seen: dict[int, int] = {}
    for line, record in records:
        key = next(
            (key for key in LISTS if isinstance(record, dict) and isinstance(record.get(key), list)), ""
        )
        if not key or "source" not in record:
            refuse(f"{path}:{line}", "it is no record with detections, instances or poses", CURE)
        image = images.get(str(record["source"]), images.get(Path(str(record["source"])).name, -1))
        if image < 0:
            why = f"its source {record['source']!r} is not one picture of {truth.origin}"
            refuse(f"{path}:{line}", why, CURE)
        if seen.setdefault(image, line) != line:
            refuse(
                f"{path}:{line}",
                f"{record['source']!r} has a record in line {seen[image]} already",
                "give one model's",
            )
        rows += [(line, image, found) for found in record[key]]
    return rows


def _images(truth: Truth) -> dict[str, int]:
    """Pictures by path, and by the file's name; -1 where several have it."""
    found: dict[str, int] = {}
    for index, picture in enumerate(truth.pictures):
        name = Path(picture.name).name
        found[name] = -1 if name in found else index
    whole = {picture.name: index for index, picture in enumerate(truth.pictures)}
    paths = {str(p.path): index for index, p in enumerate(truth.pictures) if p.path is not None}
    return found | whole | paths


def _label(found: dict[str, Any], truth: Truth) -> str:
    """A pose has none: it is of the one category that poses are of."""
    return str(found.get("label", truth.names[0] if len(truth.names) == 1 else "person"))


def _found(rows: Sequence[Row], categories: Sequence[int], truth: Truth, notes: tuple[str, ...]) -> Found:
    objects = [found for _, _, found in rows]
    joints = _joints(objects, truth)
    masks = None
    if objects and "mask" in objects[0]:
        sizes = [truth.pictures[image].size for _, image, _ in rows]
        masks = tuple(rle_of(found["mask"], size) for found, size in zip(objects, sizes, strict=True))
    if joints is None or all("box_xyxy" in found for found in objects):
        boxes = xywh_of(np.array([found["box_xyxy"] for found in objects], np.float64))
    else:
        boxes = _around(joints)
    areas = boxes[:, 2] * boxes[:, 3]
    if masks is not None:
        areas = np.asarray(library().area(list(masks)), np.float64)
    scores = np.array([found["score"] for found in objects], np.float64)
    if not np.isfinite(scores).all() or not np.isfinite(boxes).all():
        raise ValueError("a score or a box is no number")
    image = np.array([image for _, image, _ in rows], np.int64)
    return Found(image, np.array(categories, np.int64), boxes, scores, areas, masks, joints, notes)


def _joints(objects: Sequence[dict[str, Any]], truth: Truth) -> Array | None:
    """float64 [D, K, 3]; a joint that was not found is 0, 0, 0."""
    if not objects or "keypoints" not in objects[0]:
        return None
    rows = [[joint or (0.0, 0.0, 0.0) for joint in found["keypoints"]] for found in objects]
    joints = np.array(rows, np.float64)
    if truth.keypoints is not None and joints.shape[1:] != truth.keypoints.shape[1:]:
        wanted = truth.keypoints.shape[1]
        raise ValueError(
            f"it has {joints.shape[1]} keypoints, the data {wanted}: evaluate the model itself, which knows their names"
        )
    return joints


def _around(joints: Array | None) -> Array:
    """left, top, width, height around the joints that were found."""
    if joints is None:
        raise ValueError("it has neither a box nor keypoints")
    seen = joints[..., 2:] > 0
    low = np.where(seen, joints[..., :2], np.inf).min(axis=1)
    high = np.where(seen, joints[..., :2], -np.inf).max(axis=1)
    return np.where(seen.any(axis=1), np.concatenate([low, high - low], axis=1), 0.0)


def _first_fault(rows: Sequence[Row]) -> int:
    """The line of the first object that lacks what the others have, or has no numbers."""
    for line, _, found in rows:
        numbers = [found.get("score"), *(found.get("box_xyxy") or ())]
        if not all(isinstance(value, int | float) and np.isfinite(value) for value in numbers):
            return line
    return rows[0][0] if rows else 1


def _some(names: set[str]) -> str:
    listed = sorted(names)
    return ", ".join(listed[:6]) + (" …" if len(listed) > 6 else "")
