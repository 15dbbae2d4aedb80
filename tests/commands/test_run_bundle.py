"""A bundle's folder on the command line, where a model's file may be."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import toy
from forked import vedette
from two_stages import BOXES, HEATMAP, JOINTS, PEAKS, bundle

from vedette.runtime import bundle as bundles
from vedette.runtime.rle import decode

KEPT, LABELS = [0, 2, 4, 5], [0, 1, 1, 0]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    bundle(tmp_path / "toy_rcnn")
    for index, grey in enumerate([255, 0, 255]):
        cv2.imwrite(str(tmp_path / f"{index}.png"), np.full((96, 128, 3), grey, np.uint8))
    return tmp_path


def told(place: Path, *arguments: str, code: int = 0) -> str:
    done = vedette(*arguments, cwd=place)
    assert done.returncode == code, done.stderr
    return done.stdout if code == 0 else done.stderr


def records(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_known_boxes_masks_and_joints_come_out_of_a_run(place: Path) -> None:
    white, black, again = records(told(place, "run", "toy_rcnn", "*.png", "--json", "-"))
    assert black["instances"] == []
    assert white["instances"] == again["instances"]
    assert [found["label"] for found in white["instances"]] == [["cat", "dog"][label] for label in LABELS]
    assert (white["task"], white["model"]) == ("instances", "toy_rcnn")
    for found, box, label in zip(white["instances"], BOXES[KEPT], LABELS, strict=True):
        corner, sides = (box[:2] - [0, 8]) * 2, (box[2:] - box[:2]) * 2  # the letterbox has half the size
        np.testing.assert_allclose(found["box_xyxy"], [*corner, *(corner + sides)], atol=1e-3)
        xy = corner + (PEAKS[label] + 0.5) * sides / HEATMAP
        assert len(found["keypoints"]) == JOINTS
        np.testing.assert_allclose([joint[:2] for joint in found["keypoints"]], xy, atol=1e-3)
        mask = decode(found["mask"])
        assert mask.shape == (96, 128)
        rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
        whole = corner + sides * ([0.5, 1] if label == 0 else [1, 2 / 3])  # left half, upper two thirds
        np.testing.assert_allclose([columns[0], rows[0]], corner, atol=2)
        np.testing.assert_allclose([columns[-1] + 1, rows[-1] + 1], whole, atol=2)


def test_four_streams_are_one_batch(place: Path) -> None:
    found = records(told(place, "run", "toy_rcnn", "0.png", "1.png", "2.png", "0.png", "--json", "-"))
    counts = {record["stream"]: len(record["instances"]) for record in found}
    assert counts == {"cam0": 4, "cam1": 0, "cam2": 4, "cam3": 4}


def test_iou_is_the_bundle_s_where_nobody_gives_one(place: Path) -> None:
    [loose] = records(told(place, "run", "toy_rcnn", "0.png", "--json", "-", "--iou", "1", "--max-det", "9"))
    assert len(loose["instances"]) == 5
    [few] = records(
        told(place, "run", "toy_rcnn", "0.png", "--json", "-", "--classes", "dog", "--conf", "0.7")
    )
    assert [found["label"] for found in few["instances"]] == ["dog"]


def test_a_bundle_runs_beside_another_model(place: Path) -> None:
    toy.recording(place)
    found = records(told(place, "run", "toy.npz", "toy_rcnn", "0.png", "--json", "-"))
    assert [record["model"] for record in found] == ["toy", "toy_rcnn"]


def test_pictures_are_saved(place: Path) -> None:
    told(place, "run", "toy_rcnn/", "0.png", "--save", "out.png")
    drawn = cv2.imread(str(place / "out.png"))
    assert drawn is not None
    assert (drawn != 255).any()
    assert "toy_rcnn: instances" in told(place, "run", "toy_rcnn", "0.png", "--plan")


def test_inspect_shows_the_bundle_and_its_parts(place: Path) -> None:
    text = told(place, "inspect", "toy_rcnn")
    assert "toy_rcnn, instances, 3 parts" in text
    for word in (
        "mask_rcnn",
        "proposals 4",
        "MIT",
        "features.onnx",
        "boxes.onnx",
        "objects.onnx",
        "keypoints",
    ):
        assert word in text
    parsed = bundles.parse(told(place, "inspect", "toy_rcnn", "--json"))
    assert parsed == bundles.load(place / "toy_rcnn").bundle


@pytest.mark.parametrize("verb", ["inspect", "run"])
def test_a_bundle_that_was_changed_is_refused(verb: str, place: Path) -> None:
    path = place / "toy_rcnn" / "boxes.onnx"
    path.write_bytes(path.read_bytes() + b"\0")
    source = ["0.png"] if verb == "run" else []
    error = told(place, verb, "toy_rcnn", *source, code=4)
    assert "boxes.onnx is not the file" in error
    assert len(error.strip().splitlines()) == 3
