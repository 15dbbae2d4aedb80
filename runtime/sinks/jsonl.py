"""JSON lines: one record per frame and model, flushed when written."""

import errno
import logging
import os
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from vedette.runtime.draw import disk_error
from vedette.runtime.errors import UsageError, redact
from vedette.runtime.frame import Frame
from vedette.runtime.results import Result
from vedette.runtime.sinks._disk import code_of
from vedette.runtime.sinks._lines import Lines
from vedette.runtime.sinks._owed import Owed
from vedette.runtime.sinks._target import check_file
from vedette.runtime.status import SinkStatus

log = logging.getLogger(__name__)
RETRY_S = 1.0


class JsonLinesSink:
    """Writes to a file, or to standard output for "-".

    A record is in one file, whole, or nowhere. A reader that hangs up (`| head`) raises BrokenPipeError: the end of the
    job, not a fault of a disk.

    Args:
        path: an older run's file is written over; with rotation, or if patient, it is gone on with.
        rotate_bytes: a file that would become larger is set aside as path.1, the one before as path.2 …
        keep: how many of these there are.
        patient: a disk that refuses is tried again every second; what has no place meanwhile is counted.

    Raises:
        DiskError: the file cannot be written there.
    """

    def __init__(
        self, path: str | Path, *, rotate_bytes: int | None = None, keep: int = 5, patient: bool = False
    ) -> None:
        if keep < 0 or (rotate_bytes is not None and rotate_bytes < 1):
            raise UsageError(
                f"cannot rotate at {rotate_bytes} bytes and keep {keep} files",
                why="a file has a size, and their number is 0 or more",
                cure="use 100000000 and 5, say",
            )
        self._path = None if str(path) == "-" else Path(path)
        self.name = "standard output" if self._path is None else redact(str(self._path))
        self._lines = (
            None
            if self._path is None
            else Lines(self._path, rotate_bytes=rotate_bytes, keep=keep, append=patient)
        )
        self._patient = patient and self._path is not None
        self._closed = False
        self._code, self._retry_at, self._written = "", 0.0, 0
        self._dropped: Counter[str] = Counter()
        self._owed = Owed()
        if self._path is not None:
            check_file(self._path)

    def write(self, frame: Frame, results: Sequence[Result]) -> None:
        if self._code and time.monotonic() < self._retry_at:
            self._dropped["paused"] += len(results)
            self._owed.lost(frame, results)
            return
        results = self._owed.told(frame, results)
        for count, result in enumerate(results):
            try:
                self._append(result.to_json())
            except BrokenPipeError:
                raise
            except OSError as error:
                self._refused(error)
                self._dropped["paused"] += len(results) - count
                self._owed.lost(frame, results)
                return
            self._accepted()

    def close(self) -> None:
        """Finish the file; a run without frames leaves an empty one, not an older run's."""
        if self._closed:
            return
        self._closed = True
        try:
            if self._lines is not None:
                self._lines.open()
                self._lines.close()
        except OSError as error:
            if not self._patient:
                raise disk_error(self.name, error) from None

    def status(self) -> SinkStatus:
        """How it is; `written` counts records. Any thread."""
        state = "paused" if self._code else "writing"
        return SinkStatus(self.name, state, self._code, self._written, dict(self._dropped))

    def _append(self, record: str) -> None:
        if self._lines is not None:
            self._lines.append(record.encode())
            return
        if sys.stdout is None:  # Python's answer to a closed standard output
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        sys.stdout.write(record + "\n")
        sys.stdout.flush()

    def _refused(self, error: OSError) -> None:
        """Pause if patient; otherwise this was the last record."""
        if not self._patient:
            self._closed = True
            if self._lines is not None:
                self._lines.close()
            raise disk_error(self.name, error) from None
        self._retry_at = time.monotonic() + RETRY_S
        if not self._code:
            log.warning("%s is paused: %s", self.name, error.strerror or error)
        self._code = code_of(error)

    def _accepted(self) -> None:
        self._written += 1
        if self._code:
            log.info("%s goes on", self.name)
            self._code = ""
