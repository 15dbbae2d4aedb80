"""The variants of AP: cases computed by hand, a published one, and a devkit written anew in plain loops."""

from typing import Any

import numpy as np
import pytest

from vedette.runtime.errors import UsageError
from vedette.runtime.evaluation.average_precision import (
    Curve,
    area,
    darknet,
    eleven_points,
    stepwise,
    trapezoid,
)
from vedette.runtime.evaluation.data import Found, Picture, Truth
from vedette.runtime.evaluation.detection import Options, evaluate
from vedette.runtime.frame import Array

Rows = list[tuple[int, int, list[float]]]  # picture, class, left top width height


def truth_of(
    rows: Rows, *, names: tuple[str, ...] = ("car",), difficult: Any = (), pictures: int = 0
) -> Truth:
    boxes = np.array([row[2] for row in rows], float).reshape(-1, 4)
    flags = np.zeros(len(rows), bool)
    flags[list(difficult)] = True
    count = pictures or 1 + max(row[0] for row in rows)
    return Truth(
        "a test", tuple(Picture(i, f"{i}.jpg", size=(500, 500)) for i in range(count)), names, tuple(range(len(names))),
        np.array([row[0] for row in rows]), np.array([row[1] for row in rows]), boxes, boxes[:, 2] * boxes[:, 3],
        np.zeros(len(rows), bool), flags,
    )  # fmt: skip


def found_of(rows: Rows, scores: list[float]) -> Found:
    boxes = np.array([row[2] for row in rows], float).reshape(-1, 4)
    return Found(
        np.array([row[0] for row in rows]), np.array([row[1] for row in rows]), boxes, np.array(scores), boxes[:, 2] * boxes[:, 3]
    )  # fmt: skip


def at(left: float, width: float = 100.0) -> tuple[int, int, list[float]]:
    return 0, 0, [left, 0.0, width, 100.0]


def ap(truth: Truth, found: Found, metric: str, **options: Any) -> float:
    return evaluate(truth, found, Options(metric, **options)).numbers[
        "AP50" if metric in {"coco", "ultralytics"} else "AP"
    ]


# four cars; found in the order of scores: right, wrong, right, wrong, wrong, right
#   recall    1/4  1/4  2/4  2/4  2/4  3/4
#   precision  1   1/2  2/3  2/4  2/5  3/6
FOUR = truth_of([(image, 0, [10.0, 10.0, 50.0, 50.0]) for image in range(4)])
SIX = found_of(
    [
        (image, 0, [left, 10.0, 50.0, 50.0])
        for image, left in ((0, 10.0), (0, 300), (1, 10), (1, 300), (2, 300), (3, 10))
    ],
    [0.9, 0.8, 0.7, 0.6, 0.5, 0.4],
)
BY_HAND = {
    # precisions at recalls 0, .1, .2 | .3, .4, .5 | .6, .7 | .8, .9, 1
    ("voc07", 0): (3 * 1 + 3 * 2 / 3 + 2 / 2 + 0) / 11,
    # three steps of a quarter
    ("voc10", 0): (1 + 2 / 3 + 1 / 2) / 4,
    # recalls 0 to .25 are 26 of the 101, then 25 and 25
    ("coco", 0): (26 * 1 + 25 * 2 / 3 + 25 / 2) / 101,
    # 24 slices 0.01 wide in each step, and one slanted slice where it ends
    ("ultralytics", 0): (24 * (1 + 2 / 3 + 1 / 2) + (1 + 2 / 3) / 2 + (2 / 3 + 1 / 2) / 2 + (1 / 2 + 0) / 2)
    / 100,
    ("darknet", 0): (1 + 2 / 3 + 1 / 2) / 4,
    ("darknet", 11): (3 * 1 + 3 * 2 / 3 + 2 / 2 + 0) / 11,
    ("darknet", 101): (26 * 1 + 25 * 2 / 3 + 25 / 2) / 101,
}


@pytest.mark.parametrize(("metric", "points"), BY_HAND)
def test_six_detections_by_hand(metric: str, points: int) -> None:
    assert ap(FOUR, SIX, metric, points=points) == pytest.approx(BY_HAND[metric, points], abs=1e-9)


def test_the_area_rules_differ_on_one_curve() -> None:
    assert len({round(BY_HAND[metric, 0], 6) for metric in ("coco", "voc07", "voc10", "ultralytics")}) == 4


def test_a_published_case() -> None:
    """Padilla et al., A Survey on Performance Metrics for Object-Detection Algorithms, IWSSIP 2020, figures 4 and 5.

    15 objects, 24 detections, IoU 0.3: 24.56 % by all points and 26.84 % by eleven; without the devkit's + 1 the former
    would be 22.54 %. Boxes: github.com/rafaelpadilla/Object-Detection-Metrics, samples/sample_2 (MIT).
    """
    true = [
        "25 16 38 56, 129 123 41 62", "123 11 43 55, 38 132 59 45", "16 14 35 48, 123 30 49 44, 99 139 47 47",
        "53 42 40 52, 154 43 31 34", "59 31 44 51, 48 128 34 52", "36 89 52 76, 62 58 44 67", "28 31 55 63, 58 67 50 58",
    ]  # fmt: skip
    seen = [
        ".88 5 67 31 48, .70 119 111 40 67, .80 124 9 49 67", ".71 64 111 64 58, .54 26 140 60 47, .74 19 18 43 35",
        ".18 109 15 77 39, .67 86 63 46 45, .38 160 62 36 53, .91 105 131 47 47, .44 18 148 40 44",
        ".35 83 28 28 26, .78 28 68 42 67, .45 87 89 25 39, .14 10 155 60 26",
        ".62 50 38 28 46, .44 95 11 53 28, .95 29 131 72 29, .23 29 163 72 29",
        ".45 43 48 74 38, .84 17 155 29 35, .43 95 110 25 42", ".48 16 20 101 88, .95 33 116 37 49",
    ]  # fmt: skip
    truth = truth_of(
        [(i, 0, [float(v) for v in box.split()]) for i, row in enumerate(true) for box in row.split(",")]
    )
    boxes = [(i, [float(v) for v in box.split()]) for i, row in enumerate(seen) for box in row.split(",")]
    found = found_of([(i, 0, box[1:]) for i, box in boxes], [box[0] for _, box in boxes])
    assert len(truth) == 15
    assert len(found) == 24
    assert ap(truth, found, "voc10", iou=0.3) == pytest.approx(0.2456, abs=1e-4)
    assert ap(truth, found, "voc07", iou=0.3) == pytest.approx(0.2684, abs=1e-4)
    assert ap(truth, found, "voc10", iou=0.3, continuous=True) == pytest.approx(0.2254, abs=1e-4)


def test_who_comes_second_to_an_object() -> None:
    """The second detection fits the first car best and the other one well enough; only COCO's rule gives it that one."""
    truth = truth_of([at(0), at(30)])
    found = found_of([at(0), at(10)], [0.9, 0.8])  # overlaps 1 and .54 with the cars, then .82 and .67
    assert ap(truth, found, "coco") == pytest.approx(1.0)
    for metric in ("voc10", "darknet"):
        assert ap(truth, found, metric) == pytest.approx(0.5)
    # 50 slices of 1; its end falls straight down
    assert ap(truth, found, "ultralytics") == pytest.approx(0.495, abs=1e-9)


def test_difficult_objects() -> None:
    """A difficult car is found first, a plain one second: VOC and darknet look away, the others count it, or call it wrong."""
    truth = truth_of([at(0), at(300)], difficult=[0])
    found = found_of([at(0), at(300)], [0.9, 0.8])
    assert ap(truth, found, "voc10") == 1.0
    assert ap(truth, found, "darknet") == 1.0
    assert ap(truth, found, "coco") == pytest.approx(1.0)  # both count
    # precision 0, 1/2 at recall 0, 1: 99 slices of 1/2, and one in which it falls to 0
    assert ap(truth, found, "ultralytics") == pytest.approx((99 / 2 + 1 / 4) / 100)
    assert evaluate(truth, found, Options("ultralytics")).sizes["truths"] == 1
    missed = found_of([at(300)], [0.8])
    assert ap(truth, missed, "voc10") == 1.0
    assert ap(truth, missed, "coco") == pytest.approx(51 / 101)


def test_a_detection_exactly_on_the_threshold() -> None:
    """100 x 100 in 200 x 100: an overlap of 1/2 exactly. darknet asks for more."""
    truth, found = truth_of([at(0, 200)]), found_of([at(0, 100)], [0.9])
    for metric in ("coco", "ultralytics"):
        assert ap(truth, found, metric) == pytest.approx(1.0, abs=0.011)
    assert ap(truth, found, "voc10", continuous=True) == 1.0
    assert ap(truth, found, "darknet") == 0.0


def test_the_devkit_s_pixels() -> None:
    """Boxes 9 and 19 wide are 10 and 20 pixels there: half; without that 9 / 19."""
    truth, found = truth_of([(0, 0, [1.0, 1.0, 19.0, 9.0])]), found_of([(0, 0, [1.0, 1.0, 9.0, 9.0])], [0.9])
    assert ap(truth, found, "voc07") == 1.0
    assert ap(truth, found, "voc07", continuous=True) == 0.0


def test_a_recall_on_one_of_the_eleven_points() -> None:
    """3 of 5 found: darknet's point 6/10 is reached, VOC's, which is 0.6000000000000001 in every port, is not."""
    recall, precision = np.array([0.2, 0.4, 0.6]), np.ones(3)
    assert darknet(recall, precision, points=11) == pytest.approx(7 / 11)
    assert eleven_points(recall, precision) == pytest.approx(6 / 11)


def test_darknet_counts_categories_that_are_nowhere() -> None:
    truth = truth_of([at(0)], names=("car", "tram"))
    found = found_of([at(0)], [0.9])
    assert ap(truth, found, "darknet") == 0.5
    assert ap(truth, found, "voc10") == 1.0


def test_the_curve_against_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    for _ in range(20):
        scores = rng.random(60).round(1)  # many are equal
        true = rng.random(60) < 0.4
        order = np.argsort(-scores, kind="stable")
        curve = Curve(scores[order], true[order], int(true.sum()))
        assert stepwise(curve) == pytest.approx(metrics.average_precision_score(true, scores))
        precision, recall, thresholds = metrics.precision_recall_curve(true, scores)
        ends = curve.thresholds()
        np.testing.assert_allclose(curve.precision[ends][::-1], precision[:-1])
        np.testing.assert_allclose(curve.recall[ends][::-1], recall[:-1])
        np.testing.assert_allclose(curve.scores[ends][::-1], thresholds)
        best, threshold = curve.best_f1()
        assert best == pytest.approx(max(metrics.f1_score(true, scores >= t) for t in thresholds))
        assert metrics.f1_score(true, scores >= threshold) == pytest.approx(best)


def test_an_empty_and_a_perfect_curve() -> None:
    none = np.zeros(0)
    for rule in (eleven_points, area, darknet):
        assert rule(none, none) == 0.0
        assert rule(np.array([0.5, 1.0]), np.ones(2)) == 1.0
    assert trapezoid(np.array([0.5, 1.0]), np.ones(2)) == pytest.approx(0.995)  # its last point is 0


def devkit(truth: Truth, found: Found, category: int, iou: float) -> tuple[Array, Array]:
    """VOCevaldet.m step by step: recall and precision."""
    order = sorted(np.flatnonzero(found.category == category), key=lambda d: -found.scores[d])
    objects = [g for g in range(len(truth)) if truth.category[g] == category]
    taken: set[int] = set()
    tp, fp = [], []
    for d in order:
        best, most = -1, -np.inf
        for g in objects:
            if truth.image[g] == found.image[d]:
                overlap = devkit_overlap(found.boxes_xywh[d], truth.boxes_xywh[g])
                if overlap > most:
                    best, most = g, overlap
        difficult = best >= 0 and most >= iou and truth.difficult[best]
        hit = best >= 0 and most >= iou and not difficult and best not in taken
        taken |= {best} if hit else set()
        tp.append(hit)
        fp.append(not hit and not difficult)
    positives = sum(not truth.difficult[g] for g in objects)
    hits, wrong = np.cumsum(tp), np.cumsum(fp)
    return hits / max(positives, 1), hits / np.maximum(hits + wrong, 1)


def devkit_overlap(first: Array, second: Array) -> float:
    a, b = ([box[0], box[1], box[0] + box[2], box[1] + box[3]] for box in (first, second))
    wide, high = min(a[2], b[2]) - max(a[0], b[0]) + 1, min(a[3], b[3]) - max(a[1], b[1]) + 1
    if wide <= 0 or high <= 0:
        return 0.0
    sizes = [(box[2] - box[0] + 1) * (box[3] - box[1] + 1) for box in (a, b)]
    return float(wide * high / (sizes[0] + sizes[1] - wide * high))


def test_voc_against_the_devkit_in_plain_loops() -> None:
    rng = np.random.default_rng(1)
    for _ in range(15):
        true: Rows = [
            (int(rng.integers(6)), int(rng.integers(2)), [float(v) for v in (*rng.integers(0, 60, 2), *rng.integers(9, 60, 2))])
            for _ in range(14)
        ]  # fmt: skip
        near = [true[k] for k in rng.integers(0, len(true), 40)]
        rows: Rows = [
            (i, k, [float(v) for v in np.array(box) + rng.integers(-4, 5, 4)]) for i, k, box in near
        ]
        truth = truth_of(
            true, names=("car", "dog"), difficult=np.flatnonzero(rng.random(14) < 0.25), pictures=6
        )
        found = found_of(rows, rng.permutation(40).astype(float).tolist())
        for metric, rule in (("voc07", eleven_point_loop), ("voc10", area_loop)):
            expected = [
                rule(*devkit(truth, found, k, 0.5))
                for k in range(2)
                if (~truth.difficult[truth.category == k]).any()
            ]
            assert ap(truth, found, metric) == pytest.approx(np.mean(expected), abs=1e-9)


def eleven_point_loop(recall: Array, precision: Array) -> float:
    return sum(max(precision[recall >= t], default=0.0) for t in np.arange(0, 1.1, 0.1)) / 11


def area_loop(recall: Array, precision: Array) -> float:
    """VOCap.m."""
    r, p = [0.0, *recall, 1.0], [0.0, *precision, 0.0]
    for i in range(len(p) - 2, -1, -1):
        p[i] = max(p[i], p[i + 1])
    return float(sum((r[i] - r[i - 1]) * p[i] for i in range(1, len(r)) if r[i] != r[i - 1]))


def test_options_that_mean_nothing_are_refused() -> None:
    wrong: list[dict[str, Any]] = [
        {"metric": "voc12"},
        {"metric": "voc07", "kind": "segm"},
        {"iou": 0.0},
        {"points": 7},
    ]
    for options in wrong:
        with pytest.raises(UsageError):
            Options(**options)
