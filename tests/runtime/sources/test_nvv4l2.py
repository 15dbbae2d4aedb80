"""A Jetson's decoder: with GStreamer's software decoder in its place, and with programs of our own that fail."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import clips
import minirtsp
import numpy as np
import pytest

from vedette.runtime.errors import SourceError, remember_secret
from vedette.runtime.frame import Frame
from vedette.runtime.packets import Packet
from vedette.runtime.sources import END, Lasting, SourceOptions, _child, _nvdec, _nvv4l2, open_source

ELEMENTS = ("avdec_h264", "avdec_h265", "h265parse", "gdpdepay", "videoconvert")
OPTIONS = SourceOptions(decoder="nvv4l2", open_timeout_s=0.5, read_timeout_s=0.3)


def missing_elements() -> str:
    inspect = shutil.which("gst-inspect-1.0")
    if inspect is None or shutil.which("gst-launch-1.0") is None:
        return "gst-launch-1.0 is not installed"
    missing = [
        name for name in ELEMENTS if subprocess.run([inspect, "--exists", name], check=False).returncode
    ]
    return f"GStreamer has no {', '.join(missing)}" if missing else ""


MISSING = missing_elements()
real = pytest.mark.skipif(bool(MISSING), reason=MISSING)


@pytest.fixture(autouse=True)
def _software_in_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_nvv4l2, "DECODER", ("avdec_h264", "max-threads=1", "!", "videoconvert"))
    _nvdec.tell_software.cache_clear()


def read_all(path: Path, options: SourceOptions) -> list[Frame]:
    source = open_source(str(path), options)
    frames = [found for found in iter(source.read, END) if isinstance(found, Frame)]
    source.close()
    return frames


def check_same(ours: list[Frame], software: list[Frame]) -> None:
    assert [clips.index_in(frame.bgr()) for frame in ours] == [
        clips.index_in(frame.bgr()) for frame in software
    ]
    assert [(frame.index, frame.time_s, frame.size, frame.suspect) for frame in ours] == [
        (frame.index, frame.time_s, frame.size, frame.suspect) for frame in software
    ]
    for one, other in zip(ours, software, strict=True):
        assert np.array_equal(one.planes[0], other.planes[0])
        u, v = other.planes[1:]
        assert np.array_equal(one.planes[1], np.stack([u, v], 2))
        assert (one.format, one.colour, one.full_range) == ("nv12", other.colour, other.full_range)


@real
@pytest.mark.parametrize(
    ("name", "size", "options"),
    [
        ("clip.mp4", clips.SIZE, {}),
        ("clip.ts", clips.SIZE, {"bf": "3"}),
        ("clip.mkv", clips.SIZE, {"bf": "3"}),
        ("clip.h264", clips.SIZE, {}),
        ("wide.mp4", (98, 66), {"colorspace": "bt709", "color_range": "pc"}),
    ],
)
def test_frames_and_their_times_are_those_of_software(
    tmp_path: Path, name: str, size: tuple[int, int], options: dict[str, Any]
) -> None:
    path = clips.write_video(tmp_path / name, size=size, **options)
    check_same(read_all(path, SourceOptions(decoder="nvv4l2")), read_all(path, SourceOptions()))


@real
def test_h265_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_nvv4l2, "DECODER", ("avdec_h265", "!", "videoconvert"))
    quiet: dict[str, Any] = {"x265-params": "log-level=none"}
    path = clips.write_video(tmp_path / "clip.mp4", codec="libx265", **quiet)
    check_same(read_all(path, SourceOptions(decoder="nvv4l2")), read_all(path, SourceOptions()))


@real
def test_another_size_and_a_clock_that_was_set_are_followed(tmp_path: Path) -> None:
    small = clips.write_video(tmp_path / "small.ts", 20)
    large = clips.write_video(tmp_path / "large.ts", 20, size=(128, 96))
    small.write_bytes(small.read_bytes() + large.read_bytes())
    ours, software = read_all(small, SourceOptions(decoder="nvv4l2")), read_all(small, SourceOptions())
    assert [frame.size for frame in ours] == [(96, 64)] * 20 + [(128, 96)] * 20
    assert all(np.array_equal(a.planes[0], b.planes[0]) for a, b in zip(ours, software, strict=True))
    assert np.diff([frame.time_s for frame in ours]).min() > 0.03
    assert ours[-1].time_s < 3


@real
def test_packets_go_to_the_recorder_and_a_loop_goes_on(clip: Path) -> None:
    packets: list[Packet] = []
    source = open_source(str(clip), SourceOptions(decoder="nvv4l2", loop=True, tap=packets.append))
    frames = [found for found in (source.read() for _ in range(70)) if isinstance(found, Frame)]
    source.close()
    assert [clips.index_in(frame.bgr()) for frame in frames] == [index % 30 for index in range(70)]
    assert len(packets) >= 60
    assert min(len(packet.data) for packet in packets) > 10


@pytest.fixture
def camera(tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Starts a camera; returns its address."""
    stream = clips.write_video(tmp_path / "stream.h264", 25, g="5", tune="zerolatency")
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str, login: str = "") -> str:
        command = [sys.executable, minirtsp.__file__, str(stream), *arguments]
        started.append(process := subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        assert process.stdout is not None
        return f"rtsp://{login}127.0.0.1:{process.stdout.readline().strip()}/cam"

    yield start
    for process in started:
        process.kill()
        process.communicate()


@real
def test_a_picture_does_not_wait_for_the_packet_after_it(camera: Callable[..., str]) -> None:
    packets: list[Packet] = []
    source = open_source(camera("--fps", "5"), SourceOptions(decoder="nvv4l2", tap=packets.append))
    frames = [found for found in (source.read(1.0) for _ in range(12)) if isinstance(found, Frame)]
    source.close()
    assert [frame.index for frame in frames] == list(range(12))
    assert [clips.index_in(frame.bgr()) for frame in frames] == list(range(12))
    assert [round(b.time_s - a.time_s, 2) for a, b in pairwise(frames[1:])] == [0.2] * 10
    late_ns = [frame.received_ns - packet.received_ns for frame, packet in zip(frames, packets, strict=False)]
    assert np.median(late_ns[3:]) < 100_000_000  # of the 200 ms between packets


@real
def test_a_camera_keeps_its_password_from_the_child(
    camera: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("YARD_ADDRESS", uri := camera("--user", "viewer:hunter22", login="viewer:hunter22@"))
    source = open_source(uri, SourceOptions(decoder="nvv4l2"))
    assert isinstance(source.read(), Frame)
    (child,) = decoders()
    told = [(Path("/proc") / child / name).read_bytes() for name in ("cmdline", "environ")]
    source.close()
    assert b"PATH=" in told[1]
    assert b"hunter22" not in b"".join(told)
    assert not decoders()


def decoders() -> list[str]:
    """Processes of ours that decode."""
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return [pid for pid in children if b"gdpdepay" in (Path("/proc") / pid / "cmdline").read_bytes()]


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Puts a program in GStreamer's place; its lines see `pictures`, the file that it is to write to."""
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr(_child, "PIPE_BYTES", 4096)
    begin = (
        f"#!{sys.executable}\nimport json, os, sys, time\npictures = int(sys.argv[-1].removeprefix('fd='))\n"
    )

    def install(lines: str) -> None:
        (tmp_path / "gst-launch-1.0").write_text(begin + lines)
        (tmp_path / "gst-launch-1.0").chmod(0o755)

    return install


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clips.write_video(tmp_path_factory.mktemp("long") / "long.mp4", 200)


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        ("sys.exit('no element nvv4l2decoder')", "no element nvv4l2decoder"),
        ("sys.stdin.buffer.read(300); sys.exit('gone')", "gone"),
        ("time.sleep(60)", "it took no data for 0.5 s"),
        ("os.write(pictures, b'nonsense' * 100); time.sleep(60)", "it sent what is no picture"),
        ("while sys.stdin.buffer.read(1): pass\ntime.sleep(60)", "it did not end within 0.5 s"),
    ],
)  # fmt: skip
def test_a_child_that_fails_fails_the_source_in_time(
    program: Callable[[str], None], long: Path, lines: str, why: str
) -> None:
    program(lines)
    source = open_source(str(long), OPTIONS)
    started = time.monotonic()
    with pytest.raises(SourceError) as error:
        source.read()
    source.close()
    assert time.monotonic() - started < 6.0
    assert (error.value.code, why in error.value.why) == ("failed", True), error.value
    assert "decoder: software" in error.value.cure
    assert not decoders()


def test_a_child_that_takes_all_and_gives_nothing_is_given_up(
    program: Callable[[str], None], camera: Callable[..., str]
) -> None:
    program("while sys.stdin.buffer.read1(): pass\n")
    source, started = open_source(camera("--fps", "100"), OPTIONS), time.monotonic()
    with pytest.raises(SourceError) as error:  # noqa: PT012 it may fail at any of these reads
        while time.monotonic() < started + 10:
            source.read(0.1)
    assert (error.value.code, "no picture for" in error.value.why) == ("failed", True), error.value
    assert not decoders()


def test_a_camera_whose_decoder_died_can_be_opened_again(
    program: Callable[[str], None], camera: Callable[..., str]
) -> None:
    program("sys.exit('gone')")
    source = open_source(camera(), OPTIONS)
    for _ in range(2):
        assert isinstance(source, Lasting)
        with pytest.raises(SourceError) as error:  # noqa: PT012 it may fail at any of these reads
            for _ in range(30):
                source.read()
        assert (error.value.code, "gone" in error.value.why) == ("failed", True)
        source = source.again()


def test_a_child_gets_no_secret_of_our_environment(
    program: Callable[[str], None], long: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remember_secret("hunter22")
    monkeypatch.setenv("YARD_PASSWORD", "hunter22")
    monkeypatch.setenv("YARD_COLOUR", "green")
    program(f"open({str(tmp_path / 'environment')!r}, 'w').write(json.dumps(dict(os.environ)))")
    with pytest.raises(SourceError):
        open_source(str(long), OPTIONS).read()
    told = (tmp_path / "environment").read_text()
    assert "green" in told
    assert "YARD_PASSWORD" not in told


def test_without_gstreamer_it_says_so(clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SourceError) as error:
        open_source(str(clip), OPTIONS).read()
    assert (error.value.code, error.value.why) == ("missing", "gst-launch-1.0 is not installed")


def test_what_it_cannot_decode_software_does(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    path = clips.write_video(tmp_path / "clip.avi", codec="mpeg4")
    assert len(read_all(path, OPTIONS)) == len(read_all(path, OPTIONS)) == 30
    assert [record.getMessage() for record in caplog.records] == [
        f"{path}: software decodes, not nvv4l2: it is neither H.264 nor H.265"
    ]
