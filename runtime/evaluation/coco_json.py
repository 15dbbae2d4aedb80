"""COCO's annotation files.

In: a .json, and where its pictures lie.  Out: Truth; pictures in the order of their ids, as COCO's own tools take them.
Source: cocodataset.org, "Data format".
"""

from collections.abc import Sequence
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np

from vedette.runtime.evaluation.data import Picture, Truth
from vedette.runtime.evaluation.masks import area_and_box
from vedette.runtime.evaluation.memory import collector_paused
from vedette.runtime.evaluation.places import place_of, read_json, refuse
from vedette.runtime.frame import Array

SHAPE = "COCO's form is {images: […], annotations: […], categories: […]}"


@collector_paused()
def truth_from_coco(path: Path, *, images: Path | None = None) -> Truth:
    """Read an annotation file.

    Args:
        path: the .json.
        images: the folder with the pictures; without it they lie as the file says, or in `images` beside it.

    Raises:
        SourceError: malformed; says at which line, picture, annotation or category.
    """
    data = read_json(path)
    reader = _Reader(path, data)
    pictures = reader.pictures(images or path.parent, given=images is not None)
    categories = reader.categories()
    return reader.truth(pictures, categories)


class _Reader:
    """Checks one file; every fault is told with its place."""

    def __init__(self, path: Path, data: Any) -> None:
        self.path = path
        if not isinstance(data, dict):
            refuse(f"{path}:1:1", f"it holds a {type(data).__name__}", SHAPE)
        for key in ("images", "annotations", "categories"):
            if not isinstance(data.get(key), list):
                refuse(str(path), f"it has no list {key!r}", SHAPE)
        self.data: dict[str, Any] = data

    def refuse(self, why: str, *keys: str | int, cure: str = "correct it, or leave it out") -> Any:
        refuse(place_of(self.path, *keys), why, cure)

    def value(self, kind: str, index: int, key: str) -> Any:
        item = self.data[kind][index]
        if not isinstance(item, dict) or key not in item:
            self.refuse(f"{kind}[{index}] has no {key!r}", kind, index)
        return item[key]

    def ids(self, kind: str) -> list[Any]:
        """The ids of a list, each once."""
        found: dict[Any, int] = {}
        for index in range(len(self.data[kind])):
            number = self.value(kind, index, "id")
            if not isinstance(number, int | str) or isinstance(number, bool):
                self.refuse(
                    f"the id {number!r} of {kind}[{index}] is neither a number nor a text", kind, index
                )
            if number in found:
                why = f"the id {number!r} of {kind}[{index}] is that of {kind}[{found[number]}] too"
                self.refuse(why, kind, index, cure="give every one an id of its own")
            found[number] = index
        return list(found)

    def pictures(self, folder: Path, *, given: bool) -> list[Picture]:
        """Sorted by id."""
        beside = folder / "images"
        made = []
        for index, number in enumerate(self.ids("images")):
            item = self.data["images"][index]
            name = str(item.get("file_name", number))
            places = [folder / name, folder / Path(name).name] if given else [folder / name, beside / name]
            path = next((place for place in places if place.is_file()), places[0])
            width, height = item.get("width"), item.get("height")
            size = (width, height) if isinstance(width, int) and isinstance(height, int) else None
            made.append(Picture(number, name, path, size))
        return sorted(made, key=lambda picture: (isinstance(picture.id, str), picture.id))

    def categories(self) -> dict[Any, str]:
        """Names by id, sorted by id; a name that is there twice gets its id behind it."""
        ids = self.ids("categories")
        names = [str(self.value("categories", index, "name")) for index in range(len(ids))]
        unique = [name if names.count(name) == 1 else f"{name} ({ids[i]})" for i, name in enumerate(names)]
        return dict(
            sorted(zip(ids, unique, strict=True), key=lambda item: (isinstance(item[0], str), item[0]))
        )

    def truth(self, pictures: Sequence[Picture], categories: dict[Any, str]) -> Truth:
        image_of = {picture.id: index for index, picture in enumerate(pictures)}
        category_of = {number: index for index, number in enumerate(categories)}
        seen: dict[Any, int] = {}
        rows = []
        for index, item in enumerate(self.data["annotations"]):
            image = self._known(index, "image_id", image_of, "images")
            category = self._known(index, "category_id", category_of, "categories")
            if (number := item.get("id")) is not None and seen.setdefault(number, index) != index:
                why = f"the id {number!r} of annotations[{index}] is that of annotations[{seen[number]}] too"
                self.refuse(why, "annotations", index, cure="give every one an id of its own")
            rows.append((image, category, *self._shape(index, item, pictures[image])))
        return _truth(self.path, pictures, categories, rows, self.data["annotations"], self._keypoints())

    def _known(self, index: int, key: str, known: dict[Any, int], kind: str) -> int:
        number = self.value("annotations", index, key)
        if not isinstance(number, int | float | str) or number not in known:
            self.refuse(
                f"annotations[{index}] is of {key} {number!r}, which is not among the {kind}",
                "annotations",
                index,
            )
        return known[number]

    def _shape(self, index: int, item: dict[str, Any], picture: Picture) -> tuple[list[float], float]:
        """The box and the area; from the mask where they are not said."""
        box: Any = item.get("bbox")
        area: Any = item.get("area")
        if (box is None or area is None) and item.get("segmentation"):
            try:
                mask_area, mask_box = area_and_box(item["segmentation"], picture.size)
            except ValueError as error:
                self.refuse(f"the segmentation of annotations[{index}]: {error}", "annotations", index)
            box, area = mask_box if box is None else box, mask_area if area is None else area
        if not is_box(box):
            self.refuse(
                f"the bbox {box!r} of annotations[{index}] is not [left, top, width, height]",
                "annotations",
                index,
            )
        area = box[2] * box[3] if area is None else area
        if not is_number(area):
            self.refuse(f"the area {area!r} of annotations[{index}] is no number", "annotations", index)
        return box, area

    def _keypoints(self) -> Array | None:
        """float64 [G, K, 3]; zeros where an annotation has none."""
        items = [item.get("keypoints") for item in self.data["annotations"]]
        length = max((len(item) for item in items if isinstance(item, list)), default=0)
        if not length:
            return None
        for index, item in enumerate(items):
            whole = isinstance(item, list) and len(item) in {0, length} and all(map(is_number, item))
            if item is not None and (not whole or length % 3):
                self.refuse(
                    f"the keypoints of annotations[{index}] are not {length // 3} times x, y, visibility",
                    "annotations",
                    index,
                )
        return np.array([item or [0.0] * length for item in items], np.float64).reshape(-1, length // 3, 3)


def _truth(
    path: Path,
    pictures: Sequence[Picture],
    categories: dict[Any, str],
    rows: Sequence[tuple[int, int, list[float], float]],
    items: Sequence[dict[str, Any]],
    keypoints: Array | None,
) -> Truth:
    masked = any(item.get("segmentation") for item in items)
    return Truth(
        origin=str(path),
        pictures=tuple(pictures),
        names=tuple(categories.values()),
        category_ids=tuple(categories),
        image=np.array([row[0] for row in rows], np.int64),
        category=np.array([row[1] for row in rows], np.int64),
        boxes_xywh=np.array([row[2] for row in rows], np.float64).reshape(-1, 4),
        areas=np.array([row[3] for row in rows], np.float64),
        crowd=np.array([bool(item.get("iscrowd")) for item in items], bool),
        difficult=np.array([bool(item.get("difficult") or item.get("ignore")) for item in items], bool),
        masks=tuple(item.get("segmentation") or [] for item in items) if masked else None,
        keypoints=keypoints,
    )


def is_number(value: Any) -> bool:
    """A finite int or float."""
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


def is_box(value: Any) -> bool:
    """Four finite numbers, the last two not negative."""
    fits = isinstance(value, list | tuple) and len(value) == 4 and all(map(is_number, value))
    return fits and value[2] >= 0 and value[3] >= 0
