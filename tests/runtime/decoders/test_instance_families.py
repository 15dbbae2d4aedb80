"""Known masks, keypoints and angles, written into raw outputs by hand, come back through the whole runtime."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from encoders import SIZE, cells, centred
from toy import with_manifest

from vedette import Model
from vedette.runtime.backends import replay
from vedette.runtime.decoders import Instances, mask_rcnn
from vedette.runtime.frame import Array, Frame
from vedette.runtime.manifest import Decoder, Input, Manifest, Output, Resize
from vedette.runtime.results import Result

RESIZES = {
    "centred": Resize("letterbox"),
    "top-left": Resize("letterbox", "top-left"),
    "bottom-right": Resize("letterbox", "bottom-right"),
    "stretched": Resize("stretch"),
}
PICTURE = (200, 90)
BOXES = np.array([[10, 8, 90, 60], [120.4, 30, 200, 90], [30, 61.7, 110, 88]])  # picture pixels, apart
SCORES = np.array([0.9, 0.8, 0.7])
FAMILIES = ("yolov8", "yolov5", "end_to_end")


def onto(resize: Resize) -> tuple[Array, Array]:
    """Gain and offset of the picture in the input, by hand."""
    own, target = np.array(PICTURE), np.array(SIZE)
    if resize.rule == "stretch":
        return target / own, np.zeros(2)
    new = np.round(own * (target / own).min())
    spare = target - new
    offset = {"centre": np.round(spare / 2 - 0.1), "top-left": spare * 0, "bottom-right": spare}
    return new / own, offset[resize.anchor]


def table(family: str, boxes: Array, extras: Array) -> dict[str, Array]:
    """Boxes in input pixels as the family has them, of class 1 of 2, each with its extra columns."""
    count = {"yolov8": cells(SIZE), "yolov5": 3 * cells(SIZE), "end_to_end": 20}[family]
    score = {"yolov8": [0, 1], "yolov5": [1, 0, 1], "end_to_end": [1, 0]}[family]
    rows = np.zeros((count, 4 + len(score) + extras.shape[1]))
    for index, (box, value, extra) in enumerate(zip(boxes, SCORES, extras, strict=True)):
        scores = (
            [value, 1]
            if family == "end_to_end"
            else [s * (1 if i < len(score) - 1 else value) for i, s in enumerate(score)]
        )
        rows[5 * index + 1] = [*box, *scores, *extra]
    return (
        {"detections": rows}
        if family == "end_to_end"
        else {"predictions": rows.T if family == "yolov8" else rows}
    )


def run(
    folder: Path, family: str, parameters: Mapping[str, Any], arrays: Mapping[str, Array], resize: Resize
) -> Result:
    """The result of two of the same picture in a batch, after both are found to be equal."""
    any_batch, one, four = ((batch, 3, *SIZE[::-1]) for batch in (-1, 1, 4))
    pixels = Input("images", any_batch, "float32", one, one, four, pixel_format="bgr", resize=resize)
    outputs = tuple(Output(f"o_{role}", (-1, *array.shape), role=role) for role, array in arrays.items())
    manifest = Manifest(
        "m", "instances", (pixels,), outputs, Decoder(family, dict(parameters)), labels=("cat", "person")
    )
    path = folder / "m.npz"
    replay.record(path, {f"o_{role}": array[None].astype(np.float32) for role, array in arrays.items()})
    frame = Frame((np.zeros((*PICTURE[::-1], 3), np.uint8),))
    first, second = Model(with_manifest(path, manifest)).runner().submit([frame, frame]).results()
    assert json_of(first) == json_of(second)
    return first


def json_of(result: Result) -> Any:
    return result.to_dict()["instances"]


def corners(boxes: Array, resize: Resize) -> Array:
    gain, offset = onto(resize)
    inside: Array = boxes * np.tile(gain, 2) + np.tile(offset, 2)
    return inside


def box_columns(family: str, boxes: Array) -> Array:
    return boxes if family == "end_to_end" else np.array([centred(box) for box in boxes])


SLOPES = np.array([[1.0, -0.4], [-0.3, 1.0], [0.2, -1.0]])  # a mask: a x + b y + c > 0 in prototypes


@pytest.mark.parametrize("resize", RESIZES)
@pytest.mark.parametrize("family", FAMILIES)
def test_masks_are_enlarged_and_then_cropped(family: str, resize: str, tmp_path: Path) -> None:
    shape = (24, 40)  # a quarter of the input
    y, x = np.mgrid[: shape[0], : shape[1]]
    prototypes = np.stack([x, y, np.ones(shape)])
    inside = corners(BOXES, RESIZES[resize])
    middles = (inside[:, :2] + inside[:, 2:]) / 8 - 0.5
    planes = np.concatenate([SLOPES, 0.07 - (SLOPES * middles).sum(axis=1, keepdims=True)], axis=1)
    arrays = {**table(family, box_columns(family, inside), planes), "prototypes": prototypes}
    result = run(tmp_path, family, {"extras": {"masks": 3}}, arrays, RESIZES[resize])
    assert result.masks is not None
    assert result.masks.data.shape == (3, 90, 200)
    gain, offset = onto(RESIZES[resize])
    for mask, box, plane in zip(result.masks.data, BOXES, planes, strict=True):
        expected, sure = half_plane(plane, box, gain / 4, offset / 4, shape)
        np.testing.assert_array_equal(mask[sure], expected[sure])
        assert sure.mean() > 0.95
        assert 0.4 < mask.sum() / ((box[2] - box[0]) * (box[3] - box[1])) < 0.6


def half_plane(
    plane: Array, box: Array, gain: Array, offset: Array, shape: tuple[int, int]
) -> tuple[Array, Array]:
    """The mask that a linear function makes, which linear interpolation keeps, and where rounding cannot tell."""
    column, row = np.meshgrid(np.arange(PICTURE[0]) + 0.5, np.arange(PICTURE[1]) + 0.5)
    u = np.clip(column * gain[0] + offset[0] - 0.5, 0, shape[1] - 1)
    v = np.clip(row * gain[1] + offset[1] - 0.5, 0, shape[0] - 1)
    value = plane[0] * u + plane[1] * v + plane[2]
    left, top = column - 0.5, row - 0.5
    inside = (left >= box[0]) & (left < box[2]) & (top >= box[1]) & (top < box[3])
    return inside & (value > 0), np.abs(value) > 1e-3


@pytest.mark.parametrize("resize", RESIZES)
@pytest.mark.parametrize("values", [2, 3])
@pytest.mark.parametrize("family", FAMILIES)
def test_keypoints_come_back(family: str, values: int, resize: str, tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    joints = random.uniform(0, PICTURE, (3, 17, 2))
    joints[0, 0], joints[1, 1] = (0, 0), PICTURE  # the edge
    visible = random.uniform(0.1, 1, (3, 17, 1))
    gain, offset = onto(RESIZES[resize])
    columns = np.concatenate([joints * gain + offset, visible], axis=2)[..., :values].reshape(3, -1)
    boxes = box_columns(family, corners(BOXES, RESIZES[resize]))
    parameters = {"extras": {"keypoints": 17, "keypoint_values": values}}
    result = run(tmp_path, family, parameters, table(family, boxes, columns), RESIZES[resize])
    assert result.keypoints is not None
    assert result.boxes is not None
    np.testing.assert_allclose(result.boxes.xyxy, BOXES, atol=1e-3)
    np.testing.assert_allclose(result.keypoints.xy, joints, atol=1e-3)
    np.testing.assert_allclose(result.keypoints.conf, visible[..., 0] if values == 3 else 1, atol=1e-6)
    assert len(result.skeleton) > 10
    assert result.plot().any()


@pytest.mark.parametrize("resize", ["centred", "top-left", "bottom-right"])
@pytest.mark.parametrize("family", ["yolov8", "end_to_end"])
def test_angles_come_back(family: str, resize: str, tmp_path: Path) -> None:
    xywhr = np.array([[50, 40, 60, 20, 0.3], [150, 45, 18, 50, -0.4], [100, 70, 30, 30.5, 1.2]])
    gain, offset = onto(RESIZES[resize])
    scaled = np.concatenate([xywhr[:, :2] * gain + offset, xywhr[:, 2:4] * gain], axis=1)
    parameters = {"extras": {"angle": True}, "box": {"format": "cxcywh"}}
    result = run(tmp_path, family, parameters, table(family, scaled, xywhr[:, 4:]), RESIZES[resize])
    assert result.obb is not None
    assert result.boxes is not None
    regular = [
        [50, 40, 60, 20, 0.3],
        [150, 45, 50, 18, np.pi / 2 - 0.4],
        [100, 70, 30, 30.5, 1.2],
    ]
    np.testing.assert_allclose(result.obb.xywhr[:, :4], np.array(regular)[:, :4], atol=1e-3)
    np.testing.assert_allclose(result.obb.xywhr[:, 4], np.array(regular)[:, 4], atol=1e-3)
    assert (result.boxes.xyxy[0] == result.obb.xyxy[0]).all()
    assert json_of(result)[0]["box_xywhr"][:2] == pytest.approx([50, 40], abs=1e-3)


def test_turned_boxes_are_suppressed_as_they_lie(tmp_path: Path) -> None:
    crossed = np.array([[80, 48, 60, 6, 0.6], [80, 48, 60, 6, 0.62], [80, 48, 60, 6, -0.6]])
    parameters = {"extras": {"angle": True}}
    arrays = table("yolov8", crossed[:, :4], crossed[:, 4:])
    result = run(tmp_path, "yolov8", parameters, arrays, RESIZES["stretched"])
    assert result.obb is not None
    assert len(result) == 2
    np.testing.assert_allclose(result.obb.conf, SCORES[[0, 2]], atol=1e-6)


def test_overlapping_instances_of_an_end_to_end_network_all_stay(tmp_path: Path) -> None:
    boxes = np.tile(corners(BOXES[:1], RESIZES["centred"]), (3, 1))
    prototypes = np.ones((1, 4, 5))
    arrays = {**table("end_to_end", boxes, np.ones((3, 1))), "prototypes": prototypes}
    result = run(tmp_path, "end_to_end", {"extras": {"masks": 1}}, arrays, RESIZES["centred"])
    assert [int(mask.sum()) for mask in result.masks.data] == [80 * 52] * 3  # type: ignore[union-attr]


# ---- Mask R-CNN


def regions(boxes: Array, count: int = 5) -> dict[str, Array]:
    """The first are found, the rest score 0.01."""
    rows = np.zeros((count, 4))
    rows[: len(boxes)] = boxes
    scores = np.full(count, 0.01)
    scores[: len(boxes)] = SCORES[: len(boxes)]
    return {"boxes": rows, "labels": np.ones(count), "scores": scores}


@pytest.mark.parametrize("units", ["pixels", "image"])
@pytest.mark.parametrize("resize", RESIZES)
def test_soft_masks_of_the_whole_picture_are_cut_at_a_half(units: str, resize: str, tmp_path: Path) -> None:
    gain, offset = onto(RESIZES[resize])
    size = SIZE if units == "pixels" else PICTURE
    boxes = corners(BOXES, RESIZES[resize]) if units == "pixels" else BOXES
    masks = np.zeros((5, 1, *size[::-1]))
    masks[:3, 0, :, : size[0] // 2], masks[:3, 0, :, size[0] // 2] = 1, 0.5
    parameters = {"masks": "whole", "box": {"units": units}}
    result = run(tmp_path, "mask_rcnn", parameters, {**regions(boxes), "masks": masks}, RESIZES[resize])
    assert result.masks is not None
    assert result.boxes is not None
    np.testing.assert_allclose(result.boxes.xyxy, BOXES, atol=1e-3)
    edge = size[0] // 2 + 1 if units == "image" else (size[0] // 2 + 0.5 - offset[0]) / gain[0]
    for mask in result.masks.data:
        assert mask.all(axis=0).nonzero()[0].tolist() == list(range(round(edge - 0.01)))


def test_masks_of_boxes_are_pasted_as_their_authors_do(tmp_path: Path) -> None:
    import cv2

    random = np.random.default_rng(0)
    masks = (
        cv2.GaussianBlur(random.random((28, 28 * 5)), (9, 9), 3)
        .reshape(28, 5, 28)
        .transpose(1, 0, 2)[:, None]
    )
    masks = (masks - masks.min()) / np.ptp(masks)
    arrays = {**regions(BOXES), "masks": masks}
    result = run(
        tmp_path, "mask_rcnn", {"masks": "box", "box": {"units": "image"}}, arrays, RESIZES["centred"]
    )
    assert result.masks is not None
    for found, soft, box in zip(result.masks.data, masks[:, 0], BOXES, strict=False):
        pasted = paste(soft.astype(np.float32), box)
        sure = np.abs(pasted - 0.5) > 1e-4
        np.testing.assert_array_equal(found[sure], pasted[sure] > 0.5)
        assert found.any()


def paste(soft: Array, box: Sequence[float]) -> Array:
    """By the words of the convention: a margin of 1, the box grown with it, cut to whole pixels, + 1, bilinear."""
    import cv2

    x1, y1, x2, y2 = box
    grow = 30 / 28
    cx, cy, w, h = (x1 + x2) / 2, (y1 + y2) / 2, (x2 - x1) * grow / 2, (y2 - y1) * grow / 2
    left, top, right, bottom = int(cx - w), int(cy - h), int(cx + w), int(cy + h)
    enlarged = cv2.resize(
        np.pad(soft, 1), (right - left + 1, bottom - top + 1), interpolation=cv2.INTER_LINEAR
    )
    canvas = np.zeros((400, 500), np.float32)
    canvas[100 + top : 101 + bottom, 100 + left : 101 + right] = enlarged
    return canvas[100 : 100 + PICTURE[1], 100 : 100 + PICTURE[0]]


def test_keypoints_of_regions_come_back_with_how_sure_they_are(tmp_path: Path) -> None:
    joints = np.ones((5, 17, 3))
    joints[..., :2] = np.random.default_rng(0).uniform(0, PICTURE, (5, 17, 2))
    arrays = {**regions(BOXES), "keypoints": joints, "keypoint_scores": np.full((5, 17), np.log(3.0))}
    result = run(
        tmp_path, "mask_rcnn", {"keypoints": True, "box": {"units": "image"}}, arrays, RESIZES["centred"]
    )
    assert result.keypoints is not None
    np.testing.assert_allclose(result.keypoints.xy, joints[:3, :, :2], atol=1e-3)
    np.testing.assert_allclose(result.keypoints.conf, 0.75, atol=1e-6)


@pytest.mark.parametrize("count", [0, 4])
def test_no_detection_is_a_result(count: int, tmp_path: Path) -> None:
    arrays = {
        **regions(BOXES[:0], count),
        "masks": np.zeros((count, 1, 28, 28)),
        "keypoints": np.zeros((count, 17, 3)),
    }
    result = run(tmp_path, "mask_rcnn", {"masks": "box", "keypoints": True}, arrays, RESIZES["centred"])
    assert (len(result), json_of(result)) == (0, [])
    assert result.masks is not None
    assert result.masks.data.shape == (0, 90, 200)


def test_outputs_of_one_picture_have_no_batch() -> None:
    arrays = {**regions(BOXES), "masks": np.ones((5, 1, 28, 28))}
    outputs = tuple(Output(role, (-1, *array.shape[1:]), role=role) for role, array in arrays.items())
    manifest = Manifest("m", "instances", (), outputs, Decoder("mask_rcnn"))
    values = {role: array.astype(np.float32) for role, array in arrays.items()}
    (found,) = mask_rcnn.decode(values, manifest, mask_rcnn.Parameters(masks="box"), 0.25, input_size=SIZE)
    assert isinstance(found, Instances)
    np.testing.assert_allclose(found.boxes.boxes_xyxy, BOXES, atol=1e-4)


@pytest.mark.parametrize("count", [0, 3])
def test_torchvision_s_own_export_runs_a_picture_at_a_time(count: int, tmp_path: Path) -> None:
    """Its outputs are boxes [k, 4], labels and scores [k], masks [k, 1, H, W] and joints [k, K, 3], without a batch."""
    scores = {"scores": SCORES[:count], "labels": np.ones(count)}
    masks = np.zeros((count, 1, *SIZE[::-1]))
    masks[..., : SIZE[0] // 2] = 1
    joints = np.ones((count, 17, 3))
    joints[..., :2] = corners(BOXES, RESIZES["stretched"])[:count, None, :2]
    arrays = {
        "boxes": corners(BOXES, RESIZES["stretched"])[:count],
        **scores,
        "masks": masks,
        "keypoints": joints,
    }
    outputs = tuple(Output(role, (-1, *array.shape[1:]), role=role) for role, array in arrays.items())
    pixels = Input(
        "images",
        (-1, 3, *SIZE[::-1]),
        maximum=(4, 3, *SIZE[::-1]),
        pixel_format="bgr",
        resize=RESIZES["stretched"],
    )
    parameters = {"masks": "whole", "keypoints": True}
    manifest = Manifest(
        "m", "instances", (pixels,), outputs, Decoder("mask_rcnn", parameters), labels=("a", "b")
    )
    path = unbatched(tmp_path, arrays)
    runner = Model(with_manifest(path, manifest)).runner()
    assert runner.max_batch == 1
    frames = [Frame((np.zeros((*PICTURE[::-1], 3), np.uint8),)) for _ in range(2)]
    for result in runner.submit(frames).results():
        assert len(result) == count
        assert result.boxes is not None
        assert result.keypoints is not None
        np.testing.assert_allclose(result.boxes.xyxy, BOXES[:count], atol=1e-3)
        np.testing.assert_allclose(result.keypoints.xy[:, 0], BOXES[:count, :2], atol=1e-3)
        assert all(mask[:, : PICTURE[0] // 2 - 1].all() for mask in result.masks.data)  # type: ignore[union-attr]


def unbatched(folder: Path, arrays: Mapping[str, Array]) -> Path:
    """A graph without a batch, which gives these arrays whatever the picture."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    nodes, weights = [helper.make_node("ReduceMax", ["images"], ["bright"], keepdims=0)], []
    nodes.append(helper.make_node("Mul", ["bright", "zero"], ["nothing"]))
    for name, array in {"zero": np.zeros(()), **arrays}.items():
        own = name if name == "zero" else f"{name}_values"
        weights.append(numpy_helper.from_array(array.astype(np.float32), own))
        if name != "zero":
            nodes.append(helper.make_node("Add", ["nothing", own], [name]))
    images = helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", 3, *SIZE[::-1]])
    infos = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["k", *array.shape[1:]])
        for name, array in arrays.items()
    ]
    graph = helper.make_graph(nodes, "unbatched", [images], infos, weights)
    path = folder / "unbatched.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))
    return path


def test_maps_of_queries_are_cut_at_zero(tmp_path: Path) -> None:
    boxes = np.array([centred(box) for box in corners(BOXES, RESIZES["stretched"]) / np.tile(SIZE, 2)])
    logits = np.full((3, 2), -9.0)
    logits[:, 1] = np.log(SCORES / (1 - SCORES))
    masks = np.where(np.arange(40) < 20, 1.0, -1.0) * np.ones((3, 24, 1))
    arrays = {"boxes": boxes, "logits": logits, "masks": masks}
    result = run(tmp_path, "rfdetr", {"masks": True}, arrays, RESIZES["stretched"])
    assert result.masks is not None
    assert (result.masks.data == (np.arange(200) < 100)).all()
