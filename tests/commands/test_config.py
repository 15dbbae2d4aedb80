"""`vedette config`: exit codes, what is printed, and nothing that is secret."""

import json
from pathlib import Path

import forked
import pytest

GOOD = """\
models: {objects: nanodet}
cameras:
  yard: {source: 'rtsp://192.0.2.1/1', username: viewer, password: {env: TEST_YARD}, policy: all}
  gate: {source: 'synthetic:', models: [], enabled: false}
"""


def vedette(*arguments: str, **environment: str) -> forked.Done:
    return forked.vedette("config", *arguments, environment=environment)


@pytest.fixture
def good(tmp_path: Path) -> Path:
    path = tmp_path / "cameras.yaml"
    path.write_text(GOOD)
    return path


def test_a_good_file_gets_a_line_a_camera(good: Path) -> None:
    done = vedette("check", str(good), TEST_YARD="hunter2-of-old")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "yard: rtsp://192.0.2.1/1, objects, all",
        "gate: synthetic:, no model, latest if live, else all, off",
    ]


def test_secrets_that_are_elsewhere(good: Path) -> None:
    missing = vedette("check", str(good))
    assert missing.returncode == 2
    assert (
        f"error: {good}:3:{GOOD.splitlines()[2].index('TEST_YARD') + 1}: cameras.yard.password cannot be had\n  why: "
        in missing.stderr
    )
    assert vedette("check", str(good), "--no-secrets").returncode == 0


def test_everything_wrong_is_told_and_the_exit_code_is_2(good: Path) -> None:
    good.write_text(GOOD.replace("nanodet", "nanodett").replace("synthetic:", "nowhere.mp4"))
    done = vedette("check", str(good), TEST_YARD="x1234")
    assert done.returncode == 2
    lines = done.stderr.splitlines()
    assert lines[0] == f"error: {good}:1:19: models.objects names no model"
    assert lines[2] == "  cure: did you mean nanodet?"
    assert lines[3].startswith(f"error: {good}:4:18: ")
    assert len(lines) == 6


def test_for_programs(good: Path) -> None:
    done = vedette("check", str(good), "--json", "--no-secrets")
    told = json.loads(done.stdout)
    assert told["ok"] is True
    assert [camera["name"] for camera in told["cameras"]] == ["yard", "gate"]
    good.write_text("cameras:\n  no: {source: x}\n")
    done = vedette("check", str(good), "--json")
    told = json.loads(done.stdout)
    assert (done.returncode, told["ok"], told["errors"][0]["line"], told["errors"][0]["column"]) == (
        2,
        False,
        2,
        3,
    )
    assert (
        json.loads(vedette("check", str(good.parent / "none.yaml"), "--json").stdout)["errors"][0]["line"]
        == 0
    )


def test_the_schema(tmp_path: Path) -> None:
    printed = vedette("schema")
    assert printed.returncode == 0
    file = tmp_path / "cameras.schema.json"
    assert vedette("schema", str(file)).returncode == 0
    assert json.loads(file.read_text()) == json.loads(printed.stdout)
    assert "cameras" in json.loads(printed.stdout)["required"]
    assert vedette("schema", str(tmp_path / "none" / "x.json")).returncode == 6


def test_a_schema_does_not_replace_a_cameras_file(good: Path) -> None:
    assert vedette("schema", str(good)).returncode == 2
    assert good.read_text() == GOOD


@pytest.mark.parametrize("arguments", [["check"], ["chek", "x.yaml"], ["check", "none.yaml"], []])
def test_what_cannot_be_meant(arguments: list[str]) -> None:
    done = vedette(*arguments)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.splitlines()) == 3
