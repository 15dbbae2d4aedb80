"""Video files: every frame, at its time, of every size; playable while written and after a kill."""

import errno
import gc
import os
import subprocess
import sys
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from clips import Array, index_in, numbered_picture, psnr

from vedette.runtime.errors import DiskError, UsageError
from vedette.runtime.frame import Frame
from vedette.runtime.sinks import _encode
from vedette.runtime.sinks.video import VideoSink

SUFFIXES = [".mp4", ".mov", ".mkv", ".avi"]


def frame(
    index: int, size: tuple[int, int] = (96, 64), *, rate: float | None = 25.0, time_s: float = -1
) -> Frame:
    moment = time_s if time_s >= 0 else index / (rate or 1)
    return Frame((numbered_picture(index, size),), index=index, time_s=moment, rate=rate)


def write(path: Path, frames: list[Frame]) -> Path:
    sink = VideoSink(path)
    for item in frames:
        sink.write(item, [])
    sink.close()
    return path


def by_opencv(path: Path) -> tuple[list[Array], list[float]]:
    """Pictures, and their times in seconds."""
    capture, pictures, times = cv2.VideoCapture(str(path)), [], []
    while (read := capture.read())[0]:
        pictures.append(read[1])
        times.append(capture.get(cv2.CAP_PROP_POS_MSEC) / 1000)
    return pictures, times


def by_pyav(path: Path) -> tuple[list[Array], list[float], list[float]]:
    """Pictures, their times, and the times of key frames."""
    with av.open(str(path)) as container:
        decoded = [
            (item.to_ndarray(format="bgr24"), item.time, item.key_frame) for item in container.decode(video=0)
        ]
    times = [float(time or 0) for _, time, _ in decoded]
    return (
        [image for image, _, _ in decoded],
        times,
        [time for time, (_, _, key) in zip(times, decoded, strict=True) if key],
    )


def boxes(path: Path) -> list[bytes]:
    """The top-level boxes of an MP4."""
    data, found, start = path.read_bytes(), [], 0
    while start < len(data):
        size, kind = int.from_bytes(data[start : start + 4], "big"), data[start + 4 : start + 8]
        start += int.from_bytes(data[start + 8 : start + 16], "big") if size == 1 else size
        found.append(kind)
    return found


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_both_decoders_count_every_frame_in_order(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"out{suffix}", [frame(index) for index in range(60)])
    theirs, times = by_opencv(path)
    ours, _, keys = by_pyav(path)
    assert [index_in(image) for image in theirs] == [index_in(image) for image in ours] == list(range(60))
    np.testing.assert_allclose(times, np.arange(60) / 25, atol=2e-3)
    assert min(psnr(image, numbered_picture(index)) for index, image in enumerate(ours)) > 28
    assert max(np.diff([*keys, 60 / 25])) <= 1.001


@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
def test_a_closed_file_is_plain(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"out{suffix}", [frame(index) for index in range(60)])
    assert b"moof" not in boxes(path)
    assert boxes(path)[-1] == b"moov"


def test_older_ffmpegs_get_fragments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_encode, "HYBRID_SINCE", (999,))
    path = write(tmp_path / "out.mp4", [frame(index) for index in range(60)])
    assert b"moof" in boxes(path)
    assert [index_in(image) for image in by_opencv(path)[0]] == list(range(60))


def test_without_x264_it_is_mpeg_4(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_encode, "codec_name", lambda: "mpeg4")
    path = write(tmp_path / "out.mp4", [frame(index, rate=29.97) for index in range(40)])
    with av.open(str(path)) as container:
        assert container.streams.video[0].codec_context.name == "mpeg4"
    assert [index_in(image) for image in by_opencv(path)[0]] == list(range(40))


@pytest.mark.parametrize("size", [(97, 64), (96, 65), (97, 65), (16, 16)])
def test_odd_sizes_grow_by_their_own_edge(tmp_path: Path, size: tuple[int, int]) -> None:
    path = write(tmp_path / "out.mp4", [frame(index, size) for index in range(5)])
    (image, *_), _, _ = by_pyav(path)
    assert image.shape == (size[1] + size[1] % 2, size[0] + size[0] % 2, 3)
    expected = np.pad(numbered_picture(0, size), ((0, size[1] % 2), (0, size[0] % 2), (0, 0)), "edge")
    assert psnr(image, expected) > 28


def test_a_later_size_is_letterboxed_into_the_first(tmp_path: Path) -> None:
    white = Frame((np.full((64, 32, 3), 255, np.uint8),), index=1, time_s=0.04, rate=25.0)
    images, _, _ = by_pyav(write(tmp_path / "out.mp4", [frame(0), white, frame(2)]))
    assert [image.shape for image in images] == [(64, 96, 3)] * 3
    assert images[1][:, 36:60].mean() > 240
    assert images[1][:, :28].mean() < 16
    assert images[1][:, 68:].mean() < 16


def test_times_are_the_frames_own_even_with_gaps(tmp_path: Path) -> None:
    moments = [7.0, 7.04, 9.5, 9.500001, 9.500002, 20.0]
    path = write(tmp_path / "out.mp4", [frame(index, time_s=moment) for index, moment in enumerate(moments)])
    times = by_pyav(path)[1]
    np.testing.assert_allclose(times, np.array(moments) - 7, atol=1e-4)
    assert all(np.diff(times) > 0)


def test_pictures_are_spaced_by_their_times(tmp_path: Path) -> None:
    path = write(tmp_path / "out.mp4", [frame(index, rate=None) for index in range(3)])
    assert by_pyav(path)[1] == [0.0, 1.0, 2.0]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_one_frame_is_a_video(tmp_path: Path, suffix: str) -> None:
    assert len(by_opencv(write(tmp_path / f"out{suffix}", [frame(0)]))[0]) == 1


KILLED = """
import os, signal, sys
from vedette.runtime.sinks.video import VideoSink
from vedette.runtime.sources import open_source
source, sink = open_source("synthetic:128x96@25?frames=100"), VideoSink(sys.argv[1])
for _ in range(100):
    sink.write(source.read(), [])
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_killed_writer_leaves_all_but_the_last_moments(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"out{suffix}"
    subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False)
    count = len(by_pyav(path)[0])
    assert 100 - 1.2 * 25 <= count < 100
    assert len(by_opencv(path)[0]) == count


def test_a_file_can_be_played_while_it_is_written(tmp_path: Path) -> None:
    sink = VideoSink(tmp_path / "out.mp4")
    for index in range(100):
        sink.write(frame(index), [])
    assert len(by_pyav(tmp_path / "out.mp4")[0]) >= 70
    sink.close()


def test_an_unknown_suffix_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"out\.wmv"):
        VideoSink(tmp_path / "out.wmv")


def test_missing_folders_are_made(tmp_path: Path) -> None:
    assert write(tmp_path / "a" / "b" / "out.mp4", [frame(0)]).is_file()


def test_a_target_that_cannot_be_written_is_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder.mp4").mkdir()
    for path in (tmp_path / "file" / "out.mp4", tmp_path / "folder.mp4"):
        with pytest.raises(DiskError):
            VideoSink(path)
    monkeypatch.setattr(os, "access", lambda *_: False)  # tests may run as root, who may everything
    with pytest.raises(DiskError, match="cannot write") as error:
        VideoSink(tmp_path / "out.mp4")
    assert error.value.why == os.strerror(errno.EACCES)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full: not Linux")
@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # PyAV 17 fails again when it is freed
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_full_disk_is_an_error_of_the_disk(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"out{suffix}"
    path.symlink_to("/dev/full")
    sink = VideoSink(path)
    with pytest.raises(DiskError) as error:  # noqa: PT012 where it surfaces depends on FFmpeg's buffers
        for index in range(100):
            sink.write(frame(index), [])
        sink.close()
    assert error.value.cure == "free space on that disk"
    sink.close()
    del error, sink
    gc.collect()


def test_the_video_being_read_is_not_written_over(tmp_path: Path, clip: Path) -> None:
    path = tmp_path / "street.mp4"
    path.write_bytes(clip.read_bytes())
    (tmp_path / "link.mp4").symlink_to(path)
    read = Frame((numbered_picture(0),), source=str(path), rate=25.0)
    for target in (path, tmp_path / "link.mp4"):
        with pytest.raises(UsageError, match="will not write"):
            VideoSink(target).write(read, [])
    assert path.read_bytes() == clip.read_bytes()
