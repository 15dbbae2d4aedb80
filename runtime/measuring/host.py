"""Who had the cores: this process, by kind of thread, and everybody else.

In: Linux's /proc and control groups; elsewhere only our own CPU is known.
Out: HostReadings; the Load between two of them.  Next: blocks.py, which judges it.
"""

import os
import resource
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from vedette.runtime.measuring.blocks import Load

PROC = Path("/proc")
CPU_STATS = (Path("/sys/fs/cgroup/cpu.stat"), Path("/sys/fs/cgroup/cpu/cpu.stat"))  # version 2, version 1
HEAT = Path("/sys/devices/system/cpu")
HEAT_FILE = "cpu[0-9]*/thermal_throttle/core_throttle_count"
GROUPS = {"MainThread": "loop", "reader": "readers", "write": "sinks"}  # by the first word of a thread's name
REST = "engine and others"  # threads that Python does not know: the backend's, the decoder's


@dataclass(frozen=True, slots=True)
class HostReading:
    """At one moment, all since some moment before; None where the kernel does not tell."""

    own_ns: int
    delay_ns: int | None = None
    busy_ns: int | None = None  # of all cores and processes
    idle_ns: int | None = None
    stolen_ns: int | None = None
    quota_ns: int | None = None
    heat: int = 0
    groups_ns: Mapping[str, int] = field(default_factory=dict)


def read_host(proc: Path = PROC) -> HostReading:
    """How it is now."""
    cpu = _cpu_times(_text(proc / "stat"))
    delay, groups = _threads(proc / "self" / "task")
    quota = next((found for path in CPU_STATS if (found := quota_ns(_text(path))) is not None), None)
    heat = sum(int(_text(path) or 0) for path in HEAT.glob(HEAT_FILE))
    return HostReading(time.process_time_ns(), delay, *cpu, quota, heat, groups)


def load_between(first: HostReading, last: HostReading) -> Load:
    """What happened in between."""

    def spent(name: str) -> float | None:
        before, after = getattr(first, name), getattr(last, name)
        return None if before is None or after is None else max(0, after - before) / 1e6

    own, busy = (last.own_ns - first.own_ns) / 1e6, spent("busy_ns")
    return Load(
        own=own,
        delay=spent("delay_ns"),
        others=None if busy is None else max(0.0, busy - own),
        stolen=spent("stolen_ns"),
        idle=spent("idle_ns"),
        quota=spent("quota_ns"),
        heat=last.heat - first.heat,
    )


def groups_between(first: HostReading, last: HostReading) -> dict[str, float]:
    """CPU milliseconds by kind of thread; a thread that ended takes its time with it."""
    return {
        name: max(0, value - first.groups_ns.get(name, 0)) / 1e6 for name, value in last.groups_ns.items()
    }


def rss_mb(proc: Path = PROC) -> float:
    """Memory that this process holds now."""
    found = _text(proc / "self" / "statm").split()
    return int(found[1]) * resource.getpagesize() / 2**20 if len(found) > 1 else peak_mb()


def peak_mb() -> float:
    """The most that it ever held."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def _cpu_times(stat: str) -> tuple[int | None, int | None, int | None]:
    """Busy, idle and stolen nanoseconds of all cores, from the first line of /proc/stat."""
    words = stat.partition("\n")[0].split()
    if len(words) < 9 or words[0] != "cpu":
        return None, None, None
    unit = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
    user, nice, system, idle, waiting, irq, soft, stolen = (int(word) * unit for word in words[1:9])
    return user + nice + system + irq + soft, idle + waiting, stolen


def quota_ns(stat: str) -> int | None:
    """How long a container's limit held its processes, from cpu.stat."""
    for line in stat.splitlines():
        name, _, value = line.partition(" ")
        if name in {"throttled_usec", "throttled_time"} and value.strip().isdecimal():
            return int(value) * (1000 if name == "throttled_usec" else 1)
    return None


def _threads(tasks: Path) -> tuple[int | None, dict[str, int]]:
    """Nanoseconds that our threads waited for a core, and those that they ran, by kind."""
    kinds = {thread.native_id: _kind(thread.name) for thread in threading.enumerate()}
    groups: dict[str, int] = {}
    waited = None
    for name in os.listdir(tasks) if tasks.is_dir() else ():  # noqa: PTH208  (fewer objects)
        words = _text(tasks / name / "schedstat").split()
        if len(words) == 3:
            kind = kinds.get(int(name), REST)
            groups[kind] = groups.get(kind, 0) + int(words[0])
            waited = (waited or 0) + int(words[1])
    return waited, groups


def _kind(name: str) -> str:
    return GROUPS.get(name.partition(" ")[0], REST)
