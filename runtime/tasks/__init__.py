"""What a task means: from decoded arrays to a Result, its drawing and its JSON. One file a task.

Each file has `finish(decoded, frame, placement, manifest, config) -> Result`, `record(result) -> dict`,
`draw(image, result)`, and `DEFAULT_CONF`, the conf when the user names none.
In: what decoders/ return.  Out: results.Result.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from vedette.runtime.manifest import Manifest


@dataclass(frozen=True, slots=True)
class Config:
    """What a user may set for any task.

    Attributes:
        conf: what scores less is dropped; None means 0.25 for detection, 0.4 for pose, 0.5 for segmentation.
        iou: boxes of one class that overlap by more than this suppress each other; bundles/ may have other defaults.
        max_det: most objects per frame.
        classes: class ids to keep; empty keeps all.
    """

    conf: float | None = None
    iou: float = 0.7
    max_det: int = 300
    classes: tuple[int, ...] = ()


def names_of(manifest: Manifest, present: Iterable[int]) -> dict[int, str]:
    """The labels by class id, and the number itself for a class that is present without a label."""
    names = dict(enumerate(manifest.labels))
    return names | {
        index: f"class {index}" for index in dict.fromkeys(map(int, present)) if index not in names
    }
