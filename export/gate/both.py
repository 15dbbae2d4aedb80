"""A reference and what is judged, run over the same frames.

In: two open Sides, frames.  Out: a Tally that grows, and what was seen besides.  Next: decisions.py, dense.py, contract.py.
"""

import numpy as np

from vedette.export.gate.contract import Outputs, fed_otherwise
from vedette.export.gate.decisions import compare_objects, compare_people
from vedette.export.gate.dense import compare_labels, compare_pictures
from vedette.export.gate.frames import Digest
from vedette.export.gate.sides import Side
from vedette.export.gate.tally import Tally
from vedette.export.gate.verdict import Seen
from vedette.runtime.frame import Array, Frame

COMPARE = {
    "detection": compare_objects,
    "instances": compare_objects,
    "pose": compare_people,
    "segmentation": compare_labels,
    "image": compare_pictures,
}
SAMPLES = 8  # frames that are seen again with red and blue exchanged
SWAPPED = 2  # times fewer decisions must be lost so, and of more than a tenth


class Both:
    """Both sides, frame by frame.

    Attributes:
        sources: of every frame, its file.
        digest: of all frames.
    """

    def __init__(self, one: Side, other: Side, tally: Tally) -> None:
        self._one, self._other, self._tally = one, other, tally
        self._compare = COMPARE[one.card.task]
        self._fed, self._outputs = "", Outputs()
        self._samples: list[Array] = []
        self.sources: list[str] = []
        self.digest = Digest()

    def take(self, frame: Frame) -> None:
        """Run a frame through both, and count."""
        before = self._tally.decisions
        results = self._one.result(frame), self._other.result(frame)
        self._compare(self._tally, *results)
        self._tally.frames += 1
        self._fed = self._fed or fed_otherwise(self._one, self._other)
        self._outputs.add(self._one, self._other)
        self.digest.add(frame)
        self.sources.append(frame.source)
        if self._tally.decisions > before and len(self._samples) < SAMPLES:
            self._samples.append(frame.bgr().copy())

    def seen(self) -> Seen:
        """What there is besides decisions."""
        broken = _broken(self._one, "the reference itself gives") or _broken(self._other, "it gives")
        return Seen(broken, self._other.overflow, self._fed, self._outputs.told())

    def swapped(self) -> str:
        """Whether it decides more like its reference if red and blue are exchanged for it."""
        if self._fed:
            return ""
        tally = Tally(self._tally.unit, self._tally.conf)
        for picture in self._samples:
            exchanged = Frame((np.ascontiguousarray(picture[..., ::-1]),))
            self._compare(tally, self._one.result(Frame((picture,))), self._other.result(exchanged))
        lost = 1 - self._tally.share_kept
        if lost <= 0.1 or 1 - tally.share_kept > lost / SWAPPED:
            return ""
        share = f"{tally.share_kept:.0%} of its reference's decisions"
        return f"its colours are swapped: with red and blue exchanged, {share} are kept"


def _broken(side: Side, who: str) -> str:
    names = [name for engine in side.engines.values() for name in engine.broken]
    return f"{who} values that are no numbers in {', '.join(names)}" if names else ""
