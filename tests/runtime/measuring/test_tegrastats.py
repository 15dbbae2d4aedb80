"""Lines that tegrastats printed on real modules, as their owners published them, and a child process that prints them."""

import sys
import time

import pytest

from vedette.runtime.measuring.gauges import GpuReading
from vedette.runtime.measuring.tegrastats import TegrastatsGauge, parse

# github.com/GDWR/jetson_exporter/issues/14: AGX Orin 64 GB, idle. 2340 + 390 + 4025 mW; the DDR rail is fed by the last of them.
AGX_ORIN = (
    "04-11-2025 10:36:27 RAM 4321/62801MB (lfb 1759x4MB) SWAP 19/31400MB (cached 0MB) CPU [0%@729,0%@729,0%@729,0%@729] "
    "EMC_FREQ 0%@2133 GR3D_FREQ 0%@[0,0] VIC_FREQ 729 APE 174 CV0@-256C CPU@44.562C Tboard@32C SOC2@40.093C Tdiode@33C "
    "SOC0@41.093C CV1@-256C GPU@-256C tj@44.343C SOC1@41.25C CV2@-256C VDD_GPU_SOC 2340mW/2340mW VDD_CPU_CV 390mW/390mW "
    "VIN_SYS_5V0 4025mW/4025mW NC 0mW/0mW VDDQ_VDD2_1V8AO 301mW/301mW NC 0mW/0mW"
)
# github.com/martinkersner/gtop/pull/7: AGX Xavier, JetPack 4.2. 463 + 618 + 2936 + 0 + 309 + 3306 mW.
AGX_XAVIER = (
    "RAM 14700/15692MB (lfb 3x2MB) SWAP 898/8192MB (cached 23MB) CPU [0%@1190,0%@1190,0%@1190,0%@1190] EMC_FREQ 0% "
    "GR3D_FREQ 0% AO@30C GPU@30.5C Tboard@31C Tdiode@32C AUX@30.5C CPU@31.5C thermal@30.8C PMIC@100C GPU 463/463 "
    "CPU 618/618 SOC 2936/2936 CV 0/0 VDDRQ 309/309 SYS5V 3306/3306"
)
# github.com/FindHao/tx-utils/issues/3: TX2.
TX2 = (
    "RAM 2020/7852MB (lfb 1164x4MB) CPU [9%@345,21%@345,25%@345,3%@345,1%@345,1%@345] EMC_FREQ 0% GR3D_FREQ 0% PLL@42.5C "
    "MCPU@42.5C PMIC@100C Tboard@40C GPU@41C BCPU@42.5C thermal@41.9C Tdiode@41.25C VDD_SYS_GPU 153/158 VDD_SYS_SOC 536/547 "
    "VDD_4V0_WIFI 633/527 VDD_IN 3140/3208 VDD_SYS_CPU 536/590 VDD_SYS_DDR 557/601"
)
# github.com/waggle-sensor/summer2020, Docker ROS Analysis Report: AGX Xavier, JetPack 4.4, YOLOv3; its own sums add these rails.
XAVIER_AT_WORK = (
    "RAM 10881/31919MB (lfb 4230x4MB) SWAP 0/15959MB (cached 0MB) CPU [17%@1190,17%@1190,18%@1190,25%@1190,17%@1336,"
    "15%@1340,23%@1543,15%@1574] EMC_FREQ 55%@2133 GR3D_FREQ 95%@1377 APE 150 MTS fg 0% bg 10% AO@48C GPU@54.5C "
    "Tdiode@53.25C PMIC@100C AUX@46C CPU@49C thermal@49.45C Tboard@47C GPU 18401/18525 CPU 2301/2330 SOC 4602/4602 CV 0/0 "
    "VDDRQ 2914/2911 SYS5V 4632/4620"
)
# The sample of an Orin Nano in a published parser's source.
ORIN_NANO = (
    "05-05-2025 06:05:39 RAM 2639/7620MB (lfb 9x4MB) SWAP 0/3810MB (cached 0MB) CPU [1%@729,4%@729,8%@729,4%@729,5%@729,"
    "4%@729] GR3D_FREQ 0% cpu@44.156C soc2@43.781C soc0@44.687C gpu@45.968C tj@45.968C soc1@45.312C VDD_IN 5263mW/5263mW "
    "VDD_CPU_GPU_CV 717mW/717mW VDD_SOC 1794mW/1794mW"
)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (AGX_ORIN, GpuReading(watts=6.755, celsius=44.343, used_mb=4321, busy=0)),
        (AGX_XAVIER, GpuReading(watts=7.632, celsius=30.5, used_mb=14700, busy=0)),
        (TX2, GpuReading(watts=3.14, celsius=41, used_mb=2020, busy=0)),
        (ORIN_NANO, GpuReading(watts=5.263, celsius=45.968, used_mb=2639, busy=0)),
        (XAVIER_AT_WORK, GpuReading(watts=32.85, celsius=54.5, clock_mhz=1377, used_mb=10881, busy=95)),
        ("GR3D_FREQ 61%@[1300,1300]", GpuReading(clock_mhz=1300, busy=61)),
        ("", GpuReading()),
        ("tegrastats: not found", GpuReading()),
    ],
)
def test_a_line_of_each_module(line: str, expected: GpuReading) -> None:
    assert parse(line) == expected


def test_the_last_line_of_a_child_is_the_reading() -> None:
    script = (
        f"import time\nprint({AGX_XAVIER!r}, flush=True)\nprint({ORIN_NANO!r}, flush=True)\ntime.sleep(60)"
    )
    gauge = TegrastatsGauge((sys.executable, "-c", script))
    try:
        deadline = time.monotonic() + 20
        while gauge.read().watts != 5.263 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert gauge.read() == parse(ORIN_NANO)
    finally:
        gauge.close()


def test_a_child_that_says_nothing_is_no_trouble() -> None:
    gauge = TegrastatsGauge((sys.executable, "-c", "pass"))
    assert gauge.read() == GpuReading()
    gauge.close()
