"""Pictures that say which they are, and videos of them: what tests read and write."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
SIZE = (96, 64)


def numbered_picture(index: int, size: tuple[int, int] = SIZE) -> Array:
    """A smooth uint8 BGR picture; 8 blocks along its top spell the index in binary: see index_in."""
    width, height = size
    image = np.zeros((height, width, 3), np.uint8)
    image[..., 1] = np.linspace(40, 200, width).astype(np.uint8)
    image[..., 2] = np.linspace(200, 60, height).astype(np.uint8)[:, None]
    for bit in range(8):
        image[: height // 4, width * bit // 8 : width * (bit + 1) // 8] = 255 * (index >> bit & 1)
    return image


def index_in(image: Array) -> int:
    """The index that numbered_picture drew, also after lossy coding."""
    height, width = image.shape[:2]
    centres = [image[height // 8, width * (2 * bit + 1) // 16].mean() for bit in range(8)]
    return sum(int(value > 127) << bit for bit, value in enumerate(centres))


def write_video(
    path: Path,
    count: int = 30,
    *,
    size: tuple[int, int] = SIZE,
    fps: int = 25,
    ticks: Sequence[int] = (),
    codec: str = "libx264",
    **options: str,
) -> Path:
    """A video of numbered pictures, its container by its suffix; a key frame every 10 unless options differ.

    Args:
        path: what to write.
        count: how many pictures.
        size: (width, height).
        fps: their rate.
        ticks: the time of each picture in 1/1000 s, instead of the rate.
        codec: FFmpeg's name of the encoder.
        options: the encoder's.
    """
    with av.open(str(path), "w") as container:
        settings = {"g": "10", "bf": "0", "crf": "10"} | options
        stream: Any = container.add_stream(codec, rate=fps, options=settings)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        if ticks:
            stream.codec_context.time_base = Fraction(1, 1000)
        for index in range(count):
            frame = av.VideoFrame.from_ndarray(numbered_picture(index, size), format="bgr24")
            if ticks:
                frame.pts, frame.time_base = ticks[index], Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def psnr(first: Array, second: Array) -> float:
    """Decibels between two uint8 pictures."""
    error = np.mean((first.astype(float) - second.astype(float)) ** 2)
    return float("inf") if error == 0 else float(10 * np.log10(255**2 / error))
