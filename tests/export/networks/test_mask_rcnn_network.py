"""Mask R-CNN's parts against numbers worked out by hand, and against RoIAlign written once more in NumPy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from torch import nn

from vedette.export.networks import mask_rcnn
from vedette.export.networks._mask_rcnn_eager import Eager, keypoints_of, suppressed
from vedette.export.networks._mask_rcnn_network import MaskRCNN, Plan
from vedette.export.networks._mask_rcnn_weights import RESNET50, loaded, plan_of, renamed
from vedette.export.networks._roi import Layout, RoIAlign
from vedette.export.networks._rpn import anchors_of, decoded, encoded
from vedette.kernels.nms import nms_reference
from vedette.runtime.errors import ModelError, UsageError
from vedette.runtime.frame import Array

TORCHVISION = Path(__file__).with_name("torchvision_rcnn.txt")
STRIDES = (4, 8, 16, 32)
CANONICAL = (224.0, 4)


def roi_align(level: Array, box: Array, scale: float, side: int) -> Array:
    """RoIAlign by its definition in float64: [C, side, side] of one box out of [C, h, w]; 2 x 2 samples a bin, aligned=False."""
    channels, height, width = level.shape
    left, top, right, bottom = np.asarray(box, np.float64) * scale
    bins = max(right - left, 1.0) / side, max(bottom - top, 1.0) / side
    found = np.zeros((channels, side, side))
    for row, column, down, across in np.ndindex(side, side, 2, 2):
        x, y = left + (column + (across + 0.5) / 2) * bins[0], top + (row + (down + 0.5) / 2) * bins[1]
        if -1 <= x <= width and -1 <= y <= height:
            found[:, row, column] += bilinear(level, max(x, 0.0), max(y, 0.0)) / 4
    return found


def bilinear(level: Array, x: float, y: float) -> Array:
    """At a point of which neither coordinate is negative; the last cell goes on for ever."""
    x, y = min(x, level.shape[2] - 1), min(y, level.shape[1] - 1)
    left, top = int(x), int(y)
    right, bottom = min(left + 1, level.shape[2] - 1), min(top + 1, level.shape[1] - 1)
    upper = level[:, top, left] * (left + 1 - x) + level[:, top, right] * (x - left)
    lower = level[:, bottom, left] * (left + 1 - x) + level[:, bottom, right] * (x - left)
    between: Array = upper * (top + 1 - y) + lower * (y - top)
    return between


def pyramid(size: tuple[int, int], strides: tuple[int, ...], seed: int = 0) -> list[Array]:
    """Levels [1, 3, h, w] of noise, each on another floor, so that what bleeds from a neighbour is seen."""
    rng = np.random.default_rng(seed)
    return [
        (rng.random((1, 3, size[1] // stride, size[0] // stride)) + 2 * index).astype(np.float32)
        for index, stride in enumerate(strides)
    ]


BOXES = {
    "inside": (20.3, 30.7, 61.2, 77.9),
    "whole picture": (0, 0, 256, 192),
    "beyond every border": (-60, -45, 310, 240),
    "far beyond": (400, 300, 500, 420),
    "at the far corner": (250, 186, 256, 192),
    "tiny": (100.2, 80.1, 100.4, 80.2),
    "empty": (0, 0, 0, 0),
    "empty at the far corner": (256, 192, 256, 192),
    "wide": (3, 90, 255, 96),
    "just below a border of levels": (10, 10, 121.98, 122),
    "at a border of levels": (10, 10, 122, 122),
    "at another": (16, 0, 240, 224),
}


def aligned(size: tuple[int, int], levels: list[Array], boxes: Array, side: int) -> Array:
    layout = Layout(size, STRIDES[: len(levels)])
    atlas = layout.joined([torch.from_numpy(level) for level in levels])
    assert atlas.shape[2:] == layout.atlas[::-1]
    found: Array = RoIAlign(layout, CANONICAL)(atlas, torch.from_numpy(boxes)[None], side).numpy()
    return found


@pytest.mark.parametrize("name", BOXES)
@pytest.mark.parametrize("side", [7, 14])
def test_one_grid_sample_is_roi_align(name: str, side: int) -> None:
    levels = pyramid((256, 192), STRIDES)
    box = np.array(BOXES[name], np.float32)
    area = max(0.0, float((box[2] - box[0]) * (box[3] - box[1])))
    exponent = np.floor(4 + np.log2(np.sqrt(area) / 224) + 1e-6) if area else -np.inf
    index = int(np.clip(exponent, 2, 5)) - 2
    expected = roi_align(levels[index][0], box, 1 / STRIDES[index], side)
    found = aligned((256, 192), levels, box[None], side)[0]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def test_the_level_of_a_box_turns_at_112_224_and_448_pixels() -> None:
    align = RoIAlign(Layout((1344, 800), STRIDES), CANONICAL)
    sides = [1, 111.99, 112, 223.9, 224, 447.9, 448, 5000]
    boxes = torch.tensor([[0, 0, side, side] for side in sides])
    assert align.level(boxes).tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert align.level(torch.tensor([[5.0, 5, 5, 5], [9, 9, 4, 12]])).tolist() == [0, 0]


def test_a_batch_takes_its_boxes_from_its_own_picture() -> None:
    pairs = [pyramid((128, 128), STRIDES[:3], seed) for seed in (1, 2)]
    both = [np.concatenate(pair) for pair in zip(*pairs, strict=True)]
    boxes = np.array([[[3, 5, 40, 60], [0, 0, 128, 128]], [[70, 5, 99, 12], [9, 9, 30, 30]]], np.float32)
    layout = Layout((128, 128), STRIDES[:3])
    found = RoIAlign(layout, CANONICAL)(
        layout.joined([torch.from_numpy(level) for level in both]), torch.from_numpy(boxes), 7
    )
    alone = [aligned((128, 128), levels, rows, 7) for levels, rows in zip(pairs, boxes, strict=True)]
    np.testing.assert_allclose(found, np.concatenate(alone), atol=1e-5)


def test_at_800_x_1344_the_places_are_exact_to_what_float32_has() -> None:
    size = (1344, 800)
    levels = pyramid(size, STRIDES)
    rng = np.random.default_rng(3)
    corners = rng.uniform(-20, [1340, 790], (60, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(1, 700, (60, 2))], axis=1).astype(np.float32)
    found = aligned(size, levels, boxes, 7)
    index = RoIAlign(Layout(size, STRIDES), CANONICAL).level(torch.from_numpy(boxes)).tolist()
    expected = [
        roi_align(levels[level][0], box, 1 / STRIDES[level], 7)
        for level, box in zip(index, boxes, strict=True)
    ]
    place = 504 / 2 * 2.0**-23  # GridSample's -1 to 1 over 504 columns: a cell is known to this share
    np.testing.assert_allclose(found, np.stack(expected), rtol=0, atol=4 * place)


def test_anchors_are_those_of_the_first_faster_r_cnn() -> None:
    # torchvision's comment in anchor_utils.py: sizes 32, ratios 0.5, 1 and 2 around (0, 0)
    anchors = anchors_of((2, 1), (64, 32), side=32, ratios=(0.5, 1.0, 2.0))
    first = [[-23, -11, 23, 11], [-16, -16, 16, 16], [-11, -23, 11, 23]]
    assert anchors[:3].tolist() == first
    assert anchors[3:].tolist() == [[x1 + 32, y1, x2 + 32, y2] for x1, y1, x2, y2 in first]


def test_a_box_moves_by_shares_of_its_sides_and_grows_by_powers_of_e() -> None:
    anchor = torch.tensor([10.0, 20, 30, 60])  # 20 x 40 around (20, 40)
    numbers = torch.tensor([0.5, -0.25, np.log(2), 0.0])
    assert decoded(numbers, anchor, (1000, 1000)).tolist() == pytest.approx([10, 10, 50, 50])
    assert decoded(numbers, anchor, (45, 45)).tolist() == pytest.approx([10, 10, 45, 45])
    far = decoded(torch.tensor([0.0, 0, 50, 0]), anchor, (10**6, 1000))
    assert far.tolist() == pytest.approx([0, 20, 20 + 10 * 1000 / 16, 60])  # it grows 62.5 times at most


def test_encoding_is_the_inverse_of_decoding() -> None:
    generator = torch.Generator().manual_seed(0)
    corners = torch.rand(20, 2, 2, generator=generator) * 50 + 100
    boxes, wanted = torch.cat(
        [corners, corners + 5 + torch.rand(20, 2, 2, generator=generator) * 40], dim=2
    ).unbind(1)
    numbers = encoded(wanted, boxes, weights=(10, 10, 5, 5))
    np.testing.assert_allclose(decoded(numbers, boxes, (999, 999), weights=(10, 10, 5, 5)), wanted, atol=1e-3)


def test_suppression_keeps_what_the_kernel_keeps() -> None:
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 80, (200, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(5, 40, (200, 2))], axis=1).astype(np.float32)
    scores, labels = rng.random(200, np.float32), rng.integers(0, 3, 200)
    expected = nms_reference(boxes, scores, labels, iou_threshold=0.5, max_det=200)
    found = suppressed(torch.from_numpy(boxes), torch.from_numpy(scores), torch.from_numpy(labels), 0.5)
    assert 20 < len(expected) < 180
    assert found.tolist() == expected.tolist()


def test_the_hottest_pixel_is_counted_from_its_centre_in_a_box_of_broken_sides() -> None:
    maps = torch.zeros(1, 1, 56, 56)
    maps[0, 0, 14, 42] = 5.0
    box = torch.tensor([[10.0, 20.0, 10 + 55.5, 20 + 112.0]])
    [[[x, y, logit]]] = keypoints_of(maps, box).tolist()
    assert x == pytest.approx(10 + 42.5 * 55.5 / 56)  # the map is as wide as the box in whole pixels
    assert y == pytest.approx(20 + 29.0, abs=0.51)  # twice as high: a peak lies between two rows
    assert 3 < logit <= 5.5


def names_and_shapes(which: str) -> dict[str, list[int]]:
    """What torchvision's state dict has."""
    common, rest = TORCHVISION.read_text(encoding="utf-8").split("# maskrcnn_resnet50_fpn\n")
    own = dict(zip(("mask", "keypoint"), rest.split("# keypointrcnn_resnet50_fpn\n"), strict=True))[which]
    found: dict[str, list[int]] = {}
    for line in (common + own).splitlines():
        if line.startswith("#"):
            continue
        name, *sides = line.split()
        parts = ("weight", "bias", "running_mean", "running_var") if name.endswith("*") else ("",)
        found |= {name.removesuffix("*") + part: [int(side) for side in sides] for part in parts}
    return found


def state_of(which: str) -> dict[str, torch.Tensor]:
    """Tensors of those shapes that take no memory."""
    return {name: torch.zeros(1).expand(shape) for name, shape in names_and_shapes(which).items()}


@pytest.mark.parametrize(("which", "count"), [("mask", 44_401_393), ("keypoint", 59_137_258)])
def test_torchvision_s_names_and_shapes_are_ours(which: str, count: int) -> None:
    state = state_of(which)
    plan = plan_of(state, mask_rcnn.DIGITS)
    with torch.device("meta"):
        ours = MaskRCNN(plan)
    own = {name: list(value.shape) for name, value in ours.state_dict().items() if "num_batches" not in name}
    assert own == names_and_shapes(which)
    weights = sum(
        value.numel()
        for name, value in ours.named_parameters()
        if ".bn" not in name and "downsample.1" not in name
    )
    assert weights == count  # as torchvision documents, where frozen batch norm has no parameters


@pytest.mark.parametrize(
    ("which", "classes", "labels", "joints"), [("mask", 90, 90, 0), ("keypoint", 1, 1, 17)]
)
def test_the_plan_and_the_labels_follow_from_the_weights(
    which: str, classes: int, labels: int, joints: int
) -> None:
    plan = plan_of(state_of(which), mask_rcnn.DIGITS)
    about = mask_rcnn.about_of(plan, "x.pth")
    assert (plan.classes, plan.keypoints, bool(plan.masks)) == (classes, joints, which == "mask")
    assert len(about.labels) == labels
    assert about.labels[0] == "person"
    assert max((max(pair) for pair in about.skeleton), default=-1) < max(joints, 0)


def small_state(**changes: torch.Tensor | None) -> dict[str, torch.Tensor]:
    """The digits' state dict by torchvision's names, a little changed; None removes."""
    state = {**MaskRCNN(mask_rcnn.DIGITS).state_dict(), **changes}
    return {name: value for name, value in state.items() if value is not None}


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"rpn.head.bbox_pred.bias": None}, "rpn.head.bbox_pred.bias is missing; expected [12]"),
        ({"rpn.head.bbox_pred.bias": torch.zeros(5)}, "rpn.head.bbox_pred.bias is [5]; expected [12]"),
        ({"rpn.tail": torch.zeros(5)}, "rpn.tail is [5]; expected nothing"),
    ],
)
def test_a_missing_misshaped_or_unknown_tensor_is_named(
    changes: dict[str, torch.Tensor | None], why: str
) -> None:
    state = small_state(**changes)
    with pytest.raises(ModelError) as refused:
        loaded(state, mask_rcnn.DIGITS, "weights.pth")
    assert refused.value.why == why


def test_a_missing_tensor_of_torchvision_s_is_named() -> None:
    state = state_of("mask")
    del state["backbone.body.layer3.4.conv2.weight"]
    with pytest.raises(ModelError) as refused:
        loaded(state, plan_of(state, mask_rcnn.DIGITS), "weights.pth")
    assert refused.value.why == "backbone.body.layer3.4.conv2.weight is missing; expected [256, 256, 3, 3]"


def test_a_box_detector_without_masks_and_keypoints_is_refused() -> None:
    state = {name: value for name, value in state_of("mask").items() if "roi_heads.mask_" not in name}
    with pytest.raises(ModelError, match="does not hold") as refused:
        loaded(state, plan_of(state, mask_rcnn.DIGITS), "fasterrcnn.pth")
    assert "neither roi_heads.mask_head nor roi_heads.keypoint_head" in refused.value.why


def test_the_names_before_torchvision_0_13_are_read_too() -> None:
    then = {
        "backbone.fpn.inner_blocks.2.weight": "backbone.fpn.inner_blocks.2.0.weight",
        "backbone.fpn.layer_blocks.0.bias": "backbone.fpn.layer_blocks.0.0.bias",
        "rpn.head.conv.weight": "rpn.head.conv.0.0.weight",
        "roi_heads.mask_head.mask_fcn1.weight": "roi_heads.mask_head.0.0.weight",
        "roi_heads.mask_head.mask_fcn4.bias": "roi_heads.mask_head.3.0.bias",
        "rpn.head.cls_logits.weight": "rpn.head.cls_logits.weight",
    }
    found = renamed({name: torch.zeros(1) for name in then})
    assert list(found) == list(then.values())
    assert set(then.values()) <= set(names_and_shapes("mask"))


@pytest.mark.parametrize(("counted", "epsilon"), [(True, 1e-5), (False, 0.0)])
def test_frozen_batch_norm_has_no_epsilon(counted: bool, epsilon: float) -> None:
    state = {name: value for name, value in small_state().items() if counted or "num_batches" not in name}
    network = loaded(state, mask_rcnn.DIGITS, "weights.pth")
    assert {layer.eps for layer in network.modules() if isinstance(layer, nn.BatchNorm2d)} == {epsilon}


def test_a_deeper_body_is_read_off_its_names() -> None:
    state = state_of("mask")
    for index in range(6, 23):
        state |= {
            name.replace("layer3.5", f"layer3.{index}"): value for name, value in state_of("mask").items() if "layer3.5." in name
        }  # fmt: skip
    plan = plan_of(state, mask_rcnn.DIGITS)
    assert plan.body.depths == (3, 4, 23, 3)


def test_sides_that_are_no_multiples_of_the_coarsest_stride_are_refused() -> None:
    with pytest.raises(UsageError, match="--imgsz 120x128"):
        mask_rcnn.whole(imgsz=(120, 128))


def test_the_defaults_of_a_plan_are_torchvision_s() -> None:
    plan = Plan(RESNET50)
    assert (plan.proposing.kept, plan.proposing.best, plan.proposing.anchors) == (
        1000,
        1000,
        (32, 64, 128, 256, 512),
    )


def test_a_picture_without_any_object_gives_none() -> None:
    network = MaskRCNN(mask_rcnn.DIGITS).eval()
    with torch.no_grad():
        network.roi_heads.box_predictor.cls_score.bias[0] = 50  # background everywhere
    [found] = Eager(network, (128, 128)).detect(torch.zeros(1, 3, 128, 128))
    assert len(found.boxes) == len(found.scores) == len(found.labels) == 0
    assert found.masks is None
