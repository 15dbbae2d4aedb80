"""Recordings: every packet as it came, in files that begin at key frames and play everywhere."""

import threading
import time
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from clips import index_in, numbered_picture, write_video
from recordings import PICTURE_NS, all_pictures, packets_of, pictures, played, same, videos

from vedette.runtime.errors import DiskError, UsageError, remember_secret
from vedette.runtime.frame import Frame
from vedette.runtime.packets import Packet
from vedette.runtime.sinks import _intake, _packets
from vedette.runtime.sinks._background import Background
from vedette.runtime.sinks._nal import layout_of
from vedette.runtime.sinks.recording import RecordingSink
from vedette.runtime.status import Event, State

QUIET: dict[str, Any] = {"x265-params": "log-level=none"}
CLIPS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "H.264 in MP4, reordered": ("clip.mp4", "libx264", {"bf": "2"}),
    "H.264 in a transport stream": ("clip.ts", "libx264", {}),
    "H.264 with nothing around it": ("clip.h264", "libx264", {}),
    "HEVC in MP4, reordered": (
        "clip.mp4",
        "libx265",
        {"x265-params": "log-level=none:open-gop=0:keyint=10", "bf": "2"},
    ),
    "HEVC in a transport stream": ("clip.ts", "libx265", QUIET),
    "MPEG-4 in AVI": ("clip.avi", "mpeg4", {}),
    "MPEG-4 in MP4": ("clip.mp4", "mpeg4", {}),
    "MPEG-2": ("clip.ts", "mpeg2video", {}),
    "MJPEG": ("clip.avi", "mjpeg", {"strict": "unofficial"}),
    "VP8": ("clip.webm", "libvpx", {}),
    "VP9": ("clip.webm", "libvpx-vp9", {}),
}


def recorded(folder: Path, packets: list[Packet], **options: Any) -> RecordingSink:
    """A sink that was given a stream and closed."""
    sink = RecordingSink(folder, min_free_bytes=0, **options)
    tap = sink.tap("cam0")
    for packet in packets:
        tap(packet)
    sink.close()
    return sink


def event(state: State, stream: str = "cam0") -> Event:
    return Event(stream, state, "", "", 0)


@pytest.mark.parametrize("name", CLIPS)
def test_every_picture_comes_back_to_the_bit_in_files_that_begin_at_key_frames(
    tmp_path: Path, name: str
) -> None:
    file, codec, options = CLIPS[name]
    clip = write_video(tmp_path / file, 60, codec=codec, **options)
    sink = recorded(tmp_path / "rec", packets_of(clip), segment_s=1)
    paths = videos(tmp_path / "rec")
    assert len(paths) >= 2
    assert same(all_pictures(paths), pictures(clip))
    for path in paths:
        times = [moment for _, moment in played(path)]
        np.testing.assert_allclose(times, np.arange(len(times)) / 25, atol=1.1e-3)
        assert len(times) / 25 <= 1.4
    assert (sink.status().written, sink.status().dropped) == (60, {})


def test_pictures_between_two_files_that_neither_can_show_are_counted(tmp_path: Path) -> None:
    options: dict[str, Any] = {"x265-params": "log-level=none:open-gop=1:keyint=10:min-keyint=10", "bf": "3"}
    clip = write_video(tmp_path / "clip.mp4", 60, codec="libx265", **options)
    sink = recorded(tmp_path / "rec", packets_of(clip), segment_s=0.8)
    paths = videos(tmp_path / "rec")
    lost = sink.status().dropped["open_group"]
    assert 1 <= lost <= 3 * (len(paths) - 1)
    assert len(all_pictures(paths)) == sink.status().written == 60 - lost


def test_a_closed_file_is_plain_mp4_and_opens_elsewhere(tmp_path: Path, clip: Path) -> None:
    import cv2

    recorded(tmp_path, packets_of(clip))
    (path,) = videos(tmp_path)
    assert b"moof" not in path.read_bytes()[:200]
    capture = cv2.VideoCapture(str(path))
    found = []
    while (read := capture.read())[0]:
        found.append(index_in(read[1]))
    assert found == list(range(30))


def test_files_are_named_by_stream_and_time_of_arrival(tmp_path: Path, clip: Path) -> None:
    packets = packets_of(clip, received_ns=time.monotonic_ns() - 90 * 10**9)
    sink = RecordingSink(tmp_path, min_free_bytes=0)
    names = ("yard", "a/../b", "..", "Straße 1", "")
    for name in names:
        for packet in packets:
            sink.tap(name)(packet)
    sink.close()
    folders = ["yard", "a%2F..%2Fb", "%2E.", "Stra%C3%9Fe 1", "%"]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(folders)
    (path,) = videos(tmp_path / "yard")
    began = datetime.strptime(path.stem, "yard-%Y-%m-%dT%H-%M-%SZ").replace(tzinfo=timezone.utc)
    assert abs(time.time() - 90 - began.timestamp()) < 5
    assert path.parent == tmp_path / "yard" / f"{began:%Y-%m-%d}"


def test_two_cameras_do_not_mix(tmp_path: Path) -> None:
    clips = [write_video(tmp_path / f"{size[0]}.mp4", 30, size=size) for size in ((96, 64), (128, 96))]
    sink = RecordingSink(tmp_path / "rec", min_free_bytes=0, segment_s=0.5)
    for pair in zip(*map(packets_of, clips), strict=True):
        for stream, packet in zip(("front", "back"), pair, strict=True):
            sink.tap(stream)(packet)
            sink.work()
    sink.close()
    for stream, clip in zip(("front", "back"), clips, strict=True):
        assert same(all_pictures(videos(tmp_path / "rec" / stream)), pictures(clip))


@pytest.mark.parametrize("count", [0, 1])
def test_hardly_anything_is_a_recording_too(tmp_path: Path, clip: Path, count: int) -> None:
    recorded(tmp_path, packets_of(clip)[:count]).close()
    assert [len(pictures(path)) for path in videos(tmp_path)] == [1] * count


def test_nothing_is_written_before_the_first_key_frame(tmp_path: Path, clip: Path) -> None:
    sink = recorded(tmp_path, packets_of(clip)[3:])
    assert same(all_pictures(videos(tmp_path)), pictures(clip)[10:])
    assert sink.status().dropped == {"no_key_frame": 7}
    assert recorded(tmp_path / "none", packets_of(clip)[1:10]).status().dropped == {"no_key_frame": 9}
    assert videos(tmp_path / "none") == []


def test_another_size_begins_another_file(tmp_path: Path) -> None:
    clips = [write_video(tmp_path / f"{size[0]}.ts", 20, size=size) for size in ((96, 64), (128, 96))]
    first, second = map(packets_of, clips)
    unaware = [replace(packet, encoding=first[0].encoding) for packet in second]  # the connection stays
    for number, packets in enumerate((first + second, first + unaware)):
        recorded(tmp_path / str(number), packets)
        paths = videos(tmp_path / str(number))
        assert len(paths) == 2
        assert all(same(pictures(path), pictures(clip)) for path, clip in zip(paths, clips, strict=True))


def test_another_codec_begins_another_file(tmp_path: Path, clip: Path) -> None:
    other = write_video(tmp_path / "other.avi", 10, codec="mjpeg", strict="unofficial")
    recorded(tmp_path / "rec", packets_of(clip) + packets_of(other))
    assert [path.suffix for path in videos(tmp_path / "rec")] == [".mp4", ".mkv"]
    assert [len(pictures(path)) for path in videos(tmp_path / "rec")] == [30, 10]


def test_parameter_sets_that_come_and_go_begin_no_file(tmp_path: Path) -> None:
    clip = write_video(tmp_path / "clip.ts", 30)
    packets = packets_of(clip)
    fewer = replace(packets[0].encoding, extradata=b"", size=(0, 0))
    recorded(tmp_path / "rec", [*packets[:10], *(replace(packet, encoding=fewer) for packet in packets[10:])])
    assert [len(pictures(path)) for path in videos(tmp_path / "rec")] == [30]


def test_parameter_sets_of_the_container_alone_will_do(tmp_path: Path) -> None:
    clips = [write_video(tmp_path / f"{size[0]}.mp4", 20, size=size) for size in ((96, 64), (128, 96))]
    bare = []
    for clip in clips:  # as a camera that says them once, when it is asked for the stream
        for packet in packets_of(clip):
            layout = layout_of("h264", packet.encoding.extradata)
            encoding = replace(packet.encoding, extradata=layout.parameters)
            bare.append(replace(packet, encoding=encoding, data=layout.plain(packet.data)))
    recorded(tmp_path / "rec", bare)
    paths = videos(tmp_path / "rec")
    assert len(paths) == 2
    assert all(same(pictures(path), pictures(clip)) for path, clip in zip(paths, clips, strict=True))


@pytest.mark.parametrize("state", [State.BACKOFF, State.ENDED])
def test_a_new_connection_begins_a_new_file_at_its_first_key_frame(
    tmp_path: Path, clip: Path, state: State
) -> None:
    packets = packets_of(clip)
    sink = RecordingSink(tmp_path, min_free_bytes=0)
    tap = sink.tap("cam0")
    for packet in packets[:15]:
        tap(packet)
    for _ in range(3):
        sink.event(event(state))
    sink.event(event(state, "nobody"))
    for packet in packets[15:]:
        tap(packet)
    sink.close()
    expected = pictures(clip)
    first, second = videos(tmp_path)
    assert same(pictures(first), expected[:15])
    assert same(pictures(second), expected[20:])
    assert sink.status().dropped == {"no_key_frame": 5}


def test_a_stall_and_being_live_are_no_new_connection(tmp_path: Path, clip: Path) -> None:
    packets = packets_of(clip)
    sink = RecordingSink(tmp_path, min_free_bytes=0)
    for packet in packets:
        sink.tap("cam0")(packet)
        sink.event(event(State.STALLED))
        sink.event(event(State.LIVE))
    sink.close()
    assert [len(pictures(path)) for path in videos(tmp_path)] == [30]


@pytest.mark.parametrize(("silent_before", "counts"), [(10, [10, 20]), (13, [30])])
def test_a_silence_before_a_key_frame_begins_a_new_file(
    tmp_path: Path, clip: Path, silent_before: int, counts: list[int]
) -> None:
    packets = packets_of(clip)
    late = [replace(packet, received_ns=packet.received_ns + 6 * 10**9) for packet in packets[silent_before:]]
    recorded(tmp_path, packets[:silent_before] + late)
    assert [len(pictures(path)) for path in videos(tmp_path)] == counts


@pytest.mark.parametrize("jump", [3600 * 90_000, -10 * 90_000, None])
def test_times_in_a_file_go_forward_whatever_the_camera_says(tmp_path: Path, jump: int | None) -> None:
    clip = write_video(tmp_path / "clip.ts", 30)
    packets = packets_of(clip)
    for index in range(12, 30):
        pts, dts = packets[index].pts, packets[index].dts
        assert pts is not None
        assert dts is not None
        moved = (None, None) if jump is None else (pts + jump, dts + jump)
        packets[index] = replace(packets[index], pts=moved[0], dts=moved[1])
    recorded(tmp_path / "rec", packets)
    (path,) = videos(tmp_path / "rec")
    times = [moment for _, moment in played(path)]
    assert len(times) == 30
    np.testing.assert_allclose(np.diff(times), 0.04, atol=2e-3)


def test_a_reader_never_waits_and_what_finds_no_room_is_dropped_up_to_a_key_frame(
    tmp_path: Path, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packets = packets_of(clip)
    room = sum(len(packet.data) for packet in packets[:13])
    monkeypatch.setattr(_packets, "Intake", lambda: _intake.Intake(max_bytes=room))
    sink = RecordingSink(tmp_path, min_free_bytes=0)
    tap = sink.tap("cam0")
    for packet in packets[:16]:  # nobody takes them
        tap(packet)
    sink.work()
    for packet in packets[16:]:
        tap(packet)
        sink.work()
    sink.close()
    expected = pictures(clip)
    assert same(all_pictures(videos(tmp_path)), expected[:13] + expected[20:])
    assert sink.status().dropped == {"queue_full": 7}


def test_streams_that_do_not_take_part_are_not_recorded(tmp_path: Path, clip: Path) -> None:
    sink = RecordingSink(tmp_path, min_free_bytes=0, streams=["yard"])
    for packet in packets_of(clip):
        sink.tap("cam0")(packet)
    sink.write(Frame((numbered_picture(0),)), [])
    sink.close()
    assert videos(tmp_path) == []


def frames(count: int, size: tuple[int, int] = (96, 64)) -> list[Frame]:
    began = time.monotonic_ns()
    return [
        Frame(
            (numbered_picture(index, size),),
            index=index,
            time_s=index / 25,
            rate=25.0,
            received_ns=began + index * PICTURE_NS,
        )
        for index in range(count)
    ]


@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
def test_a_stream_without_packets_is_encoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, codec: str
) -> None:
    monkeypatch.setattr("vedette.runtime.sinks._from_frames.codec_name", lambda: codec)
    sink = RecordingSink(tmp_path, min_free_bytes=0, segment_s=2)
    for frame in frames(60):
        sink.write(frame, [])
    sink.close()
    paths = videos(tmp_path)
    assert [index_in(picture) for picture in all_pictures(paths)] == list(range(60))
    assert [len(pictures(path)) for path in paths] == [50, 10]
    np.testing.assert_allclose([moment for _, moment in played(paths[0])], np.arange(50) / 25, atol=1e-3)


def test_frames_of_several_and_odd_sizes_are_files_of_their_own(tmp_path: Path) -> None:
    sink = RecordingSink(tmp_path, min_free_bytes=0)
    for frame in [*frames(3), *frames(3, (97, 63))]:
        sink.write(frame, [])
    sink.close()
    assert [picture.shape for path in videos(tmp_path) for picture in pictures(path)] == [(64, 96, 3)] * 3 + [
        (64, 98, 3)
    ] * 3


def test_a_stream_with_packets_is_not_encoded_as_well(tmp_path: Path, clip: Path) -> None:
    sink = RecordingSink(tmp_path, min_free_bytes=0)
    for packet, frame in zip(packets_of(clip), frames(30), strict=True):
        sink.tap("cam0")(packet)
        sink.write(frame, [])
    sink.close()
    assert same(all_pictures(videos(tmp_path)), pictures(clip))


def test_a_codec_that_no_file_holds_is_encoded_from_frames(tmp_path: Path, clip: Path) -> None:
    packets = packets_of(clip)
    strange = replace(packets[0].encoding, codec="msmpeg4")
    sink = RecordingSink(tmp_path, min_free_bytes=0)
    for packet, frame in zip(packets, frames(30), strict=True):
        sink.tap("cam0")(replace(packet, encoding=strange))
        sink.write(frame, [])
    sink.close()
    assert [index_in(picture) for picture in all_pictures(videos(tmp_path))] == list(range(30))


def test_a_packet_of_rubbish_costs_no_more_than_its_group(tmp_path: Path, clip: Path) -> None:
    packets = packets_of(clip)
    packets[0] = replace(packets[0], data=b"\0\0\0\1rubbish")
    sink = recorded(tmp_path, packets)
    assert same(all_pictures(videos(tmp_path)), pictures(clip)[10:])
    assert sum(sink.status().dropped.values()) == 10
    assert sink.status().state == "writing"


def test_nothing_of_the_source_is_in_the_file(tmp_path: Path, clip: Path) -> None:
    remember_secret("hunter2hunter2")
    sink = recorded(tmp_path / "rec hunter2hunter2", packets_of(clip))
    (path,) = videos(tmp_path)
    with av.open(str(path)) as container:
        found = set(container.metadata) | set(container.streams.video[0].metadata)
    assert found <= {
        "major_brand",
        "minor_version",
        "compatible_brands",
        "encoder",
        "language",
        "handler_name",
        "vendor_id",
    }
    assert b"hunter2" not in path.read_bytes()
    assert "hunter2" not in sink.status().name


def test_a_file_plays_while_it_is_written(tmp_path: Path) -> None:
    clip = write_video(tmp_path / "clip.ts", 60)
    sink = RecordingSink(tmp_path / "rec", min_free_bytes=0)
    for packet in packets_of(clip):
        sink.tap("cam0")(packet)
        sink.work()
    (path,) = videos(tmp_path / "rec")
    assert len(pictures(path)) >= 60 - 13
    sink.close()
    assert len(pictures(path)) == 60


def test_in_the_background_packets_are_written_though_no_frame_comes(tmp_path: Path, clip: Path) -> None:
    background = Background(RecordingSink(tmp_path, min_free_bytes=0), lossless=False)
    tap = background.tap("cam0")
    assert tap is not None
    for packet in packets_of(clip):
        tap(packet)
    deadline = time.monotonic() + 10
    while background.status().written < 30 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert background.status().written == 30
    background.close()
    assert same(all_pictures(videos(tmp_path)), pictures(clip))


def test_readers_of_several_threads_may_tap_at_once(tmp_path: Path, clip: Path) -> None:
    packets = packets_of(clip)
    background = Background(RecordingSink(tmp_path, min_free_bytes=0), lossless=False)

    def read(stream: str) -> None:
        for packet in packets:
            background.sink.tap(stream)(packet)  # type: ignore[attr-defined]

    readers = [threading.Thread(target=read, args=(f"cam{number}",)) for number in range(8)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    background.close()
    assert [len(pictures(path)) for path in videos(tmp_path)] == [30] * 8


def test_arguments_out_of_range_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="segment"):
        RecordingSink(tmp_path, segment_s=0)
    (tmp_path / "file").touch()
    with pytest.raises(DiskError):
        RecordingSink(tmp_path / "file")


def test_segments_follow_one_another_without_a_gap(tmp_path: Path) -> None:
    clip = write_video(tmp_path / "clip.mp4", 90, g="5", bf="2")
    recorded(tmp_path / "rec", packets_of(clip), segment_s=0.4)
    counts = [len(pictures(path)) for path in videos(tmp_path / "rec")]
    assert sum(counts) == 90
    assert set(counts) == {10}
