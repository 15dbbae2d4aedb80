"""From a detector's raw output to candidate boxes: threshold, class, compaction, pixels.

In: the outputs of one image, and its layout (box_layouts.py).  Out: Decoded, for nms.py.

An anchor is one box of the network. Its best class is the one of the highest value, ties to the lower class, NaN
ignored. A candidate scores strictly more than conf, and finitely. Where a score is objectness times class (V5, Yolox, Region),
objectness too must exceed conf, as it does of itself where classes are probabilities. Candidates come by rising anchor,
then class; beyond max_candidates the best scored stay, ties to the earlier. All is float32.

V8, V5 and EndToEnd agree to the bit wherever they run; families with exponentials to a few units in the last place.
"""

import ctypes
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vedette.kernels import native
from vedette.kernels.box_layouts import EndToEnd, Layout, Plan, Priors, plan
from vedette.kernels.native import F32, FLOAT, INT

if TYPE_CHECKING:
    from vedette.kernels._decode_boxes_families import Dense

Array = NDArray[Any]
Mapped = tuple[float, float, float, float]  # left, top, gain_x, gain_y
IDENTITY: Mapped = (0.0, 0.0, 1.0, 1.0)
MAX_CANDIDATES = 30_000


@dataclass(frozen=True, slots=True, eq=False)
class Decoded:
    """Candidates, not yet suppressed."""

    boxes_xyxy: Array  # float32 [N, 4] network-input pixels, or those of the original image
    scores: Array  # float32 [N]
    class_ids: Array  # int64 [N]
    anchors: Array  # int64 [N], where a candidate's mask coefficients, keypoints or angle are


def decode_boxes_reference(
    layout: Layout,
    *outputs: Array,
    conf: float,
    multi_label: bool = False,
    max_candidates: int = MAX_CANDIDATES,
    image: Mapped = IDENTITY,
) -> Decoded:
    """Candidates of one image.

    Args:
        layout: the family and its numbers.
        outputs: of one image, in the shapes that the layout's class names; anything that casts to float32.
        conf: 0 or more; scores must be greater.
        multi_label: every class above conf makes a candidate, not only the best of an anchor.
        max_candidates: most that are returned.
        image: left, top, gain_x, gain_y of the original picture in the network's input, to map boxes back.

    Raises:
        ValueError: no output of this family has these shapes; or conf is negative.
    """
    from vedette.kernels._decode_boxes_families import FAMILIES

    arrays = [np.ascontiguousarray(output, np.float32) for output in outputs]
    plan(layout, tuple(array.shape for array in arrays))
    _require(conf)
    with np.errstate(all="ignore"):  # NaN and infinity are compared, not computed away
        dense = FAMILIES[type(layout)](layout, *arrays)
        anchors, class_ids = _chosen(dense, np.float32(conf), multi_label=multi_label)
        scores = dense.scores[anchors, class_ids]
        best = np.sort(np.argsort(-scores, kind="stable")[: max(max_candidates, 0)])
        corner, gain = np.split(np.array(image, np.float32), 2)
        boxes = (dense.boxes[anchors] - np.tile(corner, 2)) / np.tile(gain, 2)
    if isinstance(layout, EndToEnd):
        class_ids = arrays[0][anchors, 5].astype(np.int64)
    return Decoded(boxes[best], scores[best], class_ids[best], anchors[best])


def _chosen(dense: "Dense", conf: np.float32, *, multi_label: bool) -> tuple[Array, Array]:
    """Anchors and classes of all candidates."""
    allowed = np.isfinite(dense.scores) & (dense.scores > conf)
    if dense.objectness is not None:
        allowed &= (dense.objectness > conf)[:, None]
    if not multi_label:
        best = np.where(np.isnan(dense.values), -np.inf, dense.values).argmax(axis=1)
        allowed &= best[:, None] == np.arange(dense.values.shape[1])
    anchors, class_ids = np.nonzero(allowed)
    return anchors, class_ids


class _Scratch(threading.local):
    """Room for one thread's candidates, kept for the next frame."""

    rows = 0

    def __init__(self) -> None:
        self.grow(1)

    def grow(self, rows: int) -> None:
        """Twice what it was, or more: never smaller."""
        self.rows = max(rows, 2 * self.rows)
        self.boxes, self.scores = np.empty((self.rows, 4), np.float32), np.empty(self.rows, np.float32)
        self.class_ids, self.anchors = np.empty(self.rows, np.int64), np.empty(self.rows, np.int64)
        self.arrays = (self.boxes, self.scores, self.class_ids, self.anchors)
        self.addresses = tuple(array.ctypes.data for array in self.arrays)


_scratch = _Scratch()
_ADDRESS = ctypes.c_void_p  # of a scratch array, known to be of its type
_ARGUMENTS = (
    *(ctypes.POINTER(Plan), F32, F32, F32, FLOAT, INT, INT, FLOAT, FLOAT, FLOAT, FLOAT),
    *(_ADDRESS, _ADDRESS, _ADDRESS, _ADDRESS),
)


def decode_boxes(
    layout: Layout,
    *outputs: Array,
    conf: float,
    multi_label: bool = False,
    max_candidates: int = MAX_CANDIDATES,
    image: Mapped = IDENTITY,
) -> Decoded:
    """decode_boxes_reference by the C++ kernel where it is built."""
    kernel = native.function("vedette_decode_boxes", _ARGUMENTS, INT)
    if kernel is None:
        return decode_boxes_reference(
            layout, *outputs, conf=conf, multi_label=multi_label, max_candidates=max_candidates, image=image
        )
    arrays = [np.ascontiguousarray(output, np.float32) for output in outputs]
    checked = plan(layout, tuple([array.shape for array in arrays]))
    _require(conf)
    most = max(0, min(max_candidates, checked.anchors * checked.classes))
    if most > _scratch.rows:
        _scratch.grow(most)
    first, second = arrays[0], arrays[-1]
    third = layout.priors if isinstance(layout, Priors) else first  # not read
    count = kernel(checked, first, second, third, conf, multi_label, most, *image, *_scratch.addresses)
    return Decoded(*[array[:count].copy() for array in _scratch.arrays])


def _require(conf: float) -> None:
    if not conf >= 0:
        raise ValueError(f"conf must be 0 or more, not {conf}")
