"""Single scores: the lecture's worked example, scikit-learn as the oracle, calibration."""

import json
from pathlib import Path

import numpy as np
import pytest

from vedette.runtime.errors import SourceError
from vedette.runtime.evaluation.calibration import calibration_of
from vedette.runtime.evaluation.classification import counts, evaluate, samples_from_file, sweep

SCORES = np.array([0.9, 0.5, 0.1, -0.1, -0.4, -0.6])
LECTURE = {  # threshold: TP, TN, FN, FP, P, R
    0.0: (1, 2, 1, 2, 1 / 3, 1 / 2),
    -0.2: (2, 2, 0, 2, 1 / 2, 1),
    -0.5: (2, 1, 0, 3, 2 / 5, 1),
}


@pytest.mark.parametrize("car", [0, 1, 2])  # one is among the first three, whichever; -0.1 is the other
def test_the_lecture_s_worked_example(car: int) -> None:
    positive = np.arange(6) == 3
    positive[car] = True
    for threshold, expected in LECTURE.items():
        got = counts(SCORES, positive, threshold)
        assert (got.tp, got.tn, got.fn, got.fp, got.precision, got.recall) == expected


def test_counts_and_ap_against_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    for _ in range(10):
        scores, positive = rng.normal(size=50).round(1), rng.random(50) < 0.3
        for got in sweep(scores, positive):
            (tn, fp), (fn, tp) = metrics.confusion_matrix(positive, scores >= got.threshold).tolist()
            assert (got.tn, got.fp, got.fn, got.tp) == (tn, fp, fn, tp)
            assert got.f1 == pytest.approx(metrics.f1_score(positive, scores >= got.threshold))
        assert evaluate(scores, positive).numbers["AP"] == pytest.approx(
            metrics.average_precision_score(positive, scores)
        )


def test_what_is_undefined_is_null() -> None:
    nothing = counts(np.array([0.1]), np.array([False]), 0.5).to_dict()
    assert (nothing["precision"], nothing["recall"], nothing["F1"], nothing["TN"]) == (None, None, None, 1)
    assert evaluate(np.array([0.1]), np.array([False])).numbers["AP"] == -1


def test_calibration_against_scikit_learn() -> None:
    calibration_curve = pytest.importorskip("sklearn.calibration").calibration_curve
    rng = np.random.default_rng(0)
    scores = rng.random(300)
    right = rng.random(300) < scores**2  # too sure of themselves
    got = calibration_of(scores, right)
    assert got is not None
    accuracy, confidence = calibration_curve(right, scores, n_bins=10)
    np.testing.assert_allclose(got.accuracy[got.counts > 0], accuracy)
    np.testing.assert_allclose(got.confidence[got.counts > 0], confidence)
    gaps = [
        abs(right[(scores * 10).astype(int) == b].mean() - scores[(scores * 10).astype(int) == b].mean())
        for b in range(10)
    ]
    shares = np.bincount((scores * 10).astype(int)) / 300
    assert got.error == pytest.approx(np.dot(gaps, shares))
    assert calibration_of(SCORES, SCORES > 0) is None  # no shares


def test_four_scores_calibrated_by_hand() -> None:
    got = calibration_of(np.array([0.95, 0.85, 0.05, 1.0]), np.array([True, False, False, True]))
    assert got is not None
    # bins .0: |0 - .05| of 1; .8: |0 - .85| of 1; .9: |1 - .975| of 2
    assert got.error == pytest.approx((0.05 + 0.85 + 2 * 0.025) / 4)
    assert np.isnan(calibration_of(np.zeros(0), np.zeros(0, bool)).error)  # type: ignore[union-attr]


def test_samples_are_read_as_a_list_as_lines_and_by_class(tmp_path: Path) -> None:
    items = [{"score": 0.9, "positive": True}, {"score": -1, "positive": False}]
    (tmp_path / "a.json").write_text(json.dumps(items))
    (tmp_path / "b.jsonl").write_text("\n".join(map(json.dumps, items)))
    (tmp_path / "c.json").write_text(
        json.dumps([{"score": 0.9, "class": "car"}, {"score": -1, "class": "bus"}])
    )
    for name, word in (("a.json", ""), ("b.jsonl", ""), ("c.json", "car")):
        scores, positive = samples_from_file(tmp_path / name, positive=word)
        assert scores.tolist() == [0.9, -1.0]
        assert positive.tolist() == [True, False]


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('[{"score": 0.9, "positive": true},\n {"score": NaN, "positive": true}]', ":2:2"),
        ('[{"score": 0.9}]', ":1:2"),
        ('{"score": 0.9, "positive": true}\n{"score": "high", "positive": true}', ":2"),
        ('[{"score": 0.9, "positive": true},', ":1:35"),
        ("[]", ":1:1"),
    ],
)
def test_a_bad_sample_is_told_with_its_place(text: str, place: str, tmp_path: Path) -> None:
    (tmp_path / "s.json").write_text(text)
    with pytest.raises(SourceError, match=rf"s\.json{place} "):
        samples_from_file(tmp_path / "s.json")
