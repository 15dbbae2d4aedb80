"""The frames that a reference and an engine are compared on: pictures of a folder or a video, the same for both.

In: a path, which may have annotations beside its pictures.  Out: Frames, again at each turn.  Next: verify.py.
"""

import hashlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from math import ceil
from pathlib import Path

from vedette.runtime.errors import SourceError, UsageError
from vedette.runtime.evaluation.coco_json import truth_from_coco
from vedette.runtime.evaluation.data import Truth
from vedette.runtime.frame import Frame
from vedette.runtime.sources import END, Source, SourceOptions, open_source
from vedette.runtime.sources._local import is_picture

MOST = 500  # frames; of more, evenly many are left out
ANNOTATIONS = "annotations.json"


@dataclass(frozen=True, slots=True)
class Frames:
    """Frames that can be read as often as they are wanted."""

    uri: str
    stride: int = 1
    count: int | None = None  # as far as it is known
    truth: Truth | None = None  # where there is any

    def __iter__(self) -> Iterator[Frame]:
        """Raises: SourceError: none of them can be read."""
        source = open_source(self.uri, SourceOptions(stride=self.stride))
        try:
            yield from _read(source)
        finally:
            source.close()


def frames_of(where: str) -> Frames:
    """What to compare on, checked to have a first frame.

    Args:
        where: a folder of pictures (or one with pictures in its folder images/), a video, a glob or a picture.

    Raises:
        SourceError: there is nothing there that can be read, or its annotations are no COCO json.
        UsageError: a camera.
    """
    folder = Path(where)
    inner = folder / "images"
    pictures = inner if _bare(folder) and inner.is_dir() else folder
    uri = str(pictures) if folder.is_dir() else where
    source = open_source(uri)
    if source.live:
        raise UsageError(
            f"{source.uri} is a live source",
            why="reference and engine must see the same frames",
            cure="record it, and give the file: --verify FILE",
        )
    try:
        first = next(_read(source), None)
        count = source.frame_count
    finally:
        source.close()
    if first is None:
        raise SourceError(
            f"{source.uri} holds no frame", why="it ended before the first", cure="check the file"
        )
    return Frames(uri, max(1, ceil((count or 1) / MOST)), count, _truth(folder))


def _bare(folder: Path) -> bool:
    return folder.is_dir() and not any(is_picture(path) for path in folder.iterdir())


def _read(source: Source) -> Iterator[Frame]:
    while (frame := source.read()) is not END:
        if isinstance(frame, Frame):
            yield frame


def _truth(folder: Path) -> Truth | None:
    """What COCO's json in a folder says: annotations.json, or the only .json if it is one."""
    named = folder / ANNOTATIONS
    if named.is_file():
        return truth_from_coco(named)
    found = sorted(folder.glob("*.json")) if folder.is_dir() else []
    if len(found) == 1:
        with suppress(SourceError):  # it may be anything
            return truth_from_coco(found[0])
    return None


class Digest:
    """A hash over the pixels of frames, in order."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def add(self, frame: Frame) -> None:
        """Take a frame in."""
        self._hash.update(f"{frame.format} {frame.size}".encode())
        for plane in frame.planes:
            self._hash.update(plane.tobytes())

    def __str__(self) -> str:
        return self._hash.hexdigest()
