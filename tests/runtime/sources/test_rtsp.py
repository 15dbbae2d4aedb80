"""A network camera that works, and every way in which it may not: an error in time, never the password."""

import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import clips
import minirtsp
import pytest

from vedette.runtime.errors import SourceError
from vedette.runtime.frame import Frame
from vedette.runtime.sources import TIMEOUT, Lasting, Source, SourceOptions, open_source

CameraAt = Callable[..., str]
CONNECT_S, READ_S = 1.5, 0.5
OPTIONS = SourceOptions(open_timeout_s=CONNECT_S, read_timeout_s=READ_S)


@pytest.fixture(scope="module")
def stream(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One second of numbered pictures as raw H.264; in-band parameter sets, a key frame every 5."""
    return clips.write_video(tmp_path_factory.mktemp("stream") / "stream.h264", 25, g="5", tune="zerolatency")


@pytest.fixture
def camera(stream: Path) -> Iterator[CameraAt]:
    """Starts a camera; returns its address."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str, user: str = "", login: str = "") -> str:
        command = [sys.executable, minirtsp.__file__, str(stream), "--user", user, *arguments]
        started.append(process := subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        assert process.stdout is not None
        port = process.stdout.readline().strip()
        return f"rtsp://{login}{'@' if login else ''}127.0.0.1:{port}/cam"

    yield start
    for process in started:
        process.kill()
        process.communicate()


def frames_until_error(source: Source, *, within_s: float) -> tuple[list[Frame], SourceError]:
    """Read until it fails, as its thread would."""
    frames, started = [], time.monotonic()
    with pytest.raises(SourceError) as error:  # noqa: PT012 it may fail at any of these reads
        while time.monotonic() - started < within_s:
            if isinstance(found := source.read(timeout_s=0.2), Frame):
                frames.append(found)
    source.close()
    return frames, error.value


def test_the_server_splits_a_stream_into_its_pictures(stream: Path) -> None:
    pictures = minirtsp.access_units(stream.read_bytes())
    assert len(pictures) == 25
    assert [any(nal[0] & 31 == minirtsp.IDR for nal in picture) for picture in pictures[:6]] == [
        True, False, False, False, False, True,
    ]  # fmt: skip


def test_frames_arrive_in_order_with_increasing_times(camera: CameraAt) -> None:
    source = open_source(camera(), SourceOptions(stream="gate", stride=2))
    frames = [source.read() for _ in range(8)]
    source.close()
    assert source.live
    assert all(isinstance(frame, Frame) for frame in frames)
    numbers = [clips.index_in(frame.bgr()) for frame in frames if isinstance(frame, Frame)]
    assert all((later - earlier) % 25 == 2 for earlier, later in pairwise(numbers))
    times = [frame.time_s for frame in frames if isinstance(frame, Frame)]
    assert times[0] == 0.0
    assert [round(later - earlier, 2) for earlier, later in pairwise(times)] == [0.08] * 7
    assert {(frame.stream, frame.rate) for frame in frames if isinstance(frame, Frame)} == {("gate", 25.0)}


def test_a_silent_camera_is_given_up(camera: CameraAt) -> None:
    started = time.monotonic()
    frames, error = frames_until_error(open_source(camera("--fault", "silent"), OPTIONS), within_s=20)
    assert not frames
    assert time.monotonic() - started < 3 * CONNECT_S
    assert error.code == "timeout"
    assert "sent no picture within 1.5 s" in error.what


def test_a_stalled_camera_is_given_up(camera: CameraAt) -> None:
    frames, error = frames_until_error(open_source(camera("--fault", "stall=40"), OPTIONS), within_s=20)
    assert len(frames) >= 35
    assert time.monotonic_ns() / 1e9 - frames[-1].received_ns / 1e9 < 2 * READ_S + 1.0
    assert error.code == "silent"
    assert "went silent" in error.what


@pytest.mark.parametrize("fault", ["close=40", "rst=40"])
def test_a_camera_that_hangs_up_is_an_error_at_once_and_no_end(camera: CameraAt, fault: str) -> None:
    frames, error = frames_until_error(open_source(camera("--fault", fault), OPTIONS), within_s=20)
    assert len(frames) >= 35
    assert time.monotonic_ns() / 1e9 - frames[-1].received_ns / 1e9 < 3 * 0.2
    assert error.code == "ended"


def test_a_camera_that_never_plays_is_given_up(camera: CameraAt) -> None:
    started = time.monotonic()
    _, error = frames_until_error(open_source(camera("--fault", "stall=0"), OPTIONS), within_s=20)
    assert time.monotonic() - started < 3 * CONNECT_S
    assert error.code == "timeout"


def test_packets_without_one_picture_are_time_outs_and_never_block(camera: CameraAt) -> None:
    source = open_source(camera("--fault", "nokey"), OPTIONS)
    source.read(timeout_s=0.2)  # connects
    for _ in range(5):
        started = time.monotonic()
        assert source.read(timeout_s=0.2) is TIMEOUT
        assert time.monotonic() - started < 1.0
    source.close()


def test_a_session_without_parameter_sets_opens_from_those_in_the_stream(camera: CameraAt) -> None:
    source = open_source(camera("--fault", "nosets"), OPTIONS)
    frame = source.read(timeout_s=2.0)
    source.close()
    assert isinstance(frame, Frame)
    assert frame.size == clips.SIZE


def test_the_first_picture_comes_within_half_a_second(camera: CameraAt) -> None:
    source = open_source(camera(), OPTIONS)
    started = time.monotonic()
    assert isinstance(source.read(timeout_s=2.0), Frame)
    assert time.monotonic() - started < 3 * 0.5
    source.close()


def test_a_camera_comes_back(camera: CameraAt) -> None:
    source = open_source(camera("--fault", "close=10"), OPTIONS)
    frames_until_error(source, within_s=20)
    assert isinstance(source, Lasting)
    anew = source.again()
    assert isinstance(anew.read(timeout_s=2.0), Frame)
    anew.close()


def test_a_stream_that_does_not_exist_is_said_to(camera: CameraAt) -> None:
    _, error = frames_until_error(open_source(camera("--fault", "missing"), OPTIONS), within_s=5)
    assert error.code == "missing"
    assert "no stream of that name" in error.what


def test_a_refused_connection_is_an_error_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    started = time.monotonic()
    _, error = frames_until_error(open_source(f"rtsp://127.0.0.1:{port}/cam", OPTIONS), within_s=5)
    assert time.monotonic() - started < 1.0
    assert error.code == "refused"
    assert "refused the connection" in error.what


def test_the_right_password_opens(camera: CameraAt) -> None:
    source = open_source(camera(user="me:s3cret/@", login="me:s3cret%2F%40"), OPTIONS)
    frame = source.read()
    source.close()
    assert isinstance(frame, Frame)
    assert frame.source == source.uri
    assert "s3cret" not in repr((frame.source, source.uri))


@pytest.mark.parametrize("password", ["hunter2", "pa@ss:w%2Ford", "a b"])
def test_a_wrong_password_is_said_but_never_shown(camera: CameraAt, password: str) -> None:
    source = open_source(camera(user="me:right", login=f"me:{password}"), OPTIONS)
    _, error = frames_until_error(source, within_s=5)
    assert error.code == "login"
    assert "refused the user name or password" in error.what
    shown = "".join(traceback.format_exception(error)) + str(error) + repr(error.__context__) + source.uri
    assert password not in shown


def test_a_spent_source_stays_spent(camera: CameraAt) -> None:
    source = open_source(camera("--fault", "missing"), OPTIONS)
    frames_until_error(source, within_s=5)
    with pytest.raises(SourceError, match="is closed"):
        source.read()
