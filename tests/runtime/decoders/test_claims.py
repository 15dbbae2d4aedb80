"""What can be told from shapes, and what from the classes and the input's size that an exporter's metadata give."""

import pytest

from vedette.runtime.decoders import end_to_end, mask_rcnn, rfdetr, rtdetr, ssd, yolov3, yolov5, yolov8, yolox
from vedette.runtime.decoders._boxes import CENTRED, Extras, is_grid
from vedette.runtime.manifest import Output


def one(*shape: int, name: str = "output0") -> list[Output]:
    return [Output(name, shape)]


def with_prototypes(*shape: int) -> list[Output]:
    return [*one(*shape), Output("output1", (1, 32, 160, 160))]


@pytest.mark.parametrize(
    ("outputs", "classes", "extras"),
    [
        (one(1, 84, 8400), 0, Extras()),
        (one(1, 5, 2100), 0, Extras()),
        (one(-1, 84, -1), 0, Extras()),
        (one(1, 14, 8400), 10, Extras()),
        (one(1, 20, 21504), 15, Extras(angle=True)),
        (one(1, 56, 8400), 1, Extras(keypoints=17)),
        (with_prototypes(1, 116, 8400), 0, Extras(masks=32)),
        (with_prototypes(1, 37, 8400), 1, Extras(masks=32)),
    ],
)
def test_v8_is_told_by_its_channels(outputs: list[Output], classes: int, extras: Extras) -> None:
    claimed = yolov8.claims(outputs, classes=classes)
    assert claimed == yolov8.Parameters(extras=extras)
    assert yolov8.roles(outputs) == dict(
        zip(("output0", "output1"), ("predictions", "prototypes")[: len(outputs)], strict=False)
    )


@pytest.mark.parametrize(
    ("outputs", "classes"),
    [
        (one(1, 56, 8400), 0),
        (one(1, 84, 8000), 0),
        (one(1, 4, 8400), 0),
        (one(1, 12, 8400), 2),
    ],
)
def test_v8_is_not_guessed(outputs: list[Output], classes: int) -> None:
    assert yolov8.claims(outputs, classes=classes) is None


def test_a_transposed_v8_is_told_by_coco_s_classes() -> None:
    assert yolov8.claims(one(1, 8400, 84)) == yolov8.Parameters("rows")
    assert yolov8.claims(one(1, 8400, 85)) is None


def test_three_anchors_a_cell_are_told_from_one() -> None:
    assert yolov5.claims(one(1, 25200, 85)) == yolov5.Parameters()
    assert yolov5.claims(with_prototypes(1, 25200, 117)) == yolov5.Parameters(extras=Extras(masks=32))
    assert yolox.claims(one(1, 25200, 85, name="output")) is None
    assert yolov5.claims(one(1, 8400, 85)) is None
    # 1280 x 960 has as many cells as 640 x 640 has anchors
    assert yolov5.claims(one(1, 25200, 85), input_size=(1280, 960)) is None
    assert yolox.claims(one(1, 25200, 85, name="output"), input_size=(1280, 960)) == yolox.Parameters()


@pytest.mark.parametrize(
    ("anchors", "size"), [(8400, (640, 640)), (5040, (640, 384)), (34000, (1280, 1280)), (34000, (640, 640))]
)
def test_a_grid_is_that_of_the_input(anchors: int, size: tuple[int, int]) -> None:
    assert is_grid(anchors, 1, size)
    assert not is_grid(anchors + 21, 1, size)
    assert is_grid(anchors, 1, None) == (anchors != 5040)  # which is not square


def test_end_to_end_extras_are_told_by_their_columns() -> None:
    assert end_to_end.claims(one(1, 300, 6)) == end_to_end.Parameters()
    assert end_to_end.claims(one(1, 300, 57)) == end_to_end.Parameters(extras=Extras(keypoints=17))
    assert end_to_end.claims(with_prototypes(1, 300, 38)) == end_to_end.Parameters(extras=Extras(masks=32))
    assert end_to_end.claims(one(1, 6, 8400)) is None
    assert end_to_end.claims(one(1, 8400, 6)) is None
    assert end_to_end.claims(one(1, 300, 7)) == end_to_end.Parameters(CENTRED, Extras(angle=True))
    assert end_to_end.claims(one(1, 25200, 6)) is None  # YOLOv5's of one class
    assert end_to_end.claims(one(1, 300, 8)) is None


def test_labels_are_told_from_scores_by_their_type() -> None:
    outputs = [Output("a", (1, 300), "int64"), Output("b", (1, 300, 4)), Output("c", (1, 300))]
    assert rtdetr.roles(outputs) == {"a": "labels", "b": "boxes", "c": "scores"}


def test_heads_are_ordered_by_size() -> None:
    heads = [Output("a", (1, 255, 13, 13)), Output("b", (1, 255, 52, 52)), Output("c", (1, 255, 26, 26))]
    assert yolov3.roles(heads) == {"b": "head_0", "c": "head_1", "a": "head_2"}
    assert yolov3.roles(heads[:2]) is None
    names = ("139_convolutional", "150_convolutional", "161_convolutional")
    v4 = [Output(name, (1, 255, side, side)) for name, side in zip(names, (52, 26, 13), strict=True)]
    assert (claimed := yolov3.claims(v4)) is not None
    assert claimed.anchors == yolov3.YOLOV4_ANCHORS


def test_transformers_names_are_believed_and_detr_s_own_columns_end_in_a_softmax() -> None:
    def outputs(classes: int) -> list[Output]:
        return [Output("logits", (1, 300, classes)), Output("pred_boxes", (1, 300, 4))]

    assert rfdetr.claims(outputs(80)) == rfdetr.Parameters()
    detr = rfdetr.Parameters(activation="softmax", no_object=1, multi_label=False)
    assert rfdetr.claims(outputs(92)) == detr
    assert rfdetr.claims(outputs(6), classes=5) == detr


def test_few_boxes_are_no_priors() -> None:
    assert ssd.claims([Output("scores", (1, 300, 21)), Output("boxes", (1, 300, 4))]) is None


def test_one_picture_s_outputs_of_torchvision_are_known() -> None:
    boxes = [Output("boxes", (-1, 4)), Output("labels", (-1,), "int64"), Output("scores", (-1,))]
    assert mask_rcnn.claims(boxes) == mask_rcnn.Parameters()
    masks = [*boxes, Output("masks", (-1, 1, -1, -1))]
    assert mask_rcnn.claims(masks) == mask_rcnn.Parameters(masks="whole")
    joints = [*boxes, Output("keypoints", (-1, 17, 3)), Output("keypoints_scores", (-1, 17))]
    assert mask_rcnn.claims(joints) == mask_rcnn.Parameters(keypoints=True)
