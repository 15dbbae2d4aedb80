"""OpenPose's JSON: named as OpenPose names it, one file a frame."""

import json
from pathlib import Path

import numpy as np
import pytest
from clips import numbered_picture

from vedette.runtime.errors import DiskError
from vedette.runtime.frame import Frame
from vedette.runtime.results import Keypoints, Result, no_boxes
from vedette.runtime.sinks.openpose import OpenPoseSink


def written(folder: Path, *frames: Frame) -> list[str]:
    sink = OpenPoseSink(folder)
    for frame in frames:
        sink.write(frame, [pose(frame)])
    sink.close()
    return sorted(path.name for path in folder.iterdir())


def frame(source: str, index: int = 0, *, stream: str = "cam0", rate: float | None = 25.0) -> Frame:
    return Frame((numbered_picture(0),), source=source, index=index, stream=stream, rate=rate)


def pose(of: Frame, x: float = 3.5) -> Result:
    joints = Keypoints(np.array([[[x, 4.25], [0, 0]]], np.float32), np.array([[0.5, 0]], np.float32))
    return Result(of, "m", "pose", {0: "person"}, keypoints=joints)


@pytest.mark.parametrize(
    ("source", "rate", "name"),
    [
        ("a/street.v2.mp4", 25.0, "street.v2_000000000012_keypoints.json"),
        ("rtsp://***@yard/1", 25.0, "cam0_000000000012_keypoints.json"),
        ("photos/bus.jpg", None, "bus_keypoints.json"),
    ],
)
def test_files_have_openpose_s_names(tmp_path: Path, source: str, rate: float | None, name: str) -> None:
    assert written(tmp_path, frame(source, 12, rate=rate)) == [name]


def test_sources_of_one_name_are_kept_apart(tmp_path: Path) -> None:
    pictures = [frame("bus.jpg", 0, rate=None), frame("bus.png", 1, rate=None)]
    videos = [frame(f"{name}/bus.mp4", 7, stream=name) for name in "ab"]
    assert written(tmp_path, *pictures, *videos) == [
        "bus-2_keypoints.json",
        "bus-3_000000000007_keypoints.json",
        "bus-4_000000000007_keypoints.json",
        "bus_keypoints.json",
    ]


def test_a_file_holds_the_people_of_the_pose_model(tmp_path: Path) -> None:
    at = frame("street.mp4", 3)
    boxes = Result(at, "d", "detection", {0: "dog"}, boxes=no_boxes(at))
    OpenPoseSink(tmp_path).write(at, [boxes, pose(at)])
    [path] = tmp_path.iterdir()
    document = json.loads(path.read_bytes())
    [person] = document["people"]
    assert document["version"] == 1.1
    assert person["pose_keypoints_2d"] == [3.5, 4.25, 0.5, 0, 0, 0]


def test_a_frame_without_people_has_a_file_too(tmp_path: Path) -> None:
    at = frame("street.mp4")
    nobody = Keypoints(np.zeros((0, 2, 2), np.float32), np.zeros((0, 2), np.float32))
    OpenPoseSink(tmp_path).write(at, [Result(at, "m", "pose", {}, keypoints=nobody)])
    [path] = tmp_path.iterdir()
    assert json.loads(path.read_bytes()) == {"version": 1.1, "people": []}


def test_an_earlier_run_s_files_are_replaced_and_no_part_is_left(tmp_path: Path) -> None:
    for x in (1.0, 2.0):
        OpenPoseSink(tmp_path).write(frame("a.mp4"), [pose(frame("a.mp4"), x)])
    [path] = tmp_path.iterdir()
    assert json.loads(path.read_bytes())["people"][0]["pose_keypoints_2d"][0] == 2.0


def test_a_folder_that_cannot_be_written_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DiskError):
        OpenPoseSink(tmp_path / "file" / "out")
    with pytest.raises(DiskError):
        OpenPoseSink(tmp_path / "file")


def test_a_folder_that_vanishes_is_made_again_and_one_that_cannot_be_is_told(tmp_path: Path) -> None:
    sink = OpenPoseSink(tmp_path / "out")
    (tmp_path / "out").rmdir()
    sink.write(frame("a.mp4"), [pose(frame("a.mp4"))])
    assert (tmp_path / "out" / "a_000000000000_keypoints.json").is_file()
    (tmp_path / "out" / "a_000000000001_keypoints.json").mkdir()
    with pytest.raises(DiskError):
        sink.write(frame("a.mp4", 1), [pose(frame("a.mp4", 1))])
