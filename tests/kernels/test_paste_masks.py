"""paste_masks against what PyTorch makes of the words of torchvision's convention, and its run lengths against pycocotools."""

import numpy as np
import pytest

from vedette.kernels.assemble_masks import paste_masks
from vedette.kernels.packed_masks import Array, Size
from vedette.runtime.rle import encode_packed

SIZE = (200, 120)


def by_torch(soft: Array, box: Array, size: Size) -> Array:
    """float32 [H, W]: a margin of 1, the box grown with it and cut to whole pixels, its end included; bilinear."""
    import torch

    height, width = soft.shape
    grown = np.array([width + 2, height + 2]) / [width, height]
    centre, half = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / 2 * grown
    (left, top), (right, bottom) = np.trunc(centre - half).astype(int), np.trunc(centre + half).astype(int)
    columns, rows = max(right - left + 1, 1), max(bottom - top + 1, 1)
    enlarged = torch.nn.functional.interpolate(
        torch.from_numpy(np.pad(soft, 1))[None, None],
        size=(rows, columns),
        mode="bilinear",
        align_corners=False,
    )[0, 0].numpy()
    canvas = np.zeros(size[::-1], np.float32)
    x1, y1, x2, y2 = max(left, 0), max(top, 0), min(left + columns, size[0]), min(top + rows, size[1])
    if x2 > x1 and y2 > y1:
        canvas[y1:y2, x1:x2] = enlarged[y1 - top : y2 - top, x1 - left : x2 - left]
    return canvas


def drawn_boxes(count: int) -> Array:
    """Within the picture, over its edges, beyond it, larger than it, and of next to no size; corners no whole pixels."""
    random = np.random.default_rng(0)
    low = random.uniform(-80, 220, (count, 2))
    sides = random.uniform(0, 1, (count, 2)) * random.choice([0.01, 1, 3, 30, 150, 600], (count, 1))
    return np.concatenate([low, low + sides], axis=1).astype(np.float32)


def smooth(count: int, side: int = 28) -> Array:
    """Blobs with soft edges: float32 [count, side, side] in 0..1."""
    random = np.random.default_rng(1)
    places = np.arange(side) + 0.5
    x, y, width = random.uniform(0, side, (3, count, 1, 1))
    distance = np.hypot(places - x, places[:, None] - y)
    soft: Array = 1 / (1 + np.exp((distance - width / 2) / 1.5))
    return soft.astype(np.float32)


@pytest.mark.parametrize("side", [14, 28])
def test_masks_are_those_of_pytorch(side: int) -> None:
    boxes, soft = drawn_boxes(400), smooth(400, side)
    masks = paste_masks(soft, boxes, SIZE, threshold=0.5)
    inside = 0
    for index, box in enumerate(boxes):
        expected = by_torch(soft[index], box.astype(np.float64), SIZE)
        clear = np.abs(expected - 0.5) > 1e-4
        np.testing.assert_array_equal(masks.whole(index)[clear], expected[clear] > 0.5)
        assert clear.mean() > 0.99
        inside += int(masks.whole(index).any())
    assert 50 < inside < 300


def test_boxes_beyond_the_picture_have_empty_masks() -> None:
    boxes = np.array([[300, 10, 340, 50], [10, -90, 50, -40], [-60, -60, -20, -20]], np.float32)
    masks = paste_masks(np.ones((3, 28, 28), np.float32), boxes, SIZE, threshold=0.5)
    assert [int(masks.whole(index).sum()) for index in range(3)] == [0, 0, 0]
    assert [encode_packed(masks, index)["counts"] for index in range(3)] == [
        encode_packed(masks, 0)["counts"]
    ] * 3


def test_a_box_of_no_size_is_a_pixel() -> None:
    masks = paste_masks(
        np.ones((1, 28, 28), np.float32), np.array([[7.2, 9.6, 7.2, 9.6]]), SIZE, threshold=0.5
    )
    assert np.argwhere(masks.whole(0)).tolist() == [[9, 7]]


def test_run_lengths_of_pasted_masks_are_those_of_pycocotools() -> None:
    coco = pytest.importorskip("pycocotools.mask")
    boxes, soft = drawn_boxes(100), smooth(100)
    masks = paste_masks(soft, boxes, SIZE, threshold=0.5)
    for index in range(100):
        whole = masks.whole(index)
        expected = coco.encode(np.asfortranarray(whole.astype(np.uint8)))
        found = encode_packed(masks, index)
        assert found == {"size": expected["size"], "counts": expected["counts"].decode()}
        assert coco.area(expected) == whole.sum()
