"""Image to image: a picture made of a picture.

In: decoders.Picture, over the network's input or a whole multiple of it.  Out: a Result with an image.
"""

from typing import Any

import numpy as np

from vedette.runtime.decoders import Picture
from vedette.runtime.frame import Array, Frame
from vedette.runtime.manifest import Manifest
from vedette.runtime.preprocess import Placement
from vedette.runtime.results import Result
from vedette.runtime.tasks import Config

DEFAULT_CONF = 0.5  # of no use


def finish(
    decoded: Picture, frame: Frame, placement: Placement, manifest: Manifest, config: Config
) -> Result:
    """Cut the letterbox off, and bring the picture to the size of the frame, or the same multiple of it."""
    import cv2

    width = decoded.values.shape[1]
    times = max(1, width // placement.input_size[0])
    rows, columns = (slice(part.start * times, part.stop * times) for part in placement.crop)
    part = np.ascontiguousarray(decoded.values[rows, columns])
    size = frame.size[0] * times, frame.size[1] * times
    shrinks = part.shape[0] > size[1]
    image = cv2.resize(part, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return Result(
        frame=frame, model=manifest.name, task="image", names={}, image=image.round().astype(np.uint8)
    )


def record(result: Result) -> dict[str, Any]:
    """The task's part of the JSON record: the picture's size; the picture itself is saved, not written as JSON."""
    assert result.image is not None
    height, width = result.image.shape[:2]
    return {"image": {"size": [height, width]}}


def draw(image: Array, result: Result) -> None:
    """The new picture in place of the frame."""
    import cv2

    assert result.image is not None
    size = image.shape[1], image.shape[0]
    image[:] = (
        result.image
        if result.image.shape == image.shape
        else cv2.resize(result.image, size, interpolation=cv2.INTER_AREA)
    )
