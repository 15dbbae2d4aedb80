"""Where results of this machine go, one core to measure on, and what a result must say of where it comes from."""

import os
import platform
import re
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

BUILD = Path(__file__).parents[1] / "build" / "benchmarks"  # what is made once, and not kept in git
PACKAGES = (
    "numpy", "onnxruntime", "openvino", "opencv-python", "av", "torch", "ultralytics", "supervision", "rtmlib",
)  # fmt: skip


def machine() -> str:
    """A folder name for this kind of machine: its processor."""
    info = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*:\s*(.+)", info.read_text()) if info.is_file() else None
    return re.sub(r"\W+", "-", (found[1] if found else platform.machine()).lower()).strip("-")


def pin() -> None:
    """Stay on the last core that this process may use."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def stamp() -> dict[str, Any]:
    """Date, cores, load and versions."""
    return {
        "date": time.strftime("%Y-%m-%d %H:%M", time.gmtime()) + " UTC",
        "cpus": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "versions": {name: found for name in PACKAGES if (found := _version(name))},
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
