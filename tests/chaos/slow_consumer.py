"""Does a slow model see the present?   cd tests && python -m chaos.slow_consumer [--times 1]

A model of 5 pictures a second behind a camera of 25. Printed: the age of the frames at the start of inference (an interval
of the camera, 40 ms, and 5 ms more at most), what becomes of every decoded frame, and whether memory grows.
"""

import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from chaos.report import Report, main
from chaos.servers import mini, raw_clip
from chaos.watching import Watched, watched
from vedette.runtime.frame import Frame
from vedette.runtime.results import Result
from vedette.runtime.runner import Done, NullRunner

FPS, SLOW_S = 25, 0.2


def memory_mb() -> float:
    """What of this process lies in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


class Slow(NullRunner):
    """Takes its time."""

    def submit(self, frames: Sequence[Frame]) -> Any:
        def work() -> list[Result]:
            time.sleep(SLOW_S)
            results: list[Result] = found.results()
            return results

        found: Any = super().submit(frames)
        return Done(work)


def run(report: Report, *, seconds: float = 20.0) -> None:
    memory: list[float] = []
    with tempfile.TemporaryDirectory() as name, mini(raw_clip(Path(name))) as yard:
        frames = round(seconds / SLOW_S)
        with watched(sources={"yard": yard.url}, runners=[Slow()], max_frames=frames) as run:
            while not run.pipeline.stop.wait(0.5) and run.alive:
                memory.append(memory_mb())
    ages(report, run)
    books(report, run, frames)
    settled = memory[len(memory) // 3 :]
    report.at_most("growth of memory after a third of the time, MB", max(settled) - settled[0], 3.0)


def ages(report: Report, run: Watched) -> None:
    """Of the frames, at the start of inference."""
    ages_s = [seen.age_ms / 1000 for seen in run.seen[:-1]]  # no newer one took the place of the last
    report.within("age at the start of inference", ages_s, 1 / FPS + 0.005, share=0.95)
    report.within("age at the start of inference", ages_s, 1 / FPS + 0.005)
    rate = len(run.seen) / (run.seen[-1].at - run.seen[0].at)
    report.share("share of the model's own rate", rate * SLOW_S, 0.9)


def books(report: Report, run: Watched, frames: int) -> None:
    """Every decoded frame is delivered or counted; none waits any more, as the stream has ended."""
    status = run.pipeline.status()["yard"]
    dropped = sum(status.dropped.values())
    report.equal("delivered + dropped", status.delivered + dropped, status.frames)
    report.equal("frames that came out", len(run.seen), frames)
    report.equal("frames delivered", status.delivered, frames)
    report.equal("dropped, as the records tell", sum(seen.dropped for seen in run.seen), dropped)
    gaps = np.diff([-1, *(seen.index for seen in run.seen)]) - 1
    report.equal(
        "records whose dropped is the gap before them", sum(gaps == [s.dropped for s in run.seen]), len(gaps)
    )


if __name__ == "__main__":
    main(__doc__, run)
