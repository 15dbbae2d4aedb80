"""`vedette bench`, as a program: tables, one JSON record, comparisons with their exit code, refusals."""

import getpass
import json
import platform
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import toy
from speeds import blocks, record

from vedette.__main__ import _dispatch
from vedette.runtime.errors import DiskError, ModelError, SourceError, UsageError
from vedette.runtime.measuring.record import dumps, loads

Ran = Callable[..., tuple[int, str, str]]
SHORT = ("--seconds", "0.4", "--rounds", "1")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    toy.recording(tmp_path)
    (tmp_path / "base.json").write_text(dumps(record(blocks(10, seed=1))))
    (tmp_path / "slow.json").write_text(dumps(record(blocks(14, seed=2))))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def ran(place: Path, capsys: pytest.CaptureFixture[str]) -> Ran:
    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = _dispatch(["bench", *arguments])
        told = capsys.readouterr()
        return code, told.out, told.err

    return run


def told(text: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(text)
    return found


def test_a_program_prints_rows_stages_and_cold_starts_and_keeps_a_record(place: Path) -> None:
    command = [sys.executable, "-m", "vedette", "bench", str(place / "toy.npz"), "synthetic:64x48@30", *SHORT]
    done = subprocess.run(
        [*command, "--json", str(place / "new" / "out.json")],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for words in (
        "toy: detection, fp32; synthetic:64x48@30, 64x48",
        "inference",
        "end to end",
        "cold starts",
        "no GPU",
        "█",
    ):
        assert words in done.stdout
    assert done.stderr.splitlines() == [f"round 1 of 1: auto, batch 1, streams 1, threads {threads()}"]
    text = (place / "new" / "out.json").read_text()
    made = loads(text)
    assert made.command == (
        "vedette bench toy.npz synthetic:64x48@30 --seconds 0.4 --rounds 1 --json out.json"
    )
    for secret in (str(place), platform.node(), getpass.getuser(), str(Path.home())):
        assert len(secret) < 4 or secret not in text


def threads() -> int:
    from vedette.runtime.engine import cpu_threads

    return cpu_threads()


def test_json_alone_is_on_standard_output_and_the_tables_beside_it(ran: Ran) -> None:
    code, out, err = ran("toy.npz", "synthetic:64x48@30", *SHORT, "--json", "-", "--sink", "none")
    assert code == 0
    made = told(out)
    assert made["settings"] == {
        "source": "synthetic:64x48@30", "size": [64, 48], "live": False, "sinks": [], "policy": "", "imgsz": None, "conf": None,
    }  # fmt: skip
    assert "cold starts" in err


def test_a_sweep_has_a_row_for_each_combination(ran: Ran) -> None:
    _, out, err = ran(
        "toy.npz",
        "synthetic:64x48@30",
        *SHORT,
        "--batch",
        "1,2",
        "--streams",
        "1,2",
        "--threads",
        "1",
        "--json",
        "-",
    )
    rows = told(out)["rows"]
    assert [(row["batch"], row["streams"], row["threads"]) for row in rows] == [
        (1, 1, 1),
        (1, 2, 1),
        (2, 2, 1),
    ]
    assert all(row["backend"] == "replay" and row["blocks"] for row in rows)
    assert "left out: batch 2 of 1 streams" in err


def test_pictures_are_read_over_and_over(ran: Ran, place: Path) -> None:
    import cv2
    import numpy as np

    (place / "pictures").mkdir()
    for index in range(2):
        cv2.imwrite(str(place / "pictures" / f"{index}.png"), np.full((40, 40, 3), 90, np.uint8))
    _, out, _ = ran("toy.npz", "pictures/", *SHORT, "--json", "-")
    assert told(out)["rows"][0]["summary"].popitem()[1]["whole"]["frames"] > 2
    assert told(out)["settings"]["source"] == "pictures"


SLOWED = """
import os, time
from vedette.runtime.runner import Recipe
plain = Recipe.finish
def finish(self, *arguments):
    time.sleep(float(os.environ["POSTPROCESS_S"]))
    return plain(self, *arguments)
Recipe.finish = finish
"""


@pytest.mark.slow
def test_a_slowed_build_is_caught_and_the_same_one_is_not(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By what Python runs when it starts: 5 ms, which other programs do not double as they do toy's tenth of one, and 25."""
    (place / "slowed").mkdir()
    (place / "slowed" / "sitecustomize.py").write_text(SLOWED)
    monkeypatch.setenv("PYTHONPATH", str(place / "slowed"))
    monkeypatch.setenv("POSTPROCESS_S", "0.005")
    command = [
        sys.executable, "-m", "vedette", "bench", "toy.npz", "synthetic:64x48@30", "--seconds", "3", "--compare", "base.json",
        "--fail-if", "postprocess.p50+100%",
    ]  # fmt: skip
    first = [*command[:-4], "--json", "base.json"]
    assert subprocess.run(first, capture_output=True, timeout=120).returncode == 0
    again = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert again.returncode == 0, again.stdout
    monkeypatch.setenv("POSTPROCESS_S", "0.025")
    slowed = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert slowed.returncode == 7, slowed.stdout + slowed.stderr


def test_a_regression_is_told_and_exits_with_7(ran: Ran) -> None:
    code, out, _ = ran("slow.json", "--compare", "base.json", "--fail-if", "p50+10%", "--fail-if", "fps-50%")
    assert code == 7
    lines = {
        line.split()[7]: line
        for line in out.splitlines()
        if line.strip().startswith("onnxruntime, batch") and "%" in line
    }
    assert lines["p50"].rstrip().endswith("regression")
    assert lines["fps"].rstrip().endswith("no worse")
    assert lines["p99"].rstrip().endswith("told")


def test_what_did_not_become_worse_exits_with_0(ran: Ran) -> None:
    for new in ("base.json", "slow.json"):
        code, *_ = ran("base.json", "--compare", new, "--fail-if", "p50+10%,cpu_ms+10%")
        assert code == 0
    assert ran("slow.json", "--compare", "base.json")[0] == 0  # without a limit nothing fails


def test_a_report_is_written_with_the_comparison(ran: Ran, place: Path) -> None:
    pytest.importorskip("matplotlib")
    code, _, err = ran("slow.json", "--compare", "base.json", "--report", "out")
    assert code == 0
    assert "report: out/index.html" in err
    assert "Compared with the base" in (place / "out" / "index.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "error", "what"),
    [
        (("nothing",), ModelError, "no model 'nothing'"),
        (("toy.npz", "nowhere.mp4"), SourceError, "cannot tell what kind of source"),
        (("toy.npz", "--seconds", "0"), UsageError, "--seconds 0.0 is out of range"),
        (("toy.npz", "--rounds", "0"), UsageError, "--rounds 0 is out of range"),
        (("toy.npz", "--batch", "two"), UsageError, "--batch two is out of range"),
        (("toy.npz", "--threads", "0"), UsageError, "--threads 0 is out of range"),
        (("toy.npz", "--batch", "8"), UsageError, "toy takes 4 frames at once, not 8"),
        (("toy.npz", "--batch", "2", "--streams", "1"), UsageError, "no combination can be measured"),
        (("toy.npz", "--backend", "magic"), UsageError, "no backend 'magic'"),
        (("toy.npz", "--backend", "onnxruntime"), ModelError, "does not open .npz"),
        (("toy.npz", "--sink", "tape"), UsageError, "--sink tape is not there"),
        (("toy.npz", "--policy", "some"), UsageError, "--policy some is out of range"),
        (("toy.npz", "--conf", "7"), UsageError, "--conf 7.0 is out of range"),
        (("toy.npz", "--fail-if", "p99+10%"), UsageError, "--fail-if needs something to compare with"),
        (
            ("toy.npz", "--fail-if", "fast", "--compare", "base.json"),
            UsageError,
            "--fail-if 'fast' is no rule",
        ),
        (("toy.npz", "--compare", "none.json"), UsageError, "cannot read none.json"),
        (("toy.npz", "--compare", "toy.npz"), UsageError, "toy.npz is not a record"),
        (("toy.npz", "--json", "base.json/x.json"), DiskError, ""),
        (("base.json", "--compare", "other.json"), UsageError, "measure different things"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_it_is_measured(
    ran: Ran, place: Path, arguments: tuple[str, ...], error: type[Exception], what: str
) -> None:
    other = record(blocks(10, seed=1))
    (place / "other.json").write_text(dumps(replace(other, model=replace(other.model, name="other"))))
    with pytest.raises(error) as raised:
        ran(*arguments)
    assert what in str(raised.value)
    assert raised.value.cure  # type: ignore[attr-defined]
