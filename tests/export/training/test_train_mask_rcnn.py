"""What Mask R-CNN learns from, by hand and against what will be done with it; and how good the zoo's is."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

for needed in ("torch", "onnx", "onnxslim", "onnxruntime", "safetensors", "cv2", "sklearn", "skimage"):
    pytest.importorskip(needed)

import torch  # noqa: E402

from vedette import Model  # noqa: E402
from vedette.export.bundle import export_bundle  # noqa: E402
from vedette.export.networks._mask_rcnn_eager import keypoints_of  # noqa: E402
from vedette.export.networks.mask_rcnn import network  # noqa: E402
from vedette.export.training import _coco, mask_rcnn  # noqa: E402
from vedette.export.training._judge import judged  # noqa: E402
from vedette.export.training._mask_rcnn_loss import WEIGHTS, Losses  # noqa: E402
from vedette.export.training._mask_rcnn_targets import (  # noqa: E402
    REGIONS,
    Sampling,
    Truth,
    heatmap_targets,
    iou,
    mask_targets,
    sampled,
)
from vedette.export.training._recipe import save  # noqa: E402
from vedette.export.training.scenes import scene  # noqa: E402
from vedette.export.weights import load_weights  # noqa: E402
from vedette.kernels.assemble_masks import paste_masks  # noqa: E402
from vedette.runtime import rle  # noqa: E402
from vedette.runtime.results import Result  # noqa: E402

TWO = Truth(
    torch.tensor([[0.0, 0, 10, 10], [20, 20, 40, 40]]), torch.tensor([3, 7]), torch.zeros(2, 64, 64), torch.zeros(2, 5, 2)
)  # fmt: skip


def test_iou_of_hand_worked_boxes() -> None:
    found = iou(torch.tensor([[0.0, 0, 10, 10], [5, 0, 15, 10], [50, 50, 60, 60]]), TWO.boxes[:1])
    assert found[:, 0].tolist() == pytest.approx([1, 50 / 150, 0])


def test_what_overlaps_a_digit_is_that_digit_and_the_rest_is_background() -> None:
    boxes = torch.tensor([[0.0, 0, 10, 8], [22, 20, 40, 40], [0, 0, 10, 4], [50, 50, 60, 60]])
    sample = sampled(boxes, TWO, Sampling(count=4, positives=4, inside=0.5, outside=0.5))
    assert sorted(sample.rows.tolist()) == [0, 1, 2, 3]
    by_row = dict(zip(sample.rows.tolist(), sample.labels.tolist(), strict=True))
    assert by_row == {0: 4, 1: 8, 2: 0, 3: 0}
    np.testing.assert_array_equal(sample.boxes, boxes[sample.rows])


def test_between_the_thresholds_nothing_is_learned_and_the_best_is_forced() -> None:
    boxes = torch.tensor([[0.0, 0, 10, 4.5], [50, 50, 60, 60]])
    between = Sampling(count=4, positives=4, inside=0.5, outside=0.3)
    assert sampled(boxes, TWO, between).rows.tolist() == [1]
    forced = sampled(boxes, replace(TWO, boxes=TWO.boxes[:1]), between, force=True)
    assert forced.rows.tolist() == [0, 1]
    assert forced.labels.tolist() == [4, 0]


def test_no_more_are_sampled_than_asked_for() -> None:
    boxes = TWO.boxes.repeat(50, 1) + torch.rand(100, 4)
    sample = sampled(torch.cat([boxes, boxes + 30]), TWO, REGIONS)
    assert len(sample.matches) == REGIONS.positives
    assert len(sample.rows) == REGIONS.count
    assert len(sample.digits(3).rows) == len(sample.digits(3).labels) == 3


@pytest.mark.parametrize("index", range(3))
def test_the_mask_that_is_learned_is_the_mask_once_it_is_pasted(index: int) -> None:
    one = scene(index, seed=5)
    boxes = torch.from_numpy(one.boxes_xyxy)
    targets = mask_targets(torch.from_numpy(one.masks.astype(np.float32)), boxes)
    pasted = paste_masks(targets.numpy(), one.boxes_xyxy, (128, 128), threshold=0.5)
    for place, mask in enumerate(one.masks):
        whole = pasted.whole(place).astype(bool)
        assert (whole & mask).sum() / (whole | mask).sum() > 0.75  # a stroke is a few pixels wide


@pytest.mark.parametrize("index", range(3))
def test_the_heatmap_that_is_learned_is_read_as_its_keypoint(index: int) -> None:
    one = scene(index, seed=6)
    boxes, keypoints = torch.from_numpy(one.boxes_xyxy), torch.from_numpy(one.keypoints[..., :2])
    cells, inside = heatmap_targets(keypoints, boxes)
    assert inside.all()
    steps = torch.arange(56)
    rows, columns = (cells // 56)[..., None, None], (cells % 56)[..., None, None]
    heatmaps = -((steps[:, None] - rows) ** 2 + (steps - columns) ** 2).float()  # smooth: it is made smaller
    found = keypoints_of(heatmaps, boxes)
    np.testing.assert_allclose(found[..., :2], keypoints, atol=1.01)


def test_a_keypoint_outside_its_box_is_not_learned() -> None:
    boxes = torch.tensor([[10.0, 10, 20, 20]])
    cells, inside = heatmap_targets(torch.tensor([[[10.0, 10], [19.99, 19.99], [9.9, 15], [15, 20]]]), boxes)
    assert inside.tolist() == [[True, True, False, False]]
    assert cells[0, :2].tolist() == [0, 56 * 56 - 1]


def test_every_loss_reaches_the_weights_that_it_is_about() -> None:
    torch.manual_seed(0)
    module = mask_rcnn.fresh(network()).train()
    scenes = [scene(index, seed=4) for index in range(2)]
    images = mask_rcnn.images_of([one.image for one in scenes])
    found = Losses(module, (128, 128))(images, [mask_rcnn.truth_of(one) for one in scenes])
    assert found.keys() == WEIGHTS.keys()
    torch.autograd.backward(sum(found.values()))
    for name, weight in module.named_parameters():
        assert weight.grad is not None, name
        assert weight.grad.isfinite().all(), name
        assert weight.grad.abs().max() > 0 or name.endswith("bias"), name


def test_pictures_are_normalised_as_the_card_says() -> None:
    from vedette.export.networks import mask_rcnn as network_file
    from vedette.runtime.preprocess import fill, place

    image = scene(0, seed=3).image
    spec = network_file.whole().graphs["features"].card.inputs[0]
    expected = np.empty((3, 128, 128), np.float32)
    fill(expected, image, spec, place((128, 128), (128, 128), spec.resize))
    np.testing.assert_allclose(mask_rcnn.images_of([image])[0], expected, atol=1e-5)


def test_the_truth_itself_is_judged_perfect_and_a_shifted_one_is_not() -> None:
    pytest.importorskip("pycocotools")
    document, results = annotated(10, seed=9), []
    for annotation in document["annotations"]:
        kept = {
            key: annotation[key] for key in ("image_id", "category_id", "bbox", "segmentation", "keypoints")
        }
        results.append(kept | {"score": 0.9})
    assert all(value == pytest.approx(1) for value in judged(document, results).values())
    left = [row | {"bbox": [row["bbox"][0] - 12, *row["bbox"][1:]]} for row in results]
    assert judged(document, left)["bbox50"] < 0.5


def annotated(count: int, *, seed: int) -> dict[str, Any]:
    """COCO's document of held-out scenes."""
    document = _coco._document(seed, "val")
    for index in range(count):
        document["images"].append({"id": index + 1, "width": 128, "height": 128, "file_name": f"{index}.png"})
        for annotation in _coco._annotations(scene(index, seed=seed, split="val"), tracked=False):
            numbered = {"id": len(document["annotations"]) + 1, "image_id": index + 1, **annotation}
            document["annotations"].append(numbered)
    return document


def results_of(result: Result, image_id: int) -> list[dict[str, Any]]:
    """What a picture's Result says, as COCO's results."""
    if not len(result):
        return []
    assert result.boxes is not None
    assert result.masks is not None
    assert result.keypoints is not None
    rows = zip(
        result.boxes.xyxy.tolist(), result.boxes.conf.tolist(), result.boxes.cls.tolist(), result.masks.data, result.keypoints.xy,
        strict=True,
    )  # fmt: skip
    return [
        {
            "image_id": image_id, "category_id": int(label) + 1, "score": score,
            "bbox": [box[0], box[1], box[2] - box[0], box[3] - box[1]], "segmentation": rle.encode(np.asarray(mask) > 0),
            "keypoints": np.concatenate([xy, np.full((len(xy), 1), 2.0)], axis=1).ravel().tolist(),
        }
        for box, score, label, mask, xy in rows
    ]  # fmt: skip


def accuracy(folder: Path, *, count: int, seed: int) -> dict[str, float]:
    """Of a bundle on held-out scenes, by pycocotools."""
    results: list[dict[str, Any]] = []
    with closing(Model(folder, backend="onnxruntime")) as model:
        for index in range(count):
            [found] = model(scene(index, seed=seed, split="val").image, conf=0.05)
            results += results_of(found, index + 1)
    return judged(annotated(count, seed=seed), results)


@pytest.mark.slow
def test_the_zoo_s_bundle_is_as_good_as_asked(tmp_path: Path) -> None:
    pytest.importorskip("pycocotools")
    export_bundle("mask-rcnn", tmp_path / "mask_rcnn")
    found = accuracy(tmp_path / "mask_rcnn", count=200, seed=31)
    assert found["bbox50"] >= 0.90, found
    assert found["bbox"] >= 0.60, found
    assert found["segm50"] >= 0.85, found
    assert found["keypoints50"] >= 0.85, found


@pytest.mark.slow
def test_training_is_the_same_every_time_and_its_file_loads(tmp_path: Path) -> None:
    schedule = mask_rcnn.Schedule(steps=2, batch=2)
    states = []
    for name in ("a.safetensors", "b.safetensors"):
        save(mask_rcnn.train(schedule), tmp_path / name, schedule)
        module = network()
        load_weights(module, tmp_path / name)
        states.append(module.state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert any((tensor != network().state_dict()[name]).any() for name, tensor in states[0].items())
