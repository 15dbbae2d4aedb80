"""A file of lines, each whole or not there; several files of bounded size where that is asked for."""

import os
from contextlib import suppress
from io import FileIO
from pathlib import Path


class Lines:
    """Written at once, without a buffer. Errors of the disk pass, and leave the lines before them whole.

    Args:
        path: the newest lines. Without rotation or `append` it is begun anew, else an older run's are kept.
        rotate_bytes: a file that would become larger is set aside as path.1, the one before as path.2 …
        keep: how many of these there are; what is older is deleted.
        append: keep an older run's lines without rotation too.
    """

    def __init__(self, path: Path, *, rotate_bytes: int | None, keep: int, append: bool = False) -> None:
        self._path, self._rotate_bytes, self._keep = path, rotate_bytes, keep
        self._append = append or rotate_bytes is not None
        self._file: FileIO | None = None
        self._size = 0
        self._began = False

    def open(self) -> None:
        """Make sure that the file is there."""
        if self._file is None:
            appending = self._began or self._append
            self._file = FileIO(self._path, "a" if appending else "w")
            self._began = True
            self._size = self._file.seek(0, os.SEEK_END) if self._file.seekable() else 0
            if self._size and not self._ends_whole():  # a run that was killed
                self.append(b"")

    def append(self, line: bytes) -> None:
        """Write one line, without its end. After an error nothing of it is left, and it may be tried again."""
        line += b"\n"
        self.open()
        if self._rotate_bytes is not None and self._size and self._size + len(line) > self._rotate_bytes:
            self._rotate()
            self.open()
        if self._file is None:
            return
        rest = memoryview(line)
        try:
            while rest:
                rest = rest[self._file.write(rest) or 0 :]
        except OSError:
            with suppress(OSError):  # a device cannot be cut
                self._file.truncate(self._size)
                self._file.seek(self._size)
            raise
        self._size += len(line)

    def close(self) -> None:
        """Give the file back."""
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def _rotate(self) -> None:
        self.close()
        self._aside(self._keep).unlink(missing_ok=True)
        for number in range(self._keep - 1, 0, -1):
            with suppress(FileNotFoundError):
                self._aside(number).replace(self._aside(number + 1))
        if self._keep:
            self._path.replace(self._aside(1))
        else:
            self._path.unlink()

    def _aside(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")

    def _ends_whole(self) -> bool:
        with self._path.open("rb") as file:
            file.seek(-1, os.SEEK_END)
            return file.read(1) == b"\n"
