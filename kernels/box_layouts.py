"""How detectors lay out their raw outputs: one class a family, its numbers, and the shapes it accepts.

In: what a manifest says.  Out: a Plan, everything that the C++ needs, checked once for each shape.
Next: decode_boxes.py.  n anchors, C classes, E extra columns (mask coefficients, keypoints, an angle).
"""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Shape = tuple[int, ...]
Size = tuple[int, int]  # (width, height)
MAX_STRIDES, MAX_ANCHOR_SIZES, MAX_COUNT = 8, 32, 2**31 - 1


class Plan(ctypes.Structure):
    """struct Plan of native/decode_boxes.cpp, field by field."""

    _fields_ = (
        ("family", ctypes.c_int64),  # position in LAYOUTS
        ("anchors", ctypes.c_int64),
        ("classes", ctypes.c_int64),
        ("row", ctypes.c_int64),  # floats from one anchor to the next, or from one channel to the next
        ("bins", ctypes.c_int64),
        ("background", ctypes.c_int64),
        ("softmax", ctypes.c_int64),
        ("levels", ctypes.c_int64),
        ("level_end", ctypes.c_int64 * MAX_STRIDES),  # the anchor after its last
        ("level_columns", ctypes.c_int64 * MAX_STRIDES),
        ("level_stride", ctypes.c_float * MAX_STRIDES),
        ("anchor_sizes", ctypes.c_float * (2 * MAX_ANCHOR_SIZES)),  # cells
        ("rows", ctypes.c_int64),
        ("input_size", ctypes.c_float * 2),
        ("powers", ctypes.c_float * 2),
        ("variances", ctypes.c_float * 4),
    )


@dataclass(frozen=True, slots=True)
class V8:
    """YOLOv8, 9, 11 and 12: [4 + C + E, n], cx cy w h in pixels, then class scores.

    Source: ultralytics nn/modules/head.py, Detect.
    """

    extras: int = 0

    def plan(self, output: Shape) -> Plan:
        channels, anchors = _two(output)
        return Plan(anchors=anchors, classes=channels - 4 - self.extras, row=anchors)


@dataclass(frozen=True, slots=True)
class V5:
    """YOLOv5 and 7: [n, 5 + C + E], cx cy w h in pixels, objectness, then class scores; score = objectness * class.

    Source: ultralytics/yolov5 models/yolo.py, Detect.
    """

    extras: int = 0

    def plan(self, output: Shape) -> Plan:
        anchors, columns = _two(output)
        return Plan(anchors=anchors, classes=columns - 5 - self.extras, row=columns)


@dataclass(frozen=True, slots=True)
class EndToEnd:
    """YOLOv10 and 26: [n, 6 + E], x1 y1 x2 y2 in pixels, score, class: suppressed by the network itself.

    A row whose class is not a whole number from 0 to 2**24 is no candidate. Source: head.py, postprocess.
    """

    def plan(self, output: Shape) -> Plan:
        anchors, columns = _two(output)
        if columns < 6:
            raise ValueError(f"want [n, 6] or more columns, not {list(output)}")
        return Plan(anchors=anchors, classes=1, row=columns)


@dataclass(frozen=True, slots=True)
class Yolox:
    """YOLOX: [n, 5 + C + E] raw, x = (p + column) * stride, w = e^p * stride; objectness and classes done.

    Rows go through the strides in turn, and through the cells of each in reading order.
    Source: yolox/utils/demo_utils.py.
    """

    input_size: Size
    strides: tuple[int, ...] = (8, 16, 32)
    extras: int = 0

    def plan(self, output: Shape) -> Plan:
        anchors, columns = _two(output)
        plan = Plan(anchors=anchors, classes=columns - 5 - self.extras, row=columns)
        width, height = self.input_size
        _fill_levels(plan, self.strides, [(width // s, height // s) for s in self.strides if s > 0])
        cells = plan.level_end[plan.levels - 1]
        if cells != anchors:
            raise ValueError(f"an input of {width} x {height} has {cells} cells, not {anchors}")
        return plan


@dataclass(frozen=True, slots=True)
class Region:
    """YOLOv2: [A * (5 + C), h, w] raw, anchor by anchor; x = (column + sigmoid) cells, w = e^t * anchor cells.

    score = sigmoid(objectness) * softmax(classes). Anchor index = anchor * h * w + cell.
    Source: AlexeyAB/darknet src/region_layer.c.
    """

    input_size: Size
    anchors: tuple[tuple[float, float], ...]  # width, height in cells

    def plan(self, output: Shape) -> Plan:
        channels, rows, columns = _three(output)
        count = len(self.anchors)
        if not 1 <= count <= MAX_ANCHOR_SIZES or channels % count:
            raise ValueError(
                f"want 1 to {MAX_ANCHOR_SIZES} anchors that divide {channels} channels, not {count}"
            )
        cells = rows * columns
        plan = Plan(anchors=count * cells, classes=channels // count - 5, row=cells, rows=rows)
        plan.input_size[:] = self.input_size
        plan.anchor_sizes[: 2 * count] = [side for anchor in self.anchors for side in anchor]
        plan.level_columns[0] = columns
        return plan


@dataclass(frozen=True, slots=True)
class FastestDet:
    """FastestDet: [5 + C, h, w], objectness, raw x y w h, class probabilities; one box a cell.

    x = (column + tanh) cells, w = sigmoid of the input's width; score = objectness ** power * class ** power.
    Source: dog-qiuqiu/FastestDet.
    """

    input_size: Size
    object_power: float = 0.6
    class_power: float = 0.4

    def plan(self, output: Shape) -> Plan:
        channels, rows, columns = _three(output)
        plan = Plan(anchors=rows * columns, classes=channels - 5, row=rows * columns, rows=rows)
        plan.input_size[:], plan.powers[:] = self.input_size, (self.object_power, self.class_power)
        plan.level_columns[0] = columns
        return plan


@dataclass(frozen=True, slots=True)
class NanoDet:
    """NanoDet, one stride: scores [n, C] and distance logits [n, 4 * bins], cells in reading order.

    Each side lies the mean of its softmax over bins, in strides, from the cell's centre.
    Sources: Li et al., Generalized Focal Loss, NeurIPS 2020; RangiLyu/nanodet.
    """

    stride: int
    columns: int  # cells in a row

    def plan(self, scores: Shape, distances: Shape) -> Plan:
        (anchors, classes), (rows, columns) = _two(scores), _two(distances)
        if rows != anchors or columns < 4 or columns % 4:
            raise ValueError(f"want distances [{anchors}, 4 * bins], not {list(distances)}")
        plan = Plan(anchors=anchors, classes=classes, row=classes, bins=columns // 4, levels=1)
        _positive("stride and columns", (self.stride, self.columns))
        plan.level_end[0], plan.level_columns[0], plan.level_stride[0] = anchors, self.columns, self.stride
        return plan


@dataclass(frozen=True, slots=True, eq=False)
class Priors:
    """SSD: class scores or logits [n, C] and offsets [n, 4] (cx cy w h) against boxes known beforehand.

    PyTorch's and Caffe's convention: x = prior x + offset * 0.1 * prior w, w = prior w * e^(offset * 0.2), softmax
    over all classes with the background first. TensorFlow's scale factors 10 and 5 are the same variances, but
    its offsets come as y x h w: reorder them. Make one and keep it: its arrays are copied here.

    Source: Liu et al., SSD, ECCV 2016, and weiliu89/caffe src/caffe/util/bbox_util.cpp.
    """

    priors: Array  # float32 [n, 4] cx cy w h, pixels
    variances: tuple[float, float, float, float] = (0.1, 0.1, 0.2, 0.2)
    softmax: bool = True  # still to do; False: the network ends in one, or in sigmoids
    background: int = 1  # leading columns that are no class; class 0 is the first after them

    def __post_init__(self) -> None:
        own = np.array(self.priors, np.float32, order="C")
        own.flags.writeable = False
        object.__setattr__(self, "priors", own)

    def plan(self, scores: Shape, offsets: Shape) -> Plan:
        anchors, columns = _two(scores)
        if not offsets == self.priors.shape == (anchors, 4):
            found = f"{list(offsets)} and {list(self.priors.shape)}"
            raise ValueError(f"want offsets and priors [{anchors}, 4], not {found}")
        if not 0 <= self.background <= columns:
            raise ValueError(f"{self.background} background columns of {columns}")
        plan = Plan(anchors=anchors, classes=columns - self.background, row=columns, softmax=self.softmax)
        plan.background, plan.variances[:] = self.background, self.variances
        return plan


Layout: TypeAlias = V8 | V5 | EndToEnd | Yolox | Region | FastestDet | NanoDet | Priors
LAYOUTS: tuple[type[Layout], ...] = (V8, V5, EndToEnd, Yolox, Region, FastestDet, NanoDet, Priors)


def outputs_of(layout: Layout) -> int:
    """How many outputs hold one grid."""
    return 2 if isinstance(layout, NanoDet | Priors) else 1


@lru_cache(maxsize=256)
def plan(layout: Layout, shapes: tuple[Shape, ...]) -> Plan:
    """What the C++ reads for outputs of these shapes, which lie inside them.

    Raises:
        ValueError: no output of this family has these shapes.
    """
    if len(shapes) != outputs_of(layout):
        raise ValueError(f"{type(layout).__name__} has {outputs_of(layout)} outputs, not {len(shapes)}")
    made = layout.plan(*shapes)
    if made.classes < 1:
        raise ValueError(f"{layout} leaves {made.classes} classes in {[list(shape) for shape in shapes]}")
    if max(made.anchors, made.classes) > MAX_COUNT or getattr(layout, "extras", 0) < 0:
        raise ValueError(f"{layout} does not fit {[list(shape) for shape in shapes]}")
    made.family = LAYOUTS.index(type(layout))
    return made


def _fill_levels(plan: Plan, strides: Sequence[int], cells: Sequence[Size]) -> None:
    if not 1 <= len(strides) <= MAX_STRIDES:
        raise ValueError(f"want 1 to {MAX_STRIDES} strides, not {len(strides)}")
    _positive("strides and cells", (*strides, *(side for size in cells for side in size)))
    plan.levels, end = len(strides), 0
    for level, (stride, (columns, rows)) in enumerate(zip(strides, cells, strict=True)):
        end += columns * rows
        plan.level_end[level], plan.level_columns[level], plan.level_stride[level] = end, columns, stride


def _positive(what: str, numbers: Sequence[int]) -> None:
    if min(numbers) < 1:
        raise ValueError(f"{what} must be 1 or more, not {list(numbers)}")


def _two(shape: Shape) -> tuple[int, int]:
    if len(shape) != 2:
        raise ValueError(f"want two axes, not {list(shape)}: one image at a time")
    return shape[0], shape[1]


def _three(shape: Shape) -> tuple[int, int, int]:
    if len(shape) != 3 or min(shape) < 1:
        raise ValueError(f"want three axes, none empty, not {list(shape)}: one image at a time")
    return shape[0], shape[1], shape[2]
