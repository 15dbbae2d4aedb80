"""Memory, files and threads stay flat, and what chaos/ asks holds with every deadline as it stands.

SECONDS=3600 make soak   (by default 60, and 600 for the reconnects; the programs of chaos/ take about six minutes more)
"""

import gc
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import toy

from vedette import Model
from vedette.runtime.pipeline import Pipeline
from vedette.runtime.sinks._background import Background
from vedette.runtime.sinks.jsonl import JsonLinesSink
from vedette.runtime.sinks.video import VideoSink
from vedette.runtime.sources import SourceOptions, open_source

pytestmark = pytest.mark.soak
SECONDS = float(os.environ.get("SECONDS", "60"))
RECONNECTING_S = os.environ.get("SECONDS", "600")
MB_AN_HOUR = 2.0
PROGRAMS = ("reconnect", "corruption", "slow_consumer", "signals", "full_disk", "fuzz")


def memory_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def slope_mb_an_hour(samples: list[tuple[float, float]]) -> float:
    """Of a line through (seconds, MB) from mid-run on, as caches fill first."""
    late = np.array(samples[len(samples) // 2 :])
    return float(np.polyfit(late[:, 0], late[:, 1], 1)[0] * 3600)


def test_runs_one_after_another_leak_nothing(tmp_path: Path) -> None:
    model = Model(toy.onnx_model(tmp_path))
    samples, handles = [], []
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        source = open_source("synthetic:320x240@25?frames=50", SourceOptions())
        sinks = [
            Background(sink, lossless=True)
            for sink in (VideoSink(tmp_path / "o.mp4"), JsonLinesSink(tmp_path / "r.jsonl"))
        ]
        assert sum(1 for _ in Pipeline({"cam0": source}, [model.runner()], sinks).run()) == 50
        gc.collect()
        samples.append((time.monotonic(), memory_mb()))
        handles.append((len(list(Path("/proc/self/fd").iterdir())), threading.active_count()))
    slope = slope_mb_an_hour(samples)
    assert len(set(handles[1:])) == 1
    noise = 3600 / SECONDS  # one MB of allocator's luck, spread over the run
    assert slope < MB_AN_HOUR + noise, f"{slope:.1f} MB an hour over {len(samples)} runs"


def test_a_planted_leak_is_seen() -> None:
    kept, samples = [], []
    for step in range(20):
        kept.append(np.ones(1_000_000 // 8))
        samples.append((step * 1.0, memory_mb()))
    assert slope_mb_an_hour(samples) > 100 * MB_AN_HOUR


def chaos(program: str, *arguments: str) -> int:
    """Run a program of chaos/ in a process of its own, its figures on this one's output; what it exits with."""
    return subprocess.run(
        [sys.executable, "-m", f"chaos.{program}", *arguments], cwd=Path(__file__).parent
    ).returncode


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_deadline_is_kept_as_it_stands(program: str) -> None:
    assert chaos(program) == 0


def test_reconnects_leave_nothing_behind() -> None:
    assert chaos("soak", "--seconds", RECONNECTING_S) == 0


def test_a_frame_kept_of_each_connection_is_seen() -> None:
    assert chaos("soak", "--seconds", "60", "--planted") == 0
