import json
from dataclasses import asdict, replace

import numpy as np
import pytest

from vedette.runtime.decoders import People
from vedette.runtime.decoders.openpose import BODY_25, COCO_18, Parameters
from vedette.runtime.decoders.trt_pose import COCO_17_AND_NECK
from vedette.runtime.frame import Frame
from vedette.runtime.manifest import Decoder, Manifest
from vedette.runtime.preprocess import Placement
from vedette.runtime.results import Keypoints, Result
from vedette.runtime.tasks import Config
from vedette.runtime.tasks.pose import COCO_KEYPOINTS, coco_keypoints, finish, openpose_json, record

MANIFEST = Manifest("m", "pose", (), (), Decoder("openpose", asdict(COCO_18)), labels=("person",))
DEFAULT = Config()
FRAME = Frame((np.zeros((100, 200, 3), np.uint8),))
HALF = Placement((200, 100), (112, 50), (100, 50))  # half size, 12 columns of padding to the right


def finished(
    people: list[dict[int, tuple[float, float]]], scores: list[float], config: Config = DEFAULT
) -> Result:
    """People as {joint: (x, y)} in input pixels, every joint with score 0.5."""
    xy = np.zeros((len(people), 18, 2), np.float32)
    joint_scores = np.zeros((len(people), 18), np.float32)
    for row, person in enumerate(people):
        for joint, place in person.items():
            xy[row, joint], joint_scores[row, joint] = place, 0.5
    return finish(
        People(xy, joint_scores, np.array(scores, np.float32), COCO_18.skeleton),
        FRAME,
        HALF,
        MANIFEST,
        config,
    )


def test_joints_move_by_the_centres_of_pixels() -> None:
    result = finished([{0: (0, 0), 1: (49.5, 24.5)}], [0.9])
    assert result.keypoints is not None
    # the first input pixel covers frame pixels 0 and 1, whose centres lie about 0.5
    assert result.keypoints.xy[0, :2].tolist() == [[0.5, 0.5], [99.5, 49.5]]
    assert result.skeleton == COCO_18.skeleton


def test_missing_joints_stay_at_zero() -> None:
    result = finished([{4: (20, 20)}], [0.9])
    assert result.keypoints is not None
    assert np.flatnonzero(result.keypoints.conf[0]).tolist() == [4]
    assert not np.delete(result.keypoints.xy[0], 4, axis=0).any()


def test_joints_in_the_padding_are_clipped_to_the_picture() -> None:
    result = finished([{0: (110, 20), 1: (-3, 60)}], [0.9])
    assert result.keypoints is not None
    assert result.keypoints.xy[0, :2].tolist() == [[199, 40.5], [0, 99]]


def test_boxes_are_tight_around_the_joints_that_were_found() -> None:
    result = finished([{0: (10, 5), 1: (30, 5), 9: (20, 45)}], [0.7])
    assert result.boxes is not None
    assert result.boxes.xyxy.tolist() == [[20.5, 10.5, 60.5, 90.5]]
    assert result.boxes.conf == pytest.approx([0.7])
    assert result.boxes.cls.tolist() == [0]


def test_people_come_best_first_and_scores_end_at_one() -> None:
    result = finished([{0: (1, 1)}, {1: (1, 1)}, {2: (1, 1)}, {}], [0.5, 1.2, 1.6, 1.9], Config(max_det=2))
    assert result.keypoints is not None
    assert result.boxes is not None
    assert result.keypoints.conf.argmax(axis=1).tolist() == [2, 1]
    assert result.boxes.conf.tolist() == [1, 1]


def test_chosen_classes_of_a_detector_do_not_hide_people() -> None:
    assert finished([{0: (1, 1)}], [0.5], Config(classes=(2, 7))).summary() == "1 person"


def test_the_record_is_the_contract() -> None:
    result = finished([{0: (10, 5), 2: (30, 5)}], [0.7654321])
    (pose,) = record(result)["poses"]
    assert pose["score"] == 0.76543
    assert pose["keypoints"][:4] == [[20.5, 10.5, 0.5], None, [60.5, 10.5, 0.5], None]
    assert len(pose["keypoints"]) == 18
    assert set(pose) == {"score", "keypoints"}
    assert result.boxes is not None
    tracked = replace(result, boxes=replace(result.boxes, id=np.array([3])))
    assert record(tracked)["poses"][0]["track_id"] == 3
    assert tracked.plot().any()


def test_supervision_takes_the_result_unchanged() -> None:
    supervision = pytest.importorskip("supervision")
    keypoints = supervision.KeyPoints.from_ultralytics(finished([{0: (10, 5), 2: (30, 5)}], [0.7]))
    assert keypoints.xy.shape == (1, 18, 2)


def test_openpose_json_is_version_one_point_one() -> None:
    document = openpose_json(finished([{0: (10, 5), 2: (30, 5)}, {1: (1, 1)}], [0.7, 0.6]))
    assert json.loads(json.dumps(document)) == document
    assert document["version"] == 1.1
    assert len(document["people"]) == 2
    person = document["people"][0]
    assert person["pose_keypoints_2d"][:9] == [20.5, 10.5, 0.5, 0, 0, 0, 60.5, 10.5, 0.5]
    assert len(person["pose_keypoints_2d"]) == 18 * 3
    assert (
        person["face_keypoints_2d"]
        == person["hand_left_keypoints_2d"]
        == person["hand_right_keypoints_2d"]
        == []
    )
    assert openpose_json(finished([], [])) == {"version": 1.1, "people": []}


@pytest.mark.parametrize("parameters", [COCO_18, BODY_25, COCO_17_AND_NECK])
def test_coco_keypoints_are_found_by_name(parameters: Parameters) -> None:
    names = parameters.keypoint_names
    xy = np.stack([np.arange(len(names)), 2 * np.arange(len(names))], axis=1)[None].astype(np.float32)
    ordered = coco_keypoints(Keypoints(xy, np.full((1, len(names)), 0.5, np.float32)), names)
    assert ordered.shape == (1, 17, 3)
    assert [names[int(x)] for x in ordered[0, :, 0]] == list(COCO_KEYPOINTS)
    assert (ordered[0, :, 1] == 2 * ordered[0, :, 0]).all()
    assert (ordered[..., 2] == 0.5).all()


def test_a_joint_that_the_model_lacks_is_missing_in_coco_order() -> None:
    keypoints = Keypoints(np.ones((2, 1, 2), np.float32), np.ones((2, 1), np.float32))
    ordered = coco_keypoints(keypoints, ("right_ankle",))
    assert ordered[:, 16].tolist() == [[1, 1, 1]] * 2
    assert not ordered[:, :16].any()


def test_twenty_five_joints_are_drawn_with_twenty_four_limbs() -> None:
    xy = np.random.default_rng(0).uniform(10, 90, (1, 25, 2)).astype(np.float32)
    people = People(xy, np.ones((1, 25), np.float32), np.ones(1, np.float32), BODY_25.skeleton)
    result = finish(
        people, FRAME, HALF, replace(MANIFEST, decoder=Decoder("openpose", asdict(BODY_25))), DEFAULT
    )
    assert result.keypoints is not None
    assert len(result.skeleton) == 24
    picture = result.plot()
    for x, y in np.rint(result.keypoints.xy[0]).astype(int):
        assert picture[y, x].any()
