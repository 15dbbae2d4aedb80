"""`vedette doctor`: what this machine can do; each line OK, WARN or FAIL, and the one command that cures it."""

import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Literal

import typer


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report."""

    check: str
    status: Literal["OK", "WARN", "FAIL"]
    detail: str
    cure: str = ""


def doctor(json: Annotated[bool, typer.Option("--json", help="Print a JSON list.")] = False) -> int:
    """Check this machine; exits 1 when something that every run needs is missing."""
    findings = [finding for check in CHECKS for finding in check()]
    if json:
        import json as format_json

        print(format_json.dumps([asdict(finding) for finding in findings], indent=1))
    else:
        for finding in findings:
            print(f"{finding.status:5}{finding.check:19}{finding.detail}")
            if finding.cure:
                print(f"{'':24}cure: {finding.cure}")
    return 1 if any(finding.status == "FAIL" for finding in findings) else 0


def _python() -> Iterator[Finding]:
    fits = sys.version_info >= (3, 10)
    detail = (
        f"{platform.python_version()} on {platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    )
    yield Finding("python", "OK" if fits else "FAIL", detail, "" if fits else "use Python 3.10 or newer")


def _packages() -> Iterator[Finding]:
    needed = {"numpy": "numpy", "av": "av", "pydantic": "pydantic", "rich": "rich", "yaml": "PyYAML"}
    for module, package in needed.items():
        yield _package(module, package, "FAIL", f"pip install {package}")
    yield _package(
        "cv2", "opencv-python", "FAIL", "pip install 'vedette[cpu]' (on a Jetson: use JetPack's OpenCV)"
    )


def _package(module: str, package: str, otherwise: Literal["WARN", "FAIL"], cure: str) -> Finding:
    if find_spec(module) is None:
        return Finding(module, otherwise, "not installed", cure)
    for name in (package, f"{package}-headless", package.replace("_", "-")):
        try:
            return Finding(module, "OK", version(name))
        except PackageNotFoundError:
            continue
    return Finding(module, "OK", "installed")


def _backends() -> Iterator[Finding]:
    from vedette.runtime.engine import BACKENDS
    from vedette.runtime.plugins import load, names

    cures = {
        "onnxruntime": "pip install 'vedette[cpu]'",
        "openvino": "pip install 'vedette[openvino]'",
        "tensorrt": "run on a machine with an NVIDIA GPU and its driver",
    }
    for name in names(BACKENDS):
        reason = load(BACKENDS, name).why_not()
        yield Finding(
            f"run {name}",
            "WARN" if reason else "OK",
            reason or "works here",
            cures.get(name, "") if reason else "",
        )


def _gpu() -> Iterator[Finding]:
    from vedette.runtime.backends._driver import why_no_driver

    reason = why_no_driver()
    yield Finding("gpu", "WARN", reason, "install the NVIDIA driver") if reason else _device()
    jetson = Path("/etc/nv_tegra_release")
    if jetson.is_file():
        yield Finding("jetson", "OK", jetson.read_text().splitlines()[0][:80])


def _device() -> Finding:
    """The GPU as the kernels see it."""
    from vedette.kernels.device import CudaError, device

    try:
        gpu = device()
    except CudaError as error:
        return Finding("gpu", "WARN", f"the driver answers, but {error}", error.cure)
    capability = ".".join(map(str, gpu.capability))
    return Finding(
        "gpu", "OK", f"{gpu.name}, compute capability {capability}, driver of CUDA {gpu.driver // 1000}"
    )


def _lanes() -> Iterator[Finding]:
    from vedette.runtime.backends._driver import why_no_driver
    from vedette.runtime.backends.tensorrt_ import LANES

    for lane, module in LANES.items():
        needs_driver = lane == "tensorrt" and why_no_driver()
        if find_spec(module) and not needs_driver:
            yield Finding(f"build {lane}", "OK", f"{module} is installed")
        else:
            why = needs_driver if find_spec(module) else "not installed"
            yield Finding(
                f"build {lane}", "WARN", str(why), "pip install 'vedette[rtx]', which builds without a GPU"
            )


def _kernels() -> Iterator[Finding]:
    import warnings

    from vedette.kernels import native
    from vedette.kernels.fatbin import fatbin

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it is missing is told below
        built = bool(native.digest())
        told = native.describe()
    cure = "" if built else "install a C++ compiler (apt install g++) and pip install vedette again"
    yield Finding("kernels", "OK" if built else "WARN", told, cure)
    cuda = fatbin()
    found = (
        f"{len(cuda) / 1e6:.1f} MB of compiled kernels" if cuda else "not compiled: the GPU path cannot run"
    )
    yield Finding(
        "cuda kernels", "OK" if cuda else "WARN", found, "" if cuda else "make fatbin, or install the wheel"
    )


def _export() -> Iterator[Finding]:
    yield _package(
        "torch", "torch", "WARN", "pip install 'vedette[export]' (only to export; running needs no PyTorch)"
    )


def _zoo() -> Iterator[Finding]:
    from vedette.runtime.find import made_in, zoo_folder, zoo_names

    made = {name for name in zoo_names() if made_in(zoo_folder(), name)}
    missing = [name for name in zoo_names() if name not in made]
    detail = f"{', '.join(sorted(made)) or 'no model'} made" + (
        f"; {', '.join(missing)} not yet" if missing else ""
    )
    yield Finding("zoo", "WARN" if missing else "OK", detail, "make zoo" if missing else "")


def _video() -> Iterator[Finding]:
    if find_spec("av") is None:
        return
    import av

    encoder = "libx264" in av.codecs_available
    yield Finding(
        "h264 encoder",
        "OK" if encoder else "WARN",
        "libx264" if encoder else "absent: videos are MPEG-4 part 2",
    )
    from vedette.runtime.sources._nvdec import why_no_nvdec

    yield Finding("nvdec", "OK", why_no_nvdec() or "decodes video: decoder: nvdec in a cameras file")
    cameras = sorted(str(path) for path in Path("/dev").glob("video*"))
    yield Finding("cameras", "OK", ", ".join(cameras) or "no /dev/video device")


def _disk() -> Iterator[Finding]:
    free = shutil.disk_usage(Path.cwd()).free / 1e9
    writable = os.access(Path.cwd(), os.W_OK)
    status: Literal["OK", "WARN"] = "OK" if free > 1 and writable else "WARN"
    yield Finding("disk", status, f"{free:.1f} GB free here, {'writable' if writable else 'not writable'}",
                  "" if status == "OK" else "choose another folder with --save")  # fmt: skip


CHECKS: tuple[Callable[[], Iterator[Finding]], ...] = (
    _python, _packages, _kernels, _backends, _gpu, _lanes, _export, _zoo, _video, _disk,
)  # fmt: skip
