"""The program on the real weights in the box and on real pictures: what it must find there."""

import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from accuracy import average_precision, by_image, shared

from vedette import Model
from vedette.runtime.frame import Array

pytestmark = pytest.mark.slow
CHECKPOINT = "fastestdet/weight_AP05_0.253207_280-epoch.pth"


def vedette(*arguments: str | Path) -> str:
    command = [sys.executable, "-m", "vedette", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def records(*arguments: str | Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in vedette("run", *arguments, "--json", "-").splitlines()]


def precision_on_voc50(model: str | Path, *flags: str) -> dict[str, float]:
    annotations = shared("voc50/annotations.json")
    found = records(model, shared("voc50/images"), "--conf", "0.05", *flags)
    return average_precision(by_image(found, annotations), annotations)


def test_nanodet_reaches_its_precision_through_the_program() -> None:
    found = precision_on_voc50("nanodet", "--iou", "0.6")
    assert found["AP"] == pytest.approx(0.510, abs=0.008)
    assert found["AP50"] == pytest.approx(0.743, abs=0.01)


@pytest.fixture(scope="module")
def fastestdet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("torch")
    path = tmp_path_factory.mktemp("fastestdet") / "f.onnx"
    vedette("export", "fastestdet", "--weights", shared(CHECKPOINT), "-o", path)
    return path


def test_fastestdet_reaches_its_precision_through_the_program(fastestdet: Path) -> None:
    found = precision_on_voc50(fastestdet, "--iou", "0.45")
    assert found["AP"] == pytest.approx(0.338, abs=0.005)
    assert found["AP50"] == pytest.approx(0.603, abs=0.008)


def test_fastestdet_as_exported_is_the_author_s_graph(fastestdet: Path) -> None:
    import cv2
    import onnxruntime

    sessions = [
        onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        for path in (fastestdet, shared("fastestdet/FastestDet.onnx"))
    ]
    for photo in sorted(shared("voc50/images").iterdir()):
        picture = cv2.imread(str(photo))
        assert picture is not None
        blob = cv2.dnn.blobFromImage(picture, 1 / 255, (352, 352))
        ours, theirs = (session.run(None, {session.get_inputs()[0].name: blob})[0] for session in sessions)
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4)


def test_people_are_boxed_through_the_street_video(tmp_path: Path) -> None:
    import cv2

    video = tmp_path / "out.mp4"
    vedette("run", "nanodet", shared("vtest/vtest.avi"), "--json", tmp_path / "r.jsonl", "--save", video)
    found = [json.loads(line) for line in (tmp_path / "r.jsonl").read_text().splitlines()]
    assert [record["frame"] for record in found] == list(range(795))
    capture = cv2.VideoCapture(str(video))
    assert sum(1 for _ in iter(lambda: capture.read()[0], False)) == 795
    crowded = [
        sum(d["label"] == "person" and d["score"] > 0.4 for d in record["detections"]) for record in found
    ]
    assert np.mean(np.array(crowded) >= 2) > 0.95


def test_openvino_keeps_the_confident_boxes() -> None:
    pytest.importorskip("openvino")
    flags = ("nanodet", shared("vtest/vtest.avi"), "--vid-stride", "8")
    ours, theirs = records(*flags, "--backend", "onnxruntime"), records(*flags, "--backend", "openvino")
    kept = [
        any(box["class_id"] == other["class_id"] and iou(box, other) >= 0.9 for other in second["detections"])
        for first, second in zip(ours, theirs, strict=True)
        for box in first["detections"]
        if box["score"] >= 0.5
    ]
    assert len(kept) > 300
    assert np.mean(kept) >= 0.99


def iou(first: dict[str, Any], second: dict[str, Any]) -> float:
    a, b = np.array(first["box_xyxy"]), np.array(second["box_xyxy"])
    overlap = np.prod(np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None))
    return float(overlap / (np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - overlap))


def astronaut() -> Array:
    data = pytest.importorskip("skimage.data")
    picture: Array = np.ascontiguousarray(data.astronaut()[..., ::-1])
    return picture


def test_the_astronaut_is_cut_out_cleanly() -> None:
    import cv2

    [result] = Model("selfie-segmentation")(astronaut())
    assert result.masks is not None
    [mask] = result.masks.data
    assert 0.50 <= mask.mean() <= 0.58
    pieces, labelled = cv2.connectedComponents(mask.astype(np.uint8))
    largest = max(np.mean(labelled == piece) for piece in range(1, pieces))
    assert largest / mask.mean() > 0.99  # one person, no crumbs
    assert mask[150:200, 200:250].all()  # her face
    assert not mask[:100, :80].any()  # the flag


def test_the_astronaut_s_joints_are_where_they_are() -> None:
    [result] = Model("openpose-thin")(astronaut())
    assert result.keypoints is not None
    assert len(result) == 1
    seen = {  # read off the picture
        "nose": (230, 125), "right_eye": (207, 100), "left_eye": (249, 103), "right_ear": (174, 118), "left_ear": (277, 122),
    }  # fmt: skip
    names = Model("openpose-thin").manifest.decoder.parameters["keypoint_names"]
    for name, place in seen.items():
        joint = result.keypoints.xy[0][names.index(name)]
        assert np.linalg.norm(joint - place) < 10, name


def labels(found: Iterable[dict[str, Any]]) -> set[str]:
    return {detection["label"] for record in found for detection in record["detections"]}


def test_half_precision_finds_the_same_objects(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    vedette("export", "nanodet", "--precision", "fp16", "-o", tmp_path / "half.onnx")
    photos = shared("photos")
    assert labels(records(tmp_path / "half.onnx", photos, "--conf", "0.5")) == labels(
        records("nanodet", photos, "--conf", "0.5")
    )
