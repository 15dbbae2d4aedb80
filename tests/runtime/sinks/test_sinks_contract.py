"""What every sink promises; walks the folder, so that a new file must name its target here."""

import inspect
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Event
from typing import Any

import cv2
import pytest
from clips import numbered_picture

from vedette.runtime import plugins
from vedette.runtime.frame import Frame
from vedette.runtime.results import Result
from vedette.runtime.sinks import Sink

PACKAGE = "vedette.runtime.sinks"
TARGETS: dict[str, tuple[Any, ...]] = {
    "folder": ("out",),
    "events": ("clips",),
    "images": ("pictures",),
    "jsonl": ("results.jsonl",),
    "mqtt": ("127.0.0.1",),
    "null": (),
    "openpose": ("poses",),
    "recording": ("recordings",),
    "video": ("video.mp4",),
    "webhook": ("http://127.0.0.1:9/",),
    "window": ("vedette", Event()),
}


@pytest.fixture(autouse=True)
def display(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A working folder, and an OpenCV that can show windows."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr(cv2, "getBuildInformation", lambda: "GUI: GTK3")
    for name in ("namedWindow", "imshow", "destroyWindow"):
        monkeypatch.setattr(cv2, name, lambda *_: None)
    monkeypatch.setattr(cv2, "getWindowProperty", lambda *_: 1.0)
    monkeypatch.setattr(cv2, "waitKey", lambda *_: -1)


def sink_class(name: str) -> Callable[..., Sink]:
    """The one class of a plug-in whose name ends in Sink."""
    module = plugins.load(PACKAGE, name)
    classes: list[Any] = [member for member in vars(module).values() if inspect.isclass(member)]
    (found,) = [
        member
        for member in classes
        if member.__module__ == module.__name__ and member.__name__.endswith("Sink")
    ]
    made: Callable[..., Sink] = found
    return made


def test_every_plug_in_is_tried_here() -> None:
    assert set(plugins.names(PACKAGE)) == set(TARGETS)


@pytest.mark.parametrize("name", plugins.names(PACKAGE))
def test_frames_of_several_sizes_then_close_twice(name: str) -> None:
    sink = sink_class(name)(*TARGETS[name])
    results: Sequence[Result] = ()
    for index, size in enumerate([(64, 48), (33, 21), (64, 48)]):
        sink.write(
            Frame((numbered_picture(index, size),), index=index, time_s=index / 25, rate=25.0), results
        )
    sink.close()
    sink.close()


@pytest.mark.parametrize("name", plugins.names(PACKAGE))
def test_a_sink_that_was_given_nothing_closes(name: str) -> None:
    sink_class(name)(*TARGETS[name]).close()


def test_importing_a_sink_loads_no_encoder() -> None:
    imports = "; ".join(f"import {PACKAGE}.{name}" for name in plugins.names(PACKAGE))
    script = f"import sys; {imports}; print(sorted({{'av', 'cv2'}} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
