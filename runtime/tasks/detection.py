"""Detection: boxes with a class and a score.

In: decoders.Candidates.  Out: a Result with boxes, best first.
"""

from functools import lru_cache
from typing import Any

import numpy as np

from vedette.kernels.nms import nms
from vedette.runtime.decoders import Candidates, Instances
from vedette.runtime.frame import Array, Frame
from vedette.runtime.manifest import Manifest
from vedette.runtime.preprocess import Placement
from vedette.runtime.results import Boxes, Result
from vedette.runtime.tasks import Config, names_of

DEFAULT_CONF = 0.25


def finish(
    decoded: Candidates | Instances, frame: Frame, placement: Placement, manifest: Manifest, config: Config
) -> Result:
    """Keep the chosen classes, suppress what overlaps, and move what is left onto the frame.

    Of instances only the upright boxes are wanted.
    """
    if isinstance(decoded, Instances):
        if decoded.angles is not None:
            raise ValueError("boxes with an angle are of the task instances")
        decoded = decoded.boxes
    return placed(decoded[best(decoded, config)], frame, placement, manifest)


def placed(kept: Candidates, frame: Frame, placement: Placement, manifest: Manifest) -> Result:
    """Boxes that nothing suppresses, best first, moved onto the frame.

    Those that lie outside the picture are dropped, the others clipped to it unless their family wants them whole.
    """
    boxes, _ = on_frame(kept, frame, placement)
    names = names_of(manifest, boxes.cls)
    return Result(frame=frame, model=manifest.name, task="detection", names=names, boxes=boxes)


def on_frame(kept: Candidates, frame: Frame, placement: Placement) -> tuple[Boxes, Array]:
    """The boxes of `placed`, and which candidates they are: bool [N]."""
    width, height = frame.size
    xyxy = kept.boxes_xyxy
    if not kept.in_image:
        xyxy = placement.to_image(xyxy.reshape(-1, 2, 2)).reshape(-1, 4)
    clipped = np.minimum(np.maximum(xyxy, 0), _far_corner(width, height))
    inside: Array = np.logical_and.reduce(clipped[:, 2:] > clipped[:, :2], axis=1)
    xyxy = clipped if kept.clip else xyxy
    if inside.all():  # as nearly always
        return Boxes(xyxy, kept.scores, kept.class_ids, orig_shape=(height, width)), inside
    return Boxes(
        xyxy[inside], kept.scores[inside], kept.class_ids[inside], orig_shape=(height, width)
    ), inside


@lru_cache(maxsize=64)
def _far_corner(width: int, height: int) -> Array:
    return np.array([width, height, width, height], np.float32)


def best(decoded: Candidates, config: Config) -> Array:
    """Indices of the candidates that stay, best first."""
    iou = config.iou if decoded.suppress else np.inf
    arrays = decoded.boxes_xyxy, decoded.scores, decoded.class_ids
    if not config.classes:
        return nms(*arrays, iou_threshold=iou, max_det=config.max_det)
    rows = chosen(decoded, config)
    kept: Array = rows[nms(*(array[rows] for array in arrays), iou_threshold=iou, max_det=config.max_det)]
    return kept


def chosen(decoded: Candidates, config: Config) -> Array:
    """Indices of the candidates of the classes that the user wants."""
    if not config.classes:
        return np.arange(len(decoded.scores))
    return np.flatnonzero(np.isin(decoded.class_ids, config.classes))


def record(result: Result) -> dict[str, Any]:
    """The task's part of the JSON record: boxes in pixels, to a hundredth."""
    assert result.boxes is not None
    return {"detections": [detection(result.boxes, index, result) for index in range(len(result))]}


def detection(boxes: Boxes, index: int, result: Result) -> dict[str, Any]:
    """One box of the record."""
    class_id = int(boxes.cls[index])
    found = {
        "box_xyxy": [round(float(side), 2) for side in boxes.xyxy[index]],
        "score": round(float(boxes.conf[index]), 5),
        "class_id": class_id,
        "label": result.names[class_id],
    }
    return found if (track := boxes.track(index)) is None else {**found, "track_id": track}


def draw(image: Array, result: Result) -> None:
    """Boxes with label, track and score, coloured by track or else by class."""
    from vedette.runtime.draw import box, colour_of

    boxes = result.boxes
    assert boxes is not None
    for index in reversed(range(len(boxes))):  # the best on top
        class_id = int(boxes.cls[index])
        track = boxes.track(index)
        words = [result.names[class_id], "" if track is None else f"#{track}", f"{boxes.conf[index]:.2f}"]
        colour = colour_of(class_id if track is None else track)
        box(image, boxes.xyxy[index], " ".join(word for word in words if word), colour)
