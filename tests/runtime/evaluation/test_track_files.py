"""Truth and results of tracks: the MOTChallenge's text, JSON lines, the command, and what is refused where."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vedette.__main__ import _dispatch
from vedette.runtime.errors import SourceError
from vedette.runtime.evaluation.track_files import found_of, truth_of
from vedette.runtime.evaluation.tracks import of_tracks
from vedette.runtime.frame import Frame
from vedette.runtime.results import Boxes, Result
from vedette.runtime.tracking.tracker import NOBODY

TRUTH = """1,1,11,21,20,40,1,1,1
1,2,101,21,20,40,1,1,0.5
2,1,16,21,20,40,1,1,1
2,2,106,21,20,40,1,1,1
2,3,300,50,20,40,0,8,1
"""


def record(frame: int, lefts: list[float], names: list[int], **others: Any) -> str:
    """A line as `vedette run --track --json` writes it."""
    boxes = np.array([(left, 20, left + 20, 60) for left in lefts], np.float32).reshape(-1, 4)
    count = len(boxes)
    found = Boxes(
        boxes, np.full(count, 0.8, np.float32), np.zeros(count, np.int64), (480, 640), np.array(names)
    )
    taken = Frame((np.zeros((480, 640, 3), np.uint8),), index=frame, stream=str(others.get("stream", "cam0")))
    return Result(taken, "toy", "detection", {0: "person"}, boxes=found).to_json()


@pytest.fixture
def truth(tmp_path: Path) -> Path:
    path = tmp_path / "gt.txt"
    path.write_text(TRUTH)
    return path


def written(folder: Path, text: str, name: str = "found.txt") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_json_lines_and_text_give_the_same(tmp_path: Path, truth: Path) -> None:
    lines = [record(0, [10, 100], [1, 2]), record(1, [15, 105, 400], [1, 7, NOBODY])]
    text = "1,1,11,21,20,40,0.8,-1,-1,-1\n1,2,101,21,20,40,0.8,-1,-1,-1\n2 1 16 21 20 40\n\n2,7,106,21,20,40,0.8\n"
    one = of_tracks(written(tmp_path, "\n".join(lines) + "\n", "found.jsonl"), truth)
    other = of_tracks(written(tmp_path, text), truth)
    assert one.numbers == other.numbers
    assert one.numbers["IDSW"] == 1
    assert one.numbers["MOTP"] == 1  # edges from 0 there, pixels from 1 here
    assert one.notes == ("1 boxes without an identity are left out",)
    assert other.notes == ()
    assert one.sizes == {"frames": 2, "truths": 4, "detections": 4, "true tracks": 2, "found tracks": 3}


def test_what_is_not_judged_is_neither_right_nor_wrong(tmp_path: Path, truth: Path) -> None:
    reflection = "1,1,11,21,20,40\n1,2,101,21,20,40\n2,1,16,21,20,40\n2,2,106,21,20,40\n2,9,301,51,20,40\n"
    assert of_tracks(written(tmp_path, reflection), truth).numbers["FP"] == 0
    truth.write_text(TRUTH.replace("0,8,1", "0,9,1"))  # an occluder: a box on it is wrong
    assert of_tracks(written(tmp_path, reflection), truth).numbers["FP"] == 1
    assert truth_of(truth).counted.tolist() == [True] * 4 + [False]


def test_scores_and_classes_choose(tmp_path: Path, truth: Path) -> None:
    text = "1,1,11,21,20,40,0.9\n1,2,101,21,20,40,0.3\n"
    assert of_tracks(written(tmp_path, text), truth, conf=0.5).sizes["detections"] == 1
    lines = written(tmp_path, record(0, [10], [1]), "found.jsonl")
    assert of_tracks(lines, truth, classes=("person",)).sizes["detections"] == 1
    assert of_tracks(lines, truth, classes=("dog",)).sizes["detections"] == 0


def test_frames_with_nothing_were_run(tmp_path: Path, truth: Path) -> None:
    lines = written(tmp_path, record(0, [10], [1]) + "\n" + record(1, [], []), "found.jsonl")
    assert of_tracks(lines, truth).notes == ()
    assert found_of(lines)[0].frames_run.tolist() == [1, 2]


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("1,1,10,20,30\n", ":1", "six numbers"),
        ("1,1,10,20,30,40\n1,x,10,20,30,40\n", ":2", "six numbers"),
        ("1,1,10,nan,30,40\n", ":1", "six numbers"),
        ("0,1,10,20,30,40\n", ":1", "whole from 1"),
        ("1,1.5,10,20,30,40\n", ":1", "whole from 1"),
        ("1,1,10,20,-30,40\n", ":1", "-30 x 40"),
        ("1,1,10,20,30,40\n2,1,1,1,1,1\n1,1,10,20,30,40\n", ":3", "in line 1"),
        ("1,-1,10,20,30,40,0.5\n", "", "no box of it has an identity"),
        (record(0, [10], [1]) + "\n" + record(0, [10], [1]), ":2", "frame 0 has a record in line 1"),
        (record(0, [10], [1]) + "\n" + record(1, [10], [1], stream="cam1"), ":2", "cam1 by toy"),
        (record(0, [10, 50], [1, 1]), ":1", "identity 1 is in frame 1"),
        ('{"frame": 0', ":1:12", "malformed JSON"),
        ('{"frame": 0, "poses": []}', ":1", "detections or instances"),
        ('{"frame": "0", "detections": []}', ":1", "detections or instances"),
        ('{"frame": 0, "detections": [3]}', ":1", "detections or instances"),
        (
            '{"frame": 0, "detections": [{"box_xyxy": [0, 0, 1], "score": 1, "track_id": 1}]}',
            ":1",
            "no box_xyxy",
        ),
        (
            '{"frame": 0, "detections": [{"box_xyxy": [9, 0, 1, 1], "score": 1, "track_id": 1}]}',
            ":1",
            "no box_xyxy",
        ),
        ('{"frame": 0, "detections": [{"box_xyxy": [0, 0, 1, 1], "track_id": 1}]}', ":1", "no box_xyxy"),
    ],
)
def test_what_is_malformed_is_refused_with_its_place(
    tmp_path: Path, truth: Path, text: str, place: str, words: str
) -> None:
    path = written(tmp_path, text)
    with pytest.raises(SourceError) as caught:
        of_tracks(path, truth)
    assert caught.value.what == f"{path}{place} cannot be used"
    assert words in caught.value.why


def test_an_empty_truth_and_a_missing_file(tmp_path: Path, truth: Path) -> None:
    with pytest.raises(SourceError, match="cannot be used"):
        of_tracks(truth, written(tmp_path, "\n", "empty.txt"))
    with pytest.raises(SourceError, match="cannot read"):
        of_tracks(tmp_path / "none.txt", truth)


def test_the_command(tmp_path: Path, truth: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = written(
        tmp_path, record(0, [10, 100], [1, 2]) + "\n" + record(1, [17, 105], [1, 2]), "found.jsonl"
    )
    command = ["eval", str(lines), str(truth), "--metric", "mot"]
    assert _dispatch([*command, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["task"], told["metric"], told["iou"]) == ("tracking", "mot", 0.5)
    assert (told["IDF1"], told["IDSW"], told["FN"], told["true tracks"]) == (1.0, 0, 0, 2)
    assert _dispatch([*command, "--iou", "0.9", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["iou"], told["FN"], told["IDF1"]) == (0.9, 1, 0.75)  # 18 / 22 of one box
    assert _dispatch(command) == 0
    shown = capsys.readouterr().out
    assert "IDF1" in shown
    assert "1.000" in shown
    assert "0.000" not in shown  # counts are whole
