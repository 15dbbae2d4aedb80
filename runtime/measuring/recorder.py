"""Cuts a run into Blocks while it runs, in bounded memory, at a cost that is small beside a frame's.

In: notes of probes.py.  Out: Blocks, and the time of the first frames' work.  Next: blocks.py, warmup.py.
"""

import time
from collections import deque
from collections.abc import Sequence

from vedette.runtime.frame import Frame
from vedette.runtime.measuring.blocks import Block, joined
from vedette.runtime.measuring.gauges import Gauge, GpuReading, GpuSpell
from vedette.runtime.measuring.host import groups_between, load_between, read_host, rss_mb
from vedette.runtime.measuring.sketch import sketch_of
from vedette.runtime.results import Result

BLOCK_S = 0.25
AFTER = ("draw", "sink", "encode")  # what happens to a frame after it was handed on
MOST = 240  # blocks; then each two are joined, and blocks are twice as long from there on
REMEMBERED = 20_000  # frames in which a warm-up is looked for
STAGES = {
    "preprocess": "preprocess",
    "inference": "inference",
    "decode": "postprocess",
}  # as results name them
GPU = "gpu"  # by CUDA events, where a runner tells it; inside what it calls inference
METRICS = (
    "decode", "preprocess", "inference", GPU, "postprocess", "draw", "sink", "encode", "work", "age", "end_to_end",
)  # fmt: skip


class Recorder:
    """Notes of one round.

    Args:
        number: of the round.
        gauge: of the GPU, or None.
        block_s: how long a block is at first.

    Attributes:
        first_ns: time.monotonic_ns() of the first result; 0 before it.
        work_ms: preprocess, inference and post-process of each of the first frames after that.
        ends_s: when each was done, since the first result.
    """

    def __init__(self, *, number: int = 0, gauge: Gauge | None = None, block_s: float = BLOCK_S) -> None:
        self._round, self._gauge, self._block_s = number, gauge, block_s
        self._notes: dict[str, deque[float]] = {name: deque() for name in METRICS}
        self._blocks: list[Block] = []
        self._frames = 0
        self._began_ns = self.first_ns = 0
        self.work_ms: list[float] = []
        self.ends_s: list[float] = []

    def note(self, stage: str, ms: float) -> None:
        """Any thread."""
        self._notes[stage].append(ms)

    def handed(self, frame: Frame, results: Sequence[Result], began_ns: int) -> None:
        """A frame's results are handed on now; the work on it began then."""
        now = time.monotonic_ns()
        if not self.first_ns:
            self._begin(now)
            return
        work = 0.0
        for result in results:
            for name, ms in result.latency_ms.items():
                if name == GPU:
                    self._notes[GPU].append(ms)
                elif name in STAGES:
                    self._notes[STAGES[name]].append(ms)
                    work += ms
        self._notes["work"].append(work)
        self._notes["age"].append((began_ns - frame.received_ns) / 1e6)
        self._notes["end_to_end"].append((now - frame.received_ns) / 1e6)
        self._frames += 1
        if len(self.work_ms) < REMEMBERED:
            self.work_ms.append(work)
            self.ends_s.append((now - self.first_ns) / 1e9)

    def tick(self) -> float:
        """Called after every frame: closes a block whose time is over; seconds since the first result."""
        now = time.monotonic_ns()
        if not self._frames:
            for name in AFTER:  # of the first frame
                self._notes[name].clear()
        if self._frames and (now - self._began_ns) / 1e9 >= self._block_s:
            self._close(now)
        return (now - self.first_ns) / 1e9

    def blocks(self) -> list[Block]:
        """All; a last one that is short goes with the one before."""
        if self._frames:
            self._close(time.monotonic_ns())
        if len(self._blocks) > 1 and self._blocks[-1].seconds < self._block_s / 2:
            last = self._blocks.pop()
            self._blocks[-1] = joined(self._blocks[-1], last)
        return self._blocks

    def _begin(self, now: int) -> None:
        """The first frame is the cold start's."""
        for notes in self._notes.values():
            notes.clear()
        self.first_ns = self._began_ns = now
        self._host, self._gpu = read_host(), self._gpu_now()

    def _gpu_now(self) -> GpuReading | None:
        return self._gauge.read() if self._gauge is not None else None

    def _close(self, now: int) -> None:
        host, gpu = read_host(), self._gpu_now()
        seconds = (now - self._began_ns) / 1e9
        spell = GpuSpell.between(self._gpu, gpu, seconds) if self._gpu and gpu else None
        self._blocks.append(
            Block(
                self._round,
                round((self._began_ns - self.first_ns) / 1e9, 4),
                round(seconds, 6),
                self._frames,
                round(rss_mb(), 2),
                load_between(self._host, host),
                {name: sketch_of(_drained(notes)) for name, notes in self._notes.items() if notes},
                {name: round(ms, 3) for name, ms in groups_between(self._host, host).items()},
                spell,
            )
        )
        self._began_ns, self._host, self._gpu, self._frames = now, host, gpu, 0
        if len(self._blocks) >= MOST:
            self._halve()

    def _halve(self) -> None:
        pairs = zip(self._blocks[::2], self._blocks[1::2], strict=True)
        self._blocks = [joined(first, second) for first, second in pairs]
        self._block_s *= 2


def _drained(notes: deque[float]) -> list[float]:
    """What is there now; other threads may go on noting."""
    return [notes.popleft() for _ in range(len(notes))]
