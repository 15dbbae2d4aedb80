"""Frames that a sink could not take, told by the `dropped` of the next one of their stream that it takes."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from vedette.runtime.frame import Frame
from vedette.runtime.results import Result


class Owed:
    """What is still to be told, by stream."""

    def __init__(self) -> None:
        self._frames: Counter[str] = Counter()

    def lost(self, frame: Frame, results: Sequence[Result]) -> None:
        """This one was not taken, nor those that it tells of."""
        self._frames[frame.stream] += 1 + (results[0].dropped if results else 0)

    def told(self, frame: Frame, results: Sequence[Result]) -> Sequence[Result]:
        """The results of a frame that is taken, telling of those that were not."""
        if not self._frames:
            return results
        count = self._frames.pop(frame.stream, 0)
        return [replace(result, dropped=result.dropped + count) for result in results] if count else results
