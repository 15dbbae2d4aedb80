"""Windows: refused where there is no screen; keys and the close button ask the run to stop."""

from threading import Event

import cv2
import pytest
from clips import numbered_picture

from vedette.runtime.errors import UsageError
from vedette.runtime.frame import Frame
from vedette.runtime.sinks.window import WindowSink

FRAME = Frame((numbered_picture(0),))


class Screen:
    """Stands in for OpenCV's windows."""

    key, visible = -1, 1.0

    def __init__(self) -> None:
        self.shown = 0
        self.windows: list[str] = []

    def show(self, *_: object) -> None:
        self.shown += 1


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Screen:
    fake = Screen()
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr(cv2, "getBuildInformation", lambda: "  GUI:                           GTK3\n")
    monkeypatch.setattr(cv2, "namedWindow", lambda name, _: fake.windows.append(name))
    monkeypatch.setattr(cv2, "destroyWindow", fake.windows.remove)
    monkeypatch.setattr(cv2, "imshow", fake.show)
    monkeypatch.setattr(cv2, "waitKey", lambda _: fake.key)
    monkeypatch.setattr(cv2, "getWindowProperty", lambda *_: fake.visible)
    return fake


def test_frames_are_shown_until_close(screen: Screen) -> None:
    sink, stop = WindowSink("cam0", Event()), Event()
    sink.write(FRAME, [])
    sink.write(FRAME, [])
    assert (screen.shown, screen.windows, stop.is_set()) == (2, ["cam0"], False)
    sink.close()
    sink.close()
    assert screen.windows == []


@pytest.mark.parametrize("key", [ord("q"), ord("Q"), 27, 0x100000 + ord("q")])
def test_q_and_escape_ask_to_stop(screen: Screen, key: int) -> None:
    stop = Event()
    sink = WindowSink("cam0", stop)
    screen.key = key
    sink.write(FRAME, [])
    assert stop.is_set()
    sink.write(FRAME, [])
    assert screen.shown == 1


def test_a_window_closed_by_its_button_stays_closed(screen: Screen) -> None:
    stop = Event()
    sink = WindowSink("cam0", stop)
    sink.write(FRAME, [])
    screen.visible = 0.0
    sink.write(FRAME, [])
    assert stop.is_set()
    assert screen.shown == 1


def test_without_a_display_it_is_refused(screen: Screen, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.delenv("DISPLAY")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    with pytest.raises(UsageError, match="cannot show a window"):
        WindowSink("cam0", Event())


def test_a_headless_opencv_is_refused(screen: Screen, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2, "getBuildInformation", lambda: "  GUI:                           NONE\n")
    with pytest.raises(UsageError) as error:
        WindowSink("cam0", Event())
    assert "opencv-python" in error.value.cure
