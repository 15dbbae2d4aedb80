"""The region loss and the trainer, on numbers worked out by hand and against the decoder."""

from pathlib import Path

import numpy as np
import pytest

for needed in ("torch", "safetensors", "cv2", "sklearn", "skimage"):
    pytest.importorskip(needed)

import torch  # noqa: E402

from vedette.export.networks.yolov2 import ANCHORS, STRIDE, network  # noqa: E402
from vedette.export.training import yolov2  # noqa: E402
from vedette.export.training._recipe import save  # noqa: E402
from vedette.export.training._region_loss import ious, region_boxes, region_loss, truth_of  # noqa: E402
from vedette.export.training.scenes import Scene, scene  # noqa: E402
from vedette.export.weights import load_weights  # noqa: E402
from vedette.kernels.box_layouts import Region  # noqa: E402
from vedette.kernels.decode_boxes import decode_boxes_reference  # noqa: E402


def scene_of(boxes: list[list[float]], class_ids: list[int]) -> Scene:
    """A scene of which only the boxes matter."""
    empty = np.zeros((0, 0), np.uint8)
    return Scene(empty, np.array(boxes, np.float32), np.array(class_ids), empty, empty, empty, empty)


def test_k_means_finds_two_clusters_of_shapes() -> None:
    sizes = np.array([[1, 2], [1.2, 2], [4, 4], [4, 4.4]])
    np.testing.assert_allclose(yolov2.anchors_of(sizes, 2), np.array([[1.1, 2], [4, 4.2]]))


def test_as_many_anchors_as_boxes_are_the_boxes() -> None:
    sizes = np.array([[3.0, 3.0], [1.0, 2.0], [2.0, 1.5]])
    np.testing.assert_allclose(yolov2.anchors_of(sizes, 3), np.array([[1, 2], [2, 1.5], [3, 3]]))


@pytest.mark.slow
def test_the_network_has_the_anchors_of_its_training_scenes() -> None:
    np.testing.assert_allclose(yolov2.training_anchors(), ANCHORS, atol=0.006)


def test_a_digit_belongs_to_the_cell_of_its_centre_and_the_anchor_of_its_shape() -> None:
    width, height = ANCHORS[-1]
    centre = (5.5 * STRIDE, 2.25 * STRIDE)
    sides = (width * STRIDE / 2, height * STRIDE / 2)
    box = [centre[0] - sides[0], centre[1] - sides[1], centre[0] + sides[0], centre[1] + sides[1]]
    truth = truth_of([scene_of([[0, 0, 8, 8]], [3]), scene_of([box, box], [7, 8])])
    image, anchor, row, column = (place.tolist() for place in truth.places)
    assert image == [0, 1, 1]
    assert anchor[1:] == [len(ANCHORS) - 1] * 2
    assert (row[1:], column[1:]) == ([2, 2], [5, 5])
    assert truth.class_ids.tolist() == [3, 7, 8]


def test_iou_and_generalised_iou_of_hand_worked_boxes() -> None:
    first = torch.tensor([[0.0, 0, 2, 2], [0, 0, 1, 1]])
    second = torch.tensor([[1.0, 0, 3, 2], [2, 0, 3, 1]])
    overlap, generalised = ious(first, second)
    np.testing.assert_allclose(overlap, [2 / 6, 0])
    np.testing.assert_allclose(generalised, [2 / 6, -1 / 3])  # hulls 6 and 3, unions 6 and 2


def raw_region(rows: int, columns: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(1, len(ANCHORS) * 15, rows, columns, generator=generator) / 2


def test_training_sees_the_boxes_that_the_decoder_makes() -> None:
    raw = raw_region(3, 4)
    boxes = region_boxes(raw.reshape(1, len(ANCHORS), 15, 3, 4)) * STRIDE
    decoded = decode_boxes_reference(Region((32, 24), ANCHORS), raw[0].numpy(), conf=0)
    assert len(decoded.anchors) == boxes.numel() // 4
    np.testing.assert_allclose(decoded.boxes_xyxy, boxes.reshape(-1, 4), atol=1e-3)


def test_the_loss_of_the_truth_itself_is_near_0_and_of_noise_is_not() -> None:
    scenes = [scene(index, seed=3) for index in range(2)]
    truth = truth_of(scenes)
    region = torch.zeros(2, len(ANCHORS), 15, 16, 16)
    region[:, :, 4] = -15
    centre = (truth.boxes[:, :2] + truth.boxes[:, 2:]) / 2
    sides = (truth.boxes[:, 2:] - truth.boxes[:, :2]) / torch.tensor(ANCHORS)[truth.places[1]]
    image, anchor, row, column = truth.places
    region[image, anchor, :2, row, column] = torch.logit(centre % 1, eps=1e-6)
    region[image, anchor, 2:4, row, column] = sides.log()
    region[image, anchor, 4, row, column] = 15
    region[image, anchor, 5 + truth.class_ids, row, column] = 15
    assert region_loss(region.flatten(1, 2), truth) < 1e-3
    noise = torch.cat([raw_region(16, 16)] * 2).requires_grad_()
    loss = region_loss(noise, truth)
    torch.autograd.backward(loss)
    assert loss > 3
    assert noise.grad is not None
    assert noise.grad.isfinite().all()


def test_a_box_that_fits_where_it_need_not_is_let_be() -> None:
    truth = truth_of([scene_of([[4, 4, 4 + 2 * STRIDE, 4 + 4 * STRIDE]], [0])])
    image, anchor, row, column = (int(place) for place in truth.places)
    region = torch.zeros(1, len(ANCHORS), 15, 16, 16)
    region[:, :, 4] = -15
    other = (anchor + 1) % len(ANCHORS)
    sides = torch.tensor([2.0, 4.0]) / torch.tensor(ANCHORS[other])
    region[0, other, :5, row, column] = torch.tensor([0.0, 0, *sides.log(), 5])
    quiet = region_loss(region.flatten(1, 2), truth)
    region[0, other, 4, row, column] = -15
    assert region_loss(region.flatten(1, 2), truth) == pytest.approx(float(quiet), abs=1e-4)
    region[0, other, 4, (row + 8) % 16, column] = 5
    assert region_loss(region.flatten(1, 2), truth) > quiet + 1
    assert image == 0


@pytest.mark.slow
def test_training_is_the_same_every_time_and_its_file_loads(tmp_path: Path) -> None:
    schedule = yolov2.Schedule(steps=2, batch=2)
    states = []
    for name in ("a.safetensors", "b.safetensors"):
        save(yolov2.train(schedule), tmp_path / name, schedule)
        module = network()
        load_weights(module, tmp_path / name)
        states.append(module.state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert any((tensor != network().state_dict()[name]).any() for name, tensor in states[0].items())
