from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from vedette.runtime.decoders import Candidates, Instances
from vedette.runtime.frame import Frame
from vedette.runtime.manifest import Decoder, Manifest, Resize
from vedette.runtime.preprocess import Placement, place
from vedette.runtime.results import Result
from vedette.runtime.tasks import Config
from vedette.runtime.tasks.detection import draw, finish, record

MANIFEST = Manifest("m", "detection", (), (), Decoder("fastestdet"), labels=("cat", "dog", "owl"))
DEFAULT = Config()
FRAME = Frame((np.zeros((100, 200, 3), np.uint8),))
LETTERBOX = Placement((200, 100), (100, 100), (100, 50), (0, 25))  # half size, 25 rows of padding above


def finished(
    boxes: Sequence[Sequence[float]],
    scores: Sequence[float],
    classes: Sequence[int],
    config: Config = DEFAULT,
    *,
    frame: Frame = FRAME,
    placement: Placement = LETTERBOX,
) -> Result:
    found = Candidates(
        np.array(boxes, np.float32).reshape(-1, 4), np.array(scores, np.float32), np.array(classes, int)
    )
    return finish(found, frame, placement, MANIFEST, config)


def test_boxes_move_from_the_letterbox_to_the_frame() -> None:
    result = finished([[10, 35, 60, 65]], [0.9], [1])
    assert result.boxes is not None
    assert result.boxes.xyxy.tolist() == [[20, 20, 120, 80]]
    assert result.boxes.xyxy.dtype == np.float32
    assert result.names[int(result.boxes.cls[0])] == "dog"


@pytest.mark.parametrize("size", [(640, 480), (481, 377), (33, 1000)])
@pytest.mark.parametrize("rule", ["letterbox", "stretch", "multiple"])
def test_the_whole_input_is_the_whole_picture(rule: str, size: tuple[int, int]) -> None:
    placement = place(size, (416, 416), Resize(rule, multiple=16))  # type: ignore[arg-type]
    rows, columns = placement.crop
    box = [float(side) for side in (columns.start, rows.start, columns.stop, rows.stop)]
    frame = Frame((np.zeros((size[1], size[0], 3), np.uint8),))
    result = finished([box], [0.9], [0], frame=frame, placement=placement)
    assert result.boxes is not None
    np.testing.assert_allclose(result.boxes.xyxy, [[0, 0, *size]], rtol=1e-6, atol=1e-4)


def test_boxes_are_clipped_and_those_outside_are_dropped() -> None:
    inside, above, out = [-10, 0, 50, 60], [10, 0, 20, 25], [110, 30, 120, 40]
    result = finished([out, above, inside], [0.9, 0.8, 0.7], [0, 1, 2])
    assert result.boxes is not None
    assert result.boxes.xyxy.tolist() == [[0, 0, 100, 70]]
    assert result.boxes.cls.tolist() == [2]


def test_overlaps_of_a_class_are_suppressed_above_the_users_iou() -> None:
    boxes = [[0, 30, 40, 70], [0, 30, 40, 60], [0, 30, 40, 70]]  # IoU 0.75
    arguments = boxes, [0.8, 0.9, 0.7], [0, 0, 1]
    kept = {iou: len(finished(*arguments, Config(iou=iou))) for iou in (0.7, 0.75, 0.8)}
    assert kept == {0.7: 2, 0.75: 3, 0.8: 3}


def test_classes_are_chosen_before_the_best_are_counted() -> None:
    boxes = [[10.0 * i, 30, 10 * i + 8, 40] for i in range(6)]
    result = finished(
        boxes, [0.9, 0.8, 0.7, 0.6, 0.5, 0.4], [0, 1, 2, 0, 1, 2], Config(classes=(1, 2), max_det=3)
    )
    assert result.boxes is not None
    np.testing.assert_allclose(result.boxes.conf, [0.8, 0.7, 0.5])


def test_the_record_is_the_contract() -> None:
    result = finished([[10.004, 35, 60, 65]], [0.9123456789], [1])
    detection = {"box_xyxy": [20.01, 20.0, 120.0, 80.0], "score": 0.91235, "class_id": 1, "label": "dog"}
    assert record(result) == {"detections": [detection]}
    assert result.boxes is not None
    tracked = replace(result, boxes=replace(result.boxes, id=np.array([3])))
    assert record(tracked) == {"detections": [{**detection, "track_id": 3}]}


def test_a_class_without_a_label_has_a_name() -> None:
    assert finished([[0, 30, 40, 70]], [0.9], [7]).summary() == "1 class 7"


def test_tracked_boxes_are_drawn_in_the_colour_of_their_track() -> None:
    result = finished([[10, 35, 60, 65]], [0.9], [1])
    assert result.boxes is not None
    tracked = replace(result, boxes=replace(result.boxes, id=np.array([5])))
    plain, other = np.zeros((100, 200, 3), np.uint8), np.zeros((100, 200, 3), np.uint8)
    draw(plain, result)
    draw(other, tracked)
    assert plain[80, 70].any()
    assert (plain[80, 70] != other[80, 70]).any()


def test_supervision_takes_the_result_unchanged() -> None:
    supervision = pytest.importorskip("supervision")
    result = finished([[10, 35, 60, 65], [0, 30, 5, 40]], [0.9, 0.5], [1, 0])
    detections = supervision.Detections.from_ultralytics(result)
    assert detections.xyxy.tolist() == [[20, 20, 120, 80], [0, 10, 10, 30]]
    assert detections.class_id.tolist() == [1, 0]


def test_boxes_of_instances_are_taken_unless_they_are_turned() -> None:
    candidates = Candidates(np.array([[10, 35, 60, 65]], np.float32), np.array([0.9]), np.array([1]))
    joints = np.ones((1, 17, 3), np.float32)
    found = finish(Instances(candidates, keypoints=joints), FRAME, LETTERBOX, MANIFEST, DEFAULT)
    assert found.summary() == "1 dog"
    assert found.keypoints is None
    with pytest.raises(ValueError, match="angle"):
        finish(Instances(candidates, angles=np.ones(1)), FRAME, LETTERBOX, MANIFEST, DEFAULT)


def test_what_the_network_has_suppressed_is_only_counted() -> None:
    boxes = np.tile(np.array([[10, 35, 60, 65]], np.float32), (3, 1))
    candidates = Candidates(boxes, np.array([0.5, 0.9, 0.7], np.float32), np.ones(3, int), suppress=False)
    found = finish(candidates, FRAME, LETTERBOX, MANIFEST, Config(max_det=2))
    assert found.boxes is not None
    np.testing.assert_allclose(found.boxes.conf, [0.9, 0.7])


def test_boxes_in_pixels_of_the_picture_stay_where_they_are() -> None:
    candidates = Candidates(
        np.array([[10, 35, 60, 65]], np.float32), np.array([0.9]), np.ones(1, int), in_image=True
    )
    found = finish(candidates, FRAME, LETTERBOX, MANIFEST, DEFAULT)
    assert found.boxes is not None
    assert found.boxes.xyxy.tolist() == [[10, 35, 60, 65]]
