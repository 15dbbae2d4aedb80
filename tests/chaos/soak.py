"""Does a reconnect leave anything behind?   cd tests && python -m chaos.soak [--seconds 600] [--planted] [--times 1]

Two cameras hang up every 2 s, a third stays; all three are recorded, with JSON lines that rotate. Memory is sampled each
second, threads and open files while all three are live. Printed: how many reconnects there were, how much memory grew
after 30 % of the time (by at most 3 MB), whether threads and files are as many as before. --planted keeps a frame of each
connection, which the same check must notice: then 0 is returned if it did.
"""

import argparse
import os
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median_low

import numpy as np

from chaos.corruption import moving_clip
from chaos.report import Report
from chaos.servers import mini
from chaos.watching import Watched, watched
from vedette.runtime.frame import Frame
from vedette.runtime.results import Result
from vedette.runtime.sinks._background import Background
from vedette.runtime.sinks.jsonl import JsonLinesSink
from vedette.runtime.sinks.recording import RecordingSink
from vedette.runtime.status import State

FAULTY = ("yard", "lane")
SETTLED = 0.3  # of the time: caches and pools have filled
MB_MORE = 3.0


def memory_mb() -> float:
    """What of this process lies in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


@dataclass
class Samples:
    """What was seen of the process."""

    memory: list[tuple[float, float]] = field(default_factory=list)  # seconds, MB
    handles: list[tuple[float, tuple[int, int]]] = field(default_factory=list)  # seconds, (threads, files)

    def take(self, run: Watched) -> None:
        now = time.monotonic() - run.began
        self.memory.append((now, memory_mb()))
        if all(status.state is State.LIVE for status in run.pipeline.status().values()):
            self.handles.append((now, (threading.active_count(), len(list(Path("/proc/self/fd").iterdir())))))

    def growth_mb(self, seconds: float) -> float:
        """The median of the last fifth less that of a fifth after it had settled."""
        times, values = np.array(self.memory).T
        begin = times > seconds * SETTLED
        settled = np.median(values[begin & (times < seconds * (SETTLED + 0.2))])
        return float(np.median(values[times > seconds * 0.8]) - settled)

    def usual(self, seconds: float) -> tuple[tuple[int, int], tuple[int, int]]:
        """The medians of (threads, files) before and after the middle."""
        halves = [[pair for at, pair in self.handles if (at > seconds / 2) == late] for late in (False, True)]
        first, second = (
            tuple(map(median_low, zip(*half, strict=True))) if half else (0, 0) for half in halves
        )
        return first, second


class Hoarder:
    """A planted leak: keeps the first frame of every connection."""

    def __init__(self) -> None:
        self.kept: list[object] = []
        self._last: dict[str, float] = {}

    def __call__(self, frame: Frame, results: list[Result]) -> None:
        if time.monotonic() - self._last.get(frame.stream, 0.0) > 0.25 and frame.stream in FAULTY:
            self.kept.append(frame.planes[0].copy())
        self._last[frame.stream] = time.monotonic()


def sampled(seconds: float, every: int, *, planted: bool) -> tuple[Samples, int, Exception | None]:
    """Run for so long; what was seen, and how many connections there were besides the first ones."""
    samples = Samples()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clip = moving_clip(folder, 50)
        recording = RecordingSink(folder / "recording", segment_s=5, keep_bytes=2_000_000, min_free_bytes=0)
        lines = JsonLinesSink(folder / "records.jsonl", rotate_bytes=100_000, keep=2)
        sinks = [Background(sink, lossless=False) for sink in (recording, lines)]
        with mini(clip, f"close={every}") as yard, mini(clip, f"close={every}") as lane, mini(clip) as gate:
            sources = {"yard": yard.url, "lane": lane.url, "gate": gate.url}
            hoarder = Hoarder()
            look = {"look": hoarder} if planted else {}
            with watched(sources=sources, sinks=sinks, tap=recording.tap, **look) as run:
                while run.alive and time.monotonic() < run.began + seconds:
                    time.sleep(min(1.0, seconds / 60))
                    samples.take(run)
                    run.seen.clear()
                connections = sum(run.pipeline.status()[stream].connections - 1 for stream in FAULTY)
        return samples, connections, run.error


def soak(report: Report, *, seconds: float, every: int = 50, planted: bool = False) -> None:
    """Run and judge."""
    samples, reconnects, error = sampled(seconds, every, planted=planted)
    growth = samples.growth_mb(seconds)
    if planted:
        report.at_least(f"planted leak over {reconnects} reconnects: MB that the check sees", growth, MB_MORE)
        return
    report.equal("error of the pipeline", error, None)
    report.at_least("reconnects", reconnects, seconds / 2 / report.times)
    report.at_most("growth of memory after 30 % of the time, MB", growth, MB_MORE)
    first, second = samples.usual(seconds)
    report.equal("threads and files while all are live, later", second, first)
    report.say(f"     memory: {rounded([mb for _, mb in samples.memory])} MB")


def rounded(values: Sequence[float], count: int = 12) -> list[float]:
    """About so many of them."""
    return [round(value, 1) for value in values[:: max(1, len(values) // count)]]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--every", type=int, default=50, help="frames until a camera hangs up, 25 a second")
    parser.add_argument("--planted", action="store_true")
    parser.add_argument("--times", type=float, default=1.0)
    arguments = parser.parse_args()
    report = Report(arguments.times)
    soak(report, seconds=arguments.seconds, every=arguments.every, planted=arguments.planted)
    sys.exit(bool(report.broken))


if __name__ == "__main__":
    main()
