"""Annotated pictures: named after their source, nothing written over that should stay."""

from pathlib import Path

import numpy as np
import pytest
from clips import numbered_picture, psnr

from vedette.runtime.draw import write_picture
from vedette.runtime.errors import DiskError, UsageError
from vedette.runtime.frame import Frame
from vedette.runtime.sinks.images import ImagesSink
from vedette.runtime.sources.images import read_picture


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def picture(source: str, index: int = 0) -> Frame:
    return Frame((numbered_picture(index),), source=source, index=index)


@pytest.mark.parametrize(
    ("source", "written"),
    [
        ("x/bus.png", "bus.png"),
        ("x/bus.JPG", "bus.JPG"),
        ("x/bus.v2.webp", "bus.v2.webp"),
        ("x/bus.jp2", "bus.jpg"),
        ("x/12:30.png", "12:30.png"),
        ("", "cam0.jpg"),
    ],
)
def test_a_picture_keeps_its_name_and_its_format_if_it_can(tmp_path: Path, source: str, written: str) -> None:
    ImagesSink(tmp_path / "out").write(picture(source), [])
    assert names(tmp_path / "out") == [written]
    assert psnr(read_picture(tmp_path / "out" / written), numbered_picture(0)) > 25


@pytest.mark.parametrize(
    ("source", "written"),
    [
        ("x/street.mp4", "street-000012.jpg"),
        ("rtsp://***@cam/1", "yard-000012.jpg"),
        ("/dev/video0", "yard-000012.jpg"),
        ("synthetic:64x48@25?frames=20", "yard-000012.jpg"),
    ],
)
def test_frames_of_videos_and_cameras_are_numbered(tmp_path: Path, source: str, written: str) -> None:
    ImagesSink(tmp_path).write(
        Frame((numbered_picture(0),), source=source, index=12, rate=25.0, stream="yard"), []
    )
    assert names(tmp_path) == [written]


def test_equal_names_of_one_run_are_all_kept(tmp_path: Path) -> None:
    sink = ImagesSink(tmp_path / "out")
    for index, source in enumerate(["a/bus.png", "b/bus.png", "c/bus.png"]):
        sink.write(picture(source, index), [])
    assert names(tmp_path / "out") == ["bus-2.png", "bus-3.png", "bus.png"]
    np.testing.assert_array_equal(read_picture(tmp_path / "out" / "bus-2.png"), numbered_picture(1))


def test_videos_of_one_name_are_kept_apart(tmp_path: Path) -> None:
    sink = ImagesSink(tmp_path)
    for source in ("a/street.mp4", "b/street.mp4"):
        for index in (0, 1):
            sink.write(Frame((numbered_picture(0),), source=source, index=index, rate=25.0), [])
    assert names(tmp_path) == [f"street-{end}.jpg" for end in ("000000", "000001", "2-000000", "2-000001")]


def test_a_second_run_replaces_the_first(tmp_path: Path) -> None:
    for index in (1, 2):
        ImagesSink(tmp_path).write(picture("a/bus.png", index), [])
    assert names(tmp_path) == ["bus.png"]
    np.testing.assert_array_equal(read_picture(tmp_path / "bus.png"), numbered_picture(2))


def test_an_exact_file_is_taken_at_its_word(tmp_path: Path) -> None:
    sink = ImagesSink(tmp_path / "new" / "answer.png")
    sink.write(picture("bus.jpg"), [])
    sink.write(picture("dog.jpg"), [])
    assert names(tmp_path / "new") == ["answer-2.png", "answer.png"]


def test_pictures_being_read_are_not_written_over(tmp_path: Path) -> None:
    for name in ("a.png", "a.jp2"):
        write_picture(tmp_path / name, numbered_picture(0))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    for target, source in ((tmp_path, "a.png"), (tmp_path, "a.jp2"), (tmp_path / "a.png", "a.png")):
        with pytest.raises(UsageError, match="will not write"):
            ImagesSink(target).write(picture(str(tmp_path / source)), [])
    ImagesSink(tmp_path / "b.png").write(picture(str(tmp_path / "a.png")), [])
    assert before == {name: (tmp_path / name).read_bytes() for name in before}


def test_a_target_that_cannot_be_written_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for target in ("file", "file/out", "file/out.png"):
        with pytest.raises(DiskError):
            ImagesSink(tmp_path / target)
