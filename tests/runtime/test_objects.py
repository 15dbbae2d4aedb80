from typing import Any

import cv2
import numpy as np

from vedette.kernels.packed_masks import PackedMasks, packed
from vedette.runtime.objects import ObjectMasks, OrientedBoxes


def test_masks_are_unpacked_at_the_size_of_the_picture() -> None:
    part = np.array([[1, 0, 1], [0, 1, 1]], bool)
    windows = np.array([[2, 1, 3, 2], [0, 0, 0, 0]])
    masks = ObjectMasks(PackedMasks((6, 4), windows, (packed(part), packed(np.zeros((0, 0), bool)))))
    assert (masks.data.dtype.name, masks.data.shape, len(masks)) == ("bool", (2, 4, 6), 2)
    np.testing.assert_array_equal(masks.data[0, 1:3, 2:5], part)
    assert masks.data.sum() == 4
    assert masks[[1]].data.shape == (1, 4, 6)
    assert masks[np.array([False, False])].data.shape == (0, 4, 6)


def masks_of(*wholes: np.ndarray[Any, np.dtype[np.bool_]]) -> ObjectMasks:
    """Each in the smallest window that holds it."""
    windows, words = [], []
    for whole in wholes:
        left, top, width, height = cv2.boundingRect(whole.astype(np.uint8))
        windows.append([left, top, width, height])
        words.append(packed(whole[top : top + height, left : left + width]))
    return ObjectMasks(PackedMasks(wholes[0].shape[::-1], np.array(windows), tuple(words)))


def test_an_outline_filled_is_the_mask_again() -> None:
    random = np.random.default_rng(0)
    wholes = []
    for _ in range(40):
        canvas = np.zeros((90, 120), np.uint8)
        points = random.integers(-10, 130, (int(random.integers(3, 7)), 2))
        cv2.fillConvexPoly(canvas, cv2.convexHull(points), 1)
        wholes += [canvas.astype(bool)] if canvas.any() else []
    outlines = masks_of(*wholes).xy
    assert len(outlines) == len(wholes) > 30
    for whole, outline in zip(wholes, outlines, strict=True):
        assert (outline.dtype.name, outline.shape[1]) == ("float32", 2)
        again = cv2.fillPoly(np.zeros(whole.shape, np.uint8), [outline.astype(np.int32)], 1)
        columns, rows = outline.astype(int).T
        assert whole[rows, columns].all()
        assert (again != whole).sum() <= 4  # fillPoly closes gaps at spikes


def test_the_outline_is_of_the_largest_piece_and_of_nothing_where_there_is_none() -> None:
    pieces = np.zeros((40, 60), bool)
    pieces[30:33, 2:40:3] = pieces[31, 2:40:3] = True  # many small ones
    pieces[5:25, 10:50] = True
    pieces[10:12, 20:22] = False  # a hole
    single = np.zeros_like(pieces)
    single[39, 59] = True
    masks = masks_of(pieces, np.zeros_like(pieces), single)
    large, none, pixel = masks.xy
    assert sorted(map(tuple, large.tolist())) == [(10, 5), (10, 24), (49, 5), (49, 24)]
    assert none.shape == (0, 2)
    assert pixel.tolist() == [[59, 39]]
    np.testing.assert_allclose(masks.xyn[2], [[59 / 60, 39 / 40]])
    assert masks[1:1].xy == []


def turned(*xywhr: float) -> OrientedBoxes:
    return OrientedBoxes(
        np.array([xywhr], np.float32), np.ones(1, np.float32), np.zeros(1, np.int64), (50, 50)
    )


def test_the_corners_of_a_turned_box_lie_around_it() -> None:
    quarter = turned(10, 20, 8, 4, np.pi / 2)
    np.testing.assert_allclose(quarter.xyxy, [[8, 16, 12, 24]], atol=1e-5)
    flat = turned(10, 20, 8, 4, 0).xyxyxyxy[0].tolist()
    assert flat == [[14, 22], [14, 18], [6, 18], [6, 22]]
    diamond = turned(10, 20, np.sqrt(8), np.sqrt(8), np.pi / 4)
    np.testing.assert_allclose(diamond.xyxy, [[8, 18, 12, 22]], atol=1e-5)


def test_a_part_keeps_its_tracks() -> None:
    boxes = OrientedBoxes(np.ones((3, 5), np.float32), np.ones(3), np.arange(3), (50, 50), np.arange(3) + 7)[
        1:
    ]
    assert boxes.id is not None
    assert boxes.id.tolist() == [8, 9]
    assert boxes.cls.tolist() == [1, 2]
