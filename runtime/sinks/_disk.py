"""Whether a recorder may write just now. A full or read-only disk pauses it, and nothing else.

Retention frees first; only where that does not suffice is recording paused, and it is tried again every second or two.
"""

import errno
import logging
import os
import shutil
import time
from collections.abc import Callable, Collection
from pathlib import Path

from vedette.runtime.draw import disk_error
from vedette.runtime.sinks._archive import Archive

log = logging.getLogger(__name__)
CHECK_S = 1.0
RETRY_S = 1.5
CLEAN_S = 60.0
HYSTERESIS = 1.1  # so that a disk at the edge does not cut files to pieces
ROOM = 1 << 20  # before a disk that was full to the last byte is tried again
CODES = {
    errno.ENOSPC: "disk_full",
    errno.EDQUOT: "disk_full",
    errno.EFBIG: "disk_full",
    errno.EROFS: "read_only",
    errno.EACCES: "read_only",
    errno.EPERM: "read_only",
}


def code_of(error: OSError) -> str:
    """One word for what a disk refused."""
    return CODES.get(error.errno or 0, "disk_error")


class Disk:
    """Of one recorder; its writer's thread asks before every packet.

    Args:
        archive: what may be deleted for room.
        min_free_bytes: no file is written that leaves less.
        being_written: the paths that are open.

    Attributes:
        code: why nothing is written; empty while it is.
    """

    def __init__(
        self, archive: Archive, min_free_bytes: int, being_written: Callable[[], Collection[Path]]
    ) -> None:
        self.code = ""
        self._archive, self._min_free, self._being_written = archive, min_free_bytes, being_written
        self._ready = True
        self._check_at = self._clean_at = 0.0

    def make_folder(self) -> None:
        """Make the archive's folder; a disk that is full or read-only now may not be so for ever.

        Raises:
            DiskError: it can never be written to.
        """
        folder = self._archive.folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if not os.access(folder, os.W_OK | os.X_OK):
                number = errno.EROFS if os.statvfs(folder).f_flag & os.ST_RDONLY else errno.EACCES
                raise OSError(number, os.strerror(number))
        except OSError as error:
            if error.errno not in CODES or error.errno == errno.EACCES:
                raise disk_error(folder, error) from None
            self.failed(error)

    def ready(self) -> bool:
        """Whether to write; looks at the disk about once a second."""
        now = time.monotonic()
        if now >= self._check_at:
            self._check_at = now + CHECK_S
            if now >= self._clean_at:
                self.clean()
            self._ready = self._enough()
        return self._ready

    def clean(self) -> None:
        """Let retention do its work; also after every file."""
        self._clean_at = time.monotonic() + CLEAN_S
        self._archive.clean(self._being_written())

    def worked(self) -> None:
        """Something was written."""
        if self.code:
            log.info("recording into %s goes on", self._archive.folder)
            self.code = ""

    def failed(self, error: OSError) -> None:
        """Something was not: pause, and try again soon."""
        self._pause(code_of(error), error.strerror or str(error))
        self._check_at = time.monotonic() + RETRY_S

    def _enough(self) -> bool:
        """Whether there is room, made by deleting the oldest if need be."""
        full = self.code == "disk_full"
        needed = max(int(self._min_free * HYSTERESIS), ROOM) if full else self._min_free
        try:
            free = free_bytes(self._archive.folder)
        except OSError as error:
            self._pause(code_of(error), error.strerror or str(error))
            return False
        if free >= needed or self._archive.free(needed - free, self._being_written()):
            return True
        self._pause(
            "disk_full", f"{free / 1e6:.1f} MB are free, {self._min_free / 1e6:.1f} MB are to stay so"
        )
        return False

    def _pause(self, code: str, why: str) -> None:
        self._ready = False
        if self.code != code:
            log.warning("recording into %s is paused: %s", self._archive.folder, why)
        self.code = code


def free_bytes(folder: Path) -> int:
    """What this user may still write there; of a folder that is not there yet, its nearest parent's."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return shutil.disk_usage(os.fspath(folder)).free
