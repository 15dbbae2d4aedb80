"""`vedette run`, as a program: records, files, exit codes, signals."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
import toy
from forked import Done, vedette

VEDETTE = [sys.executable, "-m", "vedette"]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    toy.recording(tmp_path)
    for index, size in enumerate([(64, 48), (80, 60), (40, 40)]):
        cv2.imwrite(str(tmp_path / f"{index}.png"), np.full((size[1], size[0], 3), 200, np.uint8))
    return tmp_path


def ran(place: Path, *arguments: str) -> Done:
    done = vedette("run", *arguments, cwd=place)
    assert done.returncode == 0, done.stderr
    return done


def records(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def frames_in(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


def test_a_record_has_exactly_the_documented_keys(place: Path) -> None:
    [record] = records(ran(place, "toy.npz", "0.png", "--json", "-").stdout)
    assert record.pop("latency_ms").keys() == {"preprocess", "inference", "decode"}
    [found] = record.pop("detections")
    assert record == {
        "stream": "cam0", "source": "0.png", "frame": 0, "time_s": 0.0, "size": [64, 48], "model": "toy",
        "task": "detection", "suspect": False, "dropped": 0,
    }  # fmt: skip
    # cell (1, 2) of 4: the box's corner is the cell's, a quarter of each side: 64 / 4 x 48 / 4
    assert found == {
        "box_xyxy": [8.0, 18.0, 24.0, 30.0], "score": pytest.approx(0.9**0.6 * 0.9**0.4, abs=1e-5), "class_id": 1,
        "label": "dog",
    }  # fmt: skip


def test_a_folder_is_one_stream_in_sorted_order_with_strides(place: Path) -> None:
    found = records(ran(place, "toy.npz", ".", "--json", "-", "--vid-stride", "2").stdout)
    assert [(record["source"], record["frame"], record["stream"]) for record in found] == [
        ("0.png", 0, "cam0"),
        ("2.png", 2, "cam0"),
    ]


def test_without_flags_a_line_a_picture_and_a_numbered_folder(place: Path) -> None:
    for number in (1, 2):
        told = ran(place, "toy.npz", "0.png", "1.png").stdout
        assert "0.png: 64x48 1 dog" in told
        assert f"saved to runs/run-{number}" in told
        assert sorted(path.name for path in (place / f"runs/run-{number}").iterdir()) == ["0.png", "1.png"]


def test_two_models_give_two_records_a_frame(place: Path) -> None:
    found = records(ran(place, "toy.npz", "toy.npz", "synthetic:64x48@10?frames=5", "--json", "-").stdout)
    assert [record["frame"] for record in found] == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]


def test_thresholds_and_classes_reach_the_decoder(place: Path) -> None:
    for flags in (("--conf", "0.95"), ("--classes", "cat"), ("--classes", "0")):
        [record] = records(ran(place, "toy.npz", "0.png", "--json", "-", *flags).stdout)
        assert record["detections"] == []
    assert (
        len(
            records(ran(place, "toy.npz", "0.png", "--json", "-", "--classes", "dog").stdout)[0]["detections"]
        )
        == 1
    )


def test_a_video_is_annotated_frame_by_frame(place: Path) -> None:
    ran(place, "toy.npz", "synthetic:64x48@10?frames=12", "--save", "out.mp4", "--json", "r.jsonl")
    assert frames_in(place / "out.mp4") == 12
    assert len(records((place / "r.jsonl").read_text())) == 12


def test_streams_get_a_video_each(place: Path) -> None:
    ran(place, "toy.npz", "synthetic:64x48@10?frames=4", "synthetic:64x48@10?frames=6", "--save", "out")
    assert sorted(frames_in(path) for path in (place / "out").iterdir()) == [4, 6]


def test_a_dynamic_batch_without_bounds_runs_one_at_a_time(place: Path) -> None:
    path = place / "toy.npz.json"
    document = json.loads(path.read_text())
    document["inputs"][0].update(minimum=[], typical=[], maximum=[])
    path.write_text(json.dumps(document))
    assert len(records(ran(place, "toy.npz", "synthetic:64x48@10?frames=5", "--json", "-").stdout)) == 5


def test_a_very_long_name_is_saved(place: Path) -> None:
    name = "n" * 251 + ".png"
    (place / name).write_bytes((place / "0.png").read_bytes())
    ran(place, "toy.npz", name, "--save", "out")
    assert [path.name for path in (place / "out").iterdir()] == [name]


def test_an_unreadable_picture_in_a_folder_is_told_and_skipped(place: Path) -> None:
    (place / "1.png").write_bytes(b"junk")
    done = ran(place, "toy.npz", ".", "--json", "-")
    assert len(records(done.stdout)) == 2
    assert "warning: " in done.stderr
    assert "1.png" in done.stderr


def test_plan_runs_nothing(place: Path) -> None:
    told = ran(place, "toy.npz", "0.png", "--plan", "--save", "out").stdout
    assert "toy: detection" in told
    ran(place, "toy.npz", "0.png", "--plan")
    assert not (place / "out").exists()
    assert not (place / "runs").exists()


def test_a_broken_pipe_ends_quietly(place: Path) -> None:
    command = f"set -o pipefail; {sys.executable} -m vedette run toy.npz 'synthetic:64x48@10?frames=2000' --json - | head -n 1"
    done = subprocess.run(
        ["bash", "-c", command], cwd=place, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0
    assert len(records(done.stdout)) == 1
    assert "Traceback" not in done.stderr
    assert "fault" not in done.stderr


@pytest.mark.parametrize("source", ["synthetic:64x48@1000?live=1", "synthetic:64x48?frames=1000000"])
def test_a_pipe_that_nobody_reads_does_not_hold_up_a_signal(place: Path, source: str) -> None:
    running = subprocess.Popen(
        [*VEDETTE, "run", "toy.npz", source, "--json", "-"],
        cwd=place,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert running.stdout is not None
    running.stdout.read(1)
    time.sleep(2.0)  # by now the pipe is full
    running.send_signal(signal.SIGTERM)
    began = time.monotonic()
    assert running.wait(60) == 128 + signal.SIGTERM
    assert time.monotonic() - began < 3 * 2
    running.stdout.close()


def test_a_run_without_standard_error_runs(place: Path) -> None:
    script = f"exec {' '.join(VEDETTE)} run toy.npz 0.png --json r.jsonl 2>&-"
    assert subprocess.run(["sh", "-c", script], cwd=place, capture_output=True).returncode == 0
    assert len(records((place / "r.jsonl").read_text())) == 1


def test_a_cameras_file_and_what_it_decides_do_not_go_together(place: Path) -> None:
    command = [*VEDETTE, "run", "cameras.yaml", "--connect-timeout", "3"]
    done = subprocess.run(command, cwd=place, capture_output=True, text=True)
    assert done.returncode == 2
    assert "cameras.yaml and --connect-timeout do not go together" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("after_s", [0.2, 0.6, 1.2, 2.0])
def test_a_signal_at_any_moment_leaves_a_playable_video(
    place: Path, number: signal.Signals, after_s: float
) -> None:
    command = [
        *VEDETTE,
        "run",
        "toy.npz",
        "synthetic:640x480@30?frames=100000",
        "--save",
        "out.mp4",
        "--json",
        "r.jsonl",
    ]
    running = subprocess.Popen(
        command, cwd=place, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    time.sleep(after_s)
    running.send_signal(number)
    began = time.monotonic()
    _, told = running.communicate(timeout=60)
    assert time.monotonic() - began < 3 * 2  # the figure is 2 s; a busy machine gets three times that
    if not (place / "out.mp4").exists():
        assert running.returncode in {128 + number, -number}  # it had not begun to run
        return
    assert running.returncode == 128 + number
    assert "Traceback" not in told
    assert frames_in(place / "out.mp4") == len(records((place / "r.jsonl").read_text())) > 0
