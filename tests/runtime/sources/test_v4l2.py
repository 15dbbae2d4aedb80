"""Cameras of this machine, with a driver of our own in OpenCV's place: no machine that tests has one."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from vedette.runtime.errors import SourceError
from vedette.runtime.frame import Frame
from vedette.runtime.sources import SourceOptions, open_source, v4l2


class FakeCapture:
    """A camera that gives `frames` frames and then none."""

    opens = True
    frames = 4

    def __init__(self, number: int, backend: int) -> None:
        self.number, self.left, self.released = number, self.frames, False

    def isOpened(self) -> bool:  # noqa: N802
        return self.opens

    def get(self, _property: int) -> float:
        return 30.0

    def grab(self) -> bool:
        self.left -= 1
        return self.left >= 0

    def retrieve(self) -> tuple[bool, np.ndarray[tuple[int, ...], np.dtype[np.uint8]]]:
        return True, np.full((4, 6, 3), self.left, np.uint8)

    def release(self) -> None:
        self.released = True


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> type[FakeCapture]:
    """A machine with /dev/video3 only."""

    class Capture(FakeCapture):
        pass

    (tmp_path / "video3").touch()
    monkeypatch.setattr(v4l2, "DEVICES", tmp_path)
    monkeypatch.setattr(cv2, "VideoCapture", Capture)
    return Capture


@pytest.mark.parametrize("uri", ["3", "/dev/video3"])
def test_a_camera_gives_frames_with_increasing_times(fake: type[FakeCapture], uri: str) -> None:
    source = open_source(uri, SourceOptions(stride=2))
    first, second = source.read(), source.read()
    assert source.live
    assert isinstance(first, Frame)
    assert isinstance(second, Frame)
    assert (first.index, second.index, first.rate, first.source) == (0, 2, 30.0, "/dev/video3")
    assert first.time_s == 0.0 < second.time_s


def test_a_camera_that_stops_is_an_error(fake: type[FakeCapture]) -> None:
    fake.frames = 1
    source = open_source("3")
    assert isinstance(source.read(), Frame)
    with pytest.raises(SourceError, match="sends no frames"):
        source.read()


def test_a_camera_that_does_not_open_is_an_error(fake: type[FakeCapture]) -> None:
    fake.opens = False
    with pytest.raises(SourceError, match="cannot be opened"):
        open_source("3").read()


def test_a_missing_camera_is_named_beside_those_present(
    fake: type[FakeCapture], capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SourceError) as error:
        open_source("0").read()
    assert "/dev/video0 does not exist" in error.value.what
    assert "video3" in error.value.why
    assert capfd.readouterr().err == ""
