"""Encoded packets as a reader's thread taps them, and what a recorded file holds: made and read by PyAV alone."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
from clips import Array

from vedette.runtime.packets import Encoding, Packet

PICTURE_NS = 40_000_000  # 25 a second


def packets_of(path: Path, *, received_ns: int = 0) -> list[Packet]:
    """The packets of a video, received 25 a second from a moment on."""
    begin = received_ns or time.monotonic_ns()
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        extradata = bytes(stream.codec_context.extradata or b"")
        size = (stream.width, stream.height)
        assert stream.time_base is not None
        name = stream.codec_context.codec.canonical_name
        encoding = Encoding(name, extradata, size, stream.time_base, float(stream.average_rate or 25))
        demuxed = [packet for packet in container.demux(stream) if packet.size]
        return [
            Packet(
                encoding,
                bytes(packet),
                packet.pts,
                packet.dts,
                packet.is_keyframe,
                begin + index * PICTURE_NS,
            )
            for index, packet in enumerate(demuxed)
        ]


def pictures(path: Path) -> list[Array]:
    """Every picture of a file, uint8 BGR."""
    return [picture for picture, _ in played(path)]


def played(path: Path) -> list[tuple[Array, float]]:
    """Every picture of a file with its time in seconds, in order of time."""
    with av.open(str(path)) as container:
        return [
            (frame.to_ndarray(format="bgr24"), float(frame.time or 0)) for frame in container.decode(video=0)
        ]


def all_pictures(paths: Sequence[Path]) -> list[Array]:
    """Every picture of several files, one behind the other."""
    return [picture for path in paths for picture in pictures(path)]


def same(found: Sequence[Array], expected: Sequence[Array]) -> bool:
    """To the bit."""
    equal: Any = np.array_equal
    return len(found) == len(expected) and all(map(equal, found, expected))


def videos(folder: Path) -> list[Path]:
    """Of a recorder, in the order in which they began."""
    found = [path for path in folder.rglob("*") if path.suffix in {".mp4", ".mkv"}]
    return sorted(found, key=lambda path: (path.stem.partition("Z")[0], _number(path)))


def _number(path: Path) -> int:
    number = path.stem.removesuffix("-event").partition("Z-")[2]
    return int(number or 1)
