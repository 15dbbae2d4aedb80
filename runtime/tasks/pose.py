"""Pose: people as joints.

In: decoders.People.  Out: a Result with keypoints and, around them, boxes; best person first.
"""

from typing import Any

import numpy as np

from vedette.runtime.decoders import People
from vedette.runtime.frame import Array, Frame
from vedette.runtime.manifest import Manifest
from vedette.runtime.preprocess import Placement
from vedette.runtime.results import Boxes, Keypoints, Result
from vedette.runtime.tasks import Config, names_of

DEFAULT_CONF = 0.4


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
    return pose if boxes.id is None else {**pose, "track_id": int(boxes.id[index])}


def draw(image: Array, result: Result) -> None:
    """Skeletons, the best on top; tracked people have their number beside them."""
    from vedette.runtime.draw import box, colour_of, skeleton

    keypoints, boxes = result.keypoints, result.boxes
    assert keypoints is not None
    assert boxes is not None
    for index in reversed(range(len(keypoints))):
        if boxes.id is not None:
            track = int(boxes.id[index])
            box(image, boxes.xyxy[index], f"#{track}", colour_of(track))
        skeleton(image, keypoints.xy[index], keypoints.conf[index], result.skeleton)
