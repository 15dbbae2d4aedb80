"""What every source promises; walks the folder, so that a new file is tested without a word here."""

import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from clips import numbered_picture

from vedette.runtime import plugins, sources
from vedette.runtime.draw import write_picture
from vedette.runtime.errors import SourceError
from vedette.runtime.frame import Frame
from vedette.runtime.sources import END, Lasting, SourceOptions, open_source

PACKAGE = "vedette.runtime.sources"
EXAMPLES = {"file": "clip.mp4", "images": "pictures", "synthetic": "synthetic:64x48?frames=3"}
CLAIMED = {
    "csi": ["csi://0", "CSI://1?width=640&height=480"],
    "file": ["clip.mp4", "./0", "clip.xyz", "[a].mp4", "file:CWD/clip.mp4"],
    "images": ["pictures", "bus.JPG", "*.JPG", "pictures/", "[a]", "file:CWD/bus.JPG", "."],
    "http": ["http://cam/1.mjpg", "HTTPS://me:pa@cam/live.m3u8"],
    "mpegts": ["udp://@:5000", "TCP://cam:5000"],
    "rtsp": ["rtsp://cam/1", "RTSPS://me:pa@cam/1?x=[*]"],
    "synthetic": ["synthetic:", "Synthetic:64x48", "synthetic:nonsense"],
    "v4l2": ["0", "12", "/dev/video0"],
}
UNCLAIMED = [
    "", "nothing.mp4", "nothing/", "*.nothing", "rtmp://cam/1", "httpx://cam", "concat:a|b", "subfile:a", "file://host/clip.mp4",
    "file:///nothing.mp4", "\0", "x" * 5000, "-1", "/dev/video", "/dev/null", "s3://bucket/clip.mp4", "٣",
]  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path, clip: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder of these tests, with files of awkward names."""
    for name in ("clip.mp4", "0", "clip.xyz", "[a].mp4"):
        (tmp_path / name).write_bytes(clip.read_bytes())
    for name in ("bus.JPG", "pictures/a.png", "pictures/b.png", "[a]/c.png"):
        write_picture(tmp_path / name, numbered_picture(0))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def uris(folder: Path) -> Iterator[tuple[str, str]]:
    for name, claimed in CLAIMED.items():
        yield from ((uri.replace("file:CWD", folder.as_uri()), name) for uri in claimed)


def test_every_plug_in_is_tried_here() -> None:
    assert set(plugins.names(PACKAGE)) == set(CLAIMED)


def test_each_uri_is_claimed_by_exactly_its_own(folder: Path) -> None:
    found = {
        uri: [name for name in plugins.names(PACKAGE) if plugins.load(PACKAGE, name).claims(uri)]
        for uri, _ in uris(folder)
    }
    assert found == {uri: [name] for uri, name in uris(folder)}


@pytest.mark.parametrize("uri", UNCLAIMED, ids=lambda uri: repr(uri[:20]))
def test_what_no_one_claims_is_refused(folder: Path, uri: str) -> None:
    with pytest.raises(SourceError, match="cannot tell what kind of source"):
        open_source(uri)


@pytest.mark.parametrize("name", plugins.names(PACKAGE))
def test_opening_opens_nothing_and_closing_twice_is_fine(folder: Path, name: str) -> None:
    source = open_source(CLAIMED[name][0], SourceOptions(stream="gate"))
    assert isinstance(source.uri, str)
    assert isinstance(source.live, bool)
    if isinstance(source, Lasting):
        anew = source.again()
        assert anew is not source
        assert (anew.uri, anew.live, anew.lasting) == (source.uri, source.live, source.lasting)
        anew.close()
    assert source.frame_count is None or source.frame_count > 0
    source.close()
    source.close()
    with pytest.raises(SourceError, match="is closed"):
        source.read()


@pytest.mark.parametrize("name", EXAMPLES)
def test_frames_then_the_end_again_and_again(folder: Path, name: str) -> None:
    source = open_source(EXAMPLES[name], SourceOptions(stream="gate"))
    frames = []
    while isinstance(frame := source.read(), Frame):
        frames.append(frame)
    assert frame is END
    assert source.read() is END
    assert len(frames) == source.frame_count
    assert all(later.time_s > earlier.time_s for earlier, later in pairwise(frames))
    assert all(frame.received_ns > 0 and frame.bgr().flags.c_contiguous for frame in frames)
    assert {frame.stream for frame in frames} == {"gate"}
    source.close()


def test_importing_a_source_loads_no_decoder() -> None:
    imports = "; ".join(f"import {PACKAGE}.{name}" for name in plugins.names(PACKAGE))
    script = f"import sys; {imports}; print(sorted({{'av', 'cv2'}} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_streams_are_numbered_in_order() -> None:
    assert list(sources.stream_names(3)) == ["cam0", "cam1", "cam2"]
