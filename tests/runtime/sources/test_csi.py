"""Ribbon-cable cameras, with a program of our own in GStreamer's place: no machine that tests has one."""

import os
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from vedette.runtime.errors import SourceError, UsageError
from vedette.runtime.frame import Frame
from vedette.runtime.sources import TIMEOUT, Lasting, SourceOptions, open_source
from vedette.runtime.sources.csi import Sensor, parse

URI = "csi://1?width=64&height=68&fps=50"
OPTIONS = SourceOptions(open_timeout_s=2.0, read_timeout_s=0.4)
STAND_IN = """#!{python}
import os, sys, time
from pathlib import Path
Path("pid").write_text(str(os.getpid()))
Path("arguments").write_text("\\n".join(sys.argv[1:]))
pictures = int(next(a for a in sys.argv if a.startswith("fd=")).removeprefix("fd="))
width, height = 64, 68
print("Argus prints on standard output", flush=True)
for index in range({frames}):
    if {flood}:
        sys.stderr.write("warning " * 40_000)
        sys.stderr.flush()
    data = bytes([index]) * (width * height) + bytes([128, 200]) * (width * height // 4)
    half = len(data) // 2
    os.write(pictures, data[:half])
    os.write(pictures, data[half:])
    time.sleep(0.02)
print("no cameras available", file=sys.stderr, flush=True)
time.sleep({then_s})
"""


@pytest.fixture
def gstreamer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder first on PATH, and the working folder."""
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def install(folder: Path, *, frames: int = 1000, then_s: float = 0, flood: bool = False) -> None:
    program = folder / "gst-launch-1.0"
    program.write_text(STAND_IN.format(python=sys.executable, frames=frames, then_s=then_s, flood=flood))
    program.chmod(0o755)


def is_alive(pid: int) -> bool:
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"


def dies(pid: int, within_s: float = 3.0) -> bool:
    deadline = time.monotonic() + within_s
    while is_alive(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not is_alive(pid)


def test_frames_are_nv12_in_order_with_increasing_times(gstreamer: Path) -> None:
    install(gstreamer)
    source = open_source(URI, SourceOptions(stream="gate", stride=2))
    frames = [found for found in (source.read(2.0) for _ in range(5)) if isinstance(found, Frame)]
    source.close()
    assert [frame.index for frame in frames] == [0, 2, 4, 6, 8]
    assert [int(frame.planes[0].max()) for frame in frames] == [0, 2, 4, 6, 8]
    assert all(later.time_s > earlier.time_s for earlier, later in pairwise(frames))
    assert {(frame.format, frame.size, frame.rate, frame.stream) for frame in frames} == {
        ("nv12", (64, 68), 50, "gate")
    }
    np.testing.assert_array_equal(frames[0].planes[1], np.tile(np.array([128, 200], np.uint8), (34, 32, 1)))


def test_the_program_is_asked_for_what_the_address_says(gstreamer: Path) -> None:
    install(gstreamer)
    source = open_source(URI + "&flip=2")
    assert isinstance(source.read(2.0), Frame)
    source.close()
    words = (gstreamer / "arguments").read_text().split("\n")
    assert {"nvarguscamerasrc", "sensor-id=1", "flip-method=2"} < set(words)
    assert "video/x-raw(memory:NVMM),width=64,height=68,framerate=50/1" in words


def test_a_driver_that_hangs_is_killed(gstreamer: Path) -> None:
    install(gstreamer, frames=3, then_s=60)
    source = open_source(URI, OPTIONS)
    assert all(isinstance(source.read(2.0), Frame) for _ in range(3))
    pid, started = int((gstreamer / "pid").read_text()), time.monotonic()
    with pytest.raises(SourceError) as error:  # noqa: PT012 it may fail at any of these reads
        while time.monotonic() < started + 10:
            assert source.read(0.1) is TIMEOUT
    assert error.value.code == "silent"
    assert time.monotonic() - started < 3 * OPTIONS.read_timeout_s + 0.5
    assert dies(pid)


def test_a_driver_that_never_begins_is_a_time_out(gstreamer: Path) -> None:
    install(gstreamer, frames=0, then_s=60)
    source = open_source(URI, SourceOptions(open_timeout_s=0.3))
    started = time.monotonic()
    assert source.read(0.1) is TIMEOUT
    assert time.monotonic() - started < 1.0
    with pytest.raises(SourceError) as error:
        source.read(1.0)
    assert error.value.code == "timeout"


def test_a_driver_that_dies_is_quoted(gstreamer: Path) -> None:
    install(gstreamer, frames=2)
    source = open_source(URI, OPTIONS)
    with pytest.raises(SourceError) as error:  # noqa: PT012 it may fail at any of these reads
        for _ in range(4):
            source.read(2.0)
    assert error.value.code == "ended"
    assert "no cameras available" in error.value.why
    with pytest.raises(SourceError, match="is closed"):
        source.read()
    assert isinstance(source, Lasting)
    anew = source.again()
    assert isinstance(anew.read(2.0), Frame)
    anew.close()


def test_a_flood_of_messages_stops_nothing(gstreamer: Path) -> None:
    install(gstreamer, flood=True)
    source = open_source(URI, OPTIONS)
    frames = [source.read(2.0) for _ in range(10)]
    source.close()
    assert all(isinstance(frame, Frame) for frame in frames)


def test_closing_kills_it_at_once(gstreamer: Path) -> None:
    install(gstreamer, frames=3, then_s=60)
    source = open_source(URI)
    source.read(2.0)
    pid, started = int((gstreamer / "pid").read_text()), time.monotonic()
    source.close()
    assert time.monotonic() - started < 1.0
    assert dies(pid)


def test_it_dies_with_us_even_when_we_are_killed(gstreamer: Path) -> None:
    install(gstreamer, frames=3, then_s=60)
    script = (
        "from vedette.runtime.sources import open_source; import time;"
        f"source = open_source({URI!r}); source.read(2.0); print('reading', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "reading\n"
        pid = int((gstreamer / "pid").read_text())
        assert is_alive(pid)
        process.send_signal(signal.SIGKILL)
    assert dies(pid)


def test_without_gstreamer_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SourceError) as error:
        open_source("csi://0").read()
    assert error.value.code == "missing"
    assert "gst-launch-1.0 is not installed" in error.value.why


def test_every_part_is_optional() -> None:
    assert parse("csi://0") == Sensor(0, 1280, 720, 30, 0)
    assert parse("CSI://2?flip=3&fps=15&width=640&height=480") == Sensor(2, 640, 480, 15, 3)
    assert parse("csi://2?flip=3&width=640&height=480").size == (480, 640)


@pytest.mark.parametrize(
    "rest",
    ["", "a", "0?width", "0?width=", "0?width=641", "0?width=-64", "0?width=8", "0?fps=0", "0?flip=8", "0?exec=1",
     "0?fps=1&fps=2", "0 ! filesink", "٣"],
)  # fmt: skip
def test_what_is_unknown_or_out_of_range_is_refused_at_once(rest: str) -> None:
    with pytest.raises(UsageError):
        open_source(f"csi://{rest}")
