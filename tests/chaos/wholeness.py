"""Which frames may be marked suspect when a camera is killed or stopped: the one that this cut, and no other.

A fault that comes amid a frame leaves its first packets, which FFmpeg decodes once the connection has failed. That frame is
wrong, must be marked, and is the last before the camera is back. Every other frame is a picture of the clip, bit for bit.
Next: reconnect.py, which asks.
"""

from collections.abc import Sequence
from math import inf
from pathlib import Path

from chaos.corruption import lumas
from chaos.report import Report
from chaos.watching import Watched
from vedette.runtime.frame import Frame
from vedette.runtime.results import Result
from vedette.runtime.status import State


class Compared:
    """A Watched's `look` that compares each frame with all pictures of the clips that the cameras play.

    Attributes:
        whole: of each frame, in the order of Watched.seen, whether it is one of them; those of patterns are.
    """

    def __init__(self, *clips: Path) -> None:
        self._pictures = {luma.tobytes() for clip in clips for luma in lumas(clip)}
        self.whole: list[bool] = []

    def __call__(self, frame: Frame, results: list[Result]) -> None:
        is_pattern = frame.source.startswith("synthetic:")
        self.whole.append(is_pattern or frame.planes[0].tobytes() in self._pictures)


def cut_by(run: Watched, stream: str, faults: Sequence[float]) -> set[int]:
    """Where in run.seen the last frame of a stream is that came before it was back from each fault (time.monotonic)."""
    lives = [at for at, event in run.events if event.stream == stream and event.state is State.LIVE]
    frames = [(place, seen.at) for place, seen in enumerate(run.seen) if seen.stream == stream]
    backs = [min((live for live in lives if live > fault), default=inf) for fault in faults]
    return {max(place for place, at in frames if at < back) for back in backs}


def marks(report: Report, run: Watched, compared: Compared, last: set[int]) -> None:
    """Are those frames marked that a fault cut, and no other?   `last`: which may be cut, as places in run.seen."""
    pairs = zip(list(run.seen), list(compared.whole), strict=False)  # the newest may not be compared yet
    frames = [(place, seen.suspect, whole) for place, (seen, whole) in enumerate(pairs)]
    cut = [marked for place, marked, whole in frames if place in last and not whole]
    report.say(f"     {len(frames)} frames; {len(last)} times a last one, of which {len(cut)} cut")
    report.equal("whole frames marked suspect", sum(marked and whole for _, marked, whole in frames), 0)
    report.equal("frames not whole, but for those cut", sum(not whole for *_, whole in frames) - len(cut), 0)
    report.equal("cut frames not marked", len(cut) - sum(cut), 0)
