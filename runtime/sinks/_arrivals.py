"""What came into view: which classes a result shows that its stream did not show shortly before."""

from collections.abc import Sequence

from vedette.runtime.results import Result

GONE_S = 2.0  # of the video's own time: a detector misses a few frames of what is still there


class Arrivals:
    """Remembers, of every stream and model, when each class was last seen.

    Args:
        classes: the names that count; none for all.
        min_conf: lowest score that counts; of what has scores.
    """

    def __init__(self, classes: frozenset[str], min_conf: float) -> None:
        self._classes, self._min_conf = classes, min_conf
        self._seen_s: dict[tuple[str, str, str], float] = {}

    def of(self, result: Result) -> Sequence[str]:
        """The classes that appeared with this result, by name."""
        frame, appeared = result.frame, []
        for name in sorted(self._shown(result)):
            key = (frame.stream, result.model, name)
            before = self._seen_s.get(key)
            if before is None or frame.time_s - before >= GONE_S:
                appeared.append(name)
            self._seen_s[key] = frame.time_s
        return appeared

    def _shown(self, result: Result) -> set[str]:
        if result.boxes is not None:
            sure = result.boxes.conf >= self._min_conf
            found = {result.names[int(index)] for index in result.boxes.cls[sure]}
        elif result.segmentation is not None:
            found = {result.names[index] for index in result.segmentation.fractions}
        else:
            found = set()
        return found & self._classes if self._classes else found
