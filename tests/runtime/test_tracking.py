"""What the tracker does with scores, gaps, classes, sizes and results of every kind."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from vedette.kernels.packed_masks import PackedMasks, packed, windows_of
from vedette.runtime.frame import Frame
from vedette.runtime.objects import ObjectMasks, OrientedBoxes
from vedette.runtime.results import Boxes, Keypoints, Result, Segmentation, no_boxes
from vedette.runtime.tracking import TrackConfig, Tracker
from vedette.runtime.tracking.tracker import NOBODY

NAMES = {0: "person", 1: "dog"}
LEFT, RIGHT = (10.0, 20.0, 30.0, 60.0), (100.0, 20.0, 120.0, 60.0)
Box = tuple[float, float, float, float]


def seen(
    time_s: float,
    boxes: Sequence[Box],
    scores: Sequence[float] = (),
    classes: Sequence[int] = (),
    size: tuple[int, int] = (200, 100),
) -> Result:
    """A result of one frame; scores are 0.9 and classes 0 unless they are given."""
    frame = Frame((np.zeros((size[1], size[0], 3), np.uint8),), time_s=time_s)
    conf = np.array(scores or [0.9] * len(boxes), np.float32)
    cls = np.array(classes or [0] * len(boxes), np.int64)
    found = Boxes(np.array(boxes, np.float32).reshape(-1, 4), conf, cls, size[::-1])
    return Result(frame, "toy", "detection", NAMES, boxes=found)


def ids(result: Result) -> list[int]:
    assert result.boxes is not None
    assert result.boxes.id is not None
    assert result.boxes.id.dtype == np.int64
    return [int(name) for name in result.boxes.id]


def moved(box: Box, by: float) -> Box:
    return box[0] + by, box[1], box[2] + by, box[3]


def test_an_identity_comes_with_the_second_frame_and_stays() -> None:
    tracker = Tracker()
    assert ids(tracker.update(seen(0.0, [LEFT, RIGHT]))) == [NOBODY, NOBODY]
    assert ids(tracker.update(seen(0.1, [LEFT, RIGHT]))) == [1, 2]
    assert ids(tracker.update(seen(0.2, [RIGHT, LEFT]))) == [2, 1]
    assert ids(Tracker(TrackConfig(confirm_frames=1)).update(seen(0.0, [LEFT, RIGHT]))) == [1, 2]


def test_what_shows_up_once_is_nobody_and_stays_in_the_result() -> None:
    tracker = Tracker()
    for step in range(8):
        blip = [(50.0, 70.0, 60.0, 90.0)] if step % 2 else []  # at one place, but never twice in a row
        named = ids(tracker.update(seen(step / 10, [LEFT, *blip])))
        assert named[1:] == [NOBODY] * len(blip)
    assert named[0] == 1


def test_a_low_score_goes_on_with_a_track_but_begins_none() -> None:
    tracker = Tracker(TrackConfig(conf=0.5))
    for step in range(6):
        result = tracker.update(seen(step / 10, [LEFT, RIGHT], [0.9 if step < 3 else 0.2, 0.3]))
        assert len(result) == 1  # RIGHT scores less than conf and is nobody's
    assert ids(result) == [1]
    assert result.boxes is not None
    assert float(result.boxes.conf[0]) == np.float32(0.2)


def test_a_score_below_the_low_one_is_not_looked_at() -> None:
    tracker = Tracker()
    for step in range(3):
        tracker.update(seen(step / 10, [LEFT]))
    assert len(tracker.update(seen(0.3, [LEFT], [0.09]))) == 0


@pytest.mark.parametrize(("conf", "lowest"), [(0.25, 0.1), (0.5, 0.1), (0.05, 0.05)])
def test_the_model_is_run_with_the_lower_score(conf: float, lowest: float) -> None:
    assert TrackConfig(conf=conf).detection_conf == lowest


def test_new_and_high_thresholds_stand_alone_where_they_are_set() -> None:
    tracker = Tracker(TrackConfig(conf=0.2, new_track_thresh=0.6))
    for step in range(3):
        result = tracker.update(seen(step / 10, [LEFT, RIGHT], [0.7, 0.5]))
    assert ids(result) == [1, NOBODY]
    assert ids(tracker.update(seen(0.3, [LEFT, RIGHT], [0.3, 0.5]))) == [1, NOBODY]
    strict = Tracker(TrackConfig(conf=0.2, track_high_thresh=0.6))
    for step in range(3):
        strict.update(seen(step / 10, [LEFT]))
    strict.update(seen(0.3, []))
    assert ids(strict.update(seen(0.4, [LEFT], [0.5]))) == [
        NOBODY
    ]  # a low score does not bring back what was lost


@pytest.mark.parametrize("rate", [5.0, 30.0])
def test_what_is_lost_is_remembered_for_seconds_not_frames(rate: float) -> None:
    for absent_s, expected in ((0.8, 1), (1.3, NOBODY)):
        tracker = Tracker()
        times = np.arange(0, 1.01, 1 / rate)
        for time_s in times:
            tracker.update(seen(float(time_s), [LEFT, RIGHT]))
        for time_s in np.arange(times[-1], times[-1] + absent_s - 1e-6, 1 / rate)[1:]:
            tracker.update(seen(float(time_s), [RIGHT]))
        assert ids(tracker.update(seen(float(times[-1]) + absent_s, [LEFT, RIGHT]))) == [expected, 2]


def test_a_long_gap_ends_all_and_no_identity_is_used_again() -> None:
    tracker = Tracker()
    given: set[int] = set()
    for start in (0.0, 5.0, 10.0):
        for step in range(3):
            named = ids(tracker.update(seen(start + step / 10, [LEFT, RIGHT])))
        assert not given & set(named)
        given |= set(named)
    assert given == {1, 2, 3, 4, 5, 6}


@pytest.mark.parametrize("keep", [1, 3, 5])
def test_dropped_frames_change_nothing(keep: int) -> None:
    """A walker of 20 pixels' width at 150 a second: between kept frames it goes as far as 30."""
    tracker = Tracker()
    named = []
    for step in range(60):
        if step < 10 or step % keep == 0:
            box = moved(LEFT, 150 * step / 25)
            named += ids(tracker.update(seen(step / 25, [box], size=(600, 100))))
    assert set(named[1:]) == {1}


def test_who_crosses_keeps_the_own_identity() -> None:
    """The two pass through one another, and neither is found while they do."""
    tracker = Tracker()
    for step in range(40):
        first, second = moved(LEFT, 5.0 * step), moved((210.0, 20.0, 230.0, 60.0), -5.0 * step)
        hidden = abs(first[0] - second[0]) < 25
        result = tracker.update(seen(step / 25, [] if hidden else [first, second], size=(400, 100)))
        if step > 0 and not hidden:
            assert ids(result) == [1, 2]


def test_a_push_of_the_camera_is_survived() -> None:
    tracker = Tracker()
    for step in range(30):
        result = tracker.update(
            seen(step / 25, [moved(box, 8.0 if step > 20 else 0.0) for box in (LEFT, RIGHT)])
        )
    assert ids(result) == [1, 2]


def test_a_box_is_one_track_s() -> None:
    """A second box on the same object begins a track, which then finds nothing of its own."""
    tracker = Tracker()
    for step in range(3):
        tracker.update(seen(step / 10, [LEFT]))
    assert ids(tracker.update(seen(0.3, [LEFT, moved(LEFT, 4)]))) == [1, NOBODY]
    for step in range(4, 8):
        assert ids(tracker.update(seen(step / 10, [LEFT]))) == [1]


def test_identities_do_not_jump_between_classes_unless_told() -> None:
    for aware, expected in ((True, [NOBODY]), (False, [1])):
        tracker = Tracker(TrackConfig(class_aware=aware))
        for step in range(3):
            tracker.update(seen(step / 10, [LEFT]))
        assert ids(tracker.update(seen(0.3, [LEFT], classes=[1]))) == expected


def test_streams_are_apart() -> None:
    one, other = Tracker(), Tracker()
    for step in range(3):
        assert len(set(ids(one.update(seen(step / 10, [LEFT, RIGHT]))))) in {1, 2}
        last = ids(other.update(seen(step / 10, [RIGHT])))
    assert last == [1]


def test_a_suspect_frame_counts() -> None:
    tracker = Tracker()
    for step in range(3):
        result = seen(step / 10, [LEFT])
        named = tracker.update(replace(result, frame=replace(result.frame, suspect=True)))
    assert ids(named) == [1]


def test_empty_frames() -> None:
    tracker = Tracker()
    empty = seen(0.0, [])
    assert ids(tracker.update(replace(empty, boxes=no_boxes(empty.frame)))) == []
    tracker.update(seen(0.1, [LEFT]))
    assert ids(tracker.update(seen(0.2, [LEFT]))) == [1]
    assert ids(tracker.update(seen(0.3, []))) == []
    assert ids(tracker.update(seen(0.4, [LEFT]))) == [1]


def test_another_picture_size_changes_nothing() -> None:
    tracker = Tracker()
    for step in range(10):
        tracker.update(seen(step / 25, [moved(LEFT, 2.0 * step), RIGHT]))
    for step in range(10, 20):
        boxes = [tuple(2 * side for side in box) for box in (moved(LEFT, 2.0 * step), RIGHT)]
        result = tracker.update(seen(step / 25, boxes, size=(400, 200)))  # type: ignore[arg-type]
        assert ids(result) == [1, 2]


def test_results_without_boxes_are_given_back() -> None:
    frame = Frame((np.zeros((4, 4, 3), np.uint8),))
    labels = Segmentation(np.zeros((4, 4), np.int16), np.ones((1, 4, 4), np.float32))
    result = Result(frame, "toy", "segmentation", {0: "road"}, segmentation=labels)
    assert Tracker().update(result) is result


def test_what_is_dropped_is_dropped_from_every_part() -> None:
    joints = Keypoints(np.arange(12, dtype=np.float32).reshape(2, 3, 2), np.ones((2, 3), np.float32))
    tracker = Tracker()
    for step in range(3):
        plain = seen(step / 10, [RIGHT, LEFT], [0.2, 0.9])
        masks = ObjectMasks(_masks(plain))
        assert plain.boxes is not None
        turned = OrientedBoxes(
            np.ones((2, 5), np.float32), plain.boxes.conf, plain.boxes.cls, plain.boxes.orig_shape
        )
        result = tracker.update(replace(plain, task="instances", masks=masks, keypoints=joints, obb=turned))
    assert ids(result) == [1]
    assert result.obb is not None
    assert result.obb.id is not None
    assert result.keypoints is not None
    assert result.masks is not None
    np.testing.assert_array_equal(result.obb.id, [1])
    np.testing.assert_array_equal(result.keypoints.xy, joints.xy[1:])
    assert result.masks.data.shape[0] == 1
    assert result.masks.data[0].sum() == 20 * 40


def _masks(result: Result) -> PackedMasks:
    """Every pixel of every box."""
    assert result.boxes is not None
    windows = windows_of(result.boxes.xyxy, result.frame.size)
    words = [packed(np.ones((height, width), bool)) for width, height in windows[:, 2:].tolist()]
    return PackedMasks(result.frame.size, windows, tuple(words))


def test_people_of_a_pose_are_tracked_by_the_box_around_them() -> None:
    tracker = Tracker(TrackConfig(conf=0.4))
    for step in range(3):
        plain = seen(step / 10, [LEFT])
        joints = Keypoints(np.full((1, 2, 2), 20, np.float32), np.ones((1, 2), np.float32))
        result = tracker.update(replace(plain, task="pose", keypoints=joints))
    assert result.to_dict()["poses"][0]["track_id"] == 1


def test_nobody_has_no_identity_in_json_and_in_the_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    from vedette.runtime import draw

    texts: list[str] = []
    monkeypatch.setattr(draw, "box", lambda image, xyxy, text, colour: texts.append(text))
    tracker = Tracker()
    for step in range(3):
        result = tracker.update(seen(step / 10, [LEFT, RIGHT] if step == 2 else [LEFT]))
    first, second = result.to_dict()["detections"]
    assert first["track_id"] == 1
    assert "track_id" not in second
    result.plot()
    assert sorted(texts) == ["person #1 0.90", "person 0.90"]
