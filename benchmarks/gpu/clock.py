"""Times what a GPU does: CUDA events around each repetition, on the device thread.

A launch takes the CPU longer than a small kernel takes the GPU, so that events around launches into an idle stream would time
the CPU. While a group of repetitions is queued a kernel therefore holds the stream (`held`); without nvcc, which compiles
it, it cannot. `alone` is the other question: one repetition at a time, by the CPU's clock, begun and waited for.
"""

import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from vedette.kernels.device import Device

WARM_UPS, REPLAYS, ALONE = 100, 1000, 200
GROUP, HOLD_NS = 50, 60_000  # repetitions queued behind one hold; a hold's length a repetition
SOURCE = """
__device__ unsigned long long now() {
    unsigned long long value;
    asm volatile("mov.u64 %0, %globaltimer;" : "=l"(value));
    return value;
}
extern "C" __global__ void hold(unsigned long long ns) {
    for (const unsigned long long start = now(); now() - start < ns;) {}
}
extern "C" __global__ void nothing() {}
"""
Work = Callable[[], object]


class Clock:
    """Of one device; release it before that closes. Without a source the stream is never held."""

    def __init__(self, device: Device, *, replays: int = REPLAYS, source: str = SOURCE) -> None:
        self._device, self.replays = device, replays
        self._module: Any = None
        self._events: list[tuple[Any, Any]] = []
        if source and (cubin := compiled(source, device.capability)):
            device.call(self._load, cubin)
        device.call(self._make_events)

    @property
    def held(self) -> bool:
        """Whether the stream is held while repetitions are queued."""
        return self._module is not None

    def timed(self, works: Sequence[Work]) -> dict[str, Any]:
        """Microseconds of one of these, which take turns, so that no cache has their input."""
        return self._device.call(self._timed, works)

    def nothing(self) -> None:
        """An empty kernel, on the device thread."""
        stream = self._device._stream  # pycuda's own object, which a launch wants
        self._module.get_function("nothing")(grid=(1, 1, 1), block=(32, 1, 1), stream=stream)

    def release(self) -> None:
        self._device.call(self._release)

    # ---- on the device thread

    def _load(self, cubin: bytes) -> None:
        self._module = import_module("pycuda.driver").module_from_buffer(cubin)
        self._hold = self._module.get_function("hold")

    def _make_events(self) -> None:
        event = self._device.event
        self._events = [(event(timing=True), event(timing=True)) for _ in range(GROUP)]

    def _release(self) -> None:
        self._events.clear()
        self._module = self._hold = None

    def _timed(self, works: Sequence[Work]) -> dict[str, Any]:
        for turn in range(max(1, self.replays // 10)):
            works[turn % len(works)]()
        self._device.synchronize()
        times: list[float] = []
        while len(times) < self.replays:
            times += self._group(works, len(times), min(GROUP, self.replays - len(times)))
        alone = [self._alone(works[turn % len(works)]) for turn in range(max(1, self.replays // 5))]
        return {
            **summary(times),
            "alone_median_us": rounded(statistics.median(alone)),
            "alone_p99_us": rounded(percentile(alone, 0.99)),
            "held": self.held,
        }

    def _group(self, works: Sequence[Work], first: int, count: int) -> list[float]:
        if self.held:
            stream = self._device._stream
            self._hold(np.uint64(HOLD_NS * count), grid=(1, 1, 1), block=(1, 1, 1), stream=stream)
        for turn, (begin, end) in enumerate(self._events[:count]):
            self._device.mark(begin)
            works[(first + turn) % len(works)]()
            self._device.mark(end)
        self._device.synchronize()
        return [begin.time_till(end) * 1e3 for begin, end in self._events[:count]]

    def _alone(self, work: Work) -> float:
        start = time.perf_counter_ns()
        work()
        self._device.synchronize()
        return (time.perf_counter_ns() - start) / 1e3


def compiled(source: str, capability: tuple[int, int]) -> bytes | None:
    """A cubin; None without nvcc."""
    nvcc = shutil.which("nvcc")
    if nvcc is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "clock.cubin"
        arch = "-arch=sm_{}{}".format(*capability)
        command = [nvcc, "-cubin", arch, "-x", "cu", "-", "-o", str(out)]
        done = subprocess.run(command, input=source, text=True, capture_output=True, check=False)
        return out.read_bytes() if done.returncode == 0 else None


def summary(times: Sequence[float]) -> dict[str, Any]:
    """Microseconds: the middle, the slow end, the least."""
    return {
        "median_us": rounded(statistics.median(times)),
        "p99_us": rounded(percentile(times, 0.99)),
        "least_us": rounded(min(times)),
        "replays": len(times),
    }


def percentile(times: Sequence[float], share: float) -> float:
    return sorted(times)[min(len(times) - 1, int(share * len(times)))]


def rounded(value: float) -> float:
    return round(value, 3)
