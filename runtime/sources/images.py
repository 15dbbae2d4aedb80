"""A picture, a folder of pictures or a glob: one stream in sorted name order. One picture has no use for all its imports."""

import time
from collections.abc import Sequence
from math import ceil
from pathlib import Path

import numpy as np

from vedette.runtime.errors import SourceError, redact
from vedette.runtime.frame import Array, Frame
from vedette.runtime.sources import END, TIMEOUT, Read, SourceOptions, closed
from vedette.runtime.sources._clock import Pace
from vedette.runtime.sources._local import VIDEO_SUFFIXES, is_file, is_folder, is_picture, local_path


def claims(uri: str) -> bool:
    """A picture by its suffix, any folder, or a glob that matches something."""
    path = local_path(uri)
    if path is None:
        return False
    if is_file(path):
        return is_picture(path)
    return is_folder(path) or bool(_matches(path))


def open_source(uri: str, options: SourceOptions) -> "Pictures":
    path = local_path(uri)
    return Pictures(Path(uri) if path is None else path, options)


def _matches(path: Path) -> list[Path]:
    """What a glob matches, sorted; nothing if it is none."""
    from glob import glob, has_magic

    pattern = str(path)
    found = glob(pattern, recursive=True) if has_magic(pattern) else []  # noqa: PTH207 it may be absolute
    return sorted(Path(name) for name in found)


def _files(path: Path) -> list[Path]:
    """The file itself, what lies in the folder, or what the glob matches; sorted by name."""
    if is_file(path):
        return [path]
    return sorted(path.iterdir()) if is_folder(path) else _matches(path)


class Pictures:
    """Every stride-th picture; `index` is its position and `time_s` too, in seconds.

    At real time there is one a second; a loop begins again with the first, and index and time go on.
    """

    frame_count: int | None = None

    def __init__(self, path: Path, options: SourceOptions) -> None:
        self.uri = redact(str(path))
        self.live = options.realtime
        self._path, self._options, self._pace = path, options, Pace()
        self._names: list[Path] | None = None
        self._position = 0
        self._round = 0  # pictures until it is over, or begins again
        self._skipped = 0  # since the last that could be read
        self._closed = False

    @property
    def single(self) -> bool:
        """Whether this is one picture, which is there to be read at once, and nothing comes after it."""
        return is_file(self._path) and not (self._options.realtime or self._options.loop)

    def read(self, timeout_s: float = 1.0) -> Read:
        """The next picture or END; at real time also TIMEOUT, if none is due within timeout_s."""
        if self._closed:
            raise closed(self.uri)
        names = self._list() if self._names is None else self._names
        deadline = time.monotonic() + timeout_s
        while self._position < len(names) or self._options.loop:
            if self._options.realtime and not self._pace.wait(self._position, deadline):
                return TIMEOUT
            index, self._position = self._position, self._position + self._options.stride
            try:
                frame = self._frame(names[index % len(names)], index)
            except SourceError as error:
                self._skip(error, index, len(names))
                continue
            self._skipped = 0
            return frame
        return END

    def close(self) -> None:
        self._closed = True

    def _list(self) -> list[Path]:
        try:
            found = _files(self._path)
        except OSError as error:
            raise SourceError(
                f"cannot list {self._path}",
                why=error.strerror or str(error),
                cure="check the folder's permissions",
                code="unreadable",
            ) from None
        self._names = [path for path in found if is_picture(path) and is_file(path)]
        if not self._names:
            raise _no_pictures(self._path, found)
        self._round = ceil(len(self._names) / self._options.stride)
        self.frame_count = None if self._options.loop else self._round
        return self._names

    def _frame(self, path: Path, index: int) -> Frame:
        image = read_picture(path)
        return Frame(
            planes=(image,),
            stream=self._options.stream,
            source=str(path),
            index=index,
            time_s=float(index),
            received_ns=time.monotonic_ns(),
        )

    def _skip(self, error: SourceError, index: int, count: int) -> None:
        """Go on behind an unreadable picture; fail if it was the only one, or if all were like it."""
        self._skipped += 1
        if count == 1:
            raise error
        if index < count:  # in a loop, once
            import logging

            logging.getLogger(__name__).warning("%s: %s; skipped", error.what, error.why)
        if self._skipped == self._round:
            raise SourceError(
                f"no picture of {self._path} can be read",
                why=f"all {self._round} failed, the last with: {error.why}",
                cure="check that they are pictures and were copied whole",
                code="unreadable",
            )


def read_picture(path: Path) -> Array:
    """Read a picture of any format as uint8 [H, W, 3] BGR, upright as its EXIF says.

    Raises:
        SourceError: it cannot be read, or would need more memory than OpenCV allows a picture.
    """
    import cv2

    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # ours tell it
    why = "its bytes are no picture that this OpenCV can decode"
    image = None
    try:
        data = np.fromfile(path, np.uint8)  # imread cannot open every name on every system
        image = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
        why = why if data.size else "the file is empty"
    except OSError as error:
        why = error.strerror or str(error)
    except (cv2.error, MemoryError) as error:
        why = "it is larger than OpenCV allows" if "PIXELS" in str(error) else why
    if image is None:
        raise SourceError(
            f"cannot read the picture {path}",
            why=why,
            cure="convert it to .jpg or .png, or remove it",
            code="unreadable",
        )
    return image


def _no_pictures(path: Path, found: Sequence[Path]) -> SourceError:
    videos = [name for name in found if name.suffix.lower() in VIDEO_SUFFIXES]
    cure = "give a folder or glob of .jpg, .png or other pictures; folders inside it are not searched"
    if videos:
        cure = f"it holds videos: name them one by one, such as {videos[0]}"
    return SourceError(
        f"{path} holds no picture",
        why=f"none of the {len(found)} names in it ends as one",
        cure=cure,
        code="empty",
    )
