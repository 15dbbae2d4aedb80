import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from levels import LEVELS, run_at_level

from vedette.kernels import native
from vedette.kernels.nms import Array, Case, nms_rotated, nms_rotated_reference, prob_iou_reference

EVERYTHING = 1_000_000


def by_definition(one: Array, other: Array) -> float:
    """1 minus the Hellinger distance of two Gaussians, with matrices: inverses, determinants, nothing expanded."""
    means, covariances = [], []
    for x, y, width, height, angle in (one, other):
        turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
        covariances.append(turn @ np.diag([width**2 / 12, height**2 / 12]) @ turn.T)
        means.append(np.array([x, y]))
    mean, apart = (covariances[0] + covariances[1]) / 2, means[0] - means[1]
    shape = np.linalg.det(mean) / math.sqrt(np.linalg.det(covariances[0]) * np.linalg.det(covariances[1]))
    distance = apart @ np.linalg.inv(mean) @ apart / 8 + math.log(shape) / 2
    return 1 - math.sqrt(max(1 - math.exp(-distance), 0))


def sampled(one: Array, other: Array) -> float:
    """The same from the overlap of the two densities, summed over a fine grid: sum of sqrt(p q)."""
    axis = np.linspace(-60, 60, 801)
    points = np.stack(np.meshgrid(axis, axis), axis=-1)
    densities = []
    for x, y, width, height, angle in (one, other):
        turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
        inside = (points - [x, y]) @ turn / (np.array([width, height]) / math.sqrt(12))
        densities.append(np.exp(-(inside**2).sum(axis=-1) / 2) / (2 * math.pi * width * height / 12))
    overlap = np.sqrt(densities[0] * densities[1]).sum() * (axis[1] - axis[0]) ** 2
    return 1 - math.sqrt(max(1 - overlap, 0))


def random_boxes(count: int, seed: int, extent: float = 200) -> Array:
    random = np.random.default_rng(seed)
    return np.concatenate(
        [
            random.uniform(0, extent, (count, 2)),
            random.uniform(2, 60, (count, 2)),
            random.uniform(-4, 4, (count, 1)),
        ],
        axis=1,
    ).astype(np.float32)


def overlap(one: list[float], other: list[float]) -> float:
    return float(prob_iou_reference(np.array([one]), np.array([other]))[0])


def test_the_overlap_is_the_definition() -> None:
    one, other = random_boxes(400, 1, extent=60), random_boxes(400, 2, extent=60)
    expected = [by_definition(*pair) for pair in zip(one.astype(float), other.astype(float), strict=True)]
    np.testing.assert_allclose(prob_iou_reference(one, other), expected, atol=1e-6)


def test_the_overlap_is_that_of_the_densities() -> None:
    pairs = [([0, 0, 20, 8, 0.4], [3, -2, 12, 15, 1.3]), ([0.0, 0, 30, 9, 0], [0.0, 0, 9, 30, 0])]
    for one, other in pairs:
        assert overlap(one, other) == pytest.approx(sampled(np.array(one), np.array(other)), abs=1e-4)


def test_equal_boxes_overlap_wholly_and_distant_ones_not_at_all() -> None:
    boxes = random_boxes(100, 3)
    assert (prob_iou_reference(boxes, boxes) == 1).all()
    assert overlap([0, 0, 10, 10, 0], [1000, 0, 10, 10, 0]) == 0
    assert overlap([0, 0, 20, 10, 0], [5, 0, 20, 10, 0]) > overlap([0, 0, 20, 10, 0], [9, 0, 20, 10, 0]) > 0.1


@pytest.mark.parametrize("turn", [math.pi, -math.pi, 2 * math.pi])
def test_half_a_turn_changes_nothing(turn: float) -> None:
    assert overlap([50, 40, 30, 8, 0.3], [50, 40, 30, 8, 0.3 + turn]) == pytest.approx(1, abs=1e-6)
    assert overlap([50, 40, 30, 8, 0.3], [50, 40, 8, 30, 0.3 + math.pi / 2]) == pytest.approx(1, abs=1e-6)
    assert overlap([50, 40, 30, 8, 0], [50, 40, 30, 8, math.pi / 2]) < 0.5


def test_overlap_does_not_depend_on_where_and_how_the_pair_lies() -> None:
    one, other = np.array([3, 2, 20, 8, 0.4]), np.array([7, -1, 14, 9, 1.0])
    turn = np.array([[math.cos(0.7), -math.sin(0.7)], [math.sin(0.7), math.cos(0.7)]])
    moved = [np.concatenate([turn @ box[:2] + [500, -80], box[2:4], [box[4] + 0.7]]) for box in (one, other)]
    assert overlap(*map(list, moved)) == pytest.approx(overlap(list(one), list(other)), abs=1e-6)
    assert overlap(list(other), list(one)) == overlap(list(one), list(other))


def brute_force(case: Case, iou_threshold: float) -> list[int]:
    boxes, scores, class_ids = case
    kept: list[int] = []
    for index in sorted(range(len(boxes)), key=lambda i: (-scores[i], i)):
        rivals = [other for other in kept if class_ids[other] == class_ids[index]]
        overlaps = [by_definition(boxes[o].astype(float), boxes[index].astype(float)) for o in rivals]
        if all(found <= iou_threshold for found in overlaps):
            kept.append(index)
    return kept


@pytest.mark.parametrize("iou_threshold", [0.1, 0.4, 0.8])
def test_what_is_kept_is_the_definition(iou_threshold: float) -> None:
    random = np.random.default_rng(5)
    case = random_boxes(120, 4, 120), random.uniform(size=120).astype(np.float32), random.integers(0, 2, 120)
    expected = brute_force(case, iou_threshold)
    assert 5 < len(expected) < 120
    for suppress in (nms_rotated, nms_rotated_reference):
        assert suppress(*case, iou_threshold=iou_threshold, max_det=EVERYTHING).tolist() == expected
        assert suppress(*case, iou_threshold=iou_threshold, max_det=3).tolist() == expected[:3]


def test_equal_class_ids_make_it_agnostic() -> None:
    boxes, scores = np.tile(np.array([[50, 50, 30, 8, 0.3]], np.float32), (3, 1)), np.array([0.5, 0.9, 0.7])
    assert nms_rotated(boxes, scores, np.arange(3), iou_threshold=0.5, max_det=9).tolist() == [1, 2, 0]
    assert nms_rotated(boxes, scores, np.zeros(3, int), iou_threshold=0.5, max_det=9).tolist() == [1]


@st.composite
def any_boxes(draw: st.DrawFn) -> Case:
    count = draw(st.sampled_from([0, 1, 2, 15, 16, 17, 63, 64, 65, 130]))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    boxes = random_boxes(count, int(random.integers(2**31)), extent=draw(st.sampled_from([1.0, 50.0, 500.0])))
    boxes[random.uniform(size=count) < 0.05, 2] = 0  # without area
    boxes[random.uniform(size=count) < 0.3] = boxes[:1]  # equal ones
    if draw(st.booleans()):
        boxes[random.uniform(size=boxes.shape) < 0.02] = random.choice([np.nan, np.inf, 1e30])
    scores = (random.integers(0, 6, count) / 6).astype(np.float32)
    scores[random.uniform(size=count) < draw(st.sampled_from([0.0, 0.1]))] = np.nan
    return boxes, scores, random.choice(np.array([0, 5, -7, 2**40]), count)


@settings(derandomize=True, deadline=None, max_examples=300)
@given(any_boxes(), st.sampled_from([0.0, 0.2, 0.5, 0.9, 1.0]), st.sampled_from([0, 1, 5, EVERYTHING]))
def test_kernel_and_reference_agree(case: Case, iou_threshold: float, max_det: int) -> None:
    expected = nms_rotated_reference(*case, iou_threshold=iou_threshold, max_det=max_det)
    found = nms_rotated(*case, iou_threshold=iou_threshold, max_det=max_det)
    assert found.dtype == expected.dtype == np.int64
    assert found.tolist() == expected.tolist()


def test_kernel_and_reference_agree_on_many() -> None:
    random = np.random.default_rng(6)
    case = random_boxes(1500, 7, 900), random.uniform(size=1500), random.integers(0, 15, 1500)
    expected = nms_rotated_reference(*case, iou_threshold=0.3, max_det=EVERYTHING)
    assert nms_rotated(*case, iou_threshold=0.3, max_det=EVERYTHING).tolist() == expected.tolist()


@pytest.mark.parametrize("level", LEVELS)
def test_other_levels_give_the_same(level: int) -> None:
    run_at_level(level, __file__, "agree")


def test_arrays_of_other_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="boxes have scores"):
        nms_rotated(random_boxes(9, 1), np.zeros(8), np.zeros(9, int), iou_threshold=0.5, max_det=10)


def test_without_the_library_numpy_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "function", lambda *_: None)
    kept = nms_rotated(
        random_boxes(9, 1, 900), np.arange(9) / 9, np.zeros(9, int), iou_threshold=0.9, max_det=2
    )
    assert kept.tolist() == [8, 7]
