"""The stamp of a record: what measured, and with what. No name of a host or user, and no path.

In: this machine.  Out: Machine and versions, to be compared with another record's.  Next: record.py.
"""

import contextlib
import os
import platform
import re
import subprocess
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from vedette.runtime.engine import cpu_threads

PACKAGES = (
    "numpy", "onnxruntime", "onnxruntime-gpu", "openvino", "tensorrt", "tensorrt-rtx", "opencv-python",
    "opencv-python-headless", "av", "pycuda", "nvidia-ml-py",
)  # fmt: skip
CPUINFO, MEMINFO = Path("/proc/cpuinfo"), Path("/proc/meminfo")
GOVERNOR = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
LIMITS = {
    "cpu": (Path("/sys/fs/cgroup/cpu.max"), Path("/sys/fs/cgroup/cpu/cpu.cfs_quota_us")),
    "memory": (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes")),
}
BOARD, DRIVER = Path("/proc/device-tree/model"), Path("/proc/driver/nvidia/version")
NO_LIMIT = 1 << 60  # bytes; what version 1 says where there is none


@dataclass(frozen=True, slots=True)
class Machine:
    """What speed depends on."""

    cpu: str
    cores: int
    usable_cores: int
    memory_gb: float
    system: str
    governor: str = "not told"
    limits: str = "none"  # of a container
    gpu: str = "no GPU"
    driver: str = ""
    power_mode: str = ""  # of a Jetson


def machine(gpu: str = "") -> Machine:
    """This one.

    Args:
        gpu: its name, where a gauge told it.
    """
    affinity = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    driver = re.search(r"Kernel Module\D*([\d.]+)", _text(DRIVER))
    return Machine(
        cpu_name(_text(CPUINFO), _text(BOARD)),
        os.cpu_count() or 1,
        len(affinity),
        memory_gb(_text(MEMINFO)),
        f"{platform.system()} {platform.machine()}",
        _text(GOVERNOR) or "not told",
        _limits(),
        gpu or "no GPU",
        driver[1] if driver else "",
        _power_mode(),
    )


def versions() -> dict[str, str]:
    """Of Python, and of what is installed of the libraries that run a model."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def default_threads() -> int:
    """Of a CPU backend that is not told."""
    return cpu_threads()


def cpu_name(cpuinfo: str, board: str = "") -> str:
    """As the kernel names it; on a board, the board."""
    found = re.search(r"^model name\s*:\s*(.+)$", cpuinfo, re.MULTILINE)
    name = found[1].strip() if found else platform.processor() or platform.machine()
    return f"{board.strip(chr(0)).strip()}, {name}" if board else name


def memory_gb(meminfo: str) -> float:
    """Of the machine."""
    found = re.search(r"^MemTotal:\s+(\d+) kB", meminfo, re.MULTILINE)
    return round(int(found[1]) / 2**20, 1) if found else 0.0


def _limits() -> str:
    told = []
    for name, (second, first) in LIMITS.items():
        value = _text(second) or _text(first)
        number = value.split()[0] if value else ""
        if number.isdecimal() and int(number) < NO_LIMIT:
            told.append(f"{name} {value}")
    return ", ".join(told) or "none"


def _power_mode() -> str:
    """nvpmodel's, by which a Jetson limits its clocks."""
    try:
        done = subprocess.run(("nvpmodel", "-q"), capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return power_mode(done.stdout)


def power_mode(told: str) -> str:
    """From what nvpmodel -q prints."""
    found = re.search(r"NV Power Mode: *(\S+)", told)
    return found[1] if found else ""


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""
