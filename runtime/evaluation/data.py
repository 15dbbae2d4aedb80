"""What is true of some pictures, and what was found in them: struct of arrays that every metric reads.

Made by coco_json.py, voc_xml.py, yolo_txt.py, results_json.py and running.py.  Next: detection.py.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from vedette.runtime.frame import Array

Kind = Literal["bbox", "segm", "keypoints"]  # what is compared, by COCO's names


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture of a data set."""

    id: int | str
    name: str  # its file, as the data set calls it
    path: Path | None = None
    size: tuple[int, int] | None = None  # (width, height)


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """The objects that are in some pictures.

    Attributes:
        origin: the file or folder it was read from.
        names: of the categories.
        boxes_xywh: left, top, width, height in pixels, as they are written.
        areas: COCO's, of the mask where there is one.
        crowd: a group that stands for many; what lies in it does not count.
        difficult: VOC's flag; it need not be found.
        masks: COCO's RLEs or polygons.
        keypoints: x, y and visibility.
        devkit: boxes are VOC's: the first pixel is 1, and the right and bottom edges are the last pixels, not behind them.
    """

    origin: str
    pictures: tuple[Picture, ...]
    names: tuple[str, ...]
    category_ids: tuple[int, ...]
    image: Array  # int64 [G], index into pictures
    category: Array  # int64 [G], index into names
    boxes_xywh: Array  # float64 [G, 4]
    areas: Array  # float64 [G]
    crowd: Array  # bool [G]
    difficult: Array  # bool [G]
    masks: tuple[Any, ...] | None = None
    keypoints: Array | None = None  # float64 [G, K, 3]
    devkit: bool = False

    def __len__(self) -> int:
        return len(self.image)

    def of_categories(self, chosen: list[int]) -> "Truth":
        """Only some categories, renumbered."""
        table = np.full(len(self.names), -1)
        table[chosen] = np.arange(len(chosen))
        rows = np.flatnonzero(table[self.category] >= 0)
        kept = {
            name: getattr(self, name)[rows] for name in ("image", "boxes_xywh", "areas", "crowd", "difficult")
        }
        return replace(
            self,
            names=tuple(self.names[index] for index in chosen),
            category_ids=tuple(self.category_ids[index] for index in chosen),
            category=table[self.category[rows]],
            masks=None if self.masks is None else tuple(self.masks[row] for row in rows),
            keypoints=None if self.keypoints is None else self.keypoints[rows],
            **kept,
        )


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """What was found, in the order it was written; pictures and categories are numbered as the truth's."""

    image: Array  # int64 [D]
    category: Array  # int64 [D]
    boxes_xywh: Array  # float64 [D, 4]
    scores: Array  # float64 [D]
    areas: Array  # float64 [D], by which COCO tells small from large
    masks: tuple[Any, ...] | None = None
    keypoints: Array | None = None  # float64 [D, K, 3]
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.image)

    def at(self, rows: Array) -> "Found":
        """Only some, without the notes."""
        return Found(
            self.image[rows],
            self.category[rows],
            self.boxes_xywh[rows],
            self.scores[rows],
            self.areas[rows],
            masks=None if self.masks is None else tuple(self.masks[row] for row in rows),
            keypoints=None if self.keypoints is None else self.keypoints[rows],
        )

    def in_devkit_pixels(self) -> "Found":
        """The same where pixels are counted from 1 and the last one is the edge, as in VOC's files.

        Source: Detectron2's pascal_voc_evaluation adds 1 to the left and top edges for the same reason.
        """
        boxes = self.boxes_xywh + np.array([1.0, 1.0, -1.0, -1.0])
        return replace(self, boxes_xywh=np.maximum(boxes, 0))


def only(truth: Truth, found: Found, categories: list[int]) -> tuple[Truth, Found]:
    """Both with some categories only, renumbered."""
    table = np.full(len(truth.names), -1)
    table[categories] = np.arange(len(categories))
    rows = np.flatnonzero(table[found.category] >= 0)
    kept = replace(found.at(rows), category=table[found.category[rows]], notes=found.notes)
    return truth.of_categories(categories), kept


def xyxy_of(boxes_xywh: Array) -> Array:
    """float64 [N, 4] left, top, right, bottom."""
    return np.concatenate([boxes_xywh[:, :2], boxes_xywh[:, :2] + boxes_xywh[:, 2:]], axis=1)


def xywh_of(boxes_xyxy: Array) -> Array:
    """float64 [N, 4] left, top, width, height."""
    boxes = np.asarray(boxes_xyxy, np.float64).reshape(-1, 4)
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)
