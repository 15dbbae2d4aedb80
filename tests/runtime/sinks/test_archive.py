"""What is deleted: the oldest of what was named here, nothing else, and never what is being written."""

import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from vedette.runtime.sinks import _archive
from vedette.runtime.sinks._archive import Archive

NOW = datetime.now(timezone.utc).replace(microsecond=0)


def recording(
    folder: Path, days_ago: float, *, stream: str = "yard", size: int = 100, end: str = ".mp4"
) -> Path:
    """A file as an earlier run left it."""
    moment = NOW - timedelta(days=days_ago)
    path = folder / stream / f"{moment:%Y-%m-%d}" / f"{stream}-{moment:%Y-%m-%dT%H-%M-%SZ}{end}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(size))
    return path


def test_what_is_too_old_goes_with_its_folder(tmp_path: Path) -> None:
    old, older, young = (recording(tmp_path, days) for days in (7.1, 9, 6.9))
    Archive(tmp_path, keep_days=7).clean([])
    assert (old.exists(), older.parent.exists(), young.exists()) == (False, False, True)


def test_the_oldest_go_first_over_all_streams_until_the_rest_is_small_enough(tmp_path: Path) -> None:
    paths = [recording(tmp_path, 5 - index, stream=f"cam{index % 2}") for index in range(5)]
    numbered = recording(tmp_path, 1, stream="cam0", end="-2.mkv")
    Archive(tmp_path, keep_bytes=350).clean([])
    assert [path.exists() for path in paths] == [False, False, False, True, True]
    assert numbered.exists()


def test_numbers_of_one_second_are_in_order(tmp_path: Path) -> None:
    tenth, second, first = (recording(tmp_path, 1, end=f"{end}.mp4") for end in ("-10", "-2", ""))
    Archive(tmp_path, keep_bytes=200).clean([])
    assert (first.exists(), second.exists(), tenth.exists()) == (False, True, True)


def test_what_is_being_written_counts_and_stays(tmp_path: Path) -> None:
    oldest, middle, newest = (recording(tmp_path, days) for days in (3, 2, 1))
    Archive(tmp_path, keep_bytes=200, keep_days=0).clean({oldest})
    assert (oldest.exists(), middle.exists(), newest.exists()) == (True, False, False)


def test_a_file_becomes_deletable_when_it_is_finished(tmp_path: Path) -> None:
    archive = Archive(tmp_path, keep_bytes=100)
    old = recording(tmp_path, 2)
    archive.clean([])
    new = recording(tmp_path, 0, size=60)
    archive.clean({new})
    assert not old.exists()
    archive.finished(new)
    archive.finished(new)
    archive.clean([])
    assert new.exists()
    new.write_bytes(bytes(101))
    archive.finished(new)
    archive.clean([])
    assert not new.exists()


FOREIGN = [
    "notes.mp4",
    "yard/notes.mp4",
    "yard/2020-01-01/notes.mp4",
    "yard/2020-01-01/yard-2020-01-01T00-00-00Z.txt",
    "yard/2020-01-01/yard-2020-01-01T00-00-00Z.mp4.bak",
    "yard/2020-01-01/yard-2020-01-01T00-00-00Z-copy.mp4",
    "yard/2020-01-01/yard-2020-01-01T00-00-00Z-event.mp4",
    "yard/2020-01-01/yard-2020-01-01T00-00-00Z.json",
    "yard/2020-01-01/yard-2020-01-02T00-00-00Z.mp4",
    "yard/2020-01-01/gate-2020-01-01T00-00-00Z.mp4",
    "yard/2020-99-99/yard-2020-99-99T00-00-00Z.mp4",
    "yard/backup/yard-2020-01-01T00-00-00Z.mp4",
    "yard/2020-01-01/more/yard-2020-01-01T00-00-00Z.mp4",
    "yard-2020-01-01T00-00-00Z.mp4",
]


@pytest.mark.parametrize("name", FOREIGN)
def test_files_of_others_are_never_deleted(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(1000))
    archive = Archive(tmp_path, keep_days=0, keep_bytes=0)
    archive.clean([])
    assert not archive.free(1, [])
    assert path.exists()


def test_links_are_not_followed(tmp_path: Path) -> None:
    treasure = recording(tmp_path / "elsewhere", 1000)
    folder = tmp_path / "rec"
    (folder / "yard").mkdir(parents=True)
    (folder / "yard" / treasure.parent.name).symlink_to(treasure.parent)
    (folder / "other").symlink_to(treasure.parent.parent)
    link = folder / "gate" / treasure.parent.name / treasure.name.replace("yard", "gate")
    link.parent.mkdir(parents=True)
    link.symlink_to(treasure)
    Archive(folder, keep_days=1, keep_bytes=0).clean([])
    assert treasure.exists()
    assert link.is_symlink()


def test_clips_and_recordings_in_one_folder_do_not_delete_each_other(tmp_path: Path) -> None:
    clip, video = recording(tmp_path, 9, end="-event.mp4"), recording(tmp_path, 9)
    note = clip.with_suffix(".json")
    note.write_text("{}")
    Archive(tmp_path, keep_days=7).clean([])
    assert (clip.exists(), note.exists(), video.exists()) == (True, True, False)
    Archive(tmp_path, kind="-event", keep_days=7).clean([])
    assert not clip.parent.exists()


def test_room_is_made_only_where_it_can_be(tmp_path: Path) -> None:
    paths = [recording(tmp_path, days) for days in (3, 2, 1)]
    archive = Archive(tmp_path)
    assert not archive.free(201, {paths[0]})
    assert all(path.exists() for path in paths)
    assert archive.free(150, {paths[0]})
    assert [path.exists() for path in paths] == [True, False, False]


def test_what_others_deleted_or_added_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone, old = recording(tmp_path, 9), recording(tmp_path, 1)
    archive = Archive(tmp_path, keep_days=7, keep_bytes=100)
    gone.unlink()
    archive.clean([])
    gone = recording(tmp_path, 0)
    gone.unlink()
    monkeypatch.setattr(_archive, "RESCAN_S", 0.0)
    added = recording(tmp_path, 8)
    archive.clean([])
    assert (old.exists(), added.exists()) == (True, False)


def test_no_name_is_given_twice(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    names = []
    for suffix in (".mp4", ".mkv", ".mp4"):
        path = archive.new_path("yard", time.time_ns() // 10**9 * 10**9, suffix)
        path.touch()
        names.append(path.name.partition("Z")[2])
    assert names == [".mp4", "-2.mkv", "-3.mp4"]


def test_a_folder_that_cannot_be_read_holds_nothing(tmp_path: Path) -> None:
    Archive(tmp_path / "missing", keep_days=1, keep_bytes=1).clean([])
    assert not list(tmp_path.iterdir())
