"""Label maps: per-class IoU and their mean, pixel accuracy, boundary F1, confusion matrix.

In: pairs of label maps, one by one.  Out: Evaluation.  Memory is one picture and a matrix.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from vedette.runtime.errors import UsageError
from vedette.runtime.evaluation.average_precision import NOTHING
from vedette.runtime.evaluation.boundaries import boundary_f1
from vedette.runtime.evaluation.evaluation import Confusion, Evaluation
from vedette.runtime.frame import Array

IGNORE = 255
NO_CLASS = "no class"


@dataclass(slots=True, eq=False)
class Tally:
    """Adds up pictures.

    >>> tally = Tally(("road", "sky"))
    >>> tally.add(found, true)
    >>> tally.evaluation().numbers["mIoU"]

    Attributes:
        names: of the classes; a label is an index into them.
        ignore: the true label of pixels that do not count.
        boundaries: whether boundary F1 is measured: it takes most of the time.
    """

    names: Sequence[str]
    ignore: int = IGNORE
    boundaries: bool = True
    images: int = 0
    _matrix: Array = field(init=False)  # int64 [K, K + 1], true by found; the last column is no class at all
    _fits: list[list[float]] = field(init=False)

    def __post_init__(self) -> None:
        count = len(self.names)
        self._matrix = np.zeros((count, count + 1), np.int64)
        self._fits = [[] for _ in self.names]

    def add(self, found: Array, true: Array, *, source: str = "a picture") -> None:
        """Count one picture.

        Args:
            found: int [H, W]; a label that is none of the names is no class.
            true: int [H, W].
            source: named in errors.

        Raises:
            UsageError: they differ in size, or a true label is neither a class nor the one to ignore.
        """
        if found.shape != true.shape:
            raise UsageError(
                f"{source}: what was found is {_size(found)}, the mask {_size(true)}",
                why="they are compared pixel by pixel",
                cure="make the mask as large as the picture",
            )
        count = len(self.names)
        valid = true != self.ignore
        strange = np.unique(true[valid & ((true < 0) | (true >= count))])
        if len(strange):
            raise UsageError(
                f"{source}: the mask has the label {int(strange[0])}",
                why=f"there are {count} classes, 0 to {count - 1}, and {self.ignore} is not counted",
                cure="name all classes in labels.txt, one a line, or set --ignore-label",
            )
        found = np.where((found >= 0) & (found < count), found, count)
        cells = true[valid].astype(np.int64) * (count + 1) + found[valid]
        self._matrix += np.bincount(cells, minlength=count * (count + 1)).reshape(count, count + 1)
        self.images += 1
        if self.boundaries:
            self._add_boundaries(found, true, valid)

    def _add_boundaries(self, found: Array, true: Array, valid: Array) -> None:
        for label in np.intersect1d(np.union1d(found, true[valid]), np.arange(len(self.names))).tolist():
            fit = boundary_f1(found == label, true == label, valid)
            if fit is not None:
                self._fits[label].append(fit)

    def evaluation(self, notes: tuple[str, ...] = ()) -> Evaluation:
        """What it comes to. A class that is neither true nor found anywhere does not count in a mean."""
        square = self._matrix[:, :-1]
        hits, true, found = np.diag(square), self._matrix.sum(axis=1), square.sum(axis=0)
        union = true + found - hits
        there: list[int] = np.flatnonzero(union).tolist()
        iou = {self.names[k]: float(hits[k] / union[k]) for k in there}
        fits = {self.names[k]: float(np.mean(self._fits[k])) for k in there if self._fits[k]}
        seen = np.flatnonzero(true)
        numbers = {
            "mIoU": float(np.mean(list(iou.values()))) if iou else NOTHING,
            "pixel_accuracy": float(hits.sum() / true.sum()) if true.sum() else NOTHING,
            "mean_accuracy": float(np.mean(hits[seen] / true[seen])) if len(seen) else NOTHING,
        }
        if self.boundaries:
            numbers["boundary_F1"] = float(np.mean(list(fits.values()))) if fits else NOTHING
        return Evaluation(
            task="segmentation",
            metric="iou",
            kind="pixels",
            names=tuple(self.names),
            numbers=numbers,
            per_class=iou,
            sizes={"images": self.images, "pixels": int(true.sum())},
            details={
                self.names[k]: {
                    "IoU": iou[self.names[k]],
                    **_ratio("precision", hits[k], found[k]),
                    **_ratio("recall", hits[k], true[k]),
                    **({"boundary_F1": fits[self.names[k]]} if self.names[k] in fits else {}),
                    "pixels": int(true[k]),
                }
                for k in there
            },
            confusion=self._confusion(),
            notes=notes,
        )

    def _confusion(self) -> Confusion:
        """With a row and a column for no class, where anything was found to be of none."""
        if not self._matrix[:, -1].any():
            return Confusion(tuple(self.names), self._matrix[:, :-1])
        return Confusion((*self.names, NO_CLASS), np.pad(self._matrix, ((0, 1), (0, 0))))


def _ratio(name: str, part: int, whole: int) -> dict[str, float]:
    return {name: float(part / whole)} if whole else {}


def _size(array: Array) -> str:
    return f"{array.shape[1]}x{array.shape[0]}"
