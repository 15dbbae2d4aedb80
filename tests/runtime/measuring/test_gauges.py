"""A GPU's power, clocks and reasons to slow down, from a stand-in for pynvml; energy between two moments."""

from types import SimpleNamespace
from typing import Any

import pytest

from vedette.runtime.measuring.gauges import GpuReading, GpuSpell, NvmlGauge


class NvmlError(Exception):
    """As pynvml's."""


class FakeNvml:
    """The functions of nvidia-ml-py that are asked, with their units: milliwatts, millijoules, degrees, MHz, bytes."""

    NVMLError = NvmlError
    NVML_TEMPERATURE_GPU, NVML_CLOCK_SM = 0, 1

    def __init__(self, reasons: int = 0, without: tuple[str, ...] = ()) -> None:
        self.reasons, self.shut = reasons, False
        for name in without:
            setattr(self, name, self._refuse)

    def _refuse(self, *_: Any) -> Any:
        raise NvmlError

    def nvmlInit(self) -> None:  # noqa: N802  (its name)
        self.shut = False

    def nvmlShutdown(self) -> None:  # noqa: N802
        self.shut = True

    def __getattr__(self, name: str) -> Any:
        told: dict[str, Any] = {
            "nvmlDeviceGetHandleByIndex": 7,
            "nvmlDeviceGetName": b"NVIDIA RTX 1000",
            "nvmlDeviceGetPowerUsage": 45_500,
            "nvmlDeviceGetTotalEnergyConsumption": 9_000_000,
            "nvmlDeviceGetTemperature": 61,
            "nvmlDeviceGetClockInfo": 1410,
            "nvmlDeviceGetMemoryInfo": SimpleNamespace(used=512 * 2**20),
            "nvmlDeviceGetUtilizationRates": SimpleNamespace(gpu=83),
            "nvmlDeviceGetCurrentClocksThrottleReasons": self.reasons,
        }
        if name not in told:
            raise AttributeError(name)
        return lambda *arguments: told[name]


def test_a_reading_is_in_watts_joules_and_degrees() -> None:
    nvml = FakeNvml(reasons=0x1 | 0x4 | 0x40)  # idle, power cap, thermal of the hardware
    gauge = NvmlGauge(nvml)
    assert gauge.name == "NVIDIA RTX 1000"
    assert gauge.read() == GpuReading(45.5, 9000.0, 61, 1410, 512, 83, ("power cap", "thermal, hardware"))
    gauge.close()
    assert nvml.shut


def test_what_a_gpu_cannot_tell_is_none_and_the_rest_is_told() -> None:
    silent = (
        "nvmlDeviceGetTotalEnergyConsumption",
        "nvmlDeviceGetMemoryInfo",
        "nvmlDeviceGetCurrentClocksThrottleReasons",
    )
    found = NvmlGauge(FakeNvml(without=silent)).read()
    assert found == GpuReading(45.5, None, 61, 1410, None, 83, ())


def test_energy_is_the_counters_difference() -> None:
    first, last = GpuReading(10, 100.0, 50, 1500), GpuReading(90, 130.0, 70, 1200, 3.0, 5.0, ("power cap",))
    spell = GpuSpell.between(first, last, 0.5)
    assert (spell.joules, spell.watts, spell.celsius, spell.clock_mhz) == (30, 60, 70, 1200)
    assert spell.slowed


def test_without_a_counter_energy_is_mean_power_times_time() -> None:
    spell = GpuSpell.between(GpuReading(watts=10), GpuReading(watts=20), 2.0)
    assert spell.joules == pytest.approx(30)
    assert not spell.slowed
    assert GpuSpell.between(GpuReading(), GpuReading(), 2.0).joules is None


def test_spells_add_up() -> None:
    first = GpuSpell(1.0, 10.0, 50, 1500, 3.0, 20.0)
    both = GpuSpell.over([first, GpuSpell(3.0, 50.0, 70, 1200, 5.0, 40.0, ("power cap",))])
    assert both == GpuSpell(4.0, 60.0, 70, 1200, 5.0, 30.0, ("power cap",))
    assert both.watts == 15
    assert GpuSpell.over([first, GpuSpell(1.0, None, None, None, None, None)]).joules is None
