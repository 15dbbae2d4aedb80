"""Clips: from before a sighting until after the last, to the bit, and what the JSON says of them."""

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clips import index_in, numbered_picture, write_video
from recordings import PICTURE_NS, packets_of, pictures, played, videos

from vedette.runtime.errors import UsageError
from vedette.runtime.frame import Frame
from vedette.runtime.packets import Packet
from vedette.runtime.results import Boxes, Keypoints, Result
from vedette.runtime.sinks import _clip, _disk, _ring
from vedette.runtime.sinks._ring import Ring
from vedette.runtime.sinks._stamps import Stamp
from vedette.runtime.sinks._trigger import Trigger
from vedette.runtime.sinks.events import EventClipsSink
from vedette.runtime.status import Event, State

NAMES = {0: "person", 1: "dog"}
Seen = Sequence[tuple[str, float]]  # labels and scores


def frame_of(packet: Packet, index: int, stream: str = "cam0") -> Frame:
    """The frame that was decoded from a packet, 10 ms later."""
    picture = (numbered_picture(index % 256),)
    return Frame(
        picture,
        index=index,
        time_s=index / 25,
        rate=25.0,
        received_ns=packet.received_ns + 10**7,
        stream=stream,
    )


def result(frame: Frame, seen: Seen, *, task: str = "detection") -> Result:
    labels = list(NAMES.values())
    boxes = Boxes(
        np.array([[number, 2, 30, 40.126] for number in range(len(seen))], np.float32).reshape(-1, 4),
        np.array([score for _, score in seen], np.float32),
        np.array([labels.index(label) for label, _ in seen], np.int64),
        (64, 96),
    )
    return Result(frame, "m", task, NAMES, boxes=boxes)


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """10 s at 25 a second, a key frame every 10."""
    return write_video(tmp_path_factory.mktemp("long") / "clip.ts", 250, size=(192, 128))


def camera(clip: Path, *, count: int = 250) -> Iterator[tuple[int, Packet]]:
    return enumerate(packets_of(clip)[:count])


def watched(sink: EventClipsSink, clip: Path, seen: dict[int, Seen], *, lag: int = 0) -> None:
    """Run a clip through a sink whose models see something in some frames, `lag` packets late."""
    packets = packets_of(clip)
    tap = sink.tap("cam0")
    for index in range(len(packets) + lag):
        if index < len(packets):
            tap(packets[index])
        if index >= lag:
            frame = frame_of(packets[index - lag], index - lag)
            sink.write(frame, [result(frame, seen.get(index - lag, ()))])
    sink.close()


def person(*ranges: range) -> dict[int, Seen]:
    return {index: [("person", 0.9)] for indices in ranges for index in indices}


def indices(path: Path) -> list[int]:
    return [index_in(picture) for picture in pictures(path)]


def note(path: Path) -> Any:
    return json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("lag", [0, 3, 60])
def test_a_clip_holds_what_was_before_and_after(tmp_path: Path, long: Path, lag: int) -> None:
    sink = EventClipsSink(tmp_path, pre_roll_s=1, post_roll_s=2, min_free_bytes=0)
    watched(sink, long, person(range(100, 111)), lag=lag)
    (path,) = videos(tmp_path)
    # Seen for the third time in 102: 1 s before is 77, its key frame 70; 2 s after 110 is 160.
    assert indices(path) == list(range(70, 161))
    np.testing.assert_allclose([moment for _, moment in played(path)], np.arange(91) / 25, atol=1e-3)
    assert (sink.status().written, sink.status().dropped) == (1, {})


def test_the_json_beside_it_says_what_was_seen(tmp_path: Path, long: Path) -> None:
    seen = person(range(100, 111)) | {105: [("person", 0.95), ("person", 0.6), ("dog", 0.7)]}
    began = time.time()
    sink = EventClipsSink(tmp_path, pre_roll_s=1, post_roll_s=2, min_free_bytes=0, min_frames=1)
    watched(sink, long, seen)
    (path,) = videos(tmp_path)
    record = note(path)
    assert (record["stream"], record["clip"]) == ("cam0", path.name)
    begin, end = (datetime.fromisoformat(record[key]) for key in ("begin", "end"))
    assert abs((end - begin).total_seconds() - (len(indices(path)) - 1) / 25) < 0.01
    assert abs(begin.timestamp() - began - indices(path)[0] / 25) < 5
    assert path.name.startswith(f"cam0-{begin:%Y-%m-%dT%H-%M-%SZ}")
    assert list(record["classes"]) == ["person", "dog"]
    assert record["classes"]["person"] == {
        "score": 0.95,
        "frames": 11,
        "first_s": round((100 - indices(path)[0]) / 25, 3),
        "box_xyxy": [0.0, 2.0, 30.0, 40.13],
    }
    assert record["classes"]["dog"]["box_xyxy"][0] == 2.0
    assert [path.suffix for path in sorted(path.parent.iterdir())] == [".json", ".mp4"]


def test_later_sightings_prolong_a_clip_and_later_still_begin_another(tmp_path: Path, long: Path) -> None:
    sink = EventClipsSink(tmp_path, pre_roll_s=0.4, post_roll_s=1, min_free_bytes=0)
    watched(sink, long, person(range(40, 50), range(70, 75), range(140, 150)))
    first, second = videos(tmp_path)
    assert indices(first) == list(range(30, 100))
    assert indices(second) == list(range(130, 175))


def test_clips_that_follow_closely_do_not_leave_a_gap(tmp_path: Path, long: Path) -> None:
    sink = EventClipsSink(tmp_path, pre_roll_s=4, post_roll_s=0.2, min_free_bytes=0)
    watched(sink, long, person(range(100, 110), range(130, 140)))
    first, second = (indices(path) for path in videos(tmp_path))
    assert (first[0], first[-1]) == (0, 114)
    assert (second[0], second[-1]) == (110, 144)


def test_what_goes_on_for_longer_is_several_clips(tmp_path: Path, long: Path) -> None:
    sink = EventClipsSink(tmp_path, pre_roll_s=0, post_roll_s=1, max_s=3, min_free_bytes=0)
    watched(sink, long, person(range(20, 220)))
    found = [indices(path) for path in videos(tmp_path)]
    assert len(found) == 3
    assert all(len(numbers) <= 76 for numbers in found)
    assert sorted({number for numbers in found for number in numbers}) == list(range(20, 236))


def test_a_clip_at_the_end_is_completed(tmp_path: Path, long: Path) -> None:
    sink = EventClipsSink(tmp_path, pre_roll_s=1, post_roll_s=5, min_free_bytes=0)
    watched(sink, long, person(range(230, 250)))
    (path,) = videos(tmp_path)
    assert indices(path)[-1] == 249
    assert note(path)["classes"]["person"]["frames"] == 18


def test_a_broken_connection_ends_a_clip_and_its_memory(tmp_path: Path, long: Path) -> None:
    sink = EventClipsSink(tmp_path, pre_roll_s=2, post_roll_s=2, min_free_bytes=0)
    for index, packet in camera(long, count=120):
        if index == 65:
            sink.event(Event("cam0", State.BACKOFF, "", "", 0))
        sink.tap("cam0")(packet)
        frame = frame_of(packet, index)
        sink.write(
            frame, [result(frame, [("person", 0.9)] if index in {*range(50, 60), *range(80, 85)} else ())]
        )
    sink.close()
    first, second = (indices(path) for path in videos(tmp_path))
    assert (first[0], first[-1]) == (0, 64)
    assert (second[0], second[-1]) == (70, 119)


def test_a_key_frame_long_ago_is_where_the_clip_begins(tmp_path: Path) -> None:
    clip = write_video(tmp_path / "clip.mp4", 200, g="1000")
    sink = EventClipsSink(tmp_path / "clips", pre_roll_s=1, post_roll_s=0.4, min_free_bytes=0)
    watched(sink, clip, person(range(150, 155)))
    (path,) = videos(tmp_path / "clips")
    assert indices(path) == list(range(165))


def test_without_any_key_frame_there_is_no_clip_and_it_is_counted(tmp_path: Path, long: Path) -> None:
    sink = EventClipsSink(tmp_path, min_free_bytes=0)
    for index, packet in camera(long, count=40):
        sink.tap("cam0")(replace(packet, key=False))
        frame = frame_of(packet, index)
        sink.write(frame, [result(frame, [("person", 0.9)])])
    sink.close()
    assert videos(tmp_path) == []
    assert sink.status().dropped == {"no_room": 40}


def test_streams_without_packets_have_a_pre_roll_too(tmp_path: Path) -> None:
    sink = EventClipsSink(tmp_path, pre_roll_s=1, post_roll_s=1, min_free_bytes=0)
    began = time.monotonic_ns()
    for index in range(150):
        frame = Frame(
            (numbered_picture(index),),
            index=index,
            time_s=index / 25,
            rate=25.0,
            received_ns=began + index * PICTURE_NS,
        )
        sink.write(frame, [result(frame, [("dog", 0.8)] if 70 <= index < 80 else ())])
    sink.close()
    (path,) = videos(tmp_path)
    assert indices(path) == list(range(25, 105))  # a key frame a second


def test_two_cameras_have_clips_of_their_own(tmp_path: Path, long: Path) -> None:
    sink = EventClipsSink(tmp_path, pre_roll_s=0, post_roll_s=0, min_free_bytes=0)
    for index, packet in camera(long, count=100):
        for stream, when in (("front", range(30, 40)), ("back", range(60, 80))):
            sink.tap(stream)(packet)
            frame = frame_of(packet, index, stream)
            sink.write(frame, [result(frame, [("person", 0.9)] if index in when else ())])
    sink.close()
    assert [indices(path)[-1] for path in videos(tmp_path / "front")] == [39]
    assert [indices(path)[-1] for path in videos(tmp_path / "back")] == [79]
    assert note(videos(tmp_path / "back")[0])["stream"] == "back"


@pytest.mark.parametrize(
    ("seen", "hits"),
    [
        ("x.x.x", [4]),
        ("xxx..x", [2, 5]),
        ("xxx..xx", [2, 5, 6]),
        ("xxx...x", [2]),
        ("xxxxxxx", [2, 3, 4, 5, 6]),
        ("xx...xx", []),
        ("x..x..x..x", []),
        ("", []),
    ],
)
def test_a_class_sets_it_off_in_three_of_five_frames(seen: str, hits: list[int]) -> None:
    trigger = Trigger((), min_conf=0.5, min_frames=3)
    frame = Frame((numbered_picture(0),))
    found = [
        index
        for index, here in enumerate(seen)
        if trigger.seen([result(frame, [("person", 0.9)] if here == "x" else [])])
    ]
    assert found == hits


def test_classes_and_scores_decide_and_models_add_up() -> None:
    frame = Frame((numbered_picture(0),))
    trigger = Trigger(["dog"], min_conf=0.5, min_frames=1)
    assert trigger.seen([result(frame, [("person", 0.9), ("dog", 0.49)])]) == {}
    assert set(trigger.seen([result(frame, [("person", 0.9)]), result(frame, [("dog", 0.5)])])) == {"dog"}
    assert trigger.seen([]) == {}
    anyone = Trigger((), min_conf=0.5, min_frames=1)
    joints = Keypoints(np.zeros((1, 2, 2), np.float32), np.ones((1, 2), np.float32))
    pose = replace(result(frame, [("person", 0.8)], task="pose"), keypoints=joints)
    assert set(anyone.seen([pose])) == {"person"}
    assert anyone.seen([replace(pose, boxes=None, task="segmentation")]) == {}
    mixed = Trigger((), min_conf=0.5, min_frames=2)
    mixed.seen([result(frame, [("dog", 0.9)])])
    assert mixed.seen([result(frame, [("person", 0.9)])]) == {}


def packets_for_ring(count: int, *, every: int = 5, size: int = 10) -> Iterator[tuple[Packet, Stamp]]:
    (template, *_) = [Packet(None, bytes(size), None, None, True, 0)]  # type: ignore[arg-type]
    for index in range(count):
        yield replace(template, key=index % every == 0, received_ns=index), Stamp(index, index)


def test_a_ring_keeps_whole_groups_back_to_a_key_frame() -> None:
    ring = Ring()
    for packet, stamp in packets_for_ring(23):
        ring.add(packet, stamp)
    ring.trim(14)
    assert [kept.number for kept in ring.since(0)] == list(range(10, 23))
    ring.trim(15)
    assert [kept.number for kept in ring.since(0)] == list(range(15, 23))
    assert [kept.number for kept in ring.since(20)] == [20, 21, 22]
    assert list(ring.since(23)) == []
    key = ring.key_before(19)
    assert key is not None
    assert key.number == 15
    assert (ring.at(18), ring.at(2), ring.at(99)) == (Stamp(18, 18), Stamp(15, 15), Stamp(22, 22))
    ring.clear()
    assert (ring.key_before(99), ring.at(99), list(ring.since(0))) == (None, None, [])


def test_a_ring_is_never_larger_than_it_may_be() -> None:
    ring = Ring(max_bytes=100)
    for packet, stamp in packets_for_ring(33):
        ring.add(packet, stamp)
        assert sum(len(kept.packet.data) for kept in ring.since(0)) <= 100
    assert [kept.number for kept in ring.since(0)] == list(range(25, 33))
    assert ring.dropped == 0
    for packet, stamp in packets_for_ring(33, every=30):
        ring.add(packet, stamp)
        assert sum(len(kept.packet.data) for kept in ring.since(0)) <= 100
    assert ring.dropped == 8 + 11 + 19 - 8


def test_memory_is_bounded_though_no_frame_comes(
    tmp_path: Path, long: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_clip, "LAG", 90_000)
    sink = EventClipsSink(tmp_path, pre_roll_s=1, min_free_bytes=0)
    for _, packet in camera(long):
        sink.tap("cam0")(packet)
        sink.work()
    held = list(sink._clips["cam0"]._ring.since(0))
    assert 2 * 25 <= len(held) <= 2 * 25 + 10
    assert sum(len(kept.packet.data) for kept in held) <= _ring.MAX_BYTES


def test_a_full_disk_costs_the_clip_and_the_next_is_written(
    tmp_path: Path, long: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_disk, "CHECK_S", 0.0)
    free = [0]
    monkeypatch.setattr(_disk, "free_bytes", lambda _: free[0])
    sink = EventClipsSink(tmp_path, pre_roll_s=0, post_roll_s=0.4, min_free_bytes=10**6)
    for index, packet in camera(long):
        if index == 150:
            free[0] = 10**9
        sink.tap("cam0")(packet)
        frame = frame_of(packet, index)
        sink.write(
            frame, [result(frame, [("person", 0.9)] if index in {*range(50, 60), *range(180, 190)} else ())]
        )
        if index == 100:
            assert (sink.status().state, sink.status().code) == ("paused", "disk_full")
    sink.close()
    (path,) = videos(tmp_path)
    assert indices(path) == list(range(180, 200))
    assert sink.status().state == "writing"
    assert sink.status().dropped["paused"] > 0


def test_old_clips_go_with_their_json(tmp_path: Path, long: Path) -> None:
    sink = EventClipsSink(tmp_path, pre_roll_s=0, post_roll_s=0.2, keep_bytes=1, min_free_bytes=0)
    watched(sink, long, person(range(50, 60), range(180, 190)))
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert sink.status().written == 2


def test_arguments_out_of_range_are_refused(tmp_path: Path) -> None:
    for min_frames in (0, 6):
        with pytest.raises(UsageError, match="min_frames"):
            EventClipsSink(tmp_path, min_frames=min_frames)
