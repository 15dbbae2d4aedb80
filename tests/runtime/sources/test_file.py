"""Videos: every frame once, in order, upright, at its time; and files that are none refused."""

import contextlib
import logging
import shutil
import subprocess
import sys
import time
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from clips import Array, index_in, psnr, write_video

from vedette.runtime.errors import SourceError
from vedette.runtime.frame import Frame
from vedette.runtime.sources import END, TIMEOUT, SourceOptions, open_source

SUFFIXES = (".mp4", ".ts", ".h264")


def read_all(uri: str | Path) -> list[Frame]:
    source = open_source(str(uri))
    frames = []
    while isinstance(frame := source.read(), Frame):
        frames.append(frame)
    assert frame is END
    source.close()
    return frames


def opencv_frames(path: Path) -> list[Array]:
    capture, frames = cv2.VideoCapture(str(path)), []
    while (read := capture.read())[0]:
        frames.append(read[1])
    return frames


def damage(path: Path, packets: slice) -> Path:
    """Make packets undecodable: an H.264 packet begins with the length of its first NAL unit."""
    with av.open(str(path)) as container:
        positions = [packet.pos for packet in container.demux(video=0) if packet.size]
    data = bytearray(path.read_bytes())
    for position in positions[packets]:
        assert position is not None
        data[position : position + 4] = b"\xff\xff\xff\xff"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi", ".ts", ".mov", ".h264"])
def test_every_container_gives_every_frame_once_in_order(tmp_path: Path, suffix: str) -> None:
    frames = read_all(write_video(tmp_path / f"clip{suffix}"))
    assert [index_in(frame.bgr()) for frame in frames] == list(range(30))
    assert [frame.index for frame in frames] == list(range(30))
    np.testing.assert_allclose([frame.time_s for frame in frames], np.arange(30) / 25, atol=2e-3)
    assert {(frame.size, frame.rate, frame.suspect) for frame in frames} == {((96, 64), 25.0, False)}


def test_reordered_frames_come_in_order(tmp_path: Path) -> None:
    frames = read_all(write_video(tmp_path / "b.mp4", bf="3"))
    assert [index_in(frame.bgr()) for frame in frames] == list(range(30))


def test_pixels_are_opencvs(clip: Path) -> None:
    ours, theirs = read_all(clip), opencv_frames(clip)
    assert len(ours) == len(theirs)
    assert min(psnr(frame.bgr(), other) for frame, other in zip(ours, theirs, strict=True)) > 45


def test_stride_skips_but_counts(clip: Path) -> None:
    source = open_source(str(clip), SourceOptions(stride=7, stream="yard"))
    before, frames = source.frame_count, []
    while isinstance(frame := source.read(), Frame):
        frames.append(frame)
    assert (before, source.frame_count, len(frames)) == (None, 5, 5)
    assert (
        [frame.index for frame in frames] == [index_in(frame.bgr()) for frame in frames] == [0, 7, 14, 21, 28]
    )
    assert [round(frame.time_s, 3) for frame in frames] == [0.0, 0.28, 0.56, 0.84, 1.12]
    assert {(frame.stream, frame.source) for frame in frames} == {("yard", str(clip))}


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
def test_frame_count_is_right_whether_stored_or_computed(tmp_path: Path, suffix: str) -> None:
    source = open_source(str(write_video(tmp_path / f"clip{suffix}", 31)))
    source.read()
    assert source.frame_count == 31


def test_times_are_the_files_own(tmp_path: Path) -> None:
    frames = read_all(write_video(tmp_path / "slow.mkv", 4, ticks=(500, 530, 1530, 1540)))
    assert [round(frame.time_s, 3) for frame in frames] == [0.0, 0.03, 1.03, 1.04]


def test_joined_files_go_on_in_time_and_change_size(tmp_path: Path) -> None:
    small = write_video(tmp_path / "small.ts", 20)
    large = write_video(tmp_path / "large.ts", 20, size=(128, 96))
    small.write_bytes(small.read_bytes() + large.read_bytes())
    frames = read_all(small)
    times = [frame.time_s for frame in frames]
    assert all(np.diff(times) > 0)
    assert times[-1] < 3
    assert {frames[0].size, frames[-1].size} == {(96, 64), (128, 96)}
    assert index_in(frames[-1].bgr()) == 19


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_rotation_is_honoured_as_opencv_does(tmp_path: Path, clip: Path, degrees: int) -> None:
    data = clip.read_bytes()
    cosine, sine = round(np.cos(np.radians(degrees))), round(np.sin(np.radians(degrees)))
    matrix = np.array([cosine, sine, 0, -sine, cosine, 0, 0, 0, 0x4000], ">i4") * 0x10000
    start = data.index(b"tkhd") + 44  # version 0: type, flags, 5 fields, reserved, layer … then the matrix
    turned = tmp_path / "turned.mp4"
    turned.write_bytes(data[:start] + matrix.astype(">i4").tobytes() + data[start + 36 :])
    ours, theirs = read_all(turned)[5], opencv_frames(turned)[5]
    assert ours.bgr().shape == theirs.shape
    assert psnr(ours.bgr(), theirs) > 45
    assert psnr(ours.bgr(), read_all(clip)[5].bgr()) < 30 if degrees == 180 else ours.size == (64, 96)


def test_a_damaged_packet_costs_itself_and_marks_until_the_next_key_frame(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = damage(write_video(tmp_path / "clip.mp4"), slice(13, 14))
    with caplog.at_level(logging.WARNING):
        frames = read_all(path)
    assert len(frames) == 29
    suspect = [index_in(frame.bgr()) for frame in frames if frame.suspect]
    assert suspect == [14, 15, 16, 17, 18, 19]
    assert "1 damaged packets" in caplog.text


def test_a_video_without_one_good_frame_is_refused(tmp_path: Path) -> None:
    path = damage(write_video(tmp_path / "clip.mp4"), slice(None))
    with pytest.raises(SourceError) as error:
        read_all(path)
    assert "damaged packets" in error.value.why


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("notes.txt", "hello world\n" * 200),
        ("notes.mp4", "hello world\n" * 200),
        ("empty.mp4", ""),
        ("list.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nclip.mp4\n#EXT-X-ENDLIST\n"),
        ("list.ffconcat", "ffconcat version 1.0\nfile clip.mp4\n"),
        (
            "session.sdp",
            "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nt=0 0\nm=video 9 RTP/AVP 96\na=rtpmap:96 H264/90000\n",
        ),
    ],
)
def test_what_is_no_video_or_opens_others_is_refused(
    tmp_path: Path, clip: Path, name: str, text: str
) -> None:
    shutil.copy(clip, tmp_path / "clip.mp4")
    (tmp_path / name).write_text(text)
    with pytest.raises(SourceError) as error:
        read_all(tmp_path / name)
    assert error.value.what.endswith("is not a video that FFmpeg can read")
    assert error.value.why
    assert error.value.cure


def test_a_video_cut_short_is_refused(tmp_path: Path, clip: Path) -> None:
    path = tmp_path / "cut.mp4"
    path.write_bytes(clip.read_bytes()[:2000])
    with pytest.raises(SourceError):
        read_all(path)


def test_sound_alone_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "sound.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
    with pytest.raises(SourceError) as error:
        read_all(path)
    assert "no pictures" in error.value.why


def test_a_file_uri_may_be_percent_encoded(tmp_path: Path, clip: Path) -> None:
    path = tmp_path / "a b#1.mp4"
    shutil.copy(clip, path)
    assert len(read_all(path.as_uri())) == 30


def test_a_name_like_a_protocol_is_a_name(
    tmp_path: Path, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(clip, tmp_path / "concat:clip.mp4")
    monkeypatch.chdir(tmp_path)
    assert len(read_all("concat:clip.mp4")) == 30


def test_a_file_that_vanished_is_an_error_of_the_source(tmp_path: Path, clip: Path) -> None:
    path = tmp_path / "gone.mp4"
    shutil.copy(clip, path)
    source = open_source(str(path))
    path.unlink()
    with pytest.raises(SourceError) as error:
        source.read()
    assert "No such file" in error.value.why


def test_at_real_time_frames_come_when_they_are_due(clip: Path) -> None:
    source = open_source(str(clip), SourceOptions(realtime=True))
    assert source.live
    started, frames, late = time.monotonic(), [], 0
    while (found := source.read(timeout_s=0.01)) is not END:
        if isinstance(found, Frame):
            late += time.monotonic() - started < found.time_s
            frames.append(found)
    assert late == 0
    assert 29 / 25 <= time.monotonic() - started < 3.0
    assert [frame.index for frame in frames] == list(range(30))
    assert {frame.suspect for frame in frames} == {False}


def test_a_frame_that_is_not_due_is_a_time_out_in_time(tmp_path: Path) -> None:
    source = open_source(
        str(write_video(tmp_path / "slow.mkv", 3, ticks=(0, 5000, 6000))), SourceOptions(realtime=True)
    )
    assert isinstance(source.read(), Frame)
    started = time.monotonic()
    assert source.read(timeout_s=0.05) is TIMEOUT
    assert time.monotonic() - started < 1.0
    source.close()


@pytest.mark.parametrize("suffix", [".mp4", ".ts", ".h264"])
def test_a_loop_begins_again_and_goes_on_in_index_and_time(tmp_path: Path, suffix: str) -> None:
    source = open_source(str(write_video(tmp_path / f"clip{suffix}", 12)), SourceOptions(loop=True))
    frames = [found for found in (source.read() for _ in range(30)) if isinstance(found, Frame)]
    assert source.frame_count is None
    source.close()
    assert [frame.index for frame in frames] == list(range(30))
    assert [index_in(frame.bgr()) for frame in frames] == [index % 12 for index in range(30)]
    np.testing.assert_allclose([frame.time_s for frame in frames], np.arange(30) / 25, atol=2e-3)


def test_a_damaged_video_at_real_time_is_suspect_where_its_decoder_complains(tmp_path: Path) -> None:
    path = damage(write_video(tmp_path / "clip.mp4"), slice(13, 14))
    source = open_source(str(path), SourceOptions(realtime=True))
    frames = [found for found in iter(source.read, END) if isinstance(found, Frame)]
    source.close()
    assert [index_in(frame.bgr()) for frame in frames if frame.suspect] == [14, 15, 16, 17, 18, 19]


@pytest.mark.parametrize("seed", range(30))
def test_mutated_videos_raise_only_our_errors(tmp_path: Path, clip: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    path = tmp_path / f"clip{SUFFIXES[seed % 3]}"
    data = np.frombuffer(write_video(path).read_bytes(), np.uint8).copy()
    places = rng.random(len(data)) < 10 ** rng.uniform(-4, -2)
    data[places] ^= (1 << rng.integers(0, 8, places.sum())).astype(np.uint8)
    path.write_bytes(data[: len(data) if seed % 2 else int(rng.integers(len(data)))].tobytes())
    source = open_source(str(path), SourceOptions(realtime=seed % 5 == 0, tap=lambda packet: None))
    with contextlib.suppress(SourceError):
        for _ in range(200):
            if source.read(0.0) is END:
                break
    source.close()


def test_a_decoder_with_threads_is_freed_while_its_damage_is_being_told(tmp_path: Path) -> None:
    """PyAV frees it holding the GIL, which its threads want for their messages: in a process that may hang."""
    path = write_video(tmp_path / "clip.ts", 100, size=(640, 360), g="50")
    data = np.frombuffer(path.read_bytes(), np.uint8).copy()
    data[np.random.default_rng(1).integers(0, len(data), 400)] ^= 255
    path.write_bytes(data.tobytes())
    script = f"""
from vedette.runtime.sources import END, open_source
from vedette.runtime.sources._complaints import listen
listen()
for attempt in range(200):
    source = open_source({str(path)!r})
    for _ in range(attempt % 20 + 1):
        source.read()
    if attempt % 2:
        source.close()
    del source
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
