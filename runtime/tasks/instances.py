"""Instances: boxes with what else a network knows of each object: its mask, its keypoints, or its angle.

In: decoders.Instances.  Out: a Result with boxes, best first, and masks, keypoints or obb beside them.
Next: kernels/assemble_masks.py.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from vedette.kernels.assemble_masks import assemble_masks, enlarge_masks, paste_masks
from vedette.kernels.nms import nms_rotated
from vedette.kernels.packed_masks import Axis, PackedMasks, axis, windows_of
from vedette.runtime.decoders import Candidates, Instances, Maps, Prototyped
from vedette.runtime.frame import Array, Frame
from vedette.runtime.manifest import Manifest
from vedette.runtime.objects import ObjectMasks, OrientedBoxes
from vedette.runtime.preprocess import Placement
from vedette.runtime.results import Boxes, Keypoints, Result
from vedette.runtime.rle import encode_packed
from vedette.runtime.tasks import Config, names_of
from vedette.runtime.tasks.detection import best, chosen, detection, on_frame
from vedette.runtime.tasks.detection import draw as draw_boxes

DEFAULT_CONF = 0.25
DRAWN = 0.25  # joints that score less are not
COCO_17 = (
    *((15, 13), (13, 11), (16, 14), (14, 12), (11, 12), (5, 11), (6, 12), (5, 6), (5, 7), (6, 8), (7, 9)),
    *((8, 10), (1, 2), (0, 1), (0, 2), (1, 3), (2, 4), (3, 5), (4, 6)),
)


def finish(
    decoded: Instances | Candidates, frame: Frame, placement: Placement, manifest: Manifest, config: Config
) -> Result:
    """Keep the chosen classes, suppress what overlaps, and move what is left onto the frame."""
    found = decoded if isinstance(decoded, Instances) else Instances(decoded)
    if found.angles is not None:
        return _oriented(found, found.angles, frame, placement, manifest, config)
    return placed(found[best(found.boxes, config)], frame, placement, manifest)


def placed(kept: Instances, frame: Frame, placement: Placement, manifest: Manifest) -> Result:
    """Objects that nothing suppresses, best first, moved onto the frame; those outside the picture are dropped."""
    boxes, inside = on_frame(kept.boxes, frame, placement)
    kept = kept[inside]
    joints = _keypoints(kept, frame, placement)
    return Result(
        frame=frame,
        model=manifest.name,
        task="instances",
        names=names_of(manifest, boxes.cls),
        boxes=boxes,
        masks=None if kept.masks is None else ObjectMasks(_masks(kept.masks, boxes.xyxy, placement)),
        keypoints=joints,
        skeleton=COCO_17 if joints is not None and joints.xy.shape[1] == 17 else (),
    )


def _masks(masks: Prototyped | Maps | PackedMasks, boxes_xyxy: Array, placement: Placement) -> PackedMasks:
    """Masks at the size of the picture; those of boxes end where they do."""
    size = placement.size
    if isinstance(masks, PackedMasks):
        return masks
    if isinstance(masks, Prototyped):
        axes = map_axes(masks.prototypes.shape[1:], placement)
        return assemble_masks(masks.coefficients, masks.prototypes, windows_of(boxes_xyxy, size), *axes)
    if masks.cover == "box":
        return paste_masks(masks.values, boxes_xyxy, size, threshold=masks.threshold)
    everywhere = np.tile(np.array([0, 0, *size]), (len(masks.values), 1))
    shape = masks.values.shape[1:]
    axes = map_axes(shape, placement if masks.cover == "input" else Placement(size, size, size))
    return enlarge_masks(masks.values, everywhere, *axes, threshold=masks.threshold)


def map_axes(shape: tuple[int, ...], placement: Placement) -> tuple[Axis, Axis]:
    """Columns and rows of the picture over maps [h, w] that lie over the network's whole input, without its padding."""
    across, down = (_map_axis(shape[1 - way], placement, way) for way in range(2))
    return across, down


def _map_axis(values: int, placement: Placement, way: int) -> Axis:
    cells = values / placement.input_size[way]  # of a pixel of the input
    start, extent = placement.offset[way] * cells, placement.scaled[way] * cells
    return axis(
        placement.size[way], values,
        gain=extent / placement.size[way], start=start, within=(start, start + extent - 1),
    )  # fmt: skip


def _keypoints(kept: Instances, frame: Frame, placement: Placement) -> Keypoints | None:
    """Joints on the frame, clipped to it; those that are no numbers, or score 0, are missing."""
    if (joints := kept.keypoints) is None:
        return None
    xy = joints[..., :2] if kept.boxes.in_image else placement.to_image(joints[..., :2])
    found = np.isfinite(joints).all(axis=2) & (joints[..., 2] > 0)
    conf = np.where(found, joints[..., 2].clip(0, 1), 0).astype(np.float32)
    clipped = np.clip(xy, 0, np.array(frame.size, np.float32))
    return Keypoints(np.where(found[..., None], clipped, 0).astype(np.float32), conf)


def _oriented(
    found: Instances, angles: Array, frame: Frame, placement: Placement, manifest: Manifest, config: Config
) -> Result:
    """Boxes with an angle: they are suppressed as such; upright ones around them stand in for them elsewhere."""
    rows = chosen(found.boxes, config)
    xywhr = _turned(found.boxes.boxes_xyxy, angles)[rows]
    boxes = found.boxes[rows]
    iou = config.iou if boxes.suppress else np.inf
    keep = nms_rotated(xywhr, boxes.scores, boxes.class_ids, iou_threshold=iou, max_det=config.max_det)
    placed = _placed(
        xywhr[keep], Placement(frame.size, frame.size, frame.size) if boxes.in_image else placement
    )
    shape = frame.size[::-1]
    oriented = OrientedBoxes(placed, boxes.scores[keep], boxes.class_ids[keep], shape)
    upright = replace(boxes[keep], boxes_xyxy=oriented.xyxy, in_image=True)
    around, inside = on_frame(upright, frame, placement)
    return Result(
        frame=frame,
        model=manifest.name,
        task="instances",
        names=names_of(manifest, around.cls),
        boxes=around,
        obb=oriented[inside],
    )


def _turned(boxes_xyxy: Array, angles: Array) -> Array:
    """float32 [N, 5] centre, width, height and angle."""
    low, high = boxes_xyxy[:, :2], boxes_xyxy[:, 2:]
    return np.concatenate([(low + high) / 2, high - low, angles[:, None]], axis=1)


def _placed(xywhr: Array, placement: Placement) -> Array:
    """On the frame, the angle from 0 to pi / 2 as the field has it. Where axes have other gains, sides keep their directions."""
    gain = np.array(placement.scaled, np.float32) / np.array(placement.size, np.float32)
    angle = xywhr[:, 4]
    along = np.stack([np.cos(angle), np.sin(angle)], axis=1) * xywhr[:, 2:3] / gain
    across = np.stack([-np.sin(angle), np.cos(angle)], axis=1) * xywhr[:, 3:4] / gain
    swapped = (angle % np.pi >= np.pi / 2)[:, None]
    first, second = np.where(swapped, across, along), np.where(swapped, along, across)
    turned = np.arctan2(first[:, 1], first[:, 0]) % np.pi
    sides = [np.hypot(*first.T), np.hypot(*second.T), turned % (np.pi / 2)]
    return np.concatenate([placement.to_image(xywhr[:, :2]), np.stack(sides, axis=1)], axis=1).astype(
        np.float32
    )


def record(result: Result) -> dict[str, Any]:
    """The task's part of the JSON record: what a detection has, and mask and keypoints where there are any."""
    return {"instances": [_instance(result, index) for index in range(len(result))]}


def _instance(result: Result, index: int) -> dict[str, Any]:
    assert result.boxes is not None
    parts: dict[str, Any] = {}
    if isinstance(result.masks, ObjectMasks):
        parts["mask"] = encode_packed(result.masks.packed, index)
    if result.keypoints is not None:
        joints = zip(result.keypoints.xy[index].tolist(), result.keypoints.conf[index].tolist(), strict=True)
        parts["keypoints"] = [
            [round(x, 2), round(y, 2), round(s, 5)] if s > 0 else None for (x, y), s in joints
        ]
    if result.obb is not None:
        parts["box_xywhr"] = [round(float(value), 4) for value in result.obb.xywhr[index]]
    return {**detection(result.boxes, index, result), **parts}


def draw(image: Array, result: Result) -> None:
    """Masks as tints, then boxes, upright or not, then keypoints."""
    assert result.boxes is not None
    colour = _colours(result.boxes)
    _draw_masks(image, result, colour)
    if result.obb is None:
        draw_boxes(image, result)
    else:
        _draw_oriented(image, result, colour)
    _draw_keypoints(image, result)


def _colours(boxes: Boxes) -> Callable[[int], tuple[int, int, int]]:
    """The colour of an object: of its track, or of its class."""
    from vedette.runtime.draw import colour_of

    def colour(index: int) -> tuple[int, int, int]:
        track = boxes.track(index)
        return colour_of(int(boxes.cls[index]) if track is None else track)

    return colour


def _draw_masks(image: Array, result: Result, colour: Callable[[int], tuple[int, int, int]]) -> None:
    from vedette.runtime.draw import tint

    if not isinstance(result.masks, ObjectMasks):
        return
    masks = result.masks.packed
    for index in reversed(range(len(masks))):
        left, top, width, height = masks.windows[index].tolist()
        if width and height:
            part = image[top : top + height, left : left + width]
            tint(part, masks.window(index), colour(index))


def _draw_oriented(image: Array, result: Result, colour: Callable[[int], tuple[int, int, int]]) -> None:
    import cv2

    from vedette.runtime.draw import line_width

    assert result.obb is not None
    assert result.boxes is not None
    width = line_width(image)
    for index, corners in reversed(list(enumerate(result.obb.xyxyxyxy.round().astype(np.int32)))):
        track = result.boxes.track(index)
        words = [result.names[int(result.obb.cls[index])], "" if track is None else f"#{track}"]
        text = " ".join([word for word in words if word] + [f"{result.obb.conf[index]:.2f}"])
        cv2.polylines(image, [corners], True, colour(index), width, cv2.LINE_AA)
        at = corners[corners[:, 1].argmin()].tolist()
        cv2.putText(
            image, text, at, cv2.FONT_HERSHEY_SIMPLEX, width / 3 + 0.1, colour(index), width, cv2.LINE_AA
        )


def _draw_keypoints(image: Array, result: Result) -> None:
    from vedette.runtime.draw import skeleton

    if result.keypoints is None:
        return
    for xy, conf in zip(result.keypoints.xy[::-1], result.keypoints.conf[::-1], strict=True):
        skeleton(image, xy, np.where(conf >= DRAWN, conf, 0), result.skeleton)
