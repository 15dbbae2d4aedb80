import time
from collections.abc import Callable
from fractions import Fraction
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from levels import LEVELS, need_level, run_at_level
from neon import Call, on_arm, sanitized

from vedette.kernels.nms import CASES, Array, Case, nms, nms_reference

EVERYTHING = 1_000_000


def by_definition(boxes: Array, scores: Array, class_ids: Array, iou_threshold: Fraction) -> list[int]:
    """Greedy suppression in exact fractions."""
    kept: list[int] = []
    for index in sorted(range(len(boxes)), key=lambda i: (-scores[i], i)):
        rivals = [other for other in kept if class_ids[other] == class_ids[index]]
        if all(exact_iou(boxes[other], boxes[index]) <= iou_threshold for other in rivals):
            kept.append(index)
    return kept


def exact_iou(one: Array, other: Array) -> Fraction:
    (x1, y1, x2, y2), (x3, y3, x4, y4) = ([int(side) for side in box] for box in (one, other))
    shared = max(0, min(x2, x4) - max(x1, x3)) * max(0, min(y2, y4) - max(y1, y3))
    union = (x2 - x1) * (y2 - y1) + (x4 - x3) * (y4 - y3) - shared
    return Fraction(shared, union) if union else Fraction(0)


@st.composite
def crowded_boxes(draw: st.DrawFn) -> Case:
    """Boxes with whole coordinates in a small square, so that ties of score and of IoU are common."""
    rows = draw(
        st.lists(st.tuples(*[st.integers(0, 9)] * 4, st.integers(1, 4), st.integers(0, 2)), max_size=90)
    )
    values = np.array(rows, np.int64).reshape(-1, 6)
    boxes = np.concatenate([values[:, :2], values[:, :2] + values[:, 2:4]], axis=1).astype(np.float32)
    return boxes, (values[:, 4] / 4).astype(np.float32), values[:, 5]


@settings(derandomize=True, deadline=None, max_examples=150)
@given(crowded_boxes(), st.sampled_from(["0", "0.3", "0.5", "0.7", "1"]))
def test_it_is_the_definition(case: Case, threshold: str) -> None:
    expected = by_definition(*case, Fraction(threshold))
    found = nms_reference(*case, iou_threshold=float(threshold), max_det=EVERYTHING)
    assert found.tolist() == expected
    assert nms_reference(*case, iou_threshold=float(threshold), max_det=3).tolist() == expected[:3]


@st.composite
def any_boxes(draw: st.DrawFn) -> Case:
    """Of any size and class, turned inside out or not finite now and then, with equal scores."""
    count = draw(st.sampled_from([0, 1, 3, 4, 5, 15, 16, 17, 63, 64, 65, 129, 255, 256, 257, 400]))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    spread = draw(st.sampled_from([1e-22, 1.0, 1000.0, 1e19]))
    low, size = random.uniform(0, 1, (count, 2)), random.uniform(-0.02, 0.4, (count, 2))
    boxes = (np.concatenate([low, low + size], axis=1) * spread).astype(np.float32)
    scores = (random.integers(-3, 20, count) / draw(st.sampled_from([4, 1000]))).astype(np.float32)
    share = draw(st.sampled_from([0.0, 0.0, 0.05]))
    for array in (boxes, scores):
        array[random.uniform(size=array.shape) < share] = random.choice([np.nan, np.inf, -np.inf])
    scores[random.uniform(size=count) < 0.02] = -0.0
    return boxes, scores, random.choice(np.array([0, 1, 1023, 1024, -1, 2**62]), count)


@settings(derandomize=True, deadline=None, max_examples=300)
@given(any_boxes(), st.sampled_from([0.0, 0.3, 0.5, 0.7, 1.0, 2.0]), st.sampled_from([0, 1, 7, EVERYTHING]))
def test_kernel_and_reference_agree(case: Case, iou_threshold: float, max_det: int) -> None:
    expected = nms_reference(*case, iou_threshold=iou_threshold, max_det=max_det)
    assert nms(*case, iou_threshold=iou_threshold, max_det=max_det).tolist() == expected.tolist()


@pytest.mark.parametrize("iou_threshold", [0.0, 0.45, 0.7])
@pytest.mark.parametrize("name", CASES)
def test_kernel_and_reference_agree_on(name: str, iou_threshold: float) -> None:
    case = CASES[name]()
    expected = nms_reference(*case, iou_threshold=iou_threshold, max_det=EVERYTHING)
    assert nms(*case, iou_threshold=iou_threshold, max_det=EVERYTHING).tolist() == expected.tolist()


@pytest.mark.parametrize("level", LEVELS)
def test_other_levels_give_the_same(level: int) -> None:
    run_at_level(level, __file__, "agree")


def assert_answers(run: Callable[[list[Call]], list[tuple[int, list[Array]]]]) -> None:
    made = [(make(), 0.5, EVERYTHING) for make in CASES.values()]
    options = st.tuples(any_boxes(), st.sampled_from([0.0, 0.3, 0.7]), st.sampled_from([0, 7, EVERYTHING]))

    @settings(derandomize=True, deadline=None, max_examples=200)
    @given(options)
    def collect(drawn: tuple[Case, float, int]) -> None:
        made.append(drawn)

    collect()
    calls = []
    for (boxes, scores, class_ids), threshold, most in made:
        keep = np.empty(min(most, len(boxes)), np.int64)
        arguments = boxes, scores, class_ids, len(boxes), threshold, len(keep), keep
        calls.append(Call("vedette_nms", arguments))
    for (case, threshold, most), (count, arrays) in zip(made, run(calls), strict=True):
        expected = nms_reference(*case, iou_threshold=threshold, max_det=most)
        assert arrays[3][:count].tolist() == expected.tolist()


def test_neon_is_the_reference() -> None:
    assert_answers(on_arm)


@pytest.mark.slow
@pytest.mark.parametrize("wanted", LEVELS)
def test_no_byte_outside_the_arrays_is_read_or_written(wanted: int) -> None:
    need_level(wanted)
    assert_answers(partial(sanitized, level=wanted))


def test_arrays_of_other_lengths_are_refused() -> None:
    boxes, scores, class_ids = CASES["scattered"]()
    for wrong in (
        (boxes, scores[:-1], class_ids),
        (boxes, scores, class_ids[:-1]),
        (boxes[1:], scores, class_ids),
    ):
        with pytest.raises(ValueError, match="boxes have scores"):
            nms(*wrong, iou_threshold=0.5, max_det=10)


def test_torch_agrees() -> None:
    torch = pytest.importorskip("torch")
    boxes, scores, class_ids = (torch.from_numpy(array) for array in CASES["crowded"]())
    order, kept = torch.sort(scores, descending=True, stable=True).indices, []
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(dim=1)
    while len(order):
        best, order = order[0], order[1:]
        kept.append(int(best))
        sides = torch.minimum(boxes[best, 2:], boxes[order, 2:]) - torch.maximum(
            boxes[best, :2], boxes[order, :2]
        )
        shared = sides.clamp(min=0).prod(dim=1)
        over = shared / (areas[best] + areas[order] - shared) > 0.5
        order = order[~(over & (class_ids[order] == class_ids[best]))]
    assert nms(*CASES["crowded"](), iou_threshold=0.5, max_det=EVERYTHING).tolist() == kept


@pytest.mark.parametrize("name", ["scattered", "worst", "touching"])
def test_opencv_agrees(name: str) -> None:
    import cv2

    boxes, scores, class_ids = CASES[name]()
    sizes = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)
    expected = cv2.dnn.NMSBoxesBatched(sizes.tolist(), scores.tolist(), class_ids.tolist(), 0.0, 0.5)
    found = nms(boxes, scores, class_ids, iou_threshold=0.5, max_det=EVERYTHING)
    assert sorted(found.tolist()) == sorted(np.asarray(expected).ravel().tolist())


@pytest.mark.parametrize("name", CASES)
def test_every_case_gives_indices_by_falling_score(name: str) -> None:
    boxes, scores, class_ids = CASES[name]()
    found = nms(boxes, scores, class_ids, iou_threshold=0.5, max_det=100)
    assert found.dtype == np.int64
    assert len(found) == len(set(found.tolist())) <= 100
    assert (np.diff(scores[found]) <= 0).all()


def test_nothing_gives_nothing() -> None:
    assert nms(*CASES["empty"](), iou_threshold=0.5, max_det=10).tolist() == []


def test_equal_scores_go_to_the_lower_index_of_each_class() -> None:
    assert nms(*CASES["ties"](), iou_threshold=0.5, max_det=10).tolist() == [0, 1]


def test_touching_boxes_do_not_suppress() -> None:
    assert len(nms(*CASES["touching"](), iou_threshold=0.0, max_det=EVERYTHING)) == 70


def test_an_overlap_equal_to_the_threshold_does_not_suppress() -> None:
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 7]], np.float32)  # IoU 0.7
    arguments = boxes, np.array([0.9, 0.8], np.float32), np.zeros(2, np.int64)
    assert nms(*arguments, iou_threshold=0.7, max_det=10).tolist() == [0, 1]
    assert nms(*arguments, iou_threshold=0.69, max_det=10).tolist() == [0]


def test_what_is_not_finite_is_never_kept_and_suppresses_nothing() -> None:
    assert nms(*CASES["not finite"](), iou_threshold=0.5, max_det=10).tolist() == [2]


def test_boxes_without_area_stay() -> None:
    boxes = np.array([[3, 3, 3, 3]] * 2 + [[8, 8, 2, 2]] * 2 + [[0, 0, 9, 9]], np.float32)
    kept = nms(boxes, np.linspace(1, 0.5, 5), np.zeros(5, np.int64), iou_threshold=0.1, max_det=10)
    assert kept.tolist() == [0, 1, 2, 3, 4]


def test_boxes_whose_area_overflows_are_kept_without_a_warning() -> None:
    boxes = np.array([[-1e30, -1e30, 1e30, 1e30]] * 2, np.float32)
    assert nms(boxes, np.ones(2), np.zeros(2, np.int64), iou_threshold=0.5, max_det=10).tolist() == [0, 1]


def test_classes_far_from_the_origin_are_still_apart() -> None:
    boxes = np.array([[1e6, 1e6, 1e6 + 8, 1e6 + 8]] * 2, np.float32)
    assert len(nms(boxes, np.ones(2), np.array([0, 79]), iou_threshold=0.1, max_det=10)) == 2


@pytest.mark.parametrize("most", [0, -1])
def test_no_detections_allowed_gives_none(most: int) -> None:
    assert nms(*CASES["scattered"](), iou_threshold=0.5, max_det=most).tolist() == []


def test_two_thousand_boxes_that_all_stay_take_well_under_a_frame() -> None:
    case = CASES["worst"]()
    times = []
    for _ in range(3):
        start = time.perf_counter()
        assert len(nms(*case, iou_threshold=0.5, max_det=EVERYTHING)) == 2000
        times.append(time.perf_counter() - start)
    assert min(times) < 0.25  # 26 ms on two cores of a server; a bound that a busy machine keeps
