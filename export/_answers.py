"""An object that is in a picture, as the user says, and how surely a result has it.

In: 'person 100,50,200,300'.  Out: a score.  Next: adopt.py, which asks.
"""

from dataclasses import dataclass

import numpy as np

from vedette.runtime.errors import UsageError
from vedette.runtime.frame import Array
from vedette.runtime.results import Result

OVERLAP = 0.5  # of an answer's box with a found one, at which they are the same
CONTRAST = 0.3  # of a label's share inside an answer's box, over its share of the rest


@dataclass(frozen=True, slots=True)
class Answer:
    """An object that is in the picture."""

    label: str
    box_xyxy: tuple[float, ...]


def answer_of(text: str) -> Answer:
    """'person 100,50,200,300', or only the box.

    Raises:
        UsageError: it is not that.
    """
    label, _, box = text.strip().rpartition(" ")
    try:
        sides = tuple(float(side) for side in box.split(","))
    except ValueError:
        sides = ()
    if len(sides) != 4 or sides[2] <= sides[0] or sides[3] <= sides[1]:
        raise UsageError(
            f"--answer {text!r} is no object",
            why="it is a label and a box: left, top, right, bottom in pixels of the image",
            cure="--answer 'person 100,50,200,300', say",
        )
    return Answer(label, sides)


def answered(result: Result, answer: Answer, *, nameless: bool = True) -> float:
    """The score of the object in the answer, 0 where it is not found; a class without a name may be any."""
    boxes = result.boxes
    if boxes is None or not len(boxes):
        return _covered(result, answer)
    names = [result.names[int(index)] for index in boxes.cls]
    overlaps = _iou(np.asarray(boxes.xyxy, np.float64), np.array(answer.box_xyxy))
    return max(
        (
            float(score)
            for overlap, name, score in zip(overlaps, names, boxes.conf, strict=True)
            if overlap >= OVERLAP and (answer.label in ("", name) or (nameless and name.startswith("class ")))
        ),
        default=0.0,
    )


def _covered(result: Result, answer: Answer) -> float:
    """How much more of a label lies in the answer's box than beside it, from 0 to 1."""
    if result.segmentation is None:
        return 0.0
    ids = [
        index
        for index, name in result.names.items()
        if answer.label in ("", name) or name.startswith("class ")
    ]
    left, top, right, bottom = (round(side) for side in answer.box_xyxy)
    shares = []
    for index in ids:
        found = result.segmentation.label_map == index
        inside = found[max(top, 0) : bottom, max(left, 0) : right]
        rest = found.size - inside.size
        shares.append((inside.mean() if inside.size else 0) - (found.sum() - inside.sum()) / max(rest, 1))
    best = max(shares, default=0.0)
    return float(best) if best >= CONTRAST else 0.0


def _iou(boxes: Array, one: Array) -> Array:
    """Of [N, 4] with [4]."""
    sides = np.minimum(boxes[:, 2:], one[2:]) - np.maximum(boxes[:, :2], one[:2])
    shared = np.clip(sides, 0, None).prod(axis=1)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1) + (one[2:] - one[:2]).prod()
    overlap: Array = shared / (areas - shared)
    return overlap
