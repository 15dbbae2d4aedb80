"""Detection: boxes with a class and a score.

In: decoders.Candidates.  Out: a Result with boxes, best first.
"""

from typing import Any

import numpy as np

from vedette.kernels.nms import nms
from vedette.runtime.decoders import Candidates
from vedette.runtime.frame import Array, Frame
from vedette.runtime.manifest import Manifest
from vedette.runtime.preprocess import Placement
from vedette.runtime.results import Boxes, Result
from vedette.runtime.tasks import Config, names_of

DEFAULT_CONF = 0.25


def finish(
    decoded: Candidates, frame: Frame, placement: Placement, manifest: Manifest, config: Config
) -> Result:
    """Keep the chosen classes, suppress what overlaps, and move what is left onto the frame."""
    return placed(_suppressed(decoded, config), frame, placement, manifest)


def placed(kept: Candidates, frame: Frame, placement: Placement, manifest: Manifest) -> Result:
    """Boxes that nothing suppresses, best first, moved onto the frame.

    Those that lie outside the picture are dropped, the others clipped to it unless their family wants them whole.
    """
    width, height = frame.size
    xyxy = placement.to_image(kept.boxes_xyxy.reshape(-1, 2, 2)).reshape(-1, 4)
    clipped = np.clip(xyxy, 0, np.array([width, height, width, height], np.float32))
    inside = (clipped[:, 2:] > clipped[:, :2]).all(axis=1)
    xyxy, class_ids = (clipped if kept.clip else xyxy)[inside], kept.class_ids[inside]
    boxes = Boxes(xyxy, kept.scores[inside], class_ids, orig_shape=(height, width))
    names = names_of(manifest, class_ids)
    return Result(frame=frame, model=manifest.name, task="detection", names=names, boxes=boxes)


def _suppressed(decoded: Candidates, config: Config) -> Candidates:
    """The candidates that stay, best first."""
    arrays = decoded.boxes_xyxy, decoded.scores, decoded.class_ids
    if config.classes:
        chosen = np.isin(decoded.class_ids, config.classes)
        arrays = arrays[0][chosen], arrays[1][chosen], arrays[2][chosen]
    keep = nms(*arrays, iou_threshold=config.iou, max_det=config.max_det)
    return Candidates(arrays[0][keep], arrays[1][keep], arrays[2][keep], decoded.clip)


def record(result: Result) -> dict[str, Any]:
    """The task's part of the JSON record: boxes in pixels, to a hundredth."""
    assert result.boxes is not None
    return {"detections": [_detection(result.boxes, index, result) for index in range(len(result))]}


def _detection(boxes: Boxes, index: int, result: Result) -> dict[str, Any]:
    class_id = int(boxes.cls[index])
    detection = {
        "box_xyxy": [round(float(side), 2) for side in boxes.xyxy[index]],
        "score": round(float(boxes.conf[index]), 5),
        "class_id": class_id,
        "label": result.names[class_id],
    }
    return detection if boxes.id is None else {**detection, "track_id": int(boxes.id[index])}


def draw(image: Array, result: Result) -> None:
    """Boxes with label, track and score, coloured by track or else by class."""
    from vedette.runtime.draw import box, colour_of

    boxes = result.boxes
    assert boxes is not None
    for index in reversed(range(len(boxes))):  # the best on top
        class_id = int(boxes.cls[index])
        track = None if boxes.id is None else int(boxes.id[index])
        words = [result.names[class_id], "" if track is None else f"#{track}", f"{boxes.conf[index]:.2f}"]
        colour = colour_of(class_id if track is None else track)
        box(image, boxes.xyxy[index], " ".join(word for word in words if word), colour)
