"""Where results of this machine go, and one core to measure on."""

import os
import platform
import re
from pathlib import Path


def machine() -> str:
    """A folder name for this kind of machine: its processor."""
    info = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*:\s*(.+)", info.read_text()) if info.is_file() else None
    return re.sub(r"\W+", "-", (found[1] if found else platform.machine()).lower()).strip("-")


def pin() -> None:
    """Stay on the last core that this process may use."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
