"""Every refusal: its exit code, three lines, never a traceback."""

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest
import toy
from forked import vedette

TIMEOUT_S = 60


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with a working model, a picture and a few bad files."""
    toy.onnx_model(tmp_path)
    cv2.imwrite(str(tmp_path / "photo.png"), np.full((48, 64, 3), 255, np.uint8))
    (tmp_path / "text.mp4").write_text("this is no video\n" * 50)
    return tmp_path


def refused(place: Path, *arguments: str) -> tuple[int, str]:
    """Exit code and standard error of a command that must refuse; checks the form of the error."""
    done = vedette(*arguments, cwd=place, timeout_s=TIMEOUT_S)
    lines = done.stderr.strip().splitlines()
    assert "Traceback" not in done.stderr + done.stdout
    assert len(lines) == 3, done.stderr
    assert lines[0].startswith("error: ")
    assert lines[1].startswith("  why: ")
    assert lines[2].startswith("  cure: ")
    return done.returncode, done.stderr


def test_a_fork_says_what_a_process_of_its_own_does(place: Path) -> None:
    """Else the tests that ask forked.py would show nothing."""
    words = ["run", "missing.onnx", "photo.png"]
    own = subprocess.run(
        [sys.executable, "-m", "vedette", *words],
        cwd=place,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    fork = vedette(*words, cwd=place)
    assert (fork.returncode, fork.stdout, fork.stderr) == (own.returncode, own.stdout, own.stderr)
    assert own.returncode == 4


def test_a_missing_model(place: Path) -> None:
    code, told = refused(place, "run", "missing.onnx", "photo.png")
    assert code == 4
    assert "missing.onnx" in told


def test_a_truncated_onnx(place: Path) -> None:
    model = place / "toy.onnx"
    model.write_bytes(model.read_bytes()[:150])
    assert refused(place, "run", "toy.onnx", "photo.png")[0] == 4
    toy.with_manifest(model)  # even if a manifest vouches for it
    code, told = refused(place, "run", "toy.onnx", "photo.png")
    assert code == 4
    assert "not an ONNX file" in told


def test_an_onnx_without_manifest(place: Path) -> None:
    (place / "toy.onnx.json").unlink()
    code, told = refused(place, "run", "toy.onnx", "photo.png")
    assert code == 4
    assert "vedette adopt toy.onnx" in told


@pytest.mark.parametrize("location", ["../secret.bin", "/etc/hostname", "link.bin"])
def test_an_onnx_whose_weights_point_outside_its_folder(place: Path, location: str) -> None:
    import onnx
    from onnx.external_data_helper import set_external_data

    (place.parent / "secret.bin").write_bytes(bytes(7 * 3 * 4))
    (place / "link.bin").symlink_to(place.parent / "secret.bin")
    model = onnx.load(str(place / "toy.onnx"))
    set_external_data(model.graph.initializer[0], location=location)
    model.graph.initializer[0].ClearField("raw_data")
    (place / "toy.onnx").write_bytes(model.SerializeToString())
    toy.with_manifest(place / "toy.onnx")
    code, told = refused(place, "run", "toy.onnx", "photo.png")
    assert code == 4
    assert "another file" in told


def test_a_pt_that_runs_code_is_refused_and_runs_nothing(place: Path) -> None:
    torch = pytest.importorskip("torch")

    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str, ...]]:
            return (exec, ("open('sprung', 'w').close()",))

    torch.save({"weights": Trap()}, place / "evil.pt")
    code, told = refused(place, "export", "fastestdet", "--weights", "evil.pt", "-o", "f.onnx")
    assert code == 4
    assert "more than tensors" in told
    assert not (place / "sprung").exists()


def test_a_manifest_with_an_unknown_key(place: Path) -> None:
    path = place / "toy.onnx.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "colour": "red"}))
    code, told = refused(place, "run", "toy.onnx", "photo.png")
    assert code == 4
    assert "colour" in told


def test_a_manifest_for_other_bytes(place: Path) -> None:
    model = place / "toy.onnx"
    model.write_bytes(model.read_bytes() + b"\0")
    code, told = refused(place, "run", "toy.onnx", "photo.png")
    assert code == 4
    assert "sha256" in told


def test_a_text_file_as_a_video(place: Path) -> None:
    code, told = refused(place, "run", "toy.onnx", "text.mp4")
    assert code == 3
    assert "text.mp4" in told


def test_a_missing_source(place: Path) -> None:
    assert refused(place, "run", "toy.onnx", "nothing.mp4")[0] == 3


@contextmanager
def listening() -> Iterator[int]:
    """A port that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_an_rtsp_server_that_refuses(place: Path) -> None:
    with listening() as port:
        pass  # closed again: nobody listens there now
    code, told = refused(place, "run", "toy.onnx", f"rtsp://user:s3cret@127.0.0.1:{port}/cam")
    assert code == 3
    assert "s3cret" not in told


def test_an_rtsp_server_that_never_answers(place: Path) -> None:
    with listening() as port:
        code, told = refused(
            place, "run", "toy.onnx", f"rtsp://user:s3cret@127.0.0.1:{port}/cam", "--connect-timeout", "2"
        )
    assert code == 3
    assert "s3cret" not in told


def test_options_in_another_program_s_spelling(place: Path) -> None:
    code, told = refused(place, "run", "toy.onnx", "photo.png", "conf=0.25")
    assert code == 2
    assert "use --conf 0.25" in told


@pytest.mark.parametrize(
    "flags",
    [
        ("--conf", "2"),
        ("--conf", "nan"),
        ("--conf", "high"),
        ("--iou", "-1"),
        ("--max-det", "0"),
        ("--classes", "unicorn"),
        ("--imgsz", "big"),
        ("--imgsz", "640"),
        ("--backend", "abacus"),
        ("--policy", "some"),
        ("--vid-stride", "0"),
        ("--colour", "red"),
        ("--save", "out.docx"),
    ],
)
def test_flags_that_cannot_be_meant(place: Path, flags: tuple[str, ...]) -> None:
    assert refused(place, "run", "toy.onnx", "photo.png", *flags)[0] == 2


def test_a_run_without_a_source(place: Path) -> None:
    assert refused(place, "run", "toy.onnx")[0] == 2


@pytest.mark.parametrize("flag", ["--save", "--json"])
def test_an_output_that_cannot_be_written(place: Path, flag: str) -> None:
    (place / "file").write_text("in the way")
    code, _ = refused(place, "run", "toy.onnx", "photo.png", flag, "file/out.mp4")
    assert code == 6


def test_tensorrt_without_a_driver(place: Path) -> None:
    from vedette.runtime.backends._driver import why_no_driver

    if not why_no_driver():
        pytest.skip("this machine has a driver")
    code, told = refused(place, "run", "toy.onnx", "photo.png", "--backend", "tensorrt")
    assert code == 5
    assert "libcuda" in told


def test_an_unknown_verb(place: Path) -> None:
    assert refused(place, "fly")[0] == 2


def test_an_unknown_zoo_name(place: Path) -> None:
    code, told = refused(place, "run", "nonesuch", "photo.png")
    assert code == 4
    assert "nanodet" in told


@pytest.mark.parametrize(
    "outputs",
    [
        ("--json", "photo.png"),
        ("--save", "photo.png"),
        ("--save", "link.png"),
        ("--save", "."),
        ("--save", "both.mp4", "--json", "both.mp4"),
    ],
)
def test_an_output_that_would_replace_a_source_or_another_output(
    place: Path, outputs: tuple[str, ...]
) -> None:
    (place / "link.png").hardlink_to(place / "photo.png")
    before = (place / "photo.png").read_bytes()
    assert refused(place, "run", "toy.onnx", "photo.png", *outputs)[0] == 2
    assert (place / "photo.png").read_bytes() == before


def test_an_output_that_would_replace_another_stream_s_source(place: Path) -> None:
    (place / "b").mkdir()
    (place / "b" / "photo.png").write_bytes((place / "photo.png").read_bytes())
    assert refused(place, "run", "toy.onnx", "photo.png", "b/photo.png", "--save", "b")[0] == 2


@pytest.mark.parametrize(
    ("part", "changes"),
    [
        ("inputs", {"std": [0.0]}),
        ("inputs", {"std": [1.0, 2.0]}),
        ("inputs", {"typical": [1, 3, -32, 32]}),
        ("inputs", {"shape": [1]}),
        ("inputs", {"pixel_format": "gray"}),
        ("decoder", {"family": "nanodet"}),
        ("decoder", {"family": "mask"}),
        ("decoder", {"family": "nonesuch"}),
        ("decoder", {"parameters": {"colour": 1}}),
    ],
)
def test_a_manifest_that_cannot_be_meant(place: Path, part: str, changes: dict[str, object]) -> None:
    path = place / "toy.onnx.json"
    document = json.loads(path.read_text())
    holder = document[part][0] if part == "inputs" else document[part]
    holder.update(changes)
    path.write_text(json.dumps(document))
    assert refused(place, "run", "toy.onnx", "photo.png")[0] == 4


def test_an_engine_that_would_replace_its_model(place: Path) -> None:
    pytest.importorskip("torch")
    assert refused(place, "build", "toy.onnx", "-o", "toy.onnx")[0] == 2
    assert refused(place, "export", "nanodet", "-o", "noext")[0] == 2


@pytest.mark.parametrize(
    "body",
    [
        "def make(): raise KeyError('no')",
        "raise SystemExit(0)",
        "def make(): return 5",
        "def make(",
        "import torch\ndef make(): return torch.nn.Conv2d(3, 2, 1)\ndef card(): return {}",
        "import torch\nclass N(torch.nn.Module):\n def forward(self, x): return {'a': x}\ndef make(): return N()",
        "import torch\nclass N(torch.nn.Module):\n def forward(self, x): return x / 0 * 0\ndef make(): return N()",
    ],
)
def test_a_module_of_the_user_s_that_fails(place: Path, body: str) -> None:
    pytest.importorskip("torch")
    (place / "mine.py").write_text(body)
    assert refused(place, "export", "mine:make", "-o", "m.onnx", "--imgsz", "32")[0] == 4
    assert not (place / "m.onnx").exists()


def test_a_standard_output_that_is_closed(place: Path) -> None:
    command = f"{sys.executable} -m vedette run toy.onnx photo.png --json - >&-"
    done = subprocess.run(
        ["bash", "-c", command], cwd=place, capture_output=True, text=True, timeout=TIMEOUT_S
    )
    assert "Traceback" not in done.stderr
    assert done.returncode == 6


def test_a_refused_run_leaves_earlier_outputs_alone(place: Path) -> None:
    (place / "r.jsonl").write_text("precious\n")
    assert refused(place, "run", "missing.onnx", "photo.png", "--json", "r.jsonl")[0] == 4
    assert (place / "r.jsonl").read_text() == "precious\n"
    assert refused(place, "run", "missing.onnx", "photo.png")[0] == 4
    assert not list(place.glob("runs/*"))
