"""What a task means: from decoded arrays to a Result, its drawing and its JSON. One file a task.

Each file has `finish(decoded, frame, placement, manifest, config) -> Result`, `record(result) -> dict`, `draw(image, result)`.
In: what decoders/ return.  Out: results.Result.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Config:
    """What a user may set for any task.

    Attributes:
        conf: lowest score that is kept; None is the task's own default (detection 0.25, pose 0.4, segmentation 0.5).
        iou: boxes of one class that overlap by more than this suppress each other.
        max_det: most objects per frame.
        classes: class ids to keep; empty keeps all.
    """

    conf: float | None = None
    iou: float = 0.7
    max_det: int = 300
    classes: tuple[int, ...] = ()
