"""A Jetson's power, temperature and clocks: `tegrastats`, which NVIDIA installs there, run in a child process.

In: its lines, whose fields differ by module and release: "GR3D_FREQ 61%@1300", "VDD_IN 5336/4970", "VDD_IN 4673mW/4673mW",
"tj@44.3C".  Out: GpuReadings.  Source: NVIDIA Jetson Linux Developer Guide, "Tegrastats Utility" and, for the rails,
"Software-Based Power Consumption Modeling".
"""

import contextlib
import re
import shutil
import subprocess
import threading
from pathlib import Path

from vedette.runtime.measuring.gauges import GpuReading

RELEASE = Path("/etc/nv_tegra_release")
INTERVAL_MS = 200
WHOLE = ("VDD_IN", "POM_5V_IN")  # what comes into the module; others are parts of it
# Modules without such a rail: what adds up to them. VDDQ_VDD2_1V8AO of AGX Orin is fed by VIN_SYS_5V0 and would count twice.
PARTS = (
    ("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0"),
    ("GPU", "CPU", "SOC", "CV", "VDDRQ", "SYS5V"),
)
_RAIL = re.compile(r"\b([A-Z][A-Z0-9_]*) (\d+)(?:mW)?/\d+(?:mW)?(?![\w%])")
_HEAT = re.compile(r"\b(\w+)@(-?\d+(?:\.\d+)?)C\b")
_GPU = re.compile(r"GR3D_FREQ (\d+)%(?:@\[?(\d+))?")
_RAM = re.compile(r"\bRAM (\d+)/\d+MB")
HOTTEST = ("tj", "gpu")
ABSENT_C = -200.0  # a sensor of a part that is switched off says -256


def here() -> bool:
    """Whether this is a Jetson with the tool."""
    return RELEASE.is_file() and shutil.which("tegrastats") is not None


def parse(line: str) -> GpuReading:
    """What one line says of the GPU and the module."""
    rails = {name: int(milliwatts) / 1e3 for name, milliwatts in _RAIL.findall(line)}
    heat = {name.lower(): float(c) for name, c in _HEAT.findall(line) if float(c) > ABSENT_C}
    gpu, ram = _GPU.search(line), _RAM.search(line)
    clock = float(gpu[2]) if gpu and gpu[2] else 0.0
    return GpuReading(
        watts=_watts(rails),
        celsius=next((heat[name] for name in HOTTEST if name in heat), None),
        clock_mhz=clock or None,  # 0 is a GPU that sleeps
        used_mb=float(ram[1]) if ram else None,  # of the whole module: GPU and CPU share it
        busy=float(gpu[1]) if gpu else None,
    )


def _watts(rails: dict[str, float]) -> float | None:
    for name in WHOLE:
        if name in rails:
            return rails[name]
    for parts in PARTS:
        if parts[0] in rails:
            return round(sum(rails.get(name, 0.0) for name in parts), 3)
    return None


class TegrastatsGauge:
    """The last line of a tegrastats that runs meanwhile.

    Args:
        command: what prints the lines.
    """

    name = "Jetson"

    def __init__(self, command: tuple[str, ...] = ("tegrastats", "--interval", str(INTERVAL_MS))) -> None:
        self._last, self._first = GpuReading(), threading.Event()
        self._child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self._thread = threading.Thread(target=self._follow, name="tegrastats", daemon=True)
        self._thread.start()

    def read(self) -> GpuReading:
        """Of the last line; the first is waited for."""
        self._first.wait(2.0)
        return self._last

    def close(self) -> None:
        self._child.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._child.wait(2.0)
        self._thread.join(2.0)
        if self._child.stdout is not None:
            self._child.stdout.close()

    def _follow(self) -> None:
        assert self._child.stdout is not None
        for line in self._child.stdout:
            self._last = parse(line)
            self._first.set()
        self._first.set()
