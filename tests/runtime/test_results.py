"""Results speak the field's names: supervision takes them unchanged."""

import json

import numpy as np
import pytest

from vedette.runtime.frame import Frame
from vedette.runtime.results import Boxes, Keypoints, Masks, Result, no_boxes

sv = pytest.importorskip("supervision")

FRAME = Frame((np.full((40, 60, 3), 90, np.uint8),), source="a.png")
NAMES = {0: "person", 1: "bus", 2: "glass"}
BOXES = Boxes(
    np.array([[1, 2, 30, 20], [5, 5, 15, 15], [0, 0, 60, 40]], np.float32),
    np.array([0.9, 0.8, 0.7], np.float32),
    np.array([0, 1, 0]),
    orig_shape=(40, 60),
)


def detected(boxes: Boxes = BOXES) -> Result:
    return Result(FRAME, "toy", "detection", NAMES, boxes=boxes)


def test_supervision_takes_detections() -> None:
    found = sv.Detections.from_ultralytics(detected())
    np.testing.assert_array_equal(found.xyxy, BOXES.xyxy)
    np.testing.assert_array_equal(found.class_id, [0, 1, 0])
    np.testing.assert_allclose(found.confidence, BOXES.conf)
    assert list(found.data["class_name"]) == ["person", "bus", "person"]
    drawn = sv.BoxAnnotator().annotate(FRAME.bgr().copy(), found)
    assert (drawn != FRAME.bgr()).any()


def test_supervision_takes_track_identities() -> None:
    tracked = Boxes(BOXES.xyxy, BOXES.conf, BOXES.cls, (40, 60), id=np.array([7, 8, 9]))
    np.testing.assert_array_equal(sv.Detections.from_ultralytics(detected(tracked)).tracker_id, [7, 8, 9])


def test_supervision_takes_an_empty_result() -> None:
    assert len(sv.Detections.from_ultralytics(detected(no_boxes(FRAME)))) == 0


def test_supervision_takes_poses() -> None:
    xy = np.arange(2 * 18 * 2, dtype=np.float32).reshape(2, 18, 2)
    conf = np.linspace(0, 1, 36, dtype=np.float32).reshape(2, 18)
    result = Result(FRAME, "toy", "pose", {0: "person"}, boxes=BOXES[[0, 2]], keypoints=Keypoints(xy, conf))
    found = sv.KeyPoints.from_ultralytics(result)
    np.testing.assert_array_equal(found.xy, xy)
    np.testing.assert_allclose(found.keypoint_confidence, conf)


def test_supervision_takes_masks() -> None:
    mask = np.zeros((1, 40, 60), bool)
    mask[0, 3:20, 10:30] = True
    found = sv.Detections.from_ultralytics(Result(FRAME, "toy", "segmentation", NAMES, masks=Masks(mask)))
    np.testing.assert_array_equal(found.mask, mask)


def test_box_formats_agree() -> None:
    np.testing.assert_allclose(BOXES.xywh[1], [10, 10, 10, 10])
    np.testing.assert_allclose(BOXES.xyxyn[2], [0, 0, 1, 1])
    np.testing.assert_allclose(BOXES.xywhn[2], [0.5, 0.5, 1, 1])


def test_iterating_gives_one_object_at_a_time() -> None:
    assert [single.summary() for single in detected()] == ["1 person", "1 bus", "1 person"]
    assert detected()[1:].summary() == "1 person, 1 bus"


@pytest.mark.parametrize(
    ("classes", "told"),
    [([], "nothing"), ([0], "1 person"), ([1, 1, 0], "1 person, 2 buses"), ([2, 2], "2 glasses")],
)
def test_the_summary_counts_in_class_order(classes: list[int], told: str) -> None:
    count = len(classes)
    boxes = Boxes(
        np.zeros((count, 4), np.float32), np.ones(count, np.float32), np.array(classes, int), (40, 60)
    )
    assert detected(boxes).summary() == told


def test_json_is_one_line_and_reads_back() -> None:
    text = detected().to_json()
    assert "\n" not in text
    assert len(json.loads(text)["detections"]) == 3


def test_plotting_leaves_the_frame_alone() -> None:
    before = FRAME.bgr().copy()
    assert (detected().plot() != before).any()
    np.testing.assert_array_equal(FRAME.bgr(), before)
