"""What makes a clip worth keeping: a class that was seen in several of a stream's last frames."""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vedette.runtime.results import Result

WINDOW = 5  # frames


@dataclass(frozen=True, slots=True)
class Sighting:
    """The best object of one class in one frame."""

    score: float
    box_xyxy: tuple[float, float, float, float]  # pixels


class Trigger:
    """Of one stream.

    Args:
        classes: labels that count; empty for all.
        min_conf: with at least this score.
        min_frames: in so many of the last 5 frames.
    """

    def __init__(self, classes: Sequence[str], *, min_conf: float, min_frames: int) -> None:
        self._classes, self._min_conf, self._min_frames = frozenset(classes), min_conf, min_frames
        self._recent: deque[frozenset[str]] = deque(maxlen=WINDOW)

    def seen(self, results: Sequence[Result]) -> Mapping[str, Sighting]:
        """Take a frame's results; the classes in it that have been there for long enough."""
        now = self._sightings(results)
        self._recent.append(frozenset(now))
        counts = {label: sum(label in labels for labels in self._recent) for label in now}
        return {label: sighting for label, sighting in now.items() if counts[label] >= self._min_frames}

    def _sightings(self, results: Sequence[Result]) -> dict[str, Sighting]:
        best: dict[str, Sighting] = {}
        for result in results:
            if result.boxes is None:
                continue
            for box, conf, index in zip(result.boxes.xyxy, result.boxes.conf, result.boxes.cls, strict=True):
                label, score = result.names[int(index)], float(conf)
                wanted = score >= self._min_conf and (not self._classes or label in self._classes)
                if wanted and (label not in best or score > best[label].score):
                    x1, y1, x2, y2 = (round(float(side), 2) for side in box)
                    best[label] = Sighting(score, (x1, y1, x2, y2))
        return best
