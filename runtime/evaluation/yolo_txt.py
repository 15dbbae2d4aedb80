"""YOLO's folders: images/ and labels/ with a text file a picture, the names in data.yaml.

A line is a class and a box as shares of the picture: centre x, centre y, width, height; or a class and a polygon of shares.
In: a folder, or its data.yaml.  Out: Truth.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vedette.runtime.errors import SourceError
from vedette.runtime.evaluation.data import Picture, Truth
from vedette.runtime.evaluation.places import refuse, text_of
from vedette.runtime.sources._local import is_picture
from vedette.runtime.sources.images import read_picture

LISTS = ("labels.txt", "classes.txt", "obj.names", "coco.names", "names.txt")
SPLITS = ("val", "valid", "validation", "test")  # the first that is there
Row = tuple[int, int, list[float], list[float] | None]  # picture, class, box, polygon; in pixels


def truth_from_yolo(folder: Path, *, images: Path | None = None) -> Truth:
    """Read a folder that has images/ and labels/, each perhaps with a split (val) inside.

    Raises:
        SourceError: a line is malformed, or of a class without a name; says which.
    """
    pictures_in, labels_in = _folders(folder, images)
    names = names_in(folder) or names_in(folder.parent) or ()
    files = sorted(path for path in pictures_in.rglob("*") if is_picture(path))
    if not files:
        raise SourceError(
            f"{pictures_in} holds no picture", why="YOLO has them in images/", cure="give --images DIR"
        )
    rows: list[Row] = []
    pictures = []
    for index, path in enumerate(files):
        height, width = read_picture(path).shape[:2]
        inside = path.relative_to(pictures_in)
        pictures.append(Picture(path.stem, str(inside), path, (width, height)))
        label = (labels_in / inside).with_suffix(".txt")
        rows += [(index, *row) for row in _lines(label, (width, height), names)] if label.is_file() else []
    if not names:
        names = tuple(str(k) for k in range(1 + max((row[1] for row in rows), default=-1)))
    return _truth(folder, pictures, names, rows)


def _folders(folder: Path, images: Path | None) -> tuple[Path, Path]:
    """The pictures and the labels; of several splits the one for validation."""
    shown, told = images or folder / "images", folder / "labels"
    for split in SPLITS:
        if images is None and (shown / split).is_dir() and (told / split).is_dir():
            return shown / split, told / split
        if images is None and (folder / split / "images").is_dir():
            return folder / split / "images", folder / split / "labels"
    return shown, told


def names_in(folder: Path) -> tuple[str, ...]:
    """Class names in a folder's data.yaml, or in a list of them, one a line; empty where it has none.

    Raises:
        SourceError: data.yaml is malformed.
    """
    for path in sorted([*folder.glob("*.yaml"), *folder.glob("*.yml")]):
        if names := _names_in_yaml(path):
            return names
    for name in LISTS:
        if (folder / name).is_file():
            lines = [line.strip() for line in text_of(folder / name).splitlines()]
            return tuple(line for line in lines if line)
    return ()


def _names_in_yaml(path: Path) -> tuple[str, ...]:
    import yaml

    try:
        data: Any = yaml.safe_load(text_of(path))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path)
        refuse(place, "malformed YAML", "names are a list, or 0: name")
    names = data.get("names") if isinstance(data, dict) else None
    if isinstance(names, dict):
        names = [names[key] for key in sorted(names)] if set(names) == set(range(len(names))) else None
        if names is None:
            refuse(str(path), "its names are not numbered 0, 1, 2 …", "number them without a gap")
    return tuple(map(str, names)) if isinstance(names, list) else ()


def _lines(
    path: Path, size: tuple[int, int], names: Sequence[str]
) -> list[tuple[int, list[float], list[float] | None]]:
    rows = []
    for line, text in enumerate(text_of(path).splitlines(), 1):
        if text.strip():
            rows.append(_line(f"{path}:{line}", text.split(), size, names))
    return rows


def _line(
    place: str, words: Sequence[str], size: tuple[int, int], names: Sequence[str]
) -> tuple[int, list[float], list[float] | None]:
    try:
        numbers = np.array([float(word) for word in words])
        category = int(words[0])
    except ValueError:
        refuse(place, f"it is {' '.join(words)!r}", "a line is: class, centre x, centre y, width, height")
    if len(numbers) != 5 and (len(numbers) < 7 or len(numbers) % 2 == 0):
        refuse(place, f"it has {len(numbers)} numbers", "a line has 5, or 1 and a polygon of x y pairs")
    if category < 0 or (names and category >= len(names)):
        refuse(place, f"class {category} has no name: there are {len(names)}", "add it to data.yaml")
    if not np.isfinite(numbers).all() or numbers[1:].min() < 0 or numbers[1:].max() > 1.01:
        refuse(
            place, "its coordinates are no shares of the picture, 0 to 1", "divide by its width and height"
        )
    scale = np.array(size, np.float64)
    if len(numbers) == 5:
        middle, side = numbers[1:3] * scale, numbers[3:] * scale
        return category, [*(middle - side / 2).tolist(), *side.tolist()], None
    points = numbers[1:].reshape(-1, 2) * scale
    low = points.min(axis=0)
    return category, [*low.tolist(), *(points.max(axis=0) - low).tolist()], points.ravel().tolist()


def _truth(folder: Path, pictures: Sequence[Picture], names: Sequence[str], rows: Sequence[Row]) -> Truth:
    boxes = np.array([row[2] for row in rows], np.float64).reshape(-1, 4)
    whole = bool(rows) and all(row[3] is not None for row in rows)
    return Truth(
        origin=str(folder),
        pictures=tuple(pictures),
        names=tuple(names),
        category_ids=tuple(range(len(names))),
        image=np.array([row[0] for row in rows], np.int64),
        category=np.array([row[1] for row in rows], np.int64),
        boxes_xywh=boxes,
        areas=boxes[:, 2] * boxes[:, 3],
        crowd=np.zeros(len(rows), bool),
        difficult=np.zeros(len(rows), bool),
        masks=tuple([row[3]] for row in rows) if whole else None,
    )
