"""Video by HTTP: MJPEG, files and playlists from a server of our own, and what playlists must not reach."""

import contextlib
import http.server
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import av
import clips
import cv2
import numpy as np
import pytest

from vedette.runtime.errors import SourceError
from vedette.runtime.frame import Frame
from vedette.runtime.packets import Packet
from vedette.runtime.sources import END, Lasting, Source, SourceOptions, open_source

OPTIONS = SourceOptions(open_timeout_s=1.5, read_timeout_s=0.5)


class Handler(http.server.SimpleHTTPRequestHandler):
    """Files, and /mjpeg?NUMBER: so many pictures, after which it hangs up; after /stall it does not."""

    protocol_version = "HTTP/1.0"

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 its name in the library
        pass

    def do_GET(self) -> None:
        kind, _, number = self.path.partition("?")
        if kind == "/silent":
            time.sleep(5)
        elif kind == "/login":
            self.send_error(401)
        elif kind in {"/mjpeg", "/stall"}:
            self.pictures(int(number))
            time.sleep(5 if kind == "/stall" else 0)
        else:
            super().do_GET()

    def pictures(self, count: int) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        for index in range(count):
            data = cv2.imencode(".jpg", clips.numbered_picture(index))[1].tobytes()
            head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
            self.wfile.write(head.encode() + data + b"\r\n")
            time.sleep(0.05)


class Ranges(Handler):
    """HTTP/1.1 with connections that stay, and parts of files."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        data = Path(self.translate_path(self.path)).read_bytes()
        first = int((self.headers["Range"] or "bytes=0-").removeprefix("bytes=").partition("-")[0])
        self.send_response(206)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Range", f"bytes {first}-{len(data) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(data) - first))
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(data[first:])


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that leaves is no error of ours."""


@pytest.fixture
def server(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """Serves tmp_path, by Handler if no other is asked for; its address."""
    handler = getattr(request, "param", Handler)
    with Server(("127.0.0.1", 0), partial(handler, directory=str(tmp_path))) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


def playlist(*segments: str, end: bool = True) -> str:
    lines = ["#EXTM3U", "#EXT-X-TARGETDURATION:2", *(f"#EXTINF:1.2,\n{segment}" for segment in segments)]
    return "\n".join([*lines, "#EXT-X-ENDLIST" if end else "", ""])


def read_all(source: Source) -> list[Frame]:
    frames = []
    while (found := source.read()) is not END:
        if isinstance(found, Frame):
            frames.append(found)
    assert source.read() is END
    source.close()
    return frames


def lasts(source: Source) -> bool:
    assert isinstance(source, Lasting)
    return source.lasting


def failure(source: Source, within_s: float = 10.0) -> tuple[list[Frame], SourceError]:
    frames, deadline = [], time.monotonic() + within_s
    with pytest.raises(SourceError) as error:  # noqa: PT012 it may fail at any of these reads
        while time.monotonic() < deadline:
            if isinstance(found := source.read(0.2), Frame):
                frames.append(found)
    source.close()
    return frames, error.value


def test_mjpeg_is_read_at_its_arrival_until_the_camera_hangs_up(server: str) -> None:
    source = open_source(f"{server}/mjpeg?20", OPTIONS)
    assert source.live
    assert lasts(source)
    frames, error = failure(source)
    assert [clips.index_in(frame.bgr()) for frame in frames] == list(range(20))
    assert frames[-1].time_s - frames[5].time_s == pytest.approx(14 * 0.05, abs=0.3)
    assert {frame.suspect for frame in frames} == {False}
    assert error.code == "ended"


def test_recorders_are_told_when_a_picture_arrived(server: str) -> None:
    packets: list[Packet] = []
    failure(open_source(f"{server}/mjpeg?20", replace(OPTIONS, tap=packets.append)))
    times = [float((packet.pts or 0) * packet.encoding.time_base) for packet in packets]
    assert len(times) == 20
    assert times[-1] - times[5] == pytest.approx(14 * 0.05, abs=0.3), "not FFmpeg's 25 a second"


@pytest.mark.parametrize("server", [Ranges], indirect=True)
def test_a_file_with_its_index_at_the_end_loses_nothing(server: str, tmp_path: Path) -> None:
    with av.open(str(tmp_path / "noise.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.bit_rate = 320, 240, 50_000_000
        rng = np.random.default_rng(0)
        for _ in range(150):
            picture = rng.integers(0, 256, (240, 320, 3), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
        container.mux(stream.encode(None))
    assert (tmp_path / "noise.mp4").stat().st_size > 5_000_000, "more than FFmpeg reads ahead"
    assert len(read_all(open_source(f"{server}/noise.mp4", OPTIONS))) == 150


def test_a_silent_mjpeg_camera_is_given_up_in_time(server: str) -> None:
    frames, error = failure(open_source(f"{server}/stall?15", OPTIONS))
    assert len(frames) == 15
    assert error.code == "silent"
    assert time.monotonic_ns() / 1e9 - frames[-1].received_ns / 1e9 < 3 * 2 * OPTIONS.read_timeout_s


def test_a_server_that_never_answers_is_given_up_in_time(server: str) -> None:
    started = time.monotonic()
    _, error = failure(open_source(f"{server}/silent", OPTIONS))
    assert error.code == "timeout"
    assert time.monotonic() - started < 3 * OPTIONS.open_timeout_s


@pytest.mark.parametrize(
    "address", ["http://me:hunter2@127.0.0.1:9/x", "http://127.0.0.1:9/x?user=me&pwd=hunter2"]
)
def test_no_password_is_shown(address: str) -> None:
    source = open_source(address, OPTIONS)
    _, error = failure(source)
    assert error.code == "refused"
    assert "hunter2" not in source.uri + str(error) + repr(error.__context__)


@pytest.mark.parametrize(("path", "code"), [("nothing.mp4", "missing"), ("login", "login")])
def test_refusals_are_told_apart(server: str, path: str, code: str) -> None:
    assert failure(open_source(f"{server}/{path}", OPTIONS))[1].code == code


@pytest.mark.parametrize("name", ["clip.mp4", "clip.ts", "clip.mkv"])
def test_a_file_ends_when_it_is_over(server: str, tmp_path: Path, name: str) -> None:
    clips.write_video(tmp_path / name)
    source = open_source(f"{server}/{name}", OPTIONS)
    assert not source.live
    assert not lasts(source)
    frames = read_all(source)
    assert [clips.index_in(frame.bgr()) for frame in frames] == list(range(30))


def test_a_recorded_playlist_is_played_at_its_rate_and_ends(server: str, tmp_path: Path) -> None:
    clips.write_video(tmp_path / "a.ts")
    (tmp_path / "list.m3u8").write_text(playlist("a.ts"))
    source = open_source(f"{server}/list.m3u8", OPTIONS)
    started = time.monotonic()
    frames = read_all(source)
    assert not lasts(source)
    assert [clips.index_in(frame.bgr()) for frame in frames] == list(range(30))
    assert time.monotonic() - started > 1.0


def test_a_live_playlist_that_is_lost_has_broken_off(server: str, tmp_path: Path) -> None:
    clips.write_video(tmp_path / "a.ts")
    clips.write_video(tmp_path / "b.ts")
    (tmp_path / "list.m3u8").write_text(playlist("a.ts", "b.ts", end=False))
    source = open_source(f"{server}/list.m3u8", OPTIONS)
    assert isinstance(source.read(2.0), Frame)
    (tmp_path / "list.m3u8").unlink()
    _, error = failure(source)
    assert error.code in {"ended", "silent", "missing"}
    assert lasts(source)


@pytest.mark.parametrize(
    "segment",
    ["file://{path}", "concat:{path}|{path}", "subfile,,start,0,end,0,,:{path}", "{path}", "pipe:0"],
)
def test_a_playlist_reaches_no_file_of_this_machine(server: str, tmp_path: Path, segment: str) -> None:
    outside = tmp_path.parent / f"{tmp_path.name}-outside"
    outside.mkdir()
    path = clips.write_video(outside / "secret.ts")
    (tmp_path / "list.m3u8").write_text(playlist(segment.format(path=path)))
    (tmp_path / "list.ffconcat").write_text(f"ffconcat version 1.0\nfile '{path}'\n")
    for name in ("list.m3u8", "list.ffconcat"):
        frames, _ = failure(open_source(f"{server}/{name}", OPTIONS))
        assert not frames
