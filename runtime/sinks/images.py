"""Annotated pictures: one a frame into a folder, or one exact file."""

from collections.abc import Sequence
from itertools import count
from pathlib import Path

from vedette.runtime.draw import write_picture
from vedette.runtime.frame import Frame
from vedette.runtime.results import Result
from vedette.runtime.sinks._annotate import annotated
from vedette.runtime.sinks._target import check_file, check_folder, refuse_source, stem_of

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
        self._counts: dict[Path, int] = {}
        self._owners: dict[str, tuple[str, str]] = {}  # stem -> the stream and source whose frames have it
        (check_file if self._is_file else check_folder)(self._target)

    def write(self, frame: Frame, results: Sequence[Result]) -> None:
        path = self._path(frame)
        refuse_source(path, frame, anywhere_in_folder=frame.rate is None and not self._is_file)
        write_picture(path, annotated(frame, results))

    def close(self) -> None:
        """Nothing is open: each picture was completed by its write."""

    def _path(self, frame: Frame) -> Path:
        """bus.png for a picture, street-000012.jpg for a video's frame, cam0-000012.jpg for a camera's."""
        if self._is_file:
            return self._free(self._target)
        source = Path(frame.source)
        if frame.rate is None:
            suffix = source.suffix if source.suffix.lower() in WRITTEN_SUFFIXES else ".jpg"
            return self._free(self._target / f"{source.stem or frame.stream}{suffix}")
        return self._target / f"{self._stem(frame)}-{frame.index:06d}.jpg"

    def _free(self, path: Path) -> Path:
        """The path, or the next of its numbered variants that this run has not written."""
        number = self._counts.get(path, 0) + 1
        while (candidate := _numbered(path, number)) in self._written:
            number += 1
        self._counts[path] = number
        self._written.add(candidate)
        return candidate

    def _stem(self, frame: Frame) -> str:
        """A name for a video's or camera's frames that no other one has: no list of frames, which would grow."""
        stem = stem_of(frame.source, frame.stream)
        owner = (frame.stream, frame.source)
        numbered = (stem if number == 1 else f"{stem}-{number}" for number in count(1))
        return next(name for name in numbered if self._owners.setdefault(name, owner) == owner)


def _numbered(path: Path, number: int) -> Path:
    return path if number == 1 else path.with_name(f"{path.stem}-{number}{path.suffix}")
