"""The folder of a recorder: how files are named, and which are deleted when they are too old or too many.

FOLDER/STREAM/2026-11-23/STREAM-2026-11-23T06-15-00Z.mp4, in UTC. Only files with such a name in such a folder are ever
deleted: what people or other programs put there stays, and no link is followed.
"""

import os
import re
import time
from bisect import bisect_left
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from itertools import count
from pathlib import Path
from urllib.parse import quote

DAY_S = 86_400
RESCAN_S = 3600.0  # other programs may have deleted some meanwhile
VIDEO_SUFFIXES = (".mp4", ".mkv")
COMPANIONS = (".json", ".json.part")  # go with the video that they stand beside
_DAY = re.compile(r"\d{4}-\d\d-\d\d")


@dataclass(frozen=True, slots=True)
class Recording:
    """One finished file."""

    began_s: float  # since 1970, from its name
    number: int  # of those that began in one second
    path: Path
    size: int

    @property
    def place(self) -> tuple[float, int, Path]:
        """The oldest first."""
        return self.began_s, self.number, self.path


class Archive:
    """The recordings of one kind below one folder, of earlier runs and other streams too.

    Args:
        folder: made when the first file is.
        kind: ends the names: "" or "-event".
        keep_days: older ones are deleted.
        keep_bytes: the oldest are deleted while all together are larger.
    """

    def __init__(
        self,
        folder: Path,
        *,
        kind: str = "",
        keep_days: float | None = None,
        keep_bytes: int | None = None,
    ) -> None:
        self.folder, self._kind = folder, kind
        self._keep_days, self._keep_bytes = keep_days, keep_bytes
        self._known: list[Recording] = []  # the oldest first
        self._total = 0  # their bytes
        self._scanned_at = -RESCAN_S

    def new_path(self, stream: str, began_ns: int, suffix: str) -> Path:
        """A free path for a recording that began at time.time_ns(); its folder is made.

        Raises:
            OSError: the folder cannot be made.
        """
        name = folder_name(stream)
        moment = datetime.fromtimestamp(began_ns / 1e9, timezone.utc)
        folder = self.folder / name / f"{moment:%Y-%m-%d}"
        folder.mkdir(parents=True, exist_ok=True)
        stem = f"{name}-{moment:%Y-%m-%dT%H-%M-%SZ}"
        stems = (folder / f"{stem}{'' if number == 1 else f'-{number}'}{self._kind}" for number in count(1))
        return next(path.with_name(path.name + suffix) for path in stems if not _taken(path))

    def finished(self, path: Path) -> None:
        """A file is complete: from now on it may be deleted."""
        if (found := _Names(path.parent, self._kind).recording(path.name, _size(path))) is not None:
            at = bisect_left(self._known, found.place, key=lambda known: known.place)
            known = at < len(self._known) and self._known[at].path == path
            self._total += found.size - (self._known[at].size if known else 0)
            self._known[at : at + known] = [found]

    def clean(self, being_written: Collection[Path]) -> None:
        """Delete what is older than keep_days, then the oldest until the rest takes keep_bytes."""
        self._look(being_written)
        if self._keep_days is not None:
            oldest_s = time.time() - self._keep_days * DAY_S
            while self._known and self._known[0].began_s < oldest_s:
                self._delete_oldest()
        if self._keep_bytes is not None:
            self._free(self._total + sum(map(_size, being_written)) - self._keep_bytes)

    def free(self, size: int, being_written: Collection[Path]) -> bool:
        """Delete the oldest to win so many bytes; nothing if all together would not suffice."""
        self._look(being_written)
        if self._total < size:
            return False
        self._free(size)
        return True

    def _free(self, size: int) -> None:
        while size > 0 and self._known:
            size -= self._delete_oldest()

    def _delete_oldest(self) -> int:
        """Delete the file, what stands beside it and the day's folder if it was the last one there; its size."""
        recording = self._known.pop(0)
        self._total -= recording.size
        self.discard(recording.path)
        return recording.size

    def _look(self, being_written: Collection[Path]) -> None:
        """See what is there, now and then; what is being written is none of it before it is finished."""
        if time.monotonic() - self._scanned_at >= RESCAN_S:
            found = (recording for recording in self._scan() if recording.path not in being_written)
            self._known = sorted(found, key=lambda recording: recording.place)
            self._total = sum(recording.size for recording in self._known)
            self._scanned_at = time.monotonic()

    def discard(self, path: Path) -> None:
        """Delete a file of this archive; what cannot be deleted stays."""
        with suppress(OSError):
            path.unlink(missing_ok=True)
            for suffix in COMPANIONS if self._kind else ():
                path.with_suffix(suffix).unlink(missing_ok=True)
            path.parent.rmdir()  # refuses while something is in it

    def _scan(self) -> Iterator[Recording]:
        for stream in _folders(self.folder):
            for day in _folders(stream):
                if _DAY.fullmatch(day.name):
                    names = _Names(day, self._kind)
                    yield from filter(None, (names.recording(*file) for file in _files(day)))


class _Names:
    """Which files of a day's folder were named here, and when they began."""

    def __init__(self, day: Path, kind: str) -> None:
        stem = re.escape(f"{day.parent.name}-{day.name}")
        suffixes = "|".join(map(re.escape, VIDEO_SUFFIXES))
        time_of_day = r"([01]\d|2[0-3])-([0-5]\d)-([0-5]\d)"
        self._day = day
        self._pattern = re.compile(
            rf"{stem}T{time_of_day}Z(?:-([1-9]\d*))?{re.escape(kind)}(?:{suffixes})", re.ASCII
        )
        self._midnight_s: float | None = None
        with suppress(ValueError):  # a 45th of March
            self._midnight_s = datetime.fromisoformat(f"{day.name}T00:00:00+00:00").timestamp()

    def recording(self, name: str, size: int) -> Recording | None:
        """What a file is; None if another named it."""
        match = self._pattern.fullmatch(name)
        if match is None or self._midnight_s is None:
            return None
        hours, minutes, seconds = (int(match[group]) for group in (1, 2, 3))
        began_s = self._midnight_s + 3600 * hours + 60 * minutes + seconds
        return Recording(began_s, int(match[4] or 1), self._day / name, size)


def folder_name(stream: str) -> str:
    """A stream's name as that of a folder, one to one: no separator, no leading dot."""
    name = quote(stream, safe=" ")
    return re.sub(r"^\.", "%2E", name) or "%"


def _taken(stem: Path) -> bool:
    return any(os.path.lexists(f"{stem}{suffix}") for suffix in (*VIDEO_SUFFIXES, *COMPANIONS))


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:
        return 0


def _folders(folder: Path) -> list[Path]:
    return [folder / entry.name for entry in _entries(folder) if entry.is_dir(follow_symlinks=False)]


def _files(folder: Path) -> Iterator[tuple[str, int]]:
    """Names and sizes."""
    for entry in _entries(folder):
        with suppress(OSError):  # deleted meanwhile
            if entry.is_file(follow_symlinks=False):
                yield entry.name, entry.stat(follow_symlinks=False).st_size


def _entries(folder: Path) -> list["os.DirEntry[str]"]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError:
        return []
