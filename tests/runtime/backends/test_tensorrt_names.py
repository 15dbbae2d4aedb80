"""Every name that the fakes have is a name of the real bindings, so that what runs on the fakes calls what is there.

Bindings that do not import without their libraries are searched instead: pybind11 keeps each name as a C string,
which the linker may make the end of a longer one.
"""

import importlib
import inspect
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from fakes import driver
from fakes.gpu import FakeGpu
from fakes.tensorrt_ import bindings

CACHE = Path(__file__).parents[3] / "build" / "bindings"
PERSONALITIES = {"8.6": "8.6.1", "10": "10.13.3.9"}
# no attributes of the class: C++ looks for them in what derives from it
HOOKS = {
    f"IOutputAllocator.{name}" for name in ("notify_shape", "reallocate_output", "reallocate_output_async")
}
# wheels of a few hundred KB each, without the libraries; 8.6.0 itself comes only with 819 MB of them
WHEELS = {"8.6": "tensorrt_bindings==8.6.1", "11.4": "tensorrt_lean_cu13_bindings==11.4.0.106"}


def names(module: ModuleType) -> Iterator[str]:
    """Public names, dotted: Runtime, Runtime.deserialize_cuda_engine, DataType.HALF, ..."""
    for name, value in vars(module).items():
        if not name.startswith("_"):
            yield name
            if inspect.isclass(value):
                yield from (f"{name}.{member}" for member in dir(value) if not member.startswith("_"))


def fake(personality: str) -> set[str]:
    inherited = {"name", "value"}  # of Python's Enum; pybind11's has them too
    found = set(names(bindings(FakeGpu(), version=PERSONALITIES[personality])))
    return {name for name in found if name.rpartition(".")[2] not in inherited}


def has(module: ModuleType, dotted: str) -> bool:
    value: Any = module
    for name in dotted.split("."):
        value = getattr(value, name, None)
    return value is not None


@pytest.mark.parametrize("personality", PERSONALITIES)
def test_the_walk_finds_what_the_runtime_calls(personality: str) -> None:
    found = fake(personality)
    assert {"nptype", "Runtime.deserialize_cuda_engine", "IExecutionContext.execute_async_v3"} <= found
    assert {"ILogger.log", "Logger.WARNING", "TensorIOMode.INPUT", "DataType.HALF", "Dims"} <= found
    only = "ICudaEngine.device_memory_size", "ICudaEngine.device_memory_size_v2"
    assert [name in found for name in only] == [personality == "8.6", personality == "10"]


def test_tensorrt_rtx_has_the_names_of_version_10() -> None:
    real = pytest.importorskip("tensorrt_rtx", reason="SKIPPED: tensorrt_rtx is not installed")
    assert {name for name in fake("10") if not has(real, name)} == HOOKS
    package = importlib.import_module("tensorrt_rtx_bindings")
    binary = b"".join(path.read_bytes() for path in Path(str(package.__file__)).parent.glob("*.so"))
    assert all(holds(binary, name) for name in HOOKS)


def test_cuda_bindings_have_the_names_of_the_fake() -> None:
    real = pytest.importorskip("cuda.bindings.driver", reason="SKIPPED: cuda-bindings is not installed")
    made = driver.modules(FakeGpu())["cuda.bindings.driver"]
    members = {name for name in names(made) if "." not in name or name.rpartition(".")[2].startswith("CU")}
    assert sorted(name for name in members if not has(real, name)) == []
    for kind in (driver.CUresult, driver.CUstreamCaptureMode):
        assert all(int(getattr(getattr(real, kind.__name__), member.name)) == member for member in kind)


@pytest.mark.slow
@pytest.mark.parametrize(("version", "personality"), [("8.6", "8.6"), ("11.4", "10")])
def test_bindings_that_do_not_import_hold_the_names(version: str, personality: str) -> None:
    binary, scripts = contents(wheel(WHEELS[version]))
    missing = {name for name in fake(personality) if not holds(binary, name)}
    assert {name for name in missing if f"def {name}(" not in scripts} == set()


@pytest.mark.slow
def test_the_search_tells_the_versions_apart() -> None:
    old, new = (contents(wheel(WHEELS[version]))[0] for version in ("8.6", "11.4"))
    for name in ("device_memory_size", "create_execution_context_without_device_memory"):
        assert [holds(binary, name) for binary in (old, new)] == [True, False]
    for name in ("device_memory_size_v2", "reallocate_output_async", "USER_MANAGED", "set_device_memory"):
        assert [holds(binary, name) for binary in (old, new)] == [False, True]


def holds(binary: bytes, dotted: str) -> bool:
    return dotted.rpartition(".")[2].encode() + b"\0" in binary


def wheel(requirement: str) -> Path:
    """Of this package, downloaded once; Python 3.10's on x86, whatever runs here, for it is only read."""
    folder = CACHE / requirement.replace("==", "-")
    if not list(folder.glob("*.whl")):
        options = [
            "--retries=0",
            "--timeout=10",
            "--no-deps",
            "--only-binary=:all:",
            "--python-version=3.10",
            f"--dest={folder}",
        ]
        options += [f"--platform=manylinux_2_{glibc}_x86_64" for glibc in (17, 28)]
        command = [sys.executable, "-m", "pip", "download", "-q", *options, requirement]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            pytest.skip(
                f"SKIPPED: {requirement} cannot be downloaded: {done.stderr.strip().splitlines()[-1]}"
            )
    return next(folder.glob("*.whl"))


def contents(path: Path) -> tuple[bytes, str]:
    """Its extension module, and its Python."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    binary = b"".join(data for name, data in parts.items() if name.endswith(".so"))
    return binary, "".join(data.decode() for name, data in parts.items() if name.endswith(".py"))
