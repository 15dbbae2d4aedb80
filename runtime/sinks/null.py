"""Nowhere. The stand-in for a sink, and what a benchmark writes to."""

from collections.abc import Sequence

from vedette.runtime.frame import Frame
from vedette.runtime.results import Result


class NullSink:
    """Counts what it is given.

    Attributes:
        frames: how many were written.
        results: how many results came with them.
        closed: whether close() was called.
    """

    def __init__(self) -> None:
        self.frames = 0
        self.results = 0
        self.closed = False

    def write(self, frame: Frame, results: Sequence[Result]) -> None:
        self.frames += 1
        self.results += len(results)

    def close(self) -> None:
        self.closed = True
