"""The picture that video, images and window show."""

from collections.abc import Sequence

from vedette.runtime.frame import Array, Frame
from vedette.runtime.results import Result


def annotated(frame: Frame, results: Sequence[Result]) -> Array:
    """A copy of the frame with every model's result drawn on it, in turn. uint8 [H, W, 3] BGR."""
    canvas = frame.bgr().copy()
    for result in results:
        canvas = result.plot(canvas)
    return canvas
