"""What `run` tells while it runs: a bar per stream on a terminal, plain lines in a log, a line per picture."""

import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

from vedette.runtime.errors import SourceError
from vedette.runtime.frame import Frame
from vedette.runtime.results import Result
from vedette.runtime.sources import Source

LOG_EVERY_S = 5.0


class Progress:
    """Counts frames and tells of them: results on standard output, progress on standard error."""

    def __init__(
        self, sources: Mapping[str, Source], max_frames: int | None, *, lines: bool, quiet: bool = False
    ) -> None:
        self._sources, self._max_frames = sources, max_frames
        self._lines, self._quiet = lines and not quiet, quiet
        self._began = self._told = time.monotonic()
        self._bars: Any = None
        self.frames: Counter[str] = Counter()
        self.dropped: Counter[str] = Counter()

    def __enter__(self) -> "Progress":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bars:
            self._bars.stop()

    def step(self, frame: Frame, results: Sequence[Result]) -> None:
        """Take note of one finished frame."""
        self.frames[frame.stream] += 1
        self.dropped[frame.stream] += results[0].dropped if results else 0
        if self._lines and frame.rate is None:
            print(_line(frame, results), flush=True)
        elif sys.stderr.isatty():
            self._move_bar(frame.stream)
        elif time.monotonic() - self._told >= LOG_EVERY_S:
            self._told = time.monotonic()
            print(self._stream_line(frame.stream), file=sys.stderr, flush=True)

    def report(self, where: str, backends: Sequence[str], failures: Mapping[str, SourceError]) -> None:
        """The last lines: what ran, how fast, what failed, where it went."""
        out = sys.stderr if self._quiet else sys.stdout
        for stream in self.frames:
            print(self._stream_line(stream), file=out)
        for stream, error in failures.items():
            print(f"{stream}: {error}", file=sys.stderr)
        print(f"ran on {', '.join(dict.fromkeys(backends))}", file=out)
        if where:
            print(f"saved to {where}", file=out)

    def _move_bar(self, stream: str) -> None:
        if not self._bars:
            self._bars, self._tasks = _bars(self._sources)
            self._bars.start()
        self._bars.update(
            self._tasks[stream],
            completed=self.frames[stream],
            total=self._total(stream),
            fps=self._rate(stream),
        )

    def _total(self, stream: str) -> int | None:
        counts = [
            count for count in (self._sources[stream].frame_count, self._max_frames) if count is not None
        ]
        return min(counts, default=None)

    def _rate(self, stream: str) -> str:
        return f"{self.frames[stream] / max(time.monotonic() - self._began, 1e-6):.1f} fps"

    def _stream_line(self, stream: str) -> str:
        total, dropped = self._total(stream), self.dropped[stream]
        of = f"/{total}" if total else ""
        return f"{stream}: {self.frames[stream]}{of} frames, {self._rate(stream)}" + (
            f", {dropped} dropped" if dropped else ""
        )


def _line(frame: Frame, results: Sequence[Result]) -> str:
    """'street.jpg: 640x480 4 persons 8.1 ms'."""
    found = "; ".join(result.summary() for result in results)
    spent = sum(sum(result.latency_ms.values()) for result in results)
    name = frame.source.rpartition("/")[2]
    return f"{name}: {frame.size[0]}x{frame.size[1]} {found} {spent:.1f} ms"


def _bars(sources: Mapping[str, Source]) -> tuple[Any, dict[str, Any]]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[fps]}"),
        TimeRemainingColumn(),
    )
    progress = Progress(*columns, console=Console(stderr=True))
    tasks = {
        name: progress.add_task(f"{name} {source.uri}", total=None, fps="")
        for name, source in sources.items()
    }
    return progress, tasks
