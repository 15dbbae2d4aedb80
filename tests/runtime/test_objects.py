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
