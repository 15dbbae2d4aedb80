"""Detection in one call: from a network's raw outputs to the boxes on a picture, best first.

decode_boxes grid by grid, the classes that are wanted, nms, then pixels of the picture. Between the steps nothing goes
through Python: after a network has run, each of its instructions comes from memory again (docs/decisions/0016).
Used by runtime/host_boxes.py.  Next: decode_boxes.py, nms.py.
"""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vedette.kernels import native
from vedette.kernels.box_layouts import EndToEnd, Layout, Plan, Priors, Shape, outputs_of, plan
from vedette.kernels.decode_boxes import IDENTITY, MAX_CANDIDATES, Array, Mapped, decode_boxes_reference
from vedette.kernels.native import FLOAT, INT
from vedette.kernels.nms import nms_reference

Found = tuple[
    Array, Array, Array
]  # boxes_xyxy float32 [N, 4] pixels, scores float32 [N], class ids int64 [N]
Outputs = Sequence[Array]  # of one image: those of each grid in turn


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which boxes, and where their picture lies.

    Attributes:
        conf: scores must be greater.
        iou: of two boxes of one class that overlap by more, the better stays; infinity keeps both.
        max_det: most boxes, at least 1.
        classes: ids; empty for all.
        multi_label: every class above conf makes a candidate, not only the best of an anchor.
        clip: boxes end where the picture does.
        unit: input pixels of one unit of the outputs, across and down.
        image: left, top, gain_x, gain_y of the picture in the network's input.
        size: (width, height) of the picture; boxes beside it are dropped.
    """

    size: tuple[int, int]
    conf: float = 0.25
    iou: float = 0.7
    max_det: int = 300
    classes: tuple[int, ...] = ()
    multi_label: bool = False
    clip: bool = True
    unit: tuple[float, float] = (1.0, 1.0)
    image: Mapped = IDENTITY


def detect_boxes_reference(layouts: Sequence[Layout], outputs: Outputs, wanted: Wanted) -> Found:
    """Boxes of one image on its picture, best first, ties to the earlier grid and candidate.

    Args:
        layouts: of the grids, in order; all candidates of one come before those of the next.
        outputs: as decode_boxes takes them.
        wanted: see there.

    Raises:
        ValueError: no outputs of these layouts have such shapes; or conf is negative.
    """
    options: Any = {"conf": wanted.conf, "multi_label": wanted.multi_label}
    grids = [decode_boxes_reference(*grid, **options) for grid in _by_grid(layouts, outputs)]
    boxes = np.concatenate([grid.boxes_xyxy for grid in grids])
    scores = np.concatenate([grid.scores for grid in grids])
    class_ids = np.concatenate([grid.class_ids for grid in grids])
    rows = np.flatnonzero(np.isin(class_ids, wanted.classes)) if wanted.classes else np.arange(len(scores))
    corner, gain, unit, end = (
        np.array(pair * 2, np.float32)
        for pair in (wanted.image[:2], wanted.image[2:], wanted.unit, wanted.size)
    )
    with np.errstate(over="ignore"):  # huge boxes
        boxes = boxes * unit
        kept = rows[nms_reference(
            boxes[rows], scores[rows], class_ids[rows], iou_threshold=wanted.iou, max_det=wanted.max_det
        )]  # fmt: skip
        boxes = (boxes[kept] - corner) / gain
    cut = np.clip(boxes, 0, end)
    inside = (cut[:, 2:] > cut[:, :2]).all(axis=1)
    return (cut if wanted.clip else boxes)[inside], scores[kept][inside], class_ids[kept][inside]


def _by_grid(layouts: Sequence[Layout], items: Sequence[Any]) -> list[tuple[Any, ...]]:
    """Each layout and its one or two of the items.

    Raises:
        ValueError: there are not as many.
    """
    counts = [outputs_of(layout) for layout in layouts]
    if sum(counts) != len(items):
        raise ValueError(f"want {sum(counts)} outputs, not {len(items)}")
    ends = np.cumsum(counts).tolist()
    return [(layout, *items[end - n : end]) for layout, n, end in zip(layouts, counts, ends, strict=True)]


class _Grid(ctypes.Structure):
    """struct Grid of native/detect_boxes.cpp."""

    _fields_ = (("plan", ctypes.POINTER(Plan)), ("priors", ctypes.c_void_p), ("most", INT))


class _Detector(ctypes.Structure):
    """struct Detector of native/detect_boxes.cpp."""

    _fields_ = (
        ("grids", ctypes.POINTER(_Grid)),
        ("allowed", ctypes.c_void_p),
        *((name, INT) for name in ("count", "classes", "multi_label", "max_det", "clip")),
        *((name, FLOAT) for name in ("conf", "iou", "unit_x", "unit_y", "left", "top")),
        *((name, FLOAT) for name in ("gain_x", "gain_y", "width", "height")),
    )


class Detector:
    """detect_boxes_reference by the C++ kernel where it is built, prepared for outputs of one shape and one place of the picture.

    Not for two threads at once.
    """

    def __init__(self, layouts: Sequence[Layout], shapes: Sequence[Shape], wanted: Wanted) -> None:
        """Check the shapes, which hold for every call.

        Raises:
            ValueError: no outputs of these layouts have such shapes; or conf is negative.
        """
        if not (wanted.conf >= 0 and wanted.iou >= 0):
            raise ValueError(f"conf and iou must be 0 or more, not {wanted.conf} and {wanted.iou}")
        self._layouts, self._shapes, self._wanted = layouts, tuple(shapes), wanted
        plans = [plan(layout, tuple(own)) for layout, *own in _by_grid(layouts, self._shapes)]
        self.classes = None if _from_data(layouts) else max(one.classes for one in plans)
        self._kernel = native.function("vedette_detect_boxes", [ctypes.c_void_p] * 5, INT)
        self._slots = [2 * grid + n for grid, layout in enumerate(layouts) for n in range(outputs_of(layout))]
        self._outputs = (ctypes.c_void_p * (2 * len(layouts)))()
        self._grids = (_Grid * len(plans))(
            *[_grid(one, layout) for one, layout in zip(plans, layouts, strict=True)]
        )
        self._allowed = _allowed(wanted.classes)
        self._described = _described(self._grids, self._allowed, wanted)
        rows = min(max(wanted.max_det, 0), sum(grid.most for grid in self._grids))
        self._room = np.empty((rows, 4), np.float32), np.empty(rows, np.float32), np.empty(rows, np.int64)
        self._addresses = (
            ctypes.addressof(self._described), ctypes.addressof(self._outputs), *(a.ctypes.data for a in self._room)
        )  # fmt: skip

    def __call__(self, outputs: Outputs) -> Found:
        """Fresh arrays.

        Raises:
            ValueError: the outputs have other shapes than before.
        """
        if self._kernel is None:
            return detect_boxes_reference(self._layouts, outputs, self._wanted)
        arrays = [np.ascontiguousarray(output, np.float32) for output in outputs]
        if tuple([array.shape for array in arrays]) != self._shapes:
            raise ValueError(f"want outputs {list(self._shapes)}, not {[array.shape for array in arrays]}")
        for slot, array in zip(self._slots, arrays, strict=True):
            self._outputs[slot] = array.ctypes.data
        count = self._kernel(*self._addresses)
        boxes, scores, class_ids = self._room
        return boxes[:count].copy(), scores[:count].copy(), class_ids[:count].copy()


def _from_data(layouts: Sequence[Layout]) -> bool:
    """Whether class ids are what an output says, and so may be any."""
    return any(isinstance(layout, EndToEnd) for layout in layouts)


def _grid(one: Plan, layout: Layout) -> _Grid:
    priors = layout.priors.ctypes.data if isinstance(layout, Priors) else None
    return _Grid(ctypes.pointer(one), priors, min(MAX_CANDIDATES, one.anchors * one.classes))


def _allowed(classes: Sequence[int]) -> Array:
    """uint8, by class id; empty for all."""
    ids = np.array([index for index in classes if index >= 0], np.int64)
    allowed = np.zeros(ids.max(initial=-1) + 1, np.uint8)
    allowed[ids] = 1
    return allowed


def _described(grids: Any, allowed: Array, wanted: Wanted) -> _Detector:
    return _Detector(
        grids, allowed.ctypes.data if wanted.classes else None, len(grids), len(allowed), wanted.multi_label,
        wanted.max_det, wanted.clip, wanted.conf, wanted.iou, *wanted.unit, *wanted.image, *wanted.size,
    )  # fmt: skip
