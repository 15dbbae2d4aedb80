"""mAP of boxes, COCO's over IoU 0.5 to 0.95: by how much less a model has than its reference.

In: detections of frames, and what is true of them.  Out: points, of 100.  Next: verdict.py; runtime/evaluation/coco.py.
"""

from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from vedette.runtime.evaluation.coco import scores_of
from vedette.runtime.evaluation.data import Found, Picture, Truth, xywh_of
from vedette.runtime.evaluation.labels import known
from vedette.runtime.frame import Array

Row = tuple[Array, Array, Array]  # of a frame: boxes [N, 4] xyxy, scores [N], labels [N]


def can_measure() -> bool:
    """Whether the library is here."""
    return find_spec("faster_coco_eval") is not None


def loss_by_reference(rows: Sequence[tuple[Row, Row]], conf: float) -> float | None:
    """By how much a model misses the mAP of 100 that its reference has by its own decisions; None without any.

    Args:
        rows: of every frame, the reference's and the model's.
        conf: from which on the reference's are taken as true.
    """
    true = [_at(one, one[1] >= conf) for one, _ in rows]
    names = tuple(sorted({str(label) for row in true for label in row[2]}))
    if not names:
        return None
    found, image = _found([(index, row) for index, row in enumerate(true)], names), range(len(rows))
    nothing = np.zeros(len(found), bool)
    truth = Truth(
        "the reference", tuple(Picture(index, str(index)) for index in image), names, tuple(range(len(names))),
        found.image, found.category, found.boxes_xywh, found.areas, nothing, nothing,
    )  # fmt: skip
    return 100 - _points(truth, _found([(index, other) for index, (_, other) in enumerate(rows)], names))


def loss_by_annotations(
    rows: Sequence[tuple[Row, Row]], sources: Sequence[str], truth: Truth
) -> float | None:
    """By how much a model's mAP is lower than its reference's; None where no frame or no class is annotated.

    Args:
        rows: of every frame, the reference's and the model's.
        sources: of every frame, its file.
        truth: of pictures of these names.
    """
    places = {Path(picture.name).name: index for index, picture in enumerate(truth.pictures)}
    names = (Path(source).name for source in sources)
    at = [(places[name], pair) for name, pair in zip(names, rows, strict=True) if name in places]
    labels = sorted({str(label) for pair in rows for row in pair for label in row[2]})
    chosen = [index for index, place in enumerate(known(truth.names, labels)) if place >= 0]
    seen = _of_pictures(truth.of_categories(chosen), [place for place, _ in at])
    if not len(seen):
        return None
    one, other = (
        _points(seen, _found([(place, pair[side]) for place, pair in at], seen.names)) for side in range(2)
    )
    return one - other


def _of_pictures(truth: Truth, chosen: Sequence[int]) -> Truth:
    """What is true of the boxes of some pictures."""
    rows = np.isin(truth.image, np.array(chosen, np.int64))
    kept = {
        name: getattr(truth, name)[rows]
        for name in ("image", "category", "boxes_xywh", "areas", "crowd", "difficult")
    }
    return replace(truth, masks=None, keypoints=None, **kept)


def _at(row: Row, which: Array) -> Row:
    boxes, scores, labels = row
    return boxes[which], scores[which], labels[which]


def _found(rows: Sequence[tuple[int, Row]], names: Sequence[str]) -> Found:
    """The boxes of known classes of some pictures."""
    images, parts = list[Array](), list[Row]()
    for image, row in rows:
        part = _at(row, np.array(known([str(label) for label in row[2]], names), np.int64) >= 0)
        parts.append(part)
        images.append(np.full(len(part[1]), image, np.int64))
    boxes = xywh_of(np.concatenate([np.zeros((0, 4)), *(part[0] for part in parts)]))
    scores = np.concatenate([np.zeros(0), *(part[1] for part in parts)])
    classes = known([str(label) for part in parts for label in part[2]], names)
    places = np.concatenate([np.zeros(0, np.int64), *images])
    return Found(places, np.array(classes, np.int64), boxes, scores, boxes[:, 2:].prod(axis=1))


def _points(truth: Truth, found: Found) -> float:
    """COCO's AP, 0 to 100."""
    return 100 * max(0.0, scores_of(truth, found, "bbox").numbers["AP"]) if len(found) else 0.0
