from dataclasses import replace

import numpy as np
import pytest

from vedette.runtime.decoders import Candidates, Instances, Maps, Prototyped
from vedette.runtime.frame import Frame
from vedette.runtime.manifest import Decoder, Manifest
from vedette.runtime.preprocess import Placement
from vedette.runtime.results import Result
from vedette.runtime.rle import decode, encode
from vedette.runtime.tasks import Config
from vedette.runtime.tasks.instances import finish, record

MANIFEST = Manifest("m", "instances", (), (), Decoder("yolov8"), labels=("cat", "dog"))
DEFAULT = Config()
FRAME = Frame((np.zeros((100, 200, 3), np.uint8),))
LETTERBOX = Placement((200, 100), (100, 100), (100, 50), (0, 25))  # half size, 25 rows of padding above
PROTOTYPES = np.ones((1, 25, 25), np.float32)


def candidates(boxes: list[list[float]], classes: list[int] | None = None) -> Candidates:
    scores = np.linspace(0.9, 0.5, len(boxes)).astype(np.float32)
    return Candidates(np.array(boxes, np.float32), scores, np.array(classes or [1] * len(boxes)))


def finished(
    found: Instances | Candidates, config: Config = DEFAULT, placement: Placement = LETTERBOX
) -> Result:
    return finish(found, FRAME, placement, MANIFEST, config)


def everywhere(count: int) -> Prototyped:
    return Prototyped(np.ones((count, 1), np.float32), PROTOTYPES)


def test_what_belongs_to_a_box_stays_with_it() -> None:
    boxes: list[list[float]] = [
        [110, 30, 120, 40],
        [10, 35, 60, 65],
        [10, 35, 60, 66],
        [70, 30, 90, 40],
        [0, 30, 5, 40],
    ]
    masks = Prototyped(
        np.array([[1], [1], [1], [-1], [1]], np.float32), PROTOTYPES
    )  # the last but one has none
    joints = np.repeat(np.arange(5, dtype=np.float32), 6).reshape(5, 2, 3) + np.array(
        [0, 25, 0.5], np.float32
    )
    found = Instances(candidates(boxes, [0, 1, 1, 1, 0]), masks, joints)
    result = finished(found)  # the first is outside, the third suppressed
    assert result.boxes is not None
    assert result.masks is not None
    assert result.keypoints is not None
    assert result.boxes.xyxy.tolist() == [[20, 20, 120, 80], [140, 10, 180, 30], [0, 10, 10, 30]]
    assert [int(mask.sum()) for mask in result.masks.data] == [100 * 60, 0, 10 * 20]
    assert result.masks.data[0, 20:80, 20:120].all()
    assert result.keypoints.xy[:, 0].tolist() == [[2, 2], [6, 6], [8, 8]]
    only = finished(found, Config(classes=(0,)))
    assert len(only) == len(only.masks or ()) == len(only.keypoints or ()) == 1


def test_a_part_of_a_result_keeps_its_masks() -> None:
    result = finished(Instances(candidates([[10, 35, 60, 65], [70, 30, 90, 40]]), everywhere(2)))
    part = result[1]
    assert part.masks is not None
    np.testing.assert_array_equal(part.masks.data, result.masks.data[1:])  # type: ignore[union-attr]
    assert len(list(result)) == 2


def test_the_record_is_the_contract() -> None:
    joints = np.array([[[10, 30, 0.5], [20, 40, 0], [np.nan, 40, 0.9]]], np.float32)
    result = finished(Instances(candidates([[10, 35, 60, 65]]), everywhere(1), joints))
    (instance,) = record(result)["instances"]
    assert instance.pop("mask") == encode(result.masks.data[0])  # type: ignore[union-attr]
    assert instance == {
        "box_xyxy": [20.0, 20.0, 120.0, 80.0],
        "score": 0.9,
        "class_id": 1,
        "label": "dog",
        "keypoints": [[20.0, 10.0, 0.5], None, None],
    }
    assert result.boxes is not None
    tracked = replace(result, boxes=replace(result.boxes, id=np.array([3])))
    assert record(tracked)["instances"][0]["track_id"] == 3
    assert set(record(finished(candidates([[10, 35, 60, 65]])))["instances"][0]) == {
        "box_xyxy", "score", "class_id", "label",
    }  # fmt: skip


def test_a_mask_of_the_picture_need_not_end_at_its_box() -> None:
    maps = Maps(np.ones((1, 10, 10), np.float32), 0.5)
    result = finished(Instances(candidates([[10, 35, 60, 65]]), maps))
    assert decode(record(result)["instances"][0]["mask"]).all()


def test_where_axes_have_other_gains_sides_keep_their_directions() -> None:
    found = Instances(candidates([[40, 40, 60, 50]]), angles=np.zeros(1, np.float32))
    result = finished(found, placement=Placement((200, 100), (100, 100), (100, 100)))
    assert result.obb is not None
    assert result.boxes is not None
    np.testing.assert_allclose(result.obb.xywhr, [[100, 45, 40, 10, 0]], atol=1e-5)
    np.testing.assert_allclose(result.boxes.xyxy, [[80, 40, 120, 50]], atol=1e-5)


def test_masks_boxes_angles_and_joints_are_drawn() -> None:
    masked = finished(Instances(candidates([[10, 35, 60, 65]]), everywhere(1))).plot()
    assert masked[50, 70].any()  # within the box
    assert not masked[50, 150].any()
    turned = finished(Instances(candidates([[10, 35, 60, 65]]), angles=np.array([0.5], np.float32))).plot()
    assert turned.any()
    joint = np.array([[[30, 50, 0.9], [35, 55, 0.1]]], np.float32)
    alone = finished(Instances(candidates([[10, 35, 60, 65]]), keypoints=joint)).plot()
    assert alone[50, 60].any()
    assert not alone[60, 70].any()  # hardly visible


def test_supervision_takes_masks_and_angles_unchanged() -> None:
    supervision = pytest.importorskip("supervision")
    result = finished(Instances(candidates([[10, 35, 60, 65], [70, 30, 90, 40]]), everywhere(2)))
    detections = supervision.Detections.from_ultralytics(result)
    np.testing.assert_array_equal(detections.mask, result.masks.data)  # type: ignore[union-attr]
    assert detections.class_id.tolist() == [1, 1]
    empty = finished(Instances(candidates([[110, 30, 120, 40]]), everywhere(1)))
    assert len(supervision.Detections.from_ultralytics(empty)) == 0
    turned = finished(Instances(candidates([[10, 35, 60, 65]]), angles=np.array([0.5], np.float32)))
    oriented = supervision.Detections.from_ultralytics(turned)
    assert oriented.data["xyxyxyxy"].shape == (1, 4, 2)
    joints = np.ones((1, 17, 3), np.float32)
    people = finished(Instances(candidates([[10, 35, 60, 65]]), keypoints=joints))
    assert supervision.KeyPoints.from_ultralytics(people).xy.shape == (1, 17, 2)
