"""COCO's metrics on random data sets, full of what breaks evaluators; the oracle is pycocotools."""

import contextlib
import copy
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vedette.runtime.errors import UsageError
from vedette.runtime.evaluation import overlaps
from vedette.runtime.evaluation.coco import scores_of
from vedette.runtime.evaluation.coco_json import truth_from_coco
from vedette.runtime.evaluation.data import Found, Kind, Truth
from vedette.runtime.evaluation.detection import Options, evaluate
from vedette.runtime.evaluation.matching import FALSE, NEITHER, TRUE
from vedette.runtime.evaluation.results_json import found_from_file
from vedette.runtime.rle import encode

pytest.importorskip("faster_coco_eval")
KINDS: tuple[Kind, ...] = ("bbox", "segm", "keypoints")
BOXES = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")
NAMES = {
    "bbox": BOXES,
    "segm": BOXES,
    "keypoints": ("AP", "AP50", "AP75", "APm", "APl", "AR", "AR50", "AR75", "ARm", "ARl"),
}
Items = list[dict[str, Any]]
SIZE = (320, 240)


def read(folder: Path, truth: dict[str, Any], results: Items) -> tuple[Truth, Found]:
    (folder / "truth.json").write_text(json.dumps(truth))
    (folder / "found.json").write_text(json.dumps(results))
    true = truth_from_coco(folder / "truth.json")
    return true, found_from_file(folder / "found.json", true)


def oracle(truth: dict[str, Any], results: Items, kind: str) -> Any:
    """pycocotools' COCOeval, summarised."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):
        true = COCO()
        true.dataset = copy.deepcopy(truth)
        true.createIndex()
        evaluation = COCOeval(true, true.loadRes(copy.deepcopy(results)), kind)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seeds", [range(start, start + 6) for start in (0, 6, 12)])
def test_numbers_and_matches_equal_pycocotools(kind: Kind, seeds: range, tmp_path: Path) -> None:
    for seed in seeds:
        truth, results = data_set(seed, kind)
        true, found = read(tmp_path, truth, results)
        expected = oracle(truth, results, kind)
        scores = scores_of(true, found, kind)
        assert [scores.numbers[name] for name in NAMES[kind]] == pytest.approx(
            expected.stats.tolist(), abs=1e-6
        )
        precision = expected.eval["precision"][:, :, :, 0, -1]
        for k, average in scores.per_class.items():
            assert average == pytest.approx(precision[:, :, k][precision[:, :, k] > -1].mean(), abs=1e-6)
        matches = evaluate(true, found, Options(kind=kind)).matches
        assert matches is not None
        statuses = [int(np.sum(matches.status == status)) for status in (TRUE, FALSE)]
        assert statuses == counted(expected)


def counted(expected: Any) -> list[int]:
    """True and false positives of pycocotools at IoU 0.5, over all sizes, of categories that are there."""
    hits = wrong = 0
    images = [e for e in expected.evalImgs if e is not None and e["aRng"] == expected.params.areaRng[0]]
    there = {e["category_id"] for e in images if (np.array(e["gtIgnore"]) == 0).any()}
    for one in images:
        if one["category_id"] in there:
            free = ~np.array(one["dtIgnore"][0], bool)
            hits += int(np.sum((one["dtMatches"][0] > 0) & free))
            wrong += int(np.sum((one["dtMatches"][0] == 0) & free))
    return [hits, wrong]


def test_a_single_overlap_in_place_of_ten(tmp_path: Path) -> None:
    truth, results = data_set(3, "bbox")
    true, found = read(tmp_path, truth, results)
    ten = scores_of(true, found, "bbox")
    for iou, name in ((0.5, "AP50"), (0.75, "AP75")):
        one = scores_of(true, found, "bbox", iou=iou)
        assert one.numbers["AP"] == ten.numbers[name]
        assert one.numbers["AP50"] == ten.numbers["AP50"]
    assert scores_of(true, found, "bbox", iou=0.3).numbers["AP"] > ten.numbers["AP50"]


def test_nothing_found_and_nothing_there(tmp_path: Path) -> None:
    truth, results = data_set(1, "bbox")
    nothing = evaluate(*read(tmp_path, truth, []))
    assert nothing.numbers["AP"] == nothing.numbers["AR"] == 0
    assert nothing.counts is not None
    assert nothing.counts.to_dict()["precision"] is None
    empty = evaluate(*read(tmp_path, {**truth, "annotations": []}, results))
    assert set(empty.numbers.values()) == {-1.0}
    json.dumps(empty.to_dict(), allow_nan=False)


def test_an_annotation_numbered_0_is_found_too(tmp_path: Path) -> None:
    """COCO's tools take a match with number 0 for none."""
    truth, results = data_set(2, "bbox")
    expected = oracle(truth, results, "bbox").stats[0]
    shifted = [{**item, "id": item["id"] - 1} for item in truth["annotations"]]
    true, found = read(tmp_path, {**truth, "annotations": shifted}, results)
    assert scores_of(true, found, "bbox").numbers["AP"] == pytest.approx(expected, abs=1e-6)


def test_keypoints_without_known_sigmas_are_refused(tmp_path: Path) -> None:
    truth, results = data_set(0, "keypoints")
    for item in [*truth["annotations"], *results]:
        item["keypoints"] = item["keypoints"][:15]
    true, found = read(tmp_path, truth, results)
    with pytest.raises(UsageError, match="5 keypoints"):
        evaluate(true, found, Options(kind="keypoints"))
    assert evaluate(true, found, Options(kind="keypoints", sigmas=(0.1,) * 5)).numbers["AP"] > 0


def test_a_few_pairs_at_a_time_give_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in KINDS:
        sets = read(tmp_path, *data_set(7, kind))
        at_once = evaluate(*sets, Options(kind=kind)).to_dict()
        with monkeypatch.context() as small:
            small.setattr(overlaps, "CHUNK", 3)
            assert evaluate(*sets, Options(kind=kind)).to_dict() == at_once


def test_confusion_and_errors_add_up(tmp_path: Path) -> None:
    for kind in KINDS:
        done = evaluate(*read(tmp_path, *data_set(5, kind)), Options(kind=kind, threshold=0.3))
        assert done.confusion is not None
        assert done.counts is not None
        assert done.errors is not None
        assert done.truth is not None
        matrix, counts = done.confusion.matrix, done.counts
        assert np.trace(matrix) == counts.tp
        assert matrix[:, :-1].sum() == counts.tp + counts.fp
        assert matrix[:-1].sum() == counts.tp + counts.fn
        summary = done.errors.summary()
        assert summary.pop("miss") == counts.fn
        assert sum(summary.values()) == counts.fp
        assert sum(one.tp for one in done.class_counts.values()) == counts.tp
        assert done.matches is not None
        assert NEITHER in done.matches.status  # the set has crowds


def data_set(seed: int, kind: str) -> tuple[dict[str, Any], Items]:
    """Annotations and results; ids are not in order and have gaps."""
    rng = np.random.default_rng(seed)
    images: Items = [
        {"id": int(i), "file_name": f"{i}.jpg", "width": SIZE[0], "height": SIZE[1]}
        for i in rng.permutation(40)[:8]
    ]
    names = ["person"] if kind == "keypoints" else ["person", "cat", "dog", "car"]
    categories = [{"id": 3 + 2 * k, "name": name} for k, name in enumerate(names)]
    annotations: Items = []
    results: Items = []
    for image in images:
        true = [_true(rng, kind, image["id"], categories) for _ in range(int(rng.choice([0, 1, 2, 5, 9])))]
        for item in true:
            annotations.append({**item, "id": len(annotations) + 1})
        results += _results(rng, kind, image["id"], categories, true)
    order = rng.permutation(len(results))
    return {"images": images, "annotations": annotations, "categories": categories}, [
        results[i] for i in order
    ]


def _box(rng: np.random.Generator) -> list[float]:
    side = float(rng.choice([8, 20, 60, 130]))
    wide, high = side * rng.uniform(0.6, 1.5, 2)
    left, top = rng.uniform(0, SIZE[0] - wide), rng.uniform(0, max(1.0, SIZE[1] - high))
    return [round(float(value), 1) for value in (left, top, wide, high)]


def _true(rng: np.random.Generator, kind: str, image: int, categories: Items) -> dict[str, Any]:
    box = _box(rng)
    crowd = int(rng.random() < 0.15)
    item = {
        "image_id": image, "category_id": int(rng.choice([c["id"] for c in categories])), "bbox": box,
        "area": box[2] * box[3], "iscrowd": crowd,
    }  # fmt: skip
    if kind == "segm":
        item["segmentation"] = _rle(box) if crowd or rng.random() < 0.3 else [_polygon(rng, box)]
    if kind == "keypoints":
        seen = rng.integers(0, 3, 17) if rng.random() < 0.85 else np.zeros(17, int)
        item["keypoints"], item["num_keypoints"] = _joints(rng, box, seen), int((seen > 0).sum())
    return item


def _polygon(rng: np.random.Generator, box: list[float]) -> list[float]:
    """An ellipse in the box, with as many corners as chance has it."""
    turn = np.linspace(0, 2 * np.pi, int(rng.integers(5, 14)), endpoint=False)
    x = box[0] + box[2] * (0.5 + 0.5 * np.cos(turn))
    y = box[1] + box[3] * (0.5 + 0.5 * np.sin(turn))
    return [round(float(value), 2) for value in np.stack([x, y], axis=1).ravel()]


def _rle(box: list[float]) -> dict[str, Any]:
    mask = np.zeros(SIZE[::-1], bool)
    left, top, wide, high = (int(value) for value in box)
    mask[top : top + high + 1, left : left + wide + 1] = True
    return encode(mask)


def _joints(rng: np.random.Generator, box: list[float], seen: Any) -> list[float]:
    x, y = box[0] + box[2] * rng.random(17), box[1] + box[3] * rng.random(17)
    return [
        float(value)
        for value in np.stack([x.round(1) * (seen > 0), y.round(1) * (seen > 0), seen], axis=1).ravel()
    ]


def _results(rng: np.random.Generator, kind: str, image: int, categories: Items, true: Items) -> Items:
    """Shaken copies of what is true, some with another class, some twice; and things that are not there."""
    found = []
    for item in [*true, *true[::2]]:
        box = (np.array(item["bbox"]) + rng.normal(0, rng.choice([0, 2, 9]), 4)).round(1)
        box[2:] = np.maximum(box[2:], 1)
        category = (
            item["category_id"] if rng.random() < 0.8 else int(rng.choice([c["id"] for c in categories]))
        )
        found.append(_result(rng, kind, image, category, box.tolist(), item))
    wrong = rng.choice([c["id"] for c in categories], int(rng.integers(0, 5))).tolist()
    found += [_result(rng, kind, image, category, _box(rng), None) for category in wrong]
    if rng.random() < 0.1:  # more than COCO counts
        found += [_result(rng, kind, image, categories[0]["id"], _box(rng), None) for _ in range(110)]
    return found


def _result(
    rng: np.random.Generator, kind: str, image: int, category: int, box: list[float], true: Any
) -> dict[str, Any]:
    score = round(float(rng.random()), 1)  # many are equal
    item: dict[str, Any] = {"image_id": image, "category_id": category, "score": score}
    if kind == "bbox":
        item["bbox"] = box
    elif kind == "segm":
        item["segmentation"] = _rle(box)
    else:
        joints = np.array(_joints(rng, box, np.ones(17, int))).reshape(17, 3)
        if true is not None:
            near = np.array(true["keypoints"]).reshape(17, 3)[:, :2]
            joints[:, :2] = (near + rng.normal(0, rng.choice([0.5, 3, 12]), (17, 2))).round(1)
        item["keypoints"] = joints.ravel().tolist()
    return item
