"""What shapes leave open is told by a run: units, formats, classes, channels, activations, and how pictures are prepared."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from foreign import Array, cells, constant_model

from vedette import Model
from vedette.export._answers import answer_of
from vedette.export.adopt import adopt
from vedette.runtime.errors import ModelError, UsageError
from vedette.runtime.facts import Hints
from vedette.runtime.manifest import Manifest

SIZE = (96, 64)
BOX = (28.0, 22.0, 68.0, 42.0)  # x1 y1 x2 y2 of the one object
PLACE = 50  # the anchor that sees it
IMAGE = np.zeros((64, 96, 3), np.uint8)


def rows(classes: int, *, corners: bool = False, objectness: bool = False) -> Array:
    """[126, columns] of a 96 x 64 input: in each cell a faint box, and one object of the last class."""
    grid = cells(SIZE)
    low, high = grid[:, :2] - grid[:, 2:] / 2, grid[:, :2] + grid[:, 2:] / 2
    low[PLACE], high[PLACE] = BOX[:2], BOX[2:]
    box = np.concatenate([low, high] if corners else [(low + high) / 2, high - low], axis=1)
    scores = np.full((len(grid), classes), 0.01, np.float32)
    scores[PLACE, -1] = 0.9
    return np.concatenate([box, *([np.full((len(grid), 1), 0.99)] * objectness), scores], axis=1).astype(
        np.float32
    )


def adopted(tmp_path: Path, outputs: dict[str, Array], **graph: Any) -> Manifest:
    path = constant_model(tmp_path / "m.onnx", outputs, **graph)
    return adopt(path, tmp_path / "out.onnx", image=IMAGE).proposal.card


def found(tmp_path: Path) -> Any:
    (result,) = Model(tmp_path / "out.onnx")(IMAGE)
    return result


@pytest.mark.parametrize("shares", [False, True])
@pytest.mark.parametrize("corners", [False, True])
@pytest.mark.parametrize("classes", [2, 3, 17])
def test_a_nameless_v8_in_any_unit_and_format(
    tmp_path: Path, classes: int, corners: bool, shares: bool
) -> None:
    values = rows(classes, corners=corners)
    values[:, :4] /= np.array([*SIZE, *SIZE] if shares else [1], np.float32)
    card = adopted(tmp_path, {"out": values.T[None]})
    box = card.decoder.parameters["box"]
    assert card.decoder.family == "yolov8"
    assert box == {"format": "xyxy" if corners else "cxcywh", "units": "normalised" if shares else "pixels"}
    result = found(tmp_path)
    np.testing.assert_allclose(result.boxes.xyxy, [BOX], atol=1e-3)
    assert result.boxes.cls.tolist() == [classes - 1]


def test_one_class_of_v5_is_no_list_of_detections(tmp_path: Path) -> None:
    values = np.concatenate([rows(1, objectness=True)] * 3)  # three anchors a cell, grid by grid
    grid = cells(SIZE)
    order = np.concatenate([np.tile(np.flatnonzero(grid[:, 2] == stride), 3) for stride in (8, 16, 32)])
    assert adopted(tmp_path, {"out": values[order][None]}).decoder.family == "yolov5"
    np.testing.assert_allclose(found(tmp_path).boxes.xyxy, [BOX], atol=1e-3)


@pytest.mark.parametrize("raw", [True, False])
def test_yolox_is_told_from_its_decoded_self(tmp_path: Path, raw: bool) -> None:
    values, grid = rows(80, objectness=True), cells(SIZE)
    if raw:
        values[:, :2] = values[:, :2] / grid[:, 2:] - (grid[:, :2] / grid[:, 2:] - 0.5)
        values[:, 2:4] = np.log(values[:, 2:4] / grid[:, 2:])
    card = adopted(tmp_path, {"output": values[None]})
    assert card.decoder.family == ("yolox" if raw else "yolov5")
    np.testing.assert_allclose(found(tmp_path).boxes.xyxy, [BOX], atol=1e-3)


@pytest.mark.parametrize(("logits", "background"), [(False, False), (False, True), (True, True)])
def test_scores_beside_boxes_tell_their_softmax_and_background(
    tmp_path: Path, logits: bool, background: bool
) -> None:
    boxes = rows(1, corners=True)[:, :4].repeat(4, axis=0) / np.array([*SIZE, *SIZE], np.float32)
    scores = np.full((len(boxes), 6), 0.02, np.float32)
    scores[PLACE * 4, 2] = 0.9
    if background:
        scores[:, 0] = 0
        scores[:, 0] = 1 - scores.sum(axis=1)
    if logits:
        scores = np.log(scores) + 3
    card = adopted(tmp_path, {"a": scores[None], "b": boxes[None].astype(np.float32)})
    parameters = card.decoder.parameters
    assert (parameters["softmax"], parameters["background"]) == (logits, int(background))
    result = found(tmp_path)
    np.testing.assert_allclose(result.boxes.xyxy, [BOX], atol=1e-3)
    assert result.boxes.cls.tolist() == [1 if background else 2]


def test_offsets_against_unknown_priors_are_refused(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    outputs = {
        "scores": random.standard_normal((1, 500, 21)).astype(np.float32),
        "boxes": random.standard_normal((1, 500, 4)).astype(np.float32),
    }
    with pytest.raises(ModelError, match="nothing here reads") as caught:
        adopted(tmp_path, outputs)
    assert "no sense in them as ssd" in caught.value.why


def test_a_graph_that_does_not_say_its_shapes_is_run(tmp_path: Path) -> None:
    card = adopted(tmp_path, {"out": rows(80).T[None]}, declared=False)
    assert card.outputs[0].shape == (-1, -1, -1)
    assert len(card.labels) == 80
    assert found(tmp_path).summary() == "1 toothbrush"


@pytest.mark.parametrize("dtype", ["FLOAT", "UINT8"])
def test_channels_last_and_bytes_are_put_right_in_front(tmp_path: Path, dtype: str) -> None:
    tried = adopt(
        constant_model(tmp_path / "m.onnx", {"out": rows(80).T[None]}, channels_last=True, dtype=dtype),
        tmp_path / "out.onnx",
        image=IMAGE,
    )
    assert "a transposition" in tried.proposal.reasons[0]
    spec = tried.proposal.card.inputs[0]
    assert (spec.shape, spec.dtype) == ((1, 3, 64, 96), "float32")
    assert spec.scale == (1.0 if dtype == "UINT8" else pytest.approx(1 / 255))
    assert found(tmp_path).summary() == "1 toothbrush"


def test_one_picture_without_a_batch_is_taken_by_a_squeeze(tmp_path: Path) -> None:
    """As torchvision's detectors are exported: [3, H, W] in, [k, 4], [k] and [k] out."""
    import onnx

    outputs = {"boxes": np.array([BOX]), "labels": np.array([2]), "scores": np.array([0.9])}
    path = constant_model(
        tmp_path / "m.onnx", {name: array.astype(np.float32) for name, array in outputs.items()}
    )
    model = onnx.load(path)
    del model.graph.input[0].type.tensor_type.shape.dim[0]
    onnx.save(model, path)
    tried = adopt(path, tmp_path / "out.onnx", image=IMAGE, hints=Hints(labels=("none", "cat", "dog")))
    assert "a squeeze" in tried.proposal.reasons[0]
    assert (tried.proposal.card.task, tried.proposal.card.decoder.family) == ("detection", "mask_rcnn")
    result = found(tmp_path)
    assert result.summary() == "1 dog"
    np.testing.assert_allclose(result.boxes.xyxy, [BOX], atol=1e-3)


def test_a_model_that_must_be_changed_is_not_overwritten(tmp_path: Path) -> None:
    path = constant_model(tmp_path / "m.onnx", {"out": rows(80).T[None]}, channels_last=True)
    before = path.read_bytes()
    with pytest.raises(UsageError, match="changes it"):
        adopt(path, path)
    assert path.read_bytes() == before


def ramp(channels: int) -> Array:
    """[1, channels, 64, 96] logits: each class wins in a stripe of its own."""
    middles = (np.arange(channels) + 0.5) * 96 / channels
    stripes = -np.abs(np.arange(96) + 0.5 - middles[:, None]) / 4 + 1
    return np.broadcast_to(stripes[None, :, None], (1, channels, 64, 96)).astype(np.float32)


@pytest.mark.parametrize(
    ("kind", "family"), [("logits", "unet"), ("softmax", "mask"), ("last", "unet"), ("argmax", "label_map")]
)
def test_maps_of_classes_are_told_by_their_values(tmp_path: Path, kind: str, family: str) -> None:
    logits = ramp(6)
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    values = {
        "logits": logits, "softmax": shares, "last": np.ascontiguousarray(logits.transpose(0, 2, 3, 1)),
        "argmax": logits.argmax(axis=1),
    }[kind]  # fmt: skip
    assert adopted(tmp_path, {"out": values}).decoder.family == family
    expected = np.repeat(np.arange(6), 16)[None].repeat(64, axis=0)
    assert np.array_equal(found(tmp_path).segmentation.label_map, expected)


@pytest.mark.parametrize("logits", [True, False])
def test_a_binary_mask_is_of_logits_or_shares(tmp_path: Path, logits: bool) -> None:
    values = ramp(2)[:, :1]
    values = values if logits else 1 / (1 + np.exp(-values))
    assert adopted(tmp_path, {"out": values}).decoder.family == ("unet" if logits else "mask")
    mask = found(tmp_path).segmentation.label_map == 0
    assert np.array_equal(mask, np.broadcast_to(ramp(2)[0, 0] > 0, mask.shape))


def test_depths_are_no_mask(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="nothing here reads"):
        adopted(tmp_path, {"predicted_depth": ramp(2)[:, :1] + 9}, ends="Relu")
    with pytest.raises(ModelError, match="nothing here reads"):
        adopted(tmp_path, {"out": ramp(2)[:, :1] + 9}, ends="Relu")


def test_three_maps_that_end_in_a_tanh_are_a_picture(tmp_path: Path) -> None:
    values = np.zeros((1, 3, 64, 96), np.float32)
    values[0, 0] = np.linspace(-3, 3, 96)  # red rises to the right
    card = adopted(tmp_path, {"out": values}, ends="Tanh")
    assert (card.task, card.decoder.family) == ("image", "image")
    picture = found(tmp_path).image
    np.testing.assert_allclose(picture[0, :, 2], (np.tanh(np.linspace(-3, 3, 96)) + 1) * 127.5, atol=0.51)
    assert np.all(picture[..., :2] == 128)


def test_an_answer_chooses_among_readings(tmp_path: Path) -> None:
    path = constant_model(tmp_path / "m.onnx", {"out": rows(3).T[None]})
    image = np.zeros((128, 192, 3), np.uint8)  # twice the input
    tried = adopt(path, tmp_path / "out.onnx", image=image, answer=answer_of("56,44,136,84"))
    assert tried.proposal.card.decoder.family == "yolov8"
    with pytest.raises(ModelError, match="finds the answer"):
        adopt(path, tmp_path / "out.onnx", image=image, answer=answer_of("0,0,30,30"))


def test_what_an_exporter_says_it_does_is_not_read_as_something_else(tmp_path: Path) -> None:
    said = {"task": "classify", "names": "{0: 'cat', 1: 'dog'}"}
    path = constant_model(tmp_path / "m.onnx", {"out": rows(2).T[None]}, said)
    with pytest.raises(ModelError, match="nothing here reads"):
        adopt(path, tmp_path / "out.onnx", image=IMAGE)
    assert (
        adopt(path, tmp_path / "out.onnx", hints=Hints("detection"), image=IMAGE).result.summary() == "1 dog"
    )


def test_the_classes_of_a_network_that_chooses_by_itself_are_what_it_divides_by(tmp_path: Path) -> None:
    """As RT-DETR does: the class is the remainder of a choice's index."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    path = constant_model(tmp_path / "m.onnx", {"out": np.array([[[28, 22, 68, 42, 0.9]]], np.float32)})
    model = onnx.load(path)
    graph = model.graph
    graph.initializer.append(numpy_helper.from_array(np.array([[[80 * 7 + 79]]], np.int64), "choice"))
    graph.initializer.append(numpy_helper.from_array(np.array(80, np.int64), "eighty"))
    graph.node.append(helper.make_node("Mod", ["choice", "eighty"], ["class"]))
    graph.node.append(helper.make_node("Cast", ["class"], ["number"], to=TensorProto.FLOAT))
    graph.node.append(helper.make_node("Concat", ["out", "number"], ["one"], axis=2))
    graph.initializer.append(numpy_helper.from_array(np.array([1, 9, 1], np.int64), "nine"))
    graph.node.append(helper.make_node("Tile", ["one", "nine"], ["rows"]))
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info("rows", TensorProto.FLOAT, [1, 9, 6]))
    onnx.save(model, path)
    assert len(adopt(path, tmp_path / "out.onnx", image=IMAGE).proposal.card.labels) == 80
    assert found(tmp_path).summary() == "9 toothbrushes"


@pytest.mark.slow
def test_a_pose_network_says_by_a_portrait_how_pictures_are_prepared(tmp_path: Path) -> None:
    from vedette.runtime.model import find_model

    zoo = find_model("openpose_thin")
    (tmp_path / "m.onnx").write_bytes(zoo.read_bytes())
    card = adopt(tmp_path / "m.onnx", tmp_path / "out.onnx").proposal.card
    spec = card.inputs[0]
    assert (spec.pixel_format, spec.scale, spec.mean, spec.std) == ("bgr", 1.0, (0.0,), (1.0,))
