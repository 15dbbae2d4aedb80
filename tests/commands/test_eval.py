"""`vedette eval`, as a program: models and results, one JSON object, tables, refusals."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import toy
from accuracy import shared

from vedette.__main__ import _dispatch, exit_code
from vedette.runtime.errors import VedetteError

pytest.importorskip("faster_coco_eval")
Printed = Callable[..., str]
Told = Callable[..., dict[str, Any]]
LECTURE = [(0.9, True), (0.5, False), (0.1, False), (-0.1, True), (-0.4, False), (-0.6, False)]


@pytest.fixture
def printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Printed:
    """What the command prints, in a folder of its own."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str | Path) -> str:
        capsys.readouterr()
        assert _dispatch([str(argument) for argument in arguments]) == 0
        return capsys.readouterr().out

    return run


@pytest.fixture
def told(printed: Printed) -> Told:
    """The one JSON object that `eval` prints, and nothing else."""
    return lambda *arguments: json.loads(printed("eval", *arguments, "--json"))


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Two pictures; the toy finds a dog in (8, 18, 24, 30) of 64 x 48, and as far in of any other size."""
    toy.recording(tmp_path)
    (tmp_path / "images").mkdir()
    for name, (width, height) in {"a.png": (64, 48), "b.png": (128, 96)}.items():
        cv2.imwrite(str(tmp_path / "images" / name), np.full((height, width, 3), 200, np.uint8))
    truth = {
        "images": [{"id": 1, "file_name": "a.png"}, {"id": 2, "file_name": "b.png"}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 4, "bbox": [8, 18, 16, 12]},
            {"id": 2, "image_id": 2, "category_id": 4, "bbox": [80, 5, 20, 20]},
        ],
        "categories": [{"id": 4, "name": "Dog"}, {"id": 5, "name": "fish"}],
    }
    (tmp_path / "annotations.json").write_text(json.dumps(truth))
    (tmp_path / "found.json").write_text(
        json.dumps([{"image_id": 1, "category_id": 4, "bbox": [8, 18, 16, 12], "score": 0.9}])
    )
    return tmp_path


def test_the_lecture_s_worked_example_as_a_program(tmp_path: Path) -> None:
    samples = [{"score": score, "positive": car} for score, car in LECTURE]
    (tmp_path / "s.json").write_text(json.dumps(samples))
    command = [sys.executable, "-m", "vedette", "eval", "s.json", "--metric", "classification"]
    flags = ["--threshold", "0,-0.2,-0.5", "--json"]
    done = subprocess.run([*command, *flags], cwd=tmp_path, capture_output=True, text=True, timeout=100)
    found = json.loads(done.stdout)
    keys = ("threshold", "TP", "TN", "FN", "FP", "precision", "recall")
    assert [tuple(point[key] for key in keys) for point in found["points"]] == [
        (0, 1, 2, 1, 2, 1 / 3, 1 / 2), (-0.2, 2, 2, 0, 2, 1 / 2, 1), (-0.5, 2, 1, 0, 3, 2 / 5, 1),
    ]  # fmt: skip
    assert found["AP"] == pytest.approx((1 + 1 / 2) / 2)  # found first of one, second of four


def test_a_list_of_scores_as_a_table(tmp_path: Path, printed: Printed) -> None:
    samples = [{"score": score, "class": "car" if car else "bus"} for score, car in LECTURE]
    (tmp_path / "s.json").write_text(json.dumps(samples))
    table = printed("eval", "s.json", "--metric", "classification", "--positive", "car")
    rows = [line.split() for line in table.splitlines() if len(line.split()) == 8]
    assert [row[0] for row in rows[1:]] == ["0.9", "0.5", "0.1", "-0.1", "-0.4", "-0.6"]
    assert rows[4][1:] == ["2", "2", "0", "2", "0.500", "1.000", "0.667"]


def test_a_model_over_a_coco_folder(place: Path, told: Told, printed: Printed) -> None:
    found = told("toy.npz", ".")
    # one of two dogs, and the other one is a false positive that scores the same: half of the recall at precision 1
    assert found["AP"] == found["per_class"]["Dog"] == pytest.approx(51 / 101)
    assert (
        found["operating_point"] | {"threshold": 0.25, "TP": 1, "FP": 1, "FN": 1} == found["operating_point"]
    )
    assert any("cat" in note for note in found["notes"])  # the model's class that the data has not
    table = printed("eval", "toy.npz", ".")
    assert "0.505" in table
    assert "Dog" in table


def test_results_of_every_form_give_the_same(place: Path, told: Told, printed: Printed) -> None:
    model = told("toy.npz", "annotations.json", "--images", "images")
    run = [
        sys.executable,
        "-m",
        "vedette",
        "run",
        "toy.npz",
        "images",
        "--json",
        "r.jsonl",
        "--conf",
        "0.001",
    ]
    subprocess.run(run, cwd=place, check=True, capture_output=True, timeout=100)
    records = told("r.jsonl", "annotations.json")
    for key in ("AP", "AP50", "AR", "per_class", "operating_point", "confusion", "errors"):
        assert records[key] == model[key]


@pytest.mark.parametrize("metric", ["coco", "voc07", "voc10", "ultralytics", "darknet"])
def test_every_metric_on_the_command_line(place: Path, told: Told, metric: str) -> None:
    found = told("found.json", "annotations.json", "--metric", metric, "--iou", "0.5")
    expected = {
        "coco": 51 / 101,
        "voc07": 6 / 11,
        "voc10": 0.5,
        "ultralytics": 0.495,
        "darknet": 0.25,
    }  # fish: 0
    assert found["AP"] == pytest.approx(expected[metric])
    assert found["metric"] == metric


def test_voc_and_yolo_folders(place: Path, told: Told) -> None:
    (place / "labels").mkdir()
    (place / "labels/a.txt").write_text("1 0.25 0.5 0.25 0.25")
    (place / "labels/b.txt").write_text("1 0.25 0.5 0.25 0.25")
    (place / "data.yaml").write_text("names: [cat, dog]")
    assert told("toy.npz", "data.yaml")["AP"] == pytest.approx(1.0)
    (place / "Annotations").mkdir()
    for name, scale in (("a", 1), ("b", 2)):
        edges = {"xmin": 8 * scale + 1, "ymin": 18 * scale + 1, "xmax": 24 * scale, "ymax": 30 * scale}
        box = "".join(f"<{side}>{value}</{side}>" for side, value in edges.items())
        (place / f"Annotations/{name}.xml").write_text(
            f"<annotation><filename>{name}.png</filename><object><name>dog</name><bndbox>{box}</bndbox></object></annotation>"
        )
    (place / "annotations.json").unlink()
    (place / "found.json").unlink()
    for metric in ("voc07", "coco"):
        assert told("toy.npz", ".", "--metric", metric)["AP"] == pytest.approx(1.0)


def test_masks_of_a_model_s_label_maps(tmp_path: Path, told: Told, printed: Printed) -> None:
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    cv2.imwrite(str(tmp_path / "images/a.png"), np.full((64, 64, 3), 90, np.uint8))
    cv2.imwrite(str(tmp_path / "masks/a.png"), np.zeros((64, 64), np.uint8))
    found = told("selfie-segmentation", ".")
    assert found["pixel_accuracy"] == found["per_class"]["background"] == 1.0
    printed("run", "selfie-segmentation", "images", "--json", "r.jsonl")
    assert told("r.jsonl", "masks")["mIoU"] == told("masks", "masks")["mIoU"] == 1.0


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["toy.npz"], 2, "in place of 2"),
        (["nowhere.json", "annotations.json"], 3, "nowhere.json"),
        (["nowhere", "annotations.json"], 4, "nowhere"),
        (["found.json", "nowhere.json"], 3, "nowhere.json"),
        (["found.json", "annotations.json", "--metric", "voc12"], 2, "voc12"),
        (["found.json", "annotations.json", "--iou", "2"], 2, "--iou 2"),
        (["found.json", "annotations.json", "--kind", "segm"], 2, "segm"),
        (["found.json", "annotations.json", "--classes", "wheel"], 2, "wheel"),
        (["found.json", "annotations.json", "--threshold", "high"], 2, "--threshold"),
        (["toy.npz", "annotations.json", "--images", "nowhere"], 3, "nowhere"),
    ],
)
def test_refusals(place: Path, told: Told, arguments: list[str], code: int, words: str) -> None:
    with pytest.raises(VedetteError) as raised:
        told(*arguments)
    assert words in str(raised.value)
    assert exit_code(raised.value) == code


def test_a_missing_picture_and_an_unknown_class(place: Path, told: Told) -> None:
    truth = json.loads((place / "annotations.json").read_text())
    truth["annotations"].append({"id": 3, "image_id": 1, "category_id": 5, "bbox": [1, 1, 2, 2]})
    (place / "annotations.json").write_text(json.dumps(truth))
    with pytest.raises(VedetteError, match="toy has no class 'fish'") as raised:
        told("toy.npz", ".")
    assert '--classes "Dog"' in raised.value.cure
    assert "a.png" in raised.value.why
    assert told("toy.npz", ".", "--classes", "dog")["AP"] == pytest.approx(51 / 101)
    (place / "images/b.png").unlink()
    with pytest.raises(VedetteError, match=r"b\.png is missing"):
        told("toy.npz", ".", "--classes", "dog")
    (place / "images/b.png").write_text("no picture")
    with pytest.raises(VedetteError, match=r"b\.png"):
        told("toy.npz", ".", "--classes", "dog")


@pytest.mark.slow
def test_fastestdet_on_voc50(printed: Printed, told: Told) -> None:
    pytest.importorskip("torch")
    weights = shared("fastestdet/weight_AP05_0.253207_280-epoch.pth")
    printed("export", "fastestdet", "--weights", weights, "-o", "f.onnx")
    assert told("f.onnx", shared("voc50"))["AP"] == pytest.approx(0.338, abs=0.005)
    found = told("f.onnx", shared("voc50"), "--conf", "0.05", "--iou", "0.45")
    assert found["AP"] == pytest.approx(0.338, abs=0.001)
    assert found["AP50"] == pytest.approx(0.603, abs=0.001)
