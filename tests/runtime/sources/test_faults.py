"""Cameras whose lines lose packets, whose clocks are set and whose pictures change size: what frames say of it."""

import contextlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import av
import clips
import minirtsp
import numpy as np
import pytest

from vedette.runtime.errors import SourceError
from vedette.runtime.frame import Frame
from vedette.runtime.packets import Packet
from vedette.runtime.sources import Source, SourceOptions, open_source

CameraAt = Callable[..., str]
RATE, LENGTH, SIZE = 150, 100, (640, 352)
VISIBLE = 12.0  # grey levels that a block of 8 x 8 pixels is off by


@pytest.fixture(scope="module")
def textured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drifting texture as raw H.264 with a key frame every 25, several RTP packets a picture."""
    noise = np.random.default_rng(0).integers(0, 255, (60, 100, 3), np.uint8)
    texture = noise.repeat(8, axis=0).repeat(8, axis=1)
    path = tmp_path_factory.mktemp("textured") / "textured.h264"
    settings = {
        "g": "25",
        "bf": "0",
        "crf": "26",
        "tune": "zerolatency",
        "preset": "veryfast",
        "sc_threshold": "0",
    }
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE, options=settings)
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        for index in range(LENGTH):
            left, top = round(60 + 50 * np.sin(index / 9)), round(60 + 50 * np.cos(index / 7))
            image = np.ascontiguousarray(texture[top : top + SIZE[1], left : left + SIZE[0]])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="bgr24")))
        container.mux(stream.encode(None))
    return path


@pytest.fixture
def camera() -> Iterator[CameraAt]:
    """Starts a camera that shows a clip; returns its address."""
    started: list[subprocess.Popen[str]] = []

    def start(clip: Path, *arguments: str) -> str:
        command = [sys.executable, minirtsp.__file__, str(clip), *arguments]
        started.append(process := subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        assert process.stdout is not None
        return f"rtsp://127.0.0.1:{process.stdout.readline().strip()}/cam"

    yield start
    for process in started:
        process.kill()
        process.communicate()


def read(source: Source, count: int) -> list[Frame]:
    frames: list[Frame] = []
    while len(frames) < count:
        if isinstance(found := source.read(), Frame):
            frames.append(found)
    source.close()
    return frames


def read_until_error(source: Source) -> list[Frame]:
    frames: list[Frame] = []
    with contextlib.suppress(SourceError):
        while True:
            if isinstance(found := source.read(), Frame):
                frames.append(found)
    source.close()
    return frames


def luma(frame: Frame) -> clips.Array:
    return frame.planes[0].astype(np.int16)


def verdicts(frames: list[Frame], clean: list[clips.Array]) -> tuple[int, int, int]:
    """How many frames are visibly wrong, flagged, and both; the first tells by its looks which it is."""
    begin = int(np.argmin([np.abs(luma(frames[0]) - picture).mean() for picture in clean]))
    wrong, flagged, both = 0, 0, 0
    for frame in frames:
        picture = clean[(begin + round(frame.time_s * RATE)) % LENGTH]
        blocks = np.abs(luma(frame) - picture).reshape(SIZE[1] // 8, 8, SIZE[0] // 8, 8).mean(axis=(1, 3))
        is_wrong = bool(blocks.max() > VISIBLE)
        wrong, flagged, both = wrong + is_wrong, flagged + frame.suspect, both + (is_wrong and frame.suspect)
    return wrong, flagged, both


@pytest.mark.parametrize("fault", ["", "drop=0.01", "corrupt=0.01"])
def test_wrong_pictures_are_suspect_and_others_are_not(textured: Path, camera: CameraAt, fault: str) -> None:
    with av.open(str(textured)) as container:
        clean = [frame.to_ndarray()[: SIZE[1]].astype(np.int16) for frame in container.decode(video=0)]
    wrong = flagged = both = 0
    for seed in range(2 if fault else 1):
        arguments = ["--fps", str(RATE), "--seed", str(seed), *(["--fault", fault] if fault else [])]
        found = verdicts(read(open_source(camera(textured, *arguments)), 250), clean)
        wrong, flagged, both = wrong + found[0], flagged + found[1], both + found[2]
    if not fault:
        assert (wrong, flagged) == (0, 0)
        return
    assert wrong >= 50
    assert both >= 0.8 * wrong
    assert flagged <= 3 * wrong


@pytest.mark.parametrize("kept", [0.5, 1.0], ids=["cut", "whole"])
@pytest.mark.parametrize("number", [25, 26], ids=["key frame", "one that refers to it"])
def test_a_last_picture_that_was_cut_is_suspect_and_a_whole_one_is_not(
    textured: Path, camera: CameraAt, number: int, kept: float
) -> None:
    with av.open(str(textured)) as container:
        clean = [frame.to_ndarray()[: SIZE[1]] for frame in container.decode(video=0)]
    packets = len(list(minirtsp.rtp_payloads(minirtsp.access_units(textured.read_bytes())[number])))
    assert packets >= 2
    uri = camera(textured, "--fps", str(RATE), "--fault", f"cut={number}:{round(kept * packets)}")
    frames = read_until_error(open_source(uri))
    wrong = [
        not np.array_equal(frame.planes[0], picture) for frame, picture in zip(frames, clean, strict=False)
    ]
    assert wrong == [False] * number + [kept < 1.0]
    assert [frame.suspect for frame in frames] == wrong


def test_what_is_suspect_is_counted(textured: Path, camera: CameraAt) -> None:
    source = open_source(camera(textured, "--fps", str(RATE), "--fault", "drop=0.02"))
    frames: list[Frame] = []
    while len(frames) < 100:
        if isinstance(found := source.read(), Frame):
            frames.append(found)
    assert source._reader.suspect == sum(frame.suspect for frame in frames) > 0  # type: ignore[attr-defined]
    source.close()


@pytest.mark.parametrize("seconds", [-10, 3600, -0.5])
def test_a_camera_that_sets_its_clock_costs_no_time(tmp_path: Path, camera: CameraAt, seconds: float) -> None:
    clip = clips.write_video(tmp_path / "a.h264", 25, g="5", tune="zerolatency")
    frames = read(open_source(camera(clip, "--fault", f"tsjump=20:{seconds}")), 50)
    times = [frame.time_s for frame in frames]
    assert all(later > earlier for earlier, later in pairwise(times))
    assert times[-1] == pytest.approx(49 / 25, abs=1.0)
    assert [clips.index_in(frame.bgr()) for frame in frames] == [index % 25 for index in range(50)]


def test_a_camera_that_changes_its_size_is_read_on(tmp_path: Path, camera: CameraAt) -> None:
    small = clips.write_video(tmp_path / "small.h264", 25, g="5", tune="zerolatency")
    large = clips.write_video(tmp_path / "large.h264", 25, g="5", tune="zerolatency", size=(128, 96))
    packets: list[Packet] = []
    options = SourceOptions(tap=packets.append)
    frames = read(open_source(camera(small, "--fault", f"switch=15:{large}"), options), 35)
    assert [frame.size for frame in frames] == [(96, 64)] * 15 + [(128, 96)] * 20
    assert [clips.index_in(frame.bgr()) for frame in frames] == [*range(15), *range(20)]
    assert {frame.suspect for frame in frames} == {False}
    assert [packet.encoding.size for packet in packets] == [(96, 64)] * 15 + [(128, 96)] * 20
    assert len({packet.encoding for packet in packets}) == 2
