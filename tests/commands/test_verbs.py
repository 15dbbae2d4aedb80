"""The verbs beside `run`: doctor, zoo, inspect, export, build, demo."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import toy

from vedette.runtime import manifest as manifests
from vedette.runtime.model import zoo_names


def told(*arguments: str | Path, cwd: Path | None = None, code: int = 0) -> str:
    command = [sys.executable, "-m", "vedette", *map(str, arguments)]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == code, done.stderr
    return done.stdout


def test_help_names_every_verb() -> None:
    text = told("--help")
    for verb in ("adopt", "build", "demo", "doctor", "export", "inspect", "run", "zoo"):
        assert verb in text


def test_doctor_gives_every_line_a_status_and_every_fault_a_cure() -> None:
    findings = json.loads(told("doctor", "--json"))
    assert {finding["status"] for finding in findings} <= {"OK", "WARN", "FAIL"}
    assert all(finding["cure"] for finding in findings if finding["status"] != "OK")
    assert {"python", "numpy", "cv2", "gpu", "zoo", "disk", "run onnxruntime", "kernels"} <= {
        f["check"] for f in findings
    }
    assert len(told("doctor").splitlines()) >= len(findings)


def test_the_zoo_lists_task_licence_and_origin_of_each_model() -> None:
    rows = json.loads(told("zoo", "--json"))
    assert [row["name"] for row in rows] == list(zoo_names())
    assert {"detection", "pose", "segmentation", "instances"} <= {row["task"] for row in rows}
    assert all(row["licence"] == "Apache-2.0" and row["provenance"] and row["size_mb"] > 0 for row in rows)
    assert "nanodet" in told("zoo")


def test_inspect_prints_the_manifest_it_checked(tmp_path: Path) -> None:
    model = toy.onnx_model(tmp_path)
    assert manifests.parse(told("inspect", model, "--json")) == manifests.load(model)[0]
    assert "hashes match" in told("inspect", model)
    model.write_bytes(model.read_bytes() + b"\0")
    told("inspect", model, code=4)


def test_a_foreign_model_is_inspected_adopted_and_run(tmp_path: Path) -> None:
    from foreign import cells, constant_model

    grid = cells((96, 64))
    rows = np.concatenate([grid[:, :2], np.repeat(grid[:, 2:], 2, axis=1), np.full((126, 80), 0.01)], axis=1)
    rows[50, :4], rows[50, 4 + 16] = (48, 32, 40, 20), 0.9
    foreign = constant_model(tmp_path / "m.onnx", {"out": rows.T[None].astype(np.float32)})
    assert "output out float32 [1, 84, 126]" in told("inspect", foreign)
    assert json.loads(told("inspect", foreign, "--json"))["outputs"][0]["name"] == "out"
    text = told("adopt", foreign, "-o", tmp_path / "mine.onnx")
    assert "detection as yolov8; boxes cxcywh, pixels; 80 labels" in text
    assert "rgb, 0 to 1, letterbox" in text
    record = json.loads(
        told("run", tmp_path / "mine.onnx", "synthetic:96x64@1", "--max-frames", "1", "--json", "-")
    )
    assert [found["label"] for found in record["detections"]] == ["dog"]
    told("adopt", foreign, "-o", tmp_path / "mine.engine", code=2)
    told("adopt", foreign, "-o", tmp_path / "mine.onnx", "--family", "yolov99", code=2)
    told("run", foreign, "synthetic:96x64@1", code=4)


@pytest.mark.slow
def test_export_then_build_then_inspect_on_the_command_line(tmp_path: Path) -> None:
    for needed in ("torch", "tensorrt_rtx"):
        pytest.importorskip(needed)
    model, engine = tmp_path / "s.onnx", tmp_path / "s.engine"
    assert "agrees" in told("export", "selfie-segmentation", "-o", model, "--precision", "fp16")
    assert "tensorrt-rtx" in told("build", model, "--lane", "tensorrt-rtx", "-o", engine)
    assert json.loads(told("inspect", engine, "--json"))["precision"] == "fp16"


@pytest.mark.slow
def test_the_demo_goes_the_whole_way(tmp_path: Path) -> None:
    for needed in ("torch", "skimage"):
        pytest.importorskip(needed)
    text = told("demo", "--frames", "6", "-o", tmp_path / "demo", cwd=tmp_path)
    assert text.count("agrees") == 9
    assert "of the street clip's processed frames" in text
    records = [json.loads(line) for line in (tmp_path / "demo/results.jsonl").read_text().splitlines()]
    assert len(records) == 4 * 6
    assert json.loads((tmp_path / "demo/latency.json").read_text())
    for clip in ("street.mp4", "people.mp4"):
        assert (tmp_path / "demo" / clip).stat().st_size > 10_000
