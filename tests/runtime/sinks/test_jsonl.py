"""JSON lines: one a result, on disk when write returns."""

import errno
import io
import json
import sys
from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clips import numbered_picture

from vedette.runtime.errors import DiskError, UsageError
from vedette.runtime.frame import Frame
from vedette.runtime.results import Boxes, Result
from vedette.runtime.sinks import _lines, jsonl
from vedette.runtime.sinks.jsonl import JsonLinesSink

FRAME = Frame((numbered_picture(0),), source="street é\udcff.mp4", index=3, time_s=0.12, rate=25.0)


def result(model: str) -> Result:
    boxes = Boxes(np.array([[1, 2, 3, 4]], np.float32), np.array([0.5], np.float32), np.array([0]), (64, 96))
    return Result(FRAME, model, "detection", {0: "dog"}, boxes=boxes)


def test_every_record_is_on_disk_when_write_returns(tmp_path: Path) -> None:
    path = tmp_path / "new" / "out.jsonl"
    sink = JsonLinesSink(path)
    sink.write(FRAME, [result("one"), result("two")])
    records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert [record["model"] for record in records] == ["one", "two"]
    assert records[0]["source"] == FRAME.source
    sink.write(FRAME, [])
    sink.write(FRAME, [result("three")])
    sink.close()
    assert len(path.read_text(encoding="utf-8").splitlines()) == 3


def test_a_run_without_frames_leaves_no_older_runs_records(tmp_path: Path) -> None:
    (tmp_path / "out.jsonl").write_text("old\n")
    JsonLinesSink(tmp_path / "out.jsonl").close()
    assert (tmp_path / "out.jsonl").read_text() == ""


def test_a_dash_is_standard_output_and_leaves_it_open(capsys: pytest.CaptureFixture[str]) -> None:
    sink = JsonLinesSink("-")
    sink.write(FRAME, [result("one")])
    sink.close()
    assert json.loads(capsys.readouterr().out)["model"] == "one"
    assert not sys.stdout.closed


def test_a_reader_that_hung_up_is_no_fault_of_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    class Closed(io.StringIO):
        def write(self, _text: str) -> Any:
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stdout", Closed())
    with pytest.raises(BrokenPipeError):
        JsonLinesSink("-").write(FRAME, [result("one")])


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full: not Linux")
def test_a_full_disk_is_an_error_of_the_disk(tmp_path: Path) -> None:
    (tmp_path / "out.jsonl").symlink_to("/dev/full")
    sink = JsonLinesSink(tmp_path / "out.jsonl")
    with pytest.raises(DiskError) as error:
        sink.write(FRAME, [result("one")])
    assert error.value.cure == "free space on that disk"


def test_a_target_that_cannot_be_written_is_refused_at_once(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "file" / "out.jsonl"):
        (tmp_path / "file").touch()
        with pytest.raises(DiskError):
            JsonLinesSink(path)


def models(path: Path) -> list[str]:
    """Of every record of a file, which must all be whole."""
    return [json.loads(line)["model"] for line in path.read_text(encoding="utf-8").splitlines()]


def test_a_file_that_would_become_too_large_is_set_aside(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    size = len(result("00").to_json()) + 1
    sink = JsonLinesSink(path, rotate_bytes=3 * size, keep=2)
    for number in range(11):
        sink.write(FRAME, [result(f"{number:02}")])
    sink.close()
    found = {name.name: models(name) for name in tmp_path.iterdir()}
    assert found == {
        "out.jsonl": ["09", "10"],
        "out.jsonl.1": ["06", "07", "08"],
        "out.jsonl.2": ["03", "04", "05"],
    }


def test_a_record_larger_than_a_file_has_one_of_its_own(tmp_path: Path) -> None:
    sink = JsonLinesSink(tmp_path / "out.jsonl", rotate_bytes=10, keep=5)
    for number in range(3):
        sink.write(FRAME, [result(str(number))])
    sink.close()
    assert [models(tmp_path / f"out.jsonl{end}") for end in ("", ".1", ".2")] == [["2"], ["1"], ["0"]]


def test_none_may_be_kept(tmp_path: Path) -> None:
    sink = JsonLinesSink(tmp_path / "out.jsonl", rotate_bytes=10, keep=0)
    for number in range(3):
        sink.write(FRAME, [result(str(number))])
    sink.close()
    assert [path.name for path in tmp_path.iterdir()] == ["out.jsonl"]
    assert models(tmp_path / "out.jsonl") == ["2"]


def test_with_rotation_an_older_run_is_gone_on_with(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    for number in range(3):
        sink = JsonLinesSink(path, rotate_bytes=10**6)
        sink.write(FRAME, [result(str(number))])
        sink.close()
    assert models(path) == ["0", "1", "2"]
    path.write_text(path.read_text() + '{"killed')
    sink = JsonLinesSink(path, rotate_bytes=10**6)
    sink.write(FRAME, [result("after")])
    sink.close()
    lines = path.read_text().splitlines()
    assert len(lines) == 5
    assert json.loads(lines[4])["model"] == "after"


class FullDisk:
    """Takes so many bytes, then no more; half a record fits."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, room: int) -> None:
        self.room = room
        disk = self

        class File(FileIO):
            def write(self, data: Any) -> int:
                if disk.room <= 0:
                    raise OSError(errno.ENOSPC, "No space left on device")
                taken = bytes(data)[: disk.room]
                disk.room -= len(taken)
                return super().write(taken)

        monkeypatch.setattr(_lines, "FileIO", File)


@pytest.mark.parametrize("rotate_bytes", [None, 10**6])
def test_a_patient_one_waits_for_room_and_no_record_is_split(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rotate_bytes: int | None
) -> None:
    path = tmp_path / "out.jsonl"
    size = len(result("0").to_json()) + 1
    disk = FullDisk(monkeypatch, 2 * size + size // 2)
    monkeypatch.setattr(jsonl, "RETRY_S", 0.0)
    sink = JsonLinesSink(path, rotate_bytes=rotate_bytes, patient=True)
    for number in range(5):
        sink.write(FRAME, [result(str(number))])
    assert models(path) == ["0", "1"]
    status = sink.status()
    assert (status.state, status.code, status.written) == ("paused", "disk_full", 2)
    assert status.dropped == {"paused": 3}
    disk.room = 10**9
    sink.write(FRAME, [result("5"), result("6")])
    sink.close()
    assert models(path) == ["0", "1", "5", "6"]
    assert (sink.status().state, sink.status().written) == ("writing", 4)


def test_a_patient_one_does_not_try_at_every_frame(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = FullDisk(monkeypatch, 0)
    sink = JsonLinesSink(tmp_path / "out.jsonl", patient=True)
    sink.write(FRAME, [result("0")])
    disk.room = 10**9
    sink.write(FRAME, [result("1"), result("2")])
    assert sink.status().dropped == {"paused": 3}
    sink.close()


def test_an_impatient_one_ends_with_whole_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "out.jsonl"
    size = len(result("0").to_json()) + 1
    FullDisk(monkeypatch, size + size // 2)
    sink = JsonLinesSink(path)
    sink.write(FRAME, [result("0")])
    with pytest.raises(DiskError):
        sink.write(FRAME, [result("1")])
    sink.close()
    assert models(path) == ["0"]


@pytest.mark.parametrize("options", [{"rotate_bytes": 0}, {"keep": -1}])
def test_sizes_out_of_range_are_refused(tmp_path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="cannot rotate"):
        JsonLinesSink(tmp_path / "out.jsonl", **options)
