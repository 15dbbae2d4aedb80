"""JSON lines: one record per frame and model, flushed when written."""

import errno
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from vedette.runtime.draw import disk_error
from vedette.runtime.frame import Frame
from vedette.runtime.results import Result
from vedette.runtime.sinks._target import check_file


class JsonLinesSink:
    """Writes to a file, or to standard output for "-".

    A reader that hangs up (`| head`) raises BrokenPipeError: the end of the job, not a fault of a disk.

    Raises:
        DiskError: the file cannot be written there.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = None if str(path) == "-" else Path(path)
        self._file: TextIO | None = None
        self._closed = False
        if self._path is not None:
            check_file(self._path)

    def write(self, frame: Frame, results: Sequence[Result]) -> None:
        try:
            file = self._open()
            for result in results:
                file.write(result.to_json() + "\n")
                file.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            self._abandon()
            raise disk_error(self._name(), error) from None

    def close(self) -> None:
        """Finish the file; a run without frames leaves an empty one, not an older run's."""
        if self._closed:
            return
        self._closed = True
        try:
            file = self._open()
            if self._path is not None:
                file.close()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise disk_error(self._name(), error) from None

    def _open(self) -> TextIO:
        if self._file is None:
            self._file = sys.stdout if self._path is None else self._path.open("w", encoding="utf-8")
        if self._file is None:  # Python's answer to a closed standard output
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        return self._file

    def _abandon(self) -> None:
        """Give the file back; closing it properly would fail as the write did."""
        self._closed = True
        if self._file is not None and self._path is not None:
            with suppress(OSError):
                self._file.close()

    def _name(self) -> str:
        return "standard output" if self._path is None else str(self._path)
