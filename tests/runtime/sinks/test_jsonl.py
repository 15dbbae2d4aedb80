"""JSON lines: one a result, on disk when write returns."""

import io
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clips import numbered_picture

from vedette.runtime.errors import DiskError
from vedette.runtime.frame import Frame
from vedette.runtime.results import Boxes, Result
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
