"""What was found: COCO's results files, and the JSON lines of `vedette run --json`.

In: a file and the Truth it belongs to.  Out: Found, numbered as that truth.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vedette.runtime.evaluation.coco_json import is_box, is_number
from vedette.runtime.evaluation.data import Found, Kind, Picture, Truth
from vedette.runtime.evaluation.masks import library, rle_of
from vedette.runtime.evaluation.memory import collector_paused
from vedette.runtime.evaluation.places import json_of, place_of, refuse, text_of
from vedette.runtime.evaluation.records import found_from_records
from vedette.runtime.frame import Array

FORM = "an item is {image_id, category_id, score, and bbox, segmentation or keypoints}"


@collector_paused()
def found_from_file(path: Path, truth: Truth) -> Found:
    """Read results.

    Raises:
        SourceError: malformed, or not of these pictures and categories; says where.
    """
    text = text_of(path)
    if text.lstrip()[:1] == "{":
        records = [
            (line, json_of(row, path, line=line))
            for line, row in enumerate(text.splitlines(), 1)
            if row.strip()
        ]
        found = found_from_records(path, records, truth)
        return found.in_devkit_pixels() if truth.devkit else found
    items = json_of(text, path)
    if not isinstance(items, list):
        refuse(f"{path}:1:1", f"it holds a {type(items).__name__}, not a list of results", FORM)
    return found_from_items(path, items, truth)


def kinds_of(found: Found, truth: Truth) -> list[Kind]:
    """What both have: masks before keypoints before boxes."""
    kinds: list[Kind] = ["segm"] if found.masks is not None and truth.masks is not None else []
    kinds += ["keypoints"] if found.keypoints is not None and truth.keypoints is not None else []
    return [*kinds, "bbox"]


def found_from_items(path: Path, items: list[Any], truth: Truth) -> Found:
    """A list in the form of COCO's results file."""
    images, categories = (
        image_index(truth.pictures),
        {number: k for k, number in enumerate(truth.category_ids)},
    )
    first = items[0] if items and isinstance(items[0], dict) else {}
    try:
        image = np.array([images[item["image_id"]] for item in items], np.int64)
        category = np.array([categories[item["category_id"]] for item in items], np.int64)
        scores = _numbers([item["score"] for item in items], (len(items),))
        keypoints = _keypoints(items) if "keypoints" in first else None
        masks = tuple(item["segmentation"] for item in items) if "segmentation" in first else None
        if masks is not None:
            masks = tuple(rle_of(mask, truth.pictures[i].size) for mask, i in zip(masks, image, strict=True))
        boxes, areas = _boxes(items, first, masks, keypoints)
        if len(boxes) and boxes[:, 2:].min() < 0:
            raise ValueError("a box of negative size")
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        _blame(path, items, truth)
        refuse(str(path), f"{type(error).__name__}: {error}", FORM)
    return Found(image, category, boxes, scores, areas, masks, keypoints)


def image_index(pictures: Sequence[Picture]) -> dict[Any, int]:
    """Where a picture is, by its id; and by its file's name and stem, as some tools write it, where only one has it."""
    found: dict[Any, int] = {}
    for way in (lambda p: p.name, lambda p: Path(p.name).name, lambda p: Path(p.name).stem):
        names = [way(picture) for picture in pictures]
        counted = {name: names.count(name) for name in names} if len(set(names)) < len(names) else {}
        found = {**{name: i for i, name in enumerate(names) if counted.get(name, 1) == 1}, **found}
    return {**found, **{picture.id: index for index, picture in enumerate(pictures)}}


def _numbers(values: Any, shape: tuple[int, ...]) -> Array:
    array = np.array(values)
    if len(values) and (array.dtype.kind not in "iuf" or array.shape[1:] != shape[1:]):
        raise ValueError("not numbers")
    array = array.astype(np.float64).reshape(shape)
    if not np.isfinite(array).all():
        raise ValueError("not finite")
    return array


def _keypoints(items: Sequence[Any]) -> Array:
    count = len(items[0]["keypoints"])
    return _numbers([item["keypoints"] for item in items], (len(items), count)).reshape(
        len(items), count // 3, 3
    )


def _boxes(items: Sequence[Any], first: Any, masks: Any, keypoints: Array | None) -> tuple[Array, Array]:
    """Boxes and the areas that COCO's loadRes gives: of the box where there is one, else of the mask or the joints."""
    if first.get("bbox") or not items:
        boxes = _numbers([item["bbox"] for item in items], (len(items), 4))
        return boxes, boxes[:, 2] * boxes[:, 3]
    if masks is not None:
        rles = list(masks)
        return np.asarray(library().toBbox(rles), np.float64), np.asarray(library().area(rles), np.float64)
    if keypoints is None:
        raise ValueError("neither bbox nor segmentation nor keypoints")
    low, high = keypoints[..., :2].min(axis=1), keypoints[..., :2].max(axis=1)
    return np.concatenate([low, high - low], axis=1), (high - low).prod(axis=1)


def _blame(path: Path, items: list[Any], truth: Truth) -> None:
    """Refuse the first item that is wrong."""
    images, categories = image_index(truth.pictures), set(truth.category_ids)
    first = items[0] if isinstance(items[0], dict) else {}
    parts = [part for part in ("bbox", "segmentation", "keypoints") if first.get(part)]
    for index, item in enumerate(items):
        if why := _fault(item, truth, images, categories, parts, len(first.get("keypoints") or ())):
            refuse(place_of(path, index), f"item {index}: {why}", "correct it, or leave it out")


def _fault(
    item: Any, truth: Truth, images: dict[Any, int], categories: set[Any], parts: Sequence[str], joints: int
) -> str:
    if not isinstance(item, dict):
        return f"it is no object; {FORM}"
    missing = [key for key in ("image_id", "category_id", "score", *parts) if key not in item]
    if missing or not parts:
        return f"it has no {missing[0] if missing else 'bbox'!r}; {FORM}"
    if item["image_id"].__hash__ is None or item["image_id"] not in images:
        return (
            f"image_id {item['image_id']!r} is not among the {len(truth.pictures)} images of {truth.origin}"
        )
    if item["category_id"].__hash__ is None or item["category_id"] not in categories:
        return f"category_id {item['category_id']!r} is not among the {len(categories)} categories of {truth.origin}"
    return _fault_of_numbers(item, truth.pictures[images[item["image_id"]]], joints)


def _fault_of_numbers(item: dict[str, Any], picture: Picture, joints: int) -> str:
    where = f" (image_id {item['image_id']!r})"
    if not is_number(item["score"]):
        return f"the score {item['score']!r} is no finite number" + where
    if item.get("bbox") and not is_box(item["bbox"]):
        return f"the bbox {item['bbox']!r} is not [left, top, width, height]" + where
    points = item.get("keypoints") or []
    if len(points) != joints or joints % 3 or not all(map(is_number, points)):
        return f"its keypoints are not {joints // 3} times x, y, score" + where
    if "segmentation" in item:
        try:
            rle_of(item["segmentation"], picture.size)
        except (ValueError, TypeError) as error:
            return f"its segmentation: {error}" + where
    return ""
