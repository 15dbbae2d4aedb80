"""A file whose disk may fill up under it: what was written whole stays whole.

FFmpeg ends a file by writing its index and by patching its beginning. On a full disk the first fails and the second does
not, which can cost the file. Here the first failure is the last write: FFmpeg is told that the file is closed.
"""

import os
from contextlib import suppress
from pathlib import Path

HEADER = 16  # of an MP4's box with a long size


class SafeFile:
    """For av.open, which calls write, seek and tell; PyAV leaves a file alone whose `closed` is true.

    Attributes:
        error: the first failure, after which nothing is written.
    """

    def __init__(self, path: Path) -> None:
        self.error: OSError | None = None
        self._file = path.open("x+b", buffering=0)
        self._open = True

    @property
    def closed(self) -> bool:
        """Nothing will be written any more."""
        return self.error is not None or not self._open

    def write(self, data: bytes) -> int:
        """All of it, or an error.

        Raises:
            OSError: the disk refuses; from then on data is swallowed.
        """
        rest = memoryview(data)
        try:
            while rest and self.error is None:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            self.error = error
            raise
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """As a file's."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """As a file's."""
        return self._file.tell()

    def close(self, *, trim: bool) -> None:
        """Give the file to the disk; after a failure cut off what came through in part.

        Args:
            trim: it is an MP4 in fragments.
        """
        if not self._open:
            return
        self._open = False
        with suppress(OSError):
            if self.error is not None and trim:
                self._file.truncate(whole_length(self._file.fileno()))
        with suppress(OSError):
            self._file.close()


def whole_length(descriptor: int) -> int:
    """Bytes up to the end of an MP4's last whole fragment, or of its header where there is none."""
    size, at, whole = os.fstat(descriptor).st_size, 0, 0
    while len(header := os.pread(descriptor, HEADER, at)) >= 8:
        length = int.from_bytes(header[:4], "big")
        length = int.from_bytes(header[8:], "big") if length == 1 else length
        if length < 8 or at + length > size:
            break
        at += length
        if header[4:8] in {b"moov", b"mdat"}:  # a moof is worth nothing without the mdat behind it
            whole = at
    return whole
