"""What a GPU refuses, as the command line tells it: on fakes of the driver and of TensorRT."""

import contextlib
from dataclasses import replace
from pathlib import Path

import pytest
import toy
from fakes.driver import FakeGpu, installed
from fakes.tensorrt_ import VERSION, plan, tensorrt_installed
from gpp import needs_gpp

from vedette.__main__ import _dispatch, exit_code
from vedette.kernels import device as device_py
from vedette.kernels.fatbin import BuildError
from vedette.runtime import manifest as manifests
from vedette.runtime.backends import tensorrt_

pytestmark = needs_gpp


@pytest.fixture
def engine(tmp_path: Path) -> Path:
    """A detector's engine file for compute capability 8.9, with its manifest."""
    card, files = manifests.load(toy.onnx_model(tmp_path))
    path = tmp_path / "toy.engine"
    path.write_bytes(plan(files["toy.onnx"], profiles=[{"images": card.inputs[0].bounds()}]))
    build = {"lane": "tensorrt", "version": VERSION, "compute_capability": "8.9"}
    files_of = {path.name: manifests.sha256(path.read_bytes())}
    manifests.save(replace(card, files=files_of, build=build), path)
    return path


def run(engine: Path, gpu: FakeGpu, *, version: str = VERSION) -> int:
    """`vedette run` on this machine: its exit code, from 0."""
    arguments = [
        "run",
        str(engine),
        "synthetic:1920x1080@25?frames=3",
        "--json",
        str(engine.parent / "out.jsonl"),
    ]
    with pytest.MonkeyPatch.context() as patch, installed(gpu), tensorrt_installed(gpu, version=version):
        patch.setattr(tensorrt_, "why_no_driver", lambda: "")
        patch.setattr(tensorrt_, "find_spec", lambda name: name != "tensorrt_rtx")
        try:
            return _dispatch(arguments)
        except Exception as error:  # noqa: BLE001  (as main() does)
            return exit_code(error)
        finally:
            if device_py.device.cache_info().currsize:
                with contextlib.suppress(device_py.CudaError):  # a GPU that failed says so again
                    device_py.device().close()


def refuse(sm: int) -> bytes:
    raise BuildError(f"there is neither nvcc nor libnvrtc here for {sm}")


def test_a_gpu_that_works_runs(engine: Path) -> None:
    assert run(engine, FakeGpu()) == 0
    assert len((engine.parent / "out.jsonl").read_text().splitlines()) == 3


@pytest.mark.parametrize(
    ("gpu", "version", "code", "why", "cure"),
    [
        (FakeGpu(driver_version=11040), VERSION, 5, "it is of CUDA 11.4", "update the driver"),
        (FakeGpu(capability=(7, 0), refuses_fatbin=True), VERSION, 5, "refuses the compiled", "CUDA toolkit"),
        (FakeGpu(count=0), VERSION, 5, "no CUDA-capable device is detected", "doctor"),
        (FakeGpu(memory_bytes=3 << 20), VERSION, 5, "out of memory", "--imgsz"),
        (FakeGpu(fail_with="unspecified launch failure"), VERSION, 5, "unspecified launch failure", "doctor"),
        (FakeGpu(capability=(8, 6)), VERSION, 4, "compute_capability 8.9, here 8.6", "vedette build"),
        (FakeGpu(), "8.6.1", 4, f"version {VERSION}, here 8.6.1", "vedette build"),
    ],
)  # fmt: skip
def test_what_is_refused_says_why_and_what_to_do(
    engine: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    gpu: FakeGpu,
    version: str,
    code: int,
    why: str,
    cure: str,
) -> None:
    monkeypatch.setattr(device_py, "compiled_here", refuse)
    assert run(engine, gpu, version=version) == code
    lines = capsys.readouterr().err.splitlines()
    assert [line[:7].strip() for line in lines] == ["error:", "why:", "cure:"]
    assert why in lines[1]
    assert cure in lines[2]
