"""Known boxes, masks and joints go through three graphs and come out where they were."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import two_stages
from two_stages import BOXES, HEATMAP, JOINTS, MAP, MOST, PEAKS, bundle, heatmaps, masks

from vedette import Model
from vedette.runtime import bundle as bundles
from vedette.runtime.bundles._two_stages import best_objects, best_proposals, joints, side_by_side
from vedette.runtime.bundles.mask_rcnn import MaskRcnnRunner, Parameters, defaults
from vedette.runtime.errors import ManifestError, ModelError, UsageError
from vedette.runtime.frame import Array, Frame
from vedette.runtime.preprocess import Placement
from vedette.runtime.tasks import Config

SIZE = (128, 96)  # a letterbox of half the size, 8 rows of padding above and below
WHITE = np.full((96, 128, 3), 255, np.uint8)
BLACK = np.zeros_like(WHITE)
KEPT = [0, 2, 4, 5]  # of BOXES, by falling score of the objects
LABELS, SCORES = [0, 1, 1, 0], [0.9, 0.8, 0.6, 0.3]


def on_picture(xy: Array) -> Array:
    found: Array = (np.asarray(xy, np.float64) - [0, 8]) * 2
    return found


def peak(box: Array, label: int, joint: int) -> Array:
    """The centre of the peak's value in the box, in the picture."""
    sides = (box[2:] - box[:2]) / HEATMAP
    return on_picture(box[:2] + (PEAKS[label, joint] + 0.5) * sides)


def pasted(soft: Array, box: Array) -> Array:
    """By the words of the convention: a margin of 1, the box grown with it, cut to whole pixels, + 1, bilinear."""
    grow = (MAP + 2) / MAP
    centre, half = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / 2 * grow
    (left, top), (right, bottom) = (centre - half).astype(int), (centre + half).astype(int)
    canvas = np.zeros((300, 300), np.float32)
    part = cv2.resize(np.pad(soft, 1), (int(right - left + 1), int(bottom - top + 1)))
    canvas[100 + top : 101 + bottom, 100 + left : 101 + right] = part
    return canvas[100 : 100 + SIZE[1], 100 : 100 + SIZE[0]]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Model]:
    opened = Model(bundle(tmp_path_factory.mktemp("two_stages") / "toy"))
    yield opened
    opened.close()


@pytest.mark.parametrize("agnostic", [False, True])
def test_what_goes_in_comes_out(agnostic: bool, tmp_path: Path) -> None:
    result = Model(bundle(tmp_path / "toy", agnostic=agnostic))(WHITE)[0]
    assert result.boxes is not None
    assert result.keypoints is not None
    assert (result.task, result.model, result.summary()) == ("instances", "toy_rcnn", "2 cats, 2 dogs")
    assert result.boxes.cls.tolist() == LABELS
    np.testing.assert_allclose(result.boxes.conf, SCORES, atol=1e-6)
    boxes = on_picture(BOXES[KEPT].reshape(-1, 2, 2)).reshape(-1, 4)
    np.testing.assert_allclose(result.boxes.xyxy, boxes, atol=1e-3)
    for index, (box, label) in enumerate(zip(BOXES[KEPT], LABELS, strict=True)):
        expected = [peak(box, label, joint) for joint in range(JOINTS)]
        np.testing.assert_allclose(result.keypoints.xy[index], expected, atol=1e-3)
        soft = pasted(masks()[label], boxes[index])
        sure = np.abs(soft - 0.5) > 1e-4
        found = result.masks.data[index]
        np.testing.assert_array_equal(found[sure], soft[sure] > 0.5)
        assert 0.3 < found.sum() / np.prod(boxes[index, 2:] - boxes[index, :2]) < 0.8
    assert result.skeleton == ((0, 1),)
    assert set(result.latency_ms) == {"preprocess", "inference", "decode"}
    assert result.plot().any()


def test_a_joint_s_score_is_the_sigmoid_of_its_logit(model: Model) -> None:
    [result] = model(WHITE)
    logits = heatmaps().reshape(2, JOINTS, -1).max(axis=2)
    for found, label in zip(result.keypoints.conf, LABELS, strict=True):
        assert found[1] == pytest.approx(1 / (1 + np.exp(-logits[label, 1])), abs=1e-6)


def test_pictures_of_a_batch_have_each_their_own_objects(model: Model) -> None:
    frames = [Frame((image,)) for image in (BLACK, WHITE, BLACK, WHITE)]
    runner = model.runner()
    assert runner.max_batch == 4
    results = runner.submit(frames).results()
    assert [len(result) for result in results] == [0, 4, 0, 4]
    [alone] = runner.submit(frames[1:2]).results()
    for batched in results[1::2]:
        np.testing.assert_array_equal(batched.boxes.xyxy, alone.boxes.xyxy)  # type: ignore[union-attr]
        np.testing.assert_array_equal(batched.masks.data, alone.masks.data)  # type: ignore[union-attr]
        np.testing.assert_array_equal(batched.keypoints.xy, alone.keypoints.xy)  # type: ignore[union-attr]


def test_pictures_of_several_sizes_come_back_in_their_order(model: Model) -> None:
    sizes = [(128, 96), (50, 200), (64, 64)]
    results = model([np.full((height, width, 3), 255, np.uint8) for width, height in sizes])
    assert [result.frame.size for result in results] == sizes
    assert [len(result) > 0 for result in results] == [True] * 3


def test_no_proposal_is_a_result(model: Model) -> None:
    [result] = model(BLACK)
    assert (len(result), result.summary(), result.to_dict()["instances"]) == (0, "nothing", [])
    assert result.masks.data.shape == (0, 96, 128)
    assert result.keypoints.xy.shape == (0, JOINTS, 2)
    assert not result.plot().any()


def test_no_detection_is_a_result(model: Model) -> None:
    assert len(model(WHITE, conf=0.95)[0]) == 0


def test_thresholds_are_the_bundle_s_unless_the_user_has_others(tmp_path: Path, model: Model) -> None:
    assert len(model(WHITE)[0]) == 4  # the same box of another level is suppressed
    assert len(model(WHITE, iou=1.0)[0]) == 5
    assert len(model(WHITE, iou=None)[0]) == 4
    assert len(model(WHITE, conf=0.55)[0]) == 3
    assert len(model(WHITE, max_det=2)[0]) == 2
    assert len(model(WHITE, max_det=900, iou=1.0, conf=0.0)[0]) == MOST  # as many as the last graph takes
    assert model(WHITE, classes="dog")[0].boxes.cls.tolist() == [1, 1]
    loose = Model(bundle(tmp_path / "loose", parameters={"box_iou": 1.0}))
    assert len(loose(WHITE)[0]) == 5
    assert defaults(Parameters(10, box_iou=0.3, detections=7)) == Config(iou=0.3, max_det=7)


def test_scores_are_of_the_proposals_that_they_are_for(tmp_path: Path) -> None:
    """Three proposals for a room of four: the row that only fills it is no object, whatever it scores."""
    scores = np.array([[0.5, 0.0], [0.6, 0.0], [0.7, 0.0], [0.99, 0.0]], np.float32)
    boxes = BOXES.copy()
    boxes[5] = 9  # of no size
    result = Model(bundle(tmp_path / "toy", proposal_boxes=boxes, scores=scores))(WHITE)[0]
    np.testing.assert_allclose(result.boxes.conf, [0.7, 0.6, 0.5], atol=1e-6)


def test_a_network_without_joints_has_none(tmp_path: Path) -> None:
    [result] = Model(bundle(tmp_path / "toy", keypoints=False))(WHITE)
    assert (len(result), result.keypoints, result.skeleton) == (4, None, ())


def test_where_the_last_graph_is_on_a_gpu_it_sees_few_shapes(model: Model) -> None:
    seen: list[tuple[int, ...]] = []
    runner = model.runner(conf=0.5)  # three objects
    assert isinstance(runner, MaskRcnnRunner)
    graph = runner._graphs["objects"]
    engine = graph.engine

    def run(feeds: Mapping[str, Array]) -> dict[str, Array]:
        seen.append(feeds["rois"].shape)
        return engine(feeds)

    class OnGpu:
        on_device, __call__ = True, staticmethod(run)

    graph.engine = OnGpu()  # type: ignore[assignment]
    frame = Frame((WHITE,))
    assert len(runner.submit([frame]).results()[0]) == 3
    graph.engine = engine
    assert seen == [(1, 4, 4)]


# ---- parts that do not fit


@pytest.mark.parametrize(
    ("parameters", "told"),
    [
        ({"proposals": 5}, "takes 4 proposals, not 5"),
        ({"detections": 6}, "takes 5 regions at most"),
        ({"skeleton": [[0, 2]]}, "skeleton"),
        ({"skeleton": [[-1, 0]]}, "skeleton"),
        ({"proposals": 0}, "1 to 65536"),
        ({"box_iou": 1.5}, "0 to 1"),
        ({"box_iou": "high"}, "box_iou"),
        ({"nms": 0.5}, "nms"),
    ],
)
def test_parameters_that_do_not_fit_are_refused(
    parameters: Mapping[str, Any], told: str, tmp_path: Path
) -> None:
    with pytest.raises(ManifestError, match=told):
        Model(bundle(tmp_path / "toy", parameters=parameters))


def test_parts_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    folder = bundle(tmp_path / "toy")
    whole = bundles.load(folder).bundle
    swapped = {"features": "features.onnx", "boxes": "objects.onnx", "objects": "boxes.onnx"}
    for parts in ({"features": "features.onnx"}, swapped):
        bundles.save(replace(whole, parts=parts, files={}), folder)
        with pytest.raises(ManifestError, match="do not fit together"):
            Model(folder)


def test_a_part_alone_says_that_it_is_one(tmp_path: Path) -> None:
    folder = bundle(tmp_path / "toy")
    with pytest.raises(ModelError, match=r"part of a model.*\n.*\n.*bundle.json"):
        Model(folder / "features.onnx")


def test_an_option_that_cannot_be_meant_frees_the_engines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vedette.runtime.opening import Opened

    closed = []

    def close(opened: Opened) -> None:
        closed.append(opened.manifest.name)

    monkeypatch.setattr(Opened, "close", close)
    with pytest.raises(UsageError, match="iou"):
        Model(bundle(tmp_path / "toy"), iou=2)
    assert closed == ["toy_rcnn"]


# ---- between the graphs

WHOLE = Placement((100, 100), (100, 100), (100, 100))


def test_proposals_of_a_level_suppress_only_their_own() -> None:
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 9], [0, 0, 10, 9], [50, 50, 60, 60.0]], np.float32)
    scores, levels = np.array([0.5, 0.9, 0.8, 0.7], np.float32), np.array([0, 0, 1, 1])
    kept = best_proposals(boxes, scores, levels, WHOLE, iou=0.7, most=10)
    assert kept.tolist() == boxes[[1, 2, 3]].tolist()
    assert best_proposals(boxes, scores, levels, WHOLE, iou=0.7, most=2).tolist() == boxes[[1, 2]].tolist()
    assert len(best_proposals(boxes, scores, levels, WHOLE, iou=0.95, most=10)) == 4


def test_boxes_end_with_the_picture_and_what_is_beyond_it_is_dropped() -> None:
    placement = Placement((100, 50), (100, 100), (100, 50), (0, 25))
    boxes = np.array([[-5, 0, 50, 80], [10, 80, 20, 90], [np.nan, 30, 40, 50]], np.float32)
    kept = best_proposals(boxes, np.ones(3, np.float32), np.zeros(3), placement, iou=0.7, most=10)
    assert kept.tolist() == [[0, 25, 50, 75]]


def test_an_object_is_of_every_class_that_scores_above_conf() -> None:
    boxes = np.array([[[0, 0, 10, 10], [0, 0, 20, 20]], [[50, 50, 60, 60], [1, 1, 20, 20]]], np.float32)
    scores = np.array([[0.5, 0.25], [0.3, 0.9]], np.float32)

    def found(**more: Any) -> list[tuple[int, list[float]]]:
        kept = best_objects(boxes, scores, WHOLE, **{"conf": 0.25, "iou": 0.5, "most": 10, **more})
        assert not kept.suppress
        return list(zip(kept.class_ids.tolist(), kept.boxes_xyxy.tolist(), strict=True))

    all_of_them = [(1, [1, 1, 20, 20]), (0, [0, 0, 10, 10]), (0, [50, 50, 60, 60])]
    assert found() == all_of_them  # 0.25 is not above 0.25
    assert found(conf=0.2) == all_of_them  # suppressed by the other of its class
    assert len(found(conf=0.2, iou=0.95)) == 4
    assert found(classes=(0,)) == all_of_them[1:]
    assert found(most=1) == all_of_them[:1]


def test_nothing_is_found_among_nothing() -> None:
    none = np.zeros((0, 4), np.float32)
    assert best_proposals(none, none[:, 0], np.zeros(0), WHOLE, iou=0.7, most=9).shape == (0, 4)
    kept = best_objects(none.reshape(0, 1, 4), np.zeros((0, 3), np.float32), WHOLE, conf=0.1, iou=0.5, most=9)
    assert kept.boxes_xyxy.shape == (0, 4)
    assert joints(np.zeros((0, 17, 56, 56), np.float32), none).shape == (0, 17, 3)


def test_images_of_several_counts_lie_side_by_side() -> None:
    found = side_by_side([np.ones((2, 3)), np.ones((0, 3)), 2 * np.ones((1, 3))], 2)
    assert found.tolist() == [[[1, 1, 1]] * 2, [[0, 0, 0]] * 2, [[2, 2, 2], [0, 0, 0]]]


def test_the_toy_is_what_these_tests_take_it_for() -> None:
    assert ((BOXES[KEPT, 2:] - BOXES[KEPT, :2]) / HEATMAP % 2 == 1).all()
    assert two_stages.SCORES.shape == (two_stages.PROPOSALS, 2)
