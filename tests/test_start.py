"""A start loads what it needs: what is long to import comes when it is used. The time itself is a benchmark's."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import toy

from vedette.runtime.draw import write_picture
from vedette.runtime.plugins import load, names

# Each ends by telling what is loaded by then.
TOLD = "print(*sys.modules)"
LIBRARIES = f"import sys, numpy, cv2, onnxruntime; {TOLD}"
PICTURE = f"import sys; from vedette import Model; assert len(Model(sys.argv[1])(sys.argv[2])) == 1; {TOLD}"
COMMAND = f"""
import os, sys
leave = os._exit  # which is how the command line ends
os._exit = lambda code: ({TOLD.replace(")", ", flush=True)")}, leave(code))
from vedette.__main__ import main
main()
"""
# long to import, and of no use to one picture
ABSENT = {
    *("pydantic", "av", "typer", "rich", "yaml", "onnx", "torch", "openvino", "tensorrt", "pycuda"),
    *("ssl", "socket", "http.client", "subprocess", "tempfile", "concurrent.futures", "logging", "html", "zipfile"),
    *("vedette.kernels.device", "vedette.kernels.launches", "vedette.kernels.fatbin"),
    *("vedette.runtime.pipeline", "vedette.runtime.tracking", "vedette.runtime.parts", "vedette.runtime.onnx_file"),
    *("vedette.runtime.sources.file", "vedette.runtime.sources._network", "vedette.runtime.backends.tensorrt_"),
}  # fmt: skip
# the same for `vedette run`; Typer brings pydantic
ABSENT_OF_RUN = {
    *("av", "ssl", "http.server", "yaml", "torch", "onnx", "vedette.runtime.monitor", "vedette.runtime.tracking"),
    *("vedette.commands.eval", "vedette.commands.generate", "vedette.commands.bench", "vedette.kernels.device"),
}  # fmt: skip


def loaded_by(script: str, *arguments: str | Path) -> set[str]:
    """The modules of a process at its end: the last line that it prints."""
    return set(output_of(script, *arguments).splitlines()[-1].split())


def output_of(script: str, *arguments: str | Path) -> str:
    command = [sys.executable, "-c", script, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A model and a picture."""
    pytest.importorskip("onnx")
    folder = tmp_path_factory.mktemp("street")
    write_picture(folder / "street.png", np.full((48, 64, 3), 200, np.uint8))
    return toy.with_manifest(toy.onnx_model(folder)), folder / "street.png"


def test_a_picture_through_a_model_loads_what_it_needs_alone(street: tuple[Path, Path]) -> None:
    loaded = loaded_by(PICTURE, *street)
    assert {"cv2", "onnxruntime", "vedette.runtime.sources.images"} <= loaded
    assert not (loaded - loaded_by(LIBRARIES)) & ABSENT


def test_run_loads_its_own_verb_alone(street: tuple[Path, Path]) -> None:
    loaded = loaded_by(COMMAND, "run", *street, "--json", "/dev/null")
    assert {"vedette.commands.run", "vedette.runtime.pipeline"} <= loaded
    assert not (loaded - loaded_by(LIBRARIES)) & ABSENT_OF_RUN


def test_the_version_is_told_before_anything_is_loaded() -> None:
    assert not loaded_by(COMMAND, "--version") & {"typer", "numpy", "vedette.commands.run"}


def test_help_tells_what_every_verb_says_of_itself_without_loading_it() -> None:
    output = output_of(COMMAND, "--help")
    told = " ".join(re.sub("[│╭╮╰╯─]", " ", output).split())
    for verb in names("vedette.commands"):
        words = (getattr(load("vedette.commands", verb), verb).__doc__ or "").split("\n\n")[0].split()
        assert f"{verb} {' '.join(words)}" in told
        assert f"vedette.commands.{verb}" not in output.splitlines()[-1].split()
