"""Annotated pictures: one a frame into a folder, or one exact file."""

import re
from collections.abc import Sequence
from pathlib import Path

from vedette.runtime.draw import write_picture
from vedette.runtime.frame import Frame
from vedette.runtime.results import Result
from vedette.runtime.sinks._annotate import annotated
from vedette.runtime.sinks._target import check_file, check_folder, refuse_source

WRITTEN_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm"})


class ImagesSink:
    """Writes into a folder under the source's name, or to one path if that ends like a picture.

    Pictures keep their name and, if OpenCV can write it, their format; frames of a video get a number too. An
    earlier run's files are replaced. This run's are not (a name that comes again gets -2, -3 …), nor are the
    pictures that are being read.

    Raises:
        DiskError: nothing can be written there.
    """

    def __init__(self, target: str | Path) -> None:
        self._target = Path(target)
        self._is_file = self._target.suffix.lower() in WRITTEN_SUFFIXES and not self._target.is_dir()
        self._written: set[Path] = set()
        (check_file if self._is_file else check_folder)(self._target)

    def write(self, frame: Frame, results: Sequence[Result]) -> None:
        path = self._free(self._target if self._is_file else self._target / _name(frame))
        refuse_source(path, frame, anywhere_in_folder=frame.rate is None and not self._is_file)
        write_picture(path, annotated(frame, results))
        self._written.add(path)

    def close(self) -> None:
        """Nothing is open: each picture was completed by its write."""

    def _free(self, path: Path) -> Path:
        candidate, number = path, 1
        while candidate in self._written:
            number += 1
            candidate = path.with_name(f"{path.stem}-{number}{path.suffix}")
        return candidate


def _name(frame: Frame) -> str:
    """bus.png for a picture, street-000012.jpg for a video's frame, cam0-000012.jpg for a camera's."""
    source = Path(frame.source)
    if frame.rate is None:
        return (source.stem or frame.stream) + (
            source.suffix if source.suffix.lower() in WRITTEN_SUFFIXES else ".jpg"
        )
    is_file = re.match(r"[a-z][a-z0-9+.-]+:|/dev/", frame.source, re.IGNORECASE) is None
    return f"{source.stem if is_file and source.stem else frame.stream}-{frame.index:06d}.jpg"
