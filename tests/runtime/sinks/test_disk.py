"""A disk that fills up or is read-only: recording pauses, says so, goes on by itself, and files play."""

import contextlib
import errno
import itertools
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from clips import index_in, write_video
from recordings import packets_of, pictures, videos

from vedette.runtime.errors import DiskError
from vedette.runtime.packets import Packet
from vedette.runtime.sinks import _disk
from vedette.runtime.sinks._archive import Archive
from vedette.runtime.sinks._disk import Disk
from vedette.runtime.sinks._safe_file import SafeFile
from vedette.runtime.sinks.recording import RecordingSink
from vedette.runtime.status import Event, State

MEGABYTE = 1 << 20


@pytest.fixture
def tmpfs(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """Mounts a disk of a few megabytes."""
    mounted = []

    def mount(options: str = "size=3m") -> Path:
        folder = tmp_path / "disk"
        folder.mkdir(exist_ok=True)
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
        try:
            done = subprocess.run(command, capture_output=True, check=False)
        except FileNotFoundError:
            pytest.skip("no mount command")
        if done.returncode:
            pytest.skip("mounting is not permitted here")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk is looked at at every packet."""
    monkeypatch.setattr(_disk, "CHECK_S", 0.0)
    monkeypatch.setattr(_disk, "RETRY_S", 0.0)


def endless(clip: Path) -> Iterator[Packet]:
    """A camera that shows a clip again and again; its clock goes on."""
    packets = packets_of(clip)
    step = len(packets) * 3600
    for turn in itertools.count():
        for packet in packets:
            assert packet.pts is not None
            yield replace(packet, pts=packet.pts + turn * step, dts=None)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """About 110 kB a second."""
    path = tmp_path_factory.mktemp("large") / "clip.ts"
    return write_video(path, 50, size=(640, 480), g="10", crf="0", preset="ultrafast")


@pytest.mark.parametrize("min_free_bytes", [0, 1_500_000])
@pytest.mark.usefixtures("quick")
def test_on_a_full_disk_recording_pauses_goes_on_and_every_file_plays(
    tmpfs: Callable[..., Path], large: Path, min_free_bytes: int
) -> None:
    disk = tmpfs()
    sink = RecordingSink(disk / "rec", segment_s=2, min_free_bytes=min_free_bytes)
    tap, camera = sink.tap("cam0"), endless(large)

    def record(count: int) -> None:
        for _ in range(count):
            tap(next(camera))
            sink.work()

    record(115)
    others = fill(disk / "of others")
    record(100)
    paused = sink.status()
    assert (paused.state, paused.code) == ("paused", "disk_full")
    assert paused.dropped["paused"] >= 50
    before = videos(disk)
    assert len(before) == 3
    others.unlink()
    record(100)
    assert (sink.status().state, sink.status().code) == ("writing", "")
    sink.close()
    after = videos(disk)
    assert after[: len(before)] == before
    assert sum(len(pictures(path)) for path in before) >= 100
    assert sum(len(pictures(path)) for path in after[len(before) :]) >= 90
    for path in after:
        found = [index_in(picture) for picture in pictures(path)]
        assert found[0] % 10 == 0
        assert all((second - first) % 50 == 1 for first, second in itertools.pairwise(found))


def fill(path: Path) -> Path:
    """Take all the room that there is."""
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    return path


@pytest.mark.usefixtures("quick")
def test_retention_frees_first(tmpfs: Callable[..., Path], large: Path) -> None:
    disk = tmpfs()
    sink = RecordingSink(disk / "rec", segment_s=0.4, min_free_bytes=600_000)
    tap, camera, first = sink.tap("cam0"), endless(large), ""
    for _ in range(1500):
        tap(next(camera))
        sink.work()
        first = first or videos(disk)[0].name
    assert (sink.status().state, sink.status().dropped) == ("writing", {})
    sink.close()
    assert first not in {path.name for path in videos(disk)}
    assert len(videos(disk)) >= 4
    assert sum(path.stat().st_size for path in videos(disk)) > MEGABYTE


@pytest.mark.usefixtures("quick")
def test_a_disk_that_becomes_read_only_pauses_and_goes_on_when_it_is_not(
    tmpfs: Callable[..., Path], large: Path
) -> None:
    disk = tmpfs("size=8m")
    sink = RecordingSink(disk / "rec", segment_s=0.4, min_free_bytes=0)
    tap, camera = sink.tap("cam0"), endless(large)

    def record(count: int) -> None:
        for _ in range(count):
            tap(next(camera))
            sink.work()

    record(10)
    sink.event(_ended())  # a file that is open for writing would keep the disk writable
    sink.work()
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    record(40)
    assert (sink.status().state, sink.status().code) == ("paused", "read_only")
    subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
    record(40)
    assert (sink.status().state, sink.status().code) == ("writing", "")
    sink.close()
    assert sum(len(pictures(path)) for path in videos(disk)) == 50


def _ended() -> Event:
    return Event("cam0", State.ENDED, "", "", 0)


@pytest.mark.usefixtures("quick")
def test_a_read_only_disk_at_the_start_is_waited_for(tmpfs: Callable[..., Path]) -> None:
    disk = tmpfs()
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    for folder in (disk, disk / "new"):
        sink = RecordingSink(folder, min_free_bytes=0)
        assert (sink.status().state, sink.status().code) == ("paused", "read_only")
        sink.close()


def test_free_space_decides_where_it_is_said_to(
    tmp_path: Path, clip: Path, monkeypatch: pytest.MonkeyPatch, quick: None
) -> None:
    free = [10_000_000]
    monkeypatch.setattr(_disk, "free_bytes", lambda _: free[0])
    packets = packets_of(clip)
    sink = RecordingSink(tmp_path, min_free_bytes=10_000_000)
    monkeypatch.setattr(Archive, "free", lambda *_: False)
    for now, state in ((10_000_000, "writing"), (9_000_000, "paused"), (10_999_999, "paused")):
        free[0] = now
        for packet in packets[:20]:
            sink.tap("cam0")(replace(packet, pts=None, dts=None))
        sink.work()
        assert sink.status().state == state
    free[0] = 11_000_000
    for packet in [*packets, *packets]:
        sink.tap("cam0")(replace(packet, pts=None, dts=None))
    sink.work()
    assert sink.status().state == "writing"
    sink.close()
    assert [len(pictures(path)) for path in videos(tmp_path)] == [20, 60]
    assert sink.status().dropped == {"paused": 40}


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS])
def test_whatever_a_disk_refuses_is_no_error_of_the_run(
    tmp_path: Path, clip: Path, monkeypatch: pytest.MonkeyPatch, quick: None, number: int
) -> None:
    codes = {
        errno.ENOSPC: "disk_full",
        errno.EDQUOT: "disk_full",
        errno.EIO: "disk_error",
        errno.EROFS: "read_only",
    }
    packets = packets_of(clip)
    sink = RecordingSink(tmp_path, min_free_bytes=0)
    broken = [True]
    write = SafeFile.write

    def failing(self: SafeFile, data: bytes) -> int:
        if broken[0] and self.tell() > 1000:
            self.error = OSError(number, "it refuses")
            raise self.error
        return write(self, data)

    monkeypatch.setattr(SafeFile, "write", failing)
    for packet in packets:
        sink.tap("cam0")(packet)
    sink.work()
    sink.close()
    assert (sink.status().state, sink.status().code) == ("paused", codes[number])
    assert all(pictures(path) for path in videos(tmp_path))
    broken[0] = False
    for packet in packets * 2:
        sink.tap("cam0")(replace(packet, pts=None, dts=None))
    sink.work()
    sink.close()
    assert sink.status().state == "writing"


def test_a_file_is_cut_behind_its_last_whole_fragment(tmp_path: Path) -> None:
    boxes = [
        b"\0\0\0\x0cftypmp42",
        b"\0\0\0\x0cmoovhead",
        b"\0\0\0\x08moof",
        b"\0\0\0\x0amdatab",
        b"\0\0\0\x08moof",
    ]
    whole = b"".join(boxes[:4])
    for rest in (
        boxes[4] + b"\0\0\0\x20mdatabc",
        boxes[4],
        b"\0\0",
        b"\0\0\0\1mdat\0\0\0\0\0\0\0\x40ab",
        b"\0\0\0\0moof",
    ):
        file = SafeFile(tmp_path / f"{len(list(tmp_path.iterdir()))}.mp4")
        file.write(whole + rest)
        file.error = OSError(28, "full")
        assert file.closed
        assert file.write(b"more") == 4
        file.close(trim=True)
        assert max(tmp_path.iterdir(), key=lambda path: path.stat().st_mtime_ns).read_bytes() == whole


def test_what_can_never_be_written_to_is_an_error_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(DiskError):
            RecordingSink(folder)


def test_the_disk_is_looked_at_about_once_a_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[Path] = []

    def look(folder: Path) -> int:
        looked.append(folder)
        return 10

    monkeypatch.setattr(_disk, "free_bytes", look)
    disk = Disk(Archive(tmp_path), 0, lambda: ())
    began = time.monotonic()
    assert all(disk.ready() for _ in range(1000))
    assert len(looked) <= 2 + time.monotonic() - began
