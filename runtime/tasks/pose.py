"""Pose: people as joints.

In: decoders.People.  Out: a Result with keypoints and, around them, boxes; best person first.
Also what other programs read: OpenPose's JSON, and keypoints in COCO's order.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from vedette.runtime.decoders import People
from vedette.runtime.frame import Array, Frame
from vedette.runtime.manifest import Manifest
from vedette.runtime.preprocess import Placement
from vedette.runtime.results import Boxes, Keypoints, Result
from vedette.runtime.tasks import Config, names_of

DEFAULT_CONF = 0.4
COCO_KEYPOINTS = (
    *(
        "nose",
        "left_eye",
        "right_eye",
        "left_ear",
        "right_ear",
        "left_shoulder",
        "right_shoulder",
        "left_elbow",
    ),
    *("right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee"),
    *("left_ankle", "right_ankle"),
)


def finish(decoded: People, frame: Frame, placement: Placement, manifest: Manifest, config: Config) -> Result:
    """Move the best people onto the frame.

    Joints are clipped to the picture. Scores above 1 (OpenPose's go to 2) are reported as 1, after sorting.
    `config.classes` is not applied: the only class is the person.
    """
    order = np.argsort(-decoded.scores, kind="stable")
    order = order[(decoded.joint_scores[order] > 0).any(axis=1)][: config.max_det]
    conf = decoded.joint_scores[order]
    width, height = frame.size
    xy = placement.to_image(decoded.xy[order] + 0.5) - 0.5  # it counts from the edge, joints from a centre
    xy = np.clip(xy, 0, np.array([width - 1, height - 1], np.float32))
    xy = np.where(conf[..., None] > 0, xy, 0).astype(np.float32)
    people = np.zeros(len(order), np.int64)
    boxes = Boxes(_around(xy, conf), decoded.scores[order].clip(max=1), people, orig_shape=(height, width))
    return Result(
        frame=frame,
        model=manifest.name,
        task="pose",
        names=names_of(manifest, people) if manifest.labels else {0: "person"},
        boxes=boxes,
        keypoints=Keypoints(xy, conf),
        skeleton=decoded.skeleton,
    )


def _around(xy: Array, conf: Array) -> Array:
    """Tight boxes [P, 4] around the joints [P, K, 2] that were found."""
    found = conf[..., None] > 0
    low = np.where(found, xy, np.inf).min(axis=1)
    high = np.where(found, xy, -np.inf).max(axis=1)
    return np.concatenate([low, high], axis=1).astype(np.float32)


def record(result: Result) -> dict[str, Any]:
    """The task's part of the JSON record: joints in pixels, to a hundredth; null where one is missing."""
    assert result.keypoints is not None
    assert result.boxes is not None
    return {"poses": [_pose(result.keypoints, result.boxes, index) for index in range(len(result))]}


def _pose(keypoints: Keypoints, boxes: Boxes, index: int) -> dict[str, Any]:
    joints = zip(keypoints.xy[index].tolist(), keypoints.conf[index].tolist(), strict=True)
    pose = {
        "score": round(float(boxes.conf[index]), 5),
        "keypoints": [[round(x, 2), round(y, 2), round(s, 5)] if s > 0 else None for (x, y), s in joints],
    }
    return pose if (track := boxes.track(index)) is None else {**pose, "track_id": track}


def openpose_json(result: Result) -> dict[str, Any]:
    """OpenPose's JSON 1.1: each person's joints in the model's order, x, y and score side by side, 0, 0, 0 where one is missing.

    Source: CMU OpenPose doc/02_output.md.
    """
    assert result.keypoints is not None
    joints = np.concatenate([result.keypoints.xy, result.keypoints.conf[..., None]], axis=-1)
    flat = ("face_keypoints_2d", "hand_left_keypoints_2d", "hand_right_keypoints_2d")
    others = (*flat, *(name.replace("2d", "3d") for name in ("pose_keypoints_2d", *flat)))
    people = [
        {
            "pose_keypoints_2d": [round(float(value), 5) for value in person.ravel()],
            **{name: [] for name in others},
        }
        for person in joints
    ]
    return {"version": 1.1, "people": people}


def coco_keypoints(keypoints: Keypoints, names: Sequence[str]) -> Array:
    """People in COCO's order of its 17 keypoints: float32 [P, 17, 3], x, y and score; 0 where `names` has no such joint.

    Args:
        keypoints: of a Result.
        names: of its joints: `keypoint_names` in the manifest's decoder parameters.
    """
    joints = np.concatenate([keypoints.xy, keypoints.conf[..., None]], axis=-1)
    ordered = np.zeros((len(joints), len(COCO_KEYPOINTS), 3), np.float32)
    for place, name in enumerate(COCO_KEYPOINTS):
        if name in names:
            ordered[:, place] = joints[:, list(names).index(name)]
    return ordered


def draw(image: Array, result: Result) -> None:
    """Skeletons, the best on top; tracked people have their number beside them."""
    from vedette.runtime.draw import box, colour_of, skeleton

    keypoints, boxes = result.keypoints, result.boxes
    assert keypoints is not None
    assert boxes is not None
    for index in reversed(range(len(keypoints))):
        if (track := boxes.track(index)) is not None:
            box(image, boxes.xyxy[index], f"#{track}", colour_of(track))
        skeleton(image, keypoints.xy[index], keypoints.conf[index], result.skeleton)
