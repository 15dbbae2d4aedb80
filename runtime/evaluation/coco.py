"""COCO's numbers for boxes, masks and keypoints, by faster-coco-eval.

In: Truth and Found.  Out: Scores.
Annotations are numbered anew from 1, because COCO's tools take a match with number 0 for none.
"""

import itertools
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from vedette.runtime.errors import UsageError
from vedette.runtime.evaluation.average_precision import NOTHING
from vedette.runtime.evaluation.data import Found, Kind, Truth
from vedette.runtime.evaluation.masks import evaluator, rle_of
from vedette.runtime.evaluation.memory import collector_paused
from vedette.runtime.evaluation.overlaps import COCO_SIGMAS
from vedette.runtime.evaluation.places import refuse
from vedette.runtime.frame import Array

IOUS = np.linspace(0.5, 0.95, 10)


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """What COCO's tools print, and of each category.

    Attributes:
        numbers: by COCO's names; NOTHING where there was nothing to be found.
        per_class: AP by category index, of the categories that are there.
    """

    numbers: dict[str, float]
    per_class: dict[int, float]


@collector_paused()
def scores_of(
    truth: Truth,
    found: Found,
    kind: Kind,
    *,
    iou: float | None = None,
    sigmas: tuple[float, ...] | None = None,
) -> Scores:
    """COCO's AP and AR: the mean over overlaps 0.5, 0.55 … 0.95, or at one only; sigmas for keypoints that are not COCO's 17.

    Raises:
        UsageError: faster-coco-eval is not installed, or the keypoints have no sigmas.
    """
    check_sigmas(truth, kind, sigmas)
    chosen = None if kind != "keypoints" else list(sigmas or COCO_SIGMAS)
    evaluation = evaluator().COCOeval_faster(
        _true_set(truth, kind),
        _found_set(truth, found, kind),
        kind,
        print_function=_silent,
        kpt_oks_sigmas=chosen,
    )
    evaluation.params.iouThrs = ious = _thresholds(iou)
    evaluation.params.imgIds = list(range(1, len(truth.pictures) + 1))
    evaluation.params.catIds = list(range(1, len(truth.names) + 1))
    evaluation.evaluate()
    evaluation.accumulate()
    wanted = np.flatnonzero(np.isclose(ious[:, None], IOUS if iou is None else iou).any(axis=1))
    return _scores(evaluation, ious, wanted, kind)


def _thresholds(iou: float | None) -> Array:
    """COCO's ten, to the last bit, and one more if it is asked for."""
    return IOUS if iou is None or np.isclose(IOUS, iou).any() else np.sort(np.append(IOUS, iou))


def with_rles(truth: Truth) -> Truth:
    """The same, its masks compressed and checked.

    Raises:
        SourceError: one is no mask; says of which picture.
    """
    masks = []
    for row, mask in enumerate(truth.masks or ()):
        picture = truth.pictures[int(truth.image[row])]
        try:
            masks.append(rle_of(mask, picture.size))
        except ValueError as error:
            where = f"{truth.origin}: a segmentation in image {picture.id!r} ({picture.name})"
            refuse(where, str(error), "correct it, or use --kind bbox")
    return replace(truth, masks=tuple(masks))


def check_sigmas(truth: Truth, kind: Kind, sigmas: tuple[float, ...] | None) -> None:
    """Refuse keypoints whose sigmas nobody knows."""
    if kind != "keypoints" or truth.keypoints is None:
        return
    count, known = truth.keypoints.shape[1], len(sigmas or COCO_SIGMAS)
    if count != known:
        raise UsageError(
            f"the data has {count} keypoints, and there are {known} sigmas",
            why="each keypoint's sigma says how far off is still right; only COCO's 17 are known",
            cure=f"--sigmas with {count} numbers, or one for all",
        )


def _scores(evaluation: Any, ious: Array, wanted: Array, kind: Kind) -> Scores:
    precision, recall = (
        evaluation.eval["precision"],
        evaluation.eval["recall"],
    )  # [T, R, K, A, M], [T, K, A, M]
    sizes = ("m", "l") if kind == "keypoints" else ("s", "m", "l")
    most = evaluation.params.maxDets
    half, strict = (np.flatnonzero(np.isclose(ious, value)) for value in (0.5, 0.75))
    numbers = {
        "AP": _mean(precision[wanted, :, :, 0, -1]),
        "AP50": _mean(precision[half, :, :, 0, -1]),
        "AP75": _mean(precision[strict, :, :, 0, -1]),
        **{f"AP{size}": _mean(precision[wanted, :, :, 1 + i, -1]) for i, size in enumerate(sizes)},
        "AR": _mean(recall[wanted, :, 0, -1]),
    }
    if kind == "keypoints":
        numbers |= {"AR50": _mean(recall[half, :, 0, -1]), "AR75": _mean(recall[strict, :, 0, -1])}
    else:
        numbers |= {f"AR{count}": _mean(recall[wanted, :, 0, i]) for i, count in enumerate(most)}
    numbers |= {f"AR{size}": _mean(recall[wanted, :, 1 + i, -1]) for i, size in enumerate(sizes)}
    each = [_mean(precision[wanted, :, k, 0, -1]) for k in range(precision.shape[2])]
    return Scores(numbers, {k: value for k, value in enumerate(each) if value != NOTHING})


def _mean(values: Array) -> float:
    """Of those that are there; NOTHING if none is."""
    there = values[values > -1]
    return float(there.mean()) if there.size else NOTHING


def _silent(*_: Any) -> None:
    """faster-coco-eval tells of every step."""


def _data_set(truth: Truth, annotations: list[dict[str, Any]]) -> Any:
    images = [{"id": i, "width": w, "height": h} for i, (w, h) in enumerate(map(_size, truth.pictures), 1)]
    categories = [{"id": k, "name": name} for k, name in enumerate(truth.names, 1)]
    made = evaluator().COCO(print_function=_silent)
    made.dataset = {"images": images, "categories": categories, "annotations": annotations}
    made.createIndex()
    return made


def _size(picture: Any) -> tuple[int, int]:
    return picture.size or (0, 0)


def _true_set(truth: Truth, kind: Kind) -> Any:
    rows = _rows(truth.image, truth.category, truth.boxes_xywh, truth.areas, truth.crowd)
    if kind == "segm":
        for row, mask in zip(rows, with_rles(truth).masks or (), strict=True):
            row["segmentation"] = mask
    if kind == "keypoints" and truth.keypoints is not None:
        seen = (truth.keypoints[..., 2] > 0).sum(axis=1).tolist()
        for row, joints, count in zip(
            rows, truth.keypoints.reshape(len(rows), -1).tolist(), seen, strict=True
        ):
            row["keypoints"], row["num_keypoints"] = joints, count
    return _data_set(truth, rows)


def _found_set(truth: Truth, found: Found, kind: Kind) -> Any:
    rows = _rows(found.image, found.category, found.boxes_xywh, found.areas, itertools.repeat(False))
    for row, score in zip(rows, found.scores.tolist(), strict=True):
        row["score"] = score
    if kind == "segm":
        for row, mask in zip(rows, found.masks or (), strict=True):
            row["segmentation"] = mask
    if kind == "keypoints" and found.keypoints is not None:
        for row, joints in zip(rows, found.keypoints.reshape(len(rows), -1).tolist(), strict=True):
            row["keypoints"] = joints
    return _data_set(truth, rows)


def _rows(image: Array, category: Array, boxes: Array, areas: Array, crowd: Any) -> list[dict[str, Any]]:
    columns = ((image + 1).tolist(), (category + 1).tolist(), boxes.tolist(), areas.tolist(), crowd)
    return [
        {"id": i, "image_id": im, "category_id": k, "bbox": box, "area": area, "iscrowd": int(flag)}
        for i, (im, k, box, area, flag) in enumerate(zip(*columns, strict=False), 1)
    ]
