"""Data sets and results as they lie on a disk; what is wrong in them is told with its place."""

import json
import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from vedette.runtime.errors import SourceError, UsageError
from vedette.runtime.evaluation.coco_json import truth_from_coco
from vedette.runtime.evaluation.data import Truth
from vedette.runtime.evaluation.datasets import open_data
from vedette.runtime.evaluation.labels import chosen, known, spelt
from vedette.runtime.evaluation.results_json import found_from_file
from vedette.runtime.evaluation.voc_xml import truth_from_voc
from vedette.runtime.rle import encode

COCO: dict[str, Any] = {
    "images": [
        {"id": 7, "file_name": "b.jpg", "width": 64, "height": 48},
        {"id": 3, "file_name": "a.jpg", "width": 64, "height": 48},
    ],
    "annotations": [
        {"id": 1, "image_id": 7, "category_id": 2, "bbox": [1, 2, 10, 20], "area": 150, "iscrowd": 0},
        {"id": 2, "image_id": 3, "category_id": 5, "bbox": [4, 4, 8, 8], "iscrowd": 1},
    ],
    "categories": [{"id": 5, "name": "dog"}, {"id": 2, "name": "car"}],
}  # fmt: skip


def truth_in(folder: Path, **changes: Any) -> Truth:
    path = folder / "truth.json"
    path.write_text(json.dumps({**COCO, **changes}, indent=1))
    return truth_from_coco(path)


def test_coco_is_read_in_the_order_of_its_ids(tmp_path: Path) -> None:
    truth = truth_in(tmp_path)
    assert [picture.id for picture in truth.pictures] == [3, 7]
    assert truth.names == ("car", "dog")
    assert truth.image.tolist() == [1, 0]
    assert truth.category.tolist() == [0, 1]
    assert truth.areas.tolist() == [150, 64]  # where none is said, the box's
    assert truth.crowd.tolist() == [False, True]
    masked = [{**COCO["annotations"][0], "area": None, "segmentation": [[0, 0, 10, 0, 10, 10, 0, 10]]}]
    assert truth_in(tmp_path, annotations=masked).areas.tolist() == [100]  # or the mask's


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"images": [{"id": 1}, {"id": 1}]}, r"truth\.json:\d+:3 .*images\[1\] is that of images\[0\]"),
        ({"images": [{"file_name": "a.jpg"}]}, r"images\[0\] has no 'id'"),
        ({"categories": [{"id": 2}]}, r"categories\[0\] has no 'name'"),
        ({"annotations": None}, "no list 'annotations'"),
        ({"annotations": [{"id": 1, "image_id": 9, "category_id": 2}]}, r":17:3 .*image_id 9, which is not among"),
        ({"annotations": [{"id": 1, "image_id": 7, "category_id": 9}]}, "category_id 9, which is not among"),
        ({"annotations": [{"id": 1, "image_id": 7, "category_id": 2, "bbox": [1, 2, -3, 4]}]}, r"bbox \[1, 2, -3, 4\]"),
        ({"annotations": [{"id": 1, "image_id": 7, "category_id": 2, "bbox": [1, 2, 3, float("nan")]}]}, "nan"),
        ({"annotations": [COCO["annotations"][0]] * 2}, r"the id 1 of annotations\[1\] is that of annotations\[0\]"),
        (
            {"annotations": [{"id": 1, "image_id": 7, "category_id": 2, "segmentation": {"size": [48, 64], "counts": "zzzz"}}]},
            "not runs that fill",
        ),
        (
            {"annotations": [{"id": 1, "image_id": 7, "category_id": 2, "bbox": [1, 1, 2, 2], "keypoints": [1, 2]}]},
            "keypoints of annotations",
        ),
    ],
)  # fmt: skip
def test_a_bad_annotation_is_told_with_its_place(changes: dict[str, Any], told: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError) as raised:
        truth_in(tmp_path, **changes)
    assert re.search(told, " ".join(str(raised.value).split())), str(raised.value)


RESULT = {"image_id": 7, "category_id": 2, "bbox": [1, 2, 10, 20], "score": 0.5}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('[{"image_id": 7,\n "category_id": 2 "bbox": []}]', ":2:19 .*malformed JSON at line 2, column 19"),
        ('[\n{"image_id": 7', ":2:15 .*malformed JSON"),
        (
            json.dumps([RESULT, {**RESULT, "score": float("nan")}], indent=0),
            r":13:1 .*item 1: the score nan .*image_id 7",
        ),
        (json.dumps([RESULT, {**RESULT, "score": "0.5"}]), "score '0.5' is no finite number"),
        (json.dumps([RESULT, {**RESULT, "score": None}]), "score None"),
        (json.dumps([{**RESULT, "image_id": 8}]), ":1:2 .*image_id 8 is not among the 2 images"),
        (
            json.dumps([RESULT, {**RESULT, "category_id": 80}]),
            "item 1: category_id 80 is not among the 2 categories",
        ),
        (json.dumps([RESULT, {**RESULT, "category_id": [1]}]), "category_id"),
        (json.dumps([RESULT, {**RESULT, "bbox": [1, 2, 3]}]), r"item 1: the bbox \[1, 2, 3\]"),
        (json.dumps([RESULT, {**RESULT, "bbox": [1, 2, -3, 4]}]), "item 1: the bbox"),
        (json.dumps([RESULT, {"image_id": 7}]), "item 1: it has no 'category_id'"),
        (json.dumps([RESULT, 5]), "item 1: it is no object"),
        (json.dumps([{"image_id": 7, "category_id": 2, "score": 1}]), "item 0: it has no 'bbox'"),
        (
            json.dumps([{**RESULT, "segmentation": {"size": [48, 64], "counts": "zzzz"}}]),
            "item 0: its segmentation",
        ),
        (json.dumps([{**RESULT, "segmentation": encode(np.ones((3, 3), bool))}]), r"size \[3, 3\] is not"),
        ("5", "not a list"),
        ("", "malformed JSON"),
    ],
)
def test_a_bad_result_is_told_with_its_place(text: str, told: str, tmp_path: Path) -> None:
    truth = truth_in(tmp_path)
    (tmp_path / "found.json").write_text(text)
    with pytest.raises(SourceError) as raised:
        found_from_file(tmp_path / "found.json", truth)
    assert re.search(told, " ".join(str(raised.value).split())), str(raised.value)


def record(source: str, *found: dict[str, Any]) -> dict[str, Any]:
    return {
        "stream": "cam0",
        "source": source,
        "size": [64, 48],
        "task": "detection",
        "detections": list(found),
    }


def test_records_of_run_are_results_too(tmp_path: Path) -> None:
    truth = truth_in(tmp_path)
    rows = [
        record("x/a.jpg", {"box_xyxy": [1.0, 2.0, 11.0, 22.0], "score": 0.9, "class_id": 0, "label": "DOG"}),
        record("b.jpg", {"box_xyxy": [0, 0, 1, 1], "score": 0.8, "class_id": 1, "label": "zebra"}),
    ]
    (tmp_path / "r.jsonl").write_text("\n".join(map(json.dumps, rows)))
    found = found_from_file(tmp_path / "r.jsonl", truth)
    assert found.boxes_xywh.tolist() == [[1, 2, 10, 20]]
    assert (found.image.tolist(), found.category.tolist()) == ([0], [1])
    assert "zebra" in found.notes[0]


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (record("c.jpg"), "c.jpg"),
        (record("a.jpg"), "has a record in line 1"),
        ({"source": "b.jpg"}, "no record with detections"),
        (record("b.jpg", {"box_xyxy": [0, 0, 1, 1], "score": float("nan"), "label": "dog"}), "no number"),
        (record("b.jpg", {"score": 0.5, "label": "dog"}), "vedette run"),
    ],
)
def test_a_bad_record_is_told_with_its_line(row: dict[str, Any], told: str, tmp_path: Path) -> None:
    truth = truth_in(tmp_path)
    (tmp_path / "r.jsonl").write_text(json.dumps(record("a.jpg")) + "\n\n" + json.dumps(row))
    with pytest.raises(SourceError) as raised:
        found_from_file(tmp_path / "r.jsonl", truth)
    assert told in str(raised.value)
    assert "r.jsonl:3 " in str(raised.value)


XML = """<annotation><filename>{name}.jpg</filename><size><width>64</width><height>48</height></size>
<object><name>aeroplane</name><difficult>{difficult}</difficult>
<bndbox><xmin>{left}</xmin><ymin>2</ymin><xmax>20</xmax><ymax>30</ymax></bndbox></object></annotation>"""


def test_voc_folders(tmp_path: Path) -> None:
    notes = tmp_path / "Annotations"
    notes.mkdir()
    (notes / "p.xml").write_text(XML.format(name="p", difficult=1, left=1))
    (notes / "q.xml").write_text(XML.format(name="q", difficult=0, left=5))
    truth = open_data(tmp_path)
    assert isinstance(truth, Truth)
    assert truth.boxes_xywh.tolist() == [[1, 2, 19, 28], [5, 2, 15, 28]]
    assert truth.difficult.tolist() == [True, False]
    assert truth.devkit
    (tmp_path / "found.json").write_text(
        json.dumps([{"image_id": "q", "category_id": 1, "bbox": [1, 1, 9, 9], "score": 1}])
    )
    assert found_from_file(tmp_path / "found.json", truth).boxes_xywh.tolist() == [[1, 1, 9, 9]]  # as written
    row = record("q.jpg", {"box_xyxy": [0.0, 1.0, 20.0, 30.0], "score": 1, "label": "airplane"})
    (tmp_path / "r.jsonl").write_text(json.dumps(row))
    # ours are edges, from 0: the first pixel is 1 there, and the last one the edge
    assert found_from_file(tmp_path / "r.jsonl", truth).boxes_xywh.tolist() == [[1, 2, 19, 28]]
    for bad, told in (
        ("<annotation>", "q.xml:1:13"),
        (XML.format(name="q", difficult=0, left=50), "ends before it begins"),
    ):
        (notes / "q.xml").write_text(bad)
        with pytest.raises(SourceError) as raised:
            truth_from_voc(tmp_path)
        assert told in str(raised.value)


def test_yolo_folders(tmp_path: Path) -> None:
    for folder in ("images", "labels"):
        (tmp_path / folder / "val").mkdir(parents=True)
    cv2.imwrite(str(tmp_path / "images/val/a.png"), np.zeros((50, 100, 3), np.uint8))
    cv2.imwrite(str(tmp_path / "images/val/b.png"), np.zeros((50, 100, 3), np.uint8))
    (tmp_path / "labels/val/a.txt").write_text("1 0.5 0.5 0.2 0.4\n\n0 0.1 0.1 0.3 0.1 0.3 0.5\n")
    (tmp_path / "data.yaml").write_text("names:\n  0: cat\n  1: dog\n")
    for data in (tmp_path, tmp_path / "data.yaml"):
        truth = open_data(data)
        assert isinstance(truth, Truth)
        assert truth.names == ("cat", "dog")
        np.testing.assert_allclose(truth.boxes_xywh, [[40, 15, 20, 20], [10, 5, 20, 20]])
        assert [picture.name for picture in truth.pictures] == ["a.png", "b.png"]
    for line, told in (
        ("2 0.5 0.5 0.2 0.4", "class 2 has no name"),
        ("1 0.5 0.5", "3 numbers"),
        ("1 50 5 2 4", "no shares"),
        ("dog 1", "a line is"),
    ):
        (tmp_path / "labels/val/b.txt").write_text("1 0.5 0.5 0.2 0.4\n" + line)
        with pytest.raises(SourceError) as raised:
            open_data(tmp_path)
        assert told in str(raised.value)
        assert "b.txt:2 " in str(raised.value)


def test_data_of_no_known_form_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(SourceError):
            open_data(path)
    with pytest.raises(SourceError, match="no folder"):
        open_data(tmp_path, images=tmp_path / "nowhere")


def test_names_that_are_spelt_differently() -> None:
    assert spelt("TV_Monitor") == "tv monitor"
    assert spelt("tvmonitor") == spelt("TV")
    assert known(["aeroplane", "Potted-Plant", "wheel"], ["potted plant", "airplane"]) == [1, 0, -1]
    with pytest.raises(UsageError, match="wheel"):
        chosen(["wheel"], ["car"])
