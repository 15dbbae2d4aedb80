"""What the GPU does while frames run: power, energy, temperature, clocks, and why it slowed down.

In: nvidia-ml-py on a workstation, tegrastats on a Jetson.  Out: GpuReadings; a GpuSpell for the time between two of them.
Both are optional: without them a record says "no GPU".  Next: tegrastats.py, recorder.py.
"""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol

# Bits of nvmlDeviceGetCurrentClocksEventReasons (nvml.h). Idle, application clocks and sync boost are no trouble.
REASONS = {
    0x4: "power cap", 0x8: "hardware slowdown", 0x20: "thermal, software", 0x40: "thermal, hardware",
    0x80: "power brake",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class GpuReading:
    """At one moment; None where it is not told."""

    watts: float | None = None
    joules: float | None = None  # since some moment before
    celsius: float | None = None
    clock_mhz: float | None = None
    used_mb: float | None = None
    busy: float | None = None  # percent
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class GpuSpell:
    """Over some time."""

    seconds: float
    joules: float | None
    celsius: float | None  # the highest
    clock_mhz: float | None  # the lowest
    used_mb: float | None
    busy: float | None
    reasons: tuple[str, ...] = ()

    @property
    def slowed(self) -> bool:
        """Whether it ran slower than it can."""
        return bool(self.reasons)

    @property
    def watts(self) -> float | None:
        """The mean."""
        return None if self.joules is None else self.joules / max(self.seconds, 1e-9)

    @classmethod
    def between(cls, first: GpuReading, last: GpuReading, seconds: float) -> "GpuSpell":
        """Energy by the counter, else by the mean of both powers."""
        if first.joules is not None and last.joules is not None:
            joules: float | None = last.joules - first.joules
        else:
            joules = _mean([first.watts, last.watts])
            joules = None if joules is None else joules * seconds
        both = (first, last)
        return cls(
            seconds,
            joules,
            _best(max, [reading.celsius for reading in both]),
            _best(min, [reading.clock_mhz for reading in both]),
            last.used_mb,
            last.busy,
            tuple(dict.fromkeys((*first.reasons, *last.reasons))),
        )

    @classmethod
    def over(cls, spells: Sequence["GpuSpell"]) -> "GpuSpell":
        """Several in a row as one."""
        joules = [spell.joules for spell in spells]
        known = [value for value in joules if value is not None]
        return cls(
            sum(spell.seconds for spell in spells),
            sum(known) if len(known) == len(joules) else None,
            _best(max, [spell.celsius for spell in spells]),
            _best(min, [spell.clock_mhz for spell in spells]),
            _best(max, [spell.used_mb for spell in spells]),
            _mean([spell.busy for spell in spells]),
            tuple(dict.fromkeys(reason for spell in spells for reason in spell.reasons)),
        )


def _best(choose: Any, values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return choose(known) if known else None


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


class Gauge(Protocol):
    """Reads one GPU; `name` is what it is called in records."""

    name: str

    def read(self) -> GpuReading:
        """How it is now."""

    def close(self) -> None:
        """Stop watching."""


class NvmlGauge:
    """A workstation's GPU, by nvidia-ml-py.

    Args:
        nvml: the module pynvml.
        index: of the GPU.
    """

    def __init__(self, nvml: Any, index: int = 0) -> None:
        self._nvml = nvml
        nvml.nvmlInit()
        self._device = nvml.nvmlDeviceGetHandleByIndex(index)
        name = nvml.nvmlDeviceGetName(self._device)
        self.name: str = name.decode() if isinstance(name, bytes) else name

    def read(self) -> GpuReading:
        nvml, asked = self._nvml, self._asked
        used = asked("nvmlDeviceGetMemoryInfo")
        busy = asked("nvmlDeviceGetUtilizationRates")
        return GpuReading(
            watts=_scaled(asked("nvmlDeviceGetPowerUsage"), 1e-3),
            joules=_scaled(asked("nvmlDeviceGetTotalEnergyConsumption"), 1e-3),
            celsius=_scaled(asked("nvmlDeviceGetTemperature", nvml.NVML_TEMPERATURE_GPU), 1.0),
            clock_mhz=_scaled(asked("nvmlDeviceGetClockInfo", nvml.NVML_CLOCK_SM), 1.0),
            used_mb=None if used is None else used.used / 2**20,
            busy=None if busy is None else float(busy.gpu),
            reasons=self._reasons(),
        )

    def _reasons(self) -> tuple[str, ...]:
        for name in ("nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons"):
            bits = self._asked(name)  # renamed by driver 535; the older name still works there
            if bits is not None:
                return tuple(word for bit, word in REASONS.items() if bits & bit)
        return ()

    def _asked(self, name: str, *arguments: Any) -> Any:
        """What a GPU or driver cannot tell is None."""
        ask = getattr(self._nvml, name, None)
        if ask is None:
            return None
        try:
            return ask(self._device, *arguments)
        except self._nvml.NVMLError:
            return None

    def close(self) -> None:
        with contextlib.suppress(self._nvml.NVMLError):
            self._nvml.nvmlShutdown()


def _scaled(value: Any, scale: float) -> float | None:
    return None if value is None else float(value) * scale


def gauge() -> Gauge | None:
    """Of this machine's GPU; None where there is none, or nothing that tells of it."""
    from vedette.runtime.measuring import tegrastats

    if tegrastats.here():
        return tegrastats.TegrastatsGauge()
    try:
        nvml = import_module("pynvml")
    except ImportError:
        return None
    try:
        return NvmlGauge(nvml)
    except nvml.NVMLError:
        return None
