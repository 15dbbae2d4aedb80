"""VOC's folders: Annotations/*.xml beside JPEGImages, or a folder of .xml files.

In: a folder.  Out: Truth, in VOC's own pixels: integers from 1, edges included.
Source: the VOC2012 devkit documentation, section 4.
"""

from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from vedette.runtime.errors import SourceError
from vedette.runtime.evaluation.data import Picture, Truth
from vedette.runtime.evaluation.places import refuse
from vedette.runtime.sources._local import PICTURE_SUFFIXES

Row = tuple[int, str, list[float], bool]  # picture, name, box, difficult


def truth_from_voc(folder: Path, *, images: Path | None = None) -> Truth:
    """Read a folder.

    Args:
        folder: above Annotations, or the .xml files' own.
        images: where the pictures are; without it JPEGImages, images or the folder itself.

    Raises:
        SourceError: a file is malformed; says which, and at which line.
    """
    notes = folder / "Annotations" if (folder / "Annotations").is_dir() else folder
    files = sorted(notes.glob("*.xml"))
    if not files:
        raise SourceError(
            f"{notes} holds no .xml", why="VOC has one a picture", cure="give the folder above Annotations"
        )
    places = (
        [images]
        if images
        else [folder / "JPEGImages", folder / "images", folder, folder.parent / "JPEGImages"]
    )
    pictures, rows = [], list[Row]()
    for index, path in enumerate(files):
        picture, found = _parsed(path, places)
        pictures.append(picture)
        rows += [(index, *row) for row in found]
    names = sorted({row[1] for row in rows})
    boxes = np.array([row[2] for row in rows], np.float64).reshape(-1, 4)
    return Truth(
        origin=str(folder),
        pictures=tuple(pictures),
        names=tuple(names),
        category_ids=tuple(range(1, len(names) + 1)),
        image=np.array([row[0] for row in rows], np.int64),
        category=np.array([names.index(row[1]) for row in rows], np.int64),
        boxes_xywh=boxes,
        areas=boxes[:, 2] * boxes[:, 3],
        crowd=np.zeros(len(rows), bool),
        difficult=np.array([row[3] for row in rows], bool),
        devkit=True,
    )


def _parsed(path: Path, places: list[Path]) -> tuple[Picture, list[tuple[str, list[float], bool]]]:
    try:
        root = ElementTree.fromstring(path.read_bytes())
    except ElementTree.ParseError as error:
        line, column = error.position
        refuse(f"{path}:{line}:{column + 1}", f"malformed XML: {error}", "was the file written whole?")
    except OSError as error:
        refuse(str(path), error.strerror or str(error), "check its permissions")
    name = (root.findtext("filename") or "").strip() or path.stem
    size = root.findtext("size/width"), root.findtext("size/height")
    whole = (int(float(size[0])), int(float(size[1]))) if size[0] and size[1] else None
    objects = [_object(path, index, item) for index, item in enumerate(root.findall("object"))]
    return Picture(path.stem, name, _picture(path, name, places), whole), objects


def _picture(path: Path, name: str, places: list[Path]) -> Path:
    """The file of that name; else the one with the annotation's stem."""
    names = [name, *(path.stem + suffix for suffix in PICTURE_SUFFIXES)]
    found = (place / one for place in places for one in names if (place / one).is_file())
    return next(found, places[0] / name)


def _object(path: Path, index: int, item: ElementTree.Element) -> tuple[str, list[float], bool]:
    name = (item.findtext("name") or "").strip()
    if not name:
        refuse(str(path), f"object {index} has no name", "correct it, or leave it out")
    sides = [item.findtext(f"bndbox/{side}") for side in ("xmin", "ymin", "xmax", "ymax")]
    try:
        left, top, right, bottom = (float(side or "") for side in sides)
    except ValueError:
        refuse(
            str(path),
            f"the bndbox of object {index} ({name}) is {sides}",
            "xmin, ymin, xmax and ymax are numbers",
        )
    if not (right >= left and bottom >= top):
        refuse(
            str(path), f"the bndbox of object {index} ({name}) ends before it begins: {sides}", "correct it"
        )
    difficult = (item.findtext("difficult") or "0").strip() not in {"0", ""}
    return name, [left, top, right - left, bottom - top], difficult
