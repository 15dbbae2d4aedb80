"""Foreign models: what they say of themselves is believed, what stays open is tried, what stays ambiguous is refused."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import toy
from foreign import constant_model

from vedette import Model
from vedette.runtime import manifest as manifests
from vedette.runtime.adoption import proposals
from vedette.runtime.coco import COCO_80, COCO_91
from vedette.runtime.errors import ManifestError, ModelError, UsageError
from vedette.runtime.facts import Hints

onnx = pytest.importorskip("onnx")
SHARED = Path(__file__).parents[3] / "shared" / "data"
SAID = {"task": "detect", "names": "{0: 'cat', 1: 'dog'}", "imgsz": "[64, 96]", "stride": "32"}


def v8(unit: float = 1.0) -> np.ndarray[Any, Any]:
    """[1, 6, 126], the cells of a 96 x 64 input: in each a faint box, and a dog of 40 x 20 in the middle."""
    values = np.zeros((1, 6, 126), np.float32)
    share = np.array([96, 64, 96, 64] if unit > 1 else [1], np.float32)[:, None]
    grids = [
        ((x + 0.5) * s, (y + 0.5) * s, s, s)
        for s in (8, 16, 32)
        for y in range(64 // s)
        for x in range(96 // s)
    ]
    values[0, :4] = np.array(grids, np.float32).T / share
    values[0, :4, 50] = np.array([48, 32, 40, 20], np.float32) / share[:, 0]
    values[0, 5] = 0.001
    values[0, 5, 50] = 0.9
    return values


@pytest.mark.parametrize("unit", [1.0, 64.0])
def test_an_exporters_metadata_is_enough(tmp_path: Path, unit: float) -> None:
    path = constant_model(tmp_path / "m.onnx", {"output0": v8(unit)}, SAID)
    result = Model(path)(np.zeros((128, 192, 3), np.uint8))[0]  # twice the input
    assert result.summary() == "1 dog"
    assert result.boxes is not None
    np.testing.assert_allclose(result.boxes.xyxy, [[56, 44, 136, 84]], atol=1e-3)
    assert not manifests.path_beside(path).exists()


def test_what_is_adopted_runs_like_what_was_exported(tmp_path: Path) -> None:
    from vedette.export.adopt import adopt

    path = constant_model(tmp_path / "m.onnx", {"output0": v8(64.0)}, SAID)
    adopt(path, tmp_path / "out.onnx")
    card = json.loads((tmp_path / "out.onnx.json").read_text())
    assert card["decoder"]["family"] == "yolov8"
    assert card["decoder"]["parameters"]["box"]["units"] == "normalised"
    assert card["labels"] == ["cat", "dog"]
    assert Model(tmp_path / "out.onnx")(np.zeros((64, 96, 3), np.uint8))[0].summary() == "1 dog"


def test_without_metadata_a_model_is_refused_naming_adopt(tmp_path: Path) -> None:
    path = constant_model(tmp_path / "m.onnx", {"output0": v8()}, {})
    with pytest.raises(ManifestError) as caught:
        Model(path)
    assert "vedette adopt m.onnx" in caught.value.cure


def test_eighty_nameless_classes_are_cocos(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    from vedette.export.adopt import adopt

    values = np.concatenate([v8()[:, :4], np.full((1, 80, 126), 0.001, np.float32)], axis=1)
    values[0, 4 + 16, 50] = 0.8
    tried = adopt(constant_model(tmp_path / "m.onnx", {"output0": values}, {}), tmp_path / "out.onnx")
    assert tried.result.summary() == "1 dog"
    assert "taken for COCO's" in caplog.text
    assert COCO_91[18] == COCO_80[16] == "dog"
    assert (COCO_91[1], COCO_91[90], len(COCO_80)) == ("person", "toothbrush", 80)


def test_an_answer_that_nothing_finds_refuses(tmp_path: Path) -> None:
    from vedette.export._answers import answer_of
    from vedette.export.adopt import adopt

    path = constant_model(tmp_path / "m.onnx", {"output0": v8()}, SAID)
    image = np.zeros((64, 96, 3), np.uint8)
    adopt(path, tmp_path / "out.onnx", image=image, answer=answer_of("dog 28,22,68,42"))
    for wrong in ("cat 28,22,68,42", "dog 0,0,20,20"):
        with pytest.raises(ModelError, match="finds the answer"):
            adopt(path, tmp_path / "out.onnx", image=image, answer=answer_of(wrong))
    for text in ("dog", "dog 1,2,3", "dog 5,5,1,9", "1,2,x,4"):
        with pytest.raises(UsageError):
            answer_of(text)


def test_outputs_of_no_family_are_refused(tmp_path: Path) -> None:
    from vedette.export.adopt import adopt

    path = constant_model(tmp_path / "m.onnx", {"embedding": np.zeros((1, 512), np.float32)}, {})
    with pytest.raises(ModelError, match=r"nothing here reads m\.onnx"):
        adopt(path, tmp_path / "out.onnx")
    assert not (tmp_path / "out.onnx").exists()


def test_a_family_named_by_the_user_is_the_only_one_asked(tmp_path: Path) -> None:
    path = toy.onnx_model(tmp_path)
    assert proposals(path.read_bytes(), "m", Hints(family="yolov8")) == []


def test_what_is_told_the_size_of_the_input_scales_its_boxes_by_it(tmp_path: Path) -> None:
    from vedette.export.adopt import adopt

    adopt(rtdetr(tmp_path / "m.onnx"), tmp_path / "out.onnx", hints=Hints(labels=("cat", "dog")))
    result = Model(tmp_path / "out.onnx")(np.zeros((128, 100, 3), np.uint8))[0]
    assert result.summary() == "1 dog"
    assert result.boxes is not None
    np.testing.assert_allclose(result.boxes.xyxy, [[25, 32, 75, 64]], atol=1e-3)


def rtdetr(path: Path) -> Path:
    """A dog in the same quarter of every picture, in pixels of the size that the second input tells."""
    helper, numpy_helper, kinds = onnx.helper, onnx.numpy_helper, onnx.TensorProto
    constants = {
        "shares": np.array([[[0.25, 0.25, 0.75, 0.5]]], np.float32),
        "labels_w": np.array([[1]], np.int64),
        "scores_w": np.array([[0.9]], np.float32),
        "twice": np.array([0, 1, 0, 1], np.int64),
        "one": np.array([1], np.int64),
    }
    nodes = [
        helper.make_node("Cast", ["orig_target_sizes"], ["sizes"], to=kinds.FLOAT),
        helper.make_node("Gather", ["sizes", "twice"], ["four"], axis=1),
        helper.make_node("Unsqueeze", ["four", "one"], ["each"]),
        helper.make_node("Mul", ["shares", "each"], ["boxes"]),
        *(helper.make_node("Identity", [f"{name}_w"], [name]) for name in ("labels", "scores")),
    ]
    inputs = [("images", kinds.FLOAT, [1, 3, 64, 96]), ("orig_target_sizes", kinds.INT64, [1, 2])]
    outputs = [
        ("labels", kinds.INT64, [1, 1]), ("boxes", kinds.FLOAT, [1, 1, 4]), ("scores", kinds.FLOAT, [1, 1])
    ]  # fmt: skip
    values, results = (
        [helper.make_tensor_value_info(*value) for value in some] for some in (inputs, outputs)
    )
    weights = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, "g", values, results, weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))
    return path


@pytest.mark.parametrize(
    ("task", "rows", "prototypes", "extra"),
    [("segment", 38, 32, ("masks", 32)), ("pose", 57, 0, ("keypoints", 17)), ("obb", 7, 0, ("angle", True))],
)
def test_metadata_tells_what_a_box_has_besides(
    tmp_path: Path, task: str, rows: int, prototypes: int, extra: tuple[str, Any]
) -> None:
    outputs = {"output0": np.zeros((1, rows, 126), np.float32)}
    if prototypes:
        outputs["output1"] = np.zeros((1, prototypes, 16, 24), np.float32)
    path = constant_model(tmp_path / "m.onnx", outputs, SAID | {"task": task})
    (found,) = proposals(path.read_bytes(), "m")
    assert found.card.task == "instances"
    assert found.card.decoder.parameters["extras"][extra[0]] == extra[1]


@pytest.mark.slow
@pytest.mark.skipif(
    not (SHARED / "yolo26_person_qdq").is_dir(), reason="SKIPPED: the foreign model is not here"
)
def test_a_real_foreign_model_boxes_people_unaided(tmp_path: Path) -> None:
    from vedette.export.adopt import adopt

    source = next((SHARED / "yolo26_person_qdq").glob("*.onnx"))
    adopt(source, tmp_path / "people.onnx")
    model = Model(tmp_path / "people.onnx", conf=0.4)
    video = SHARED / "vtest" / "vtest.avi"
    counts = [len(result) for result in model(str(video), vid_stride=80)]
    assert len(counts) == 10
    assert min(counts) >= 3  # five to twelve people walk there
    assert replace(model.manifest, files={}).labels == ("item",)
