"""Whether a path can be written, asked before any model is loaded."""

import errno
import os
import re
from pathlib import Path

from vedette.runtime.draw import disk_error
from vedette.runtime.errors import UsageError
from vedette.runtime.frame import Frame
from vedette.runtime.sources._local import is_file


def check_folder(path: Path) -> None:
    """Make a folder if it is missing.

    Raises:
        DiskError: it cannot be made, or not be written to.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise disk_error(path, error) from None
    if not os.access(path, os.W_OK | os.X_OK):
        raise disk_error(path, PermissionError(errno.EACCES, os.strerror(errno.EACCES)))


def check_file(path: Path) -> None:
    """Make a file's folder if it is missing; the file itself is left alone.

    Raises:
        DiskError: the file cannot be written there.
    """
    check_folder(path.parent)
    if path.is_dir():
        raise disk_error(path, IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR)))
    if path.exists() and not os.access(path, os.W_OK):
        raise disk_error(path, PermissionError(errno.EACCES, os.strerror(errno.EACCES)))


def stem_of(source: str, stream: str) -> str:
    """What files made of a source are named after: its file, or its stream where it is a camera or nobody's."""
    is_file = (
        source and "***" not in source and not re.match(r"[a-z][a-z0-9+.-]+:|/dev/", source, re.IGNORECASE)
    )
    return Path(source).stem if is_file else stream


def refuse_source(path: Path, frame: Frame, *, anywhere_in_folder: bool) -> None:
    """Refuse to write over what is being read.

    Args:
        path: what is about to be written.
        frame: it came from the file that must survive.
        anywhere_in_folder: refuse the file's whole folder, because its other files are still to be read.

    Raises:
        UsageError: writing could lose a source.
    """
    if not is_file(Path(frame.source)):  # a camera, or a picture that never was a file
        return
    source, target = Path(frame.source).resolve(), path.resolve()
    if (path.exists() and path.samefile(source)) or (anywhere_in_folder and source.parent == target.parent):
        raise UsageError(
            f"will not write {path}",
            why=f"it could replace what is being read from {source.parent}",
            cure="save to another folder",
        )
