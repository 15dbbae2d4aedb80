"""What the families of boxes share: the format and unit of four numbers, and the columns behind a box's classes.

In: the raw columns of chosen anchors.  Out: Candidates, or Instances where there is more than boxes.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import isqrt
from typing import Literal

import numpy as np

from vedette.kernels.box_layouts import V5, V8, Layout
from vedette.kernels.decode_boxes import MAX_CANDIDATES, decode_boxes
from vedette.runtime.decoders import Candidates, Instances, Prototyped, Seen
from vedette.runtime.frame import Array
from vedette.runtime.manifest import Output

Format = Literal["xyxy", "cxcywh", "xywh", "yxyx"]
Units = Literal["pixels", "normalised", "image"]
Size = tuple[int, int]  # (width, height)
STRIDES = (8, 16, 32)
COCO_CLASSES = 80


@dataclass(frozen=True, slots=True)
class Box:
    """What the four numbers of a box are.

    pixels are those of the network's input, normalised is 0 to 1 over it, image is pixels of the original picture.
    """

    format: Format = "xyxy"
    units: Units = "pixels"

    def unit(self, input_size: Size) -> tuple[float, float]:
        """Pixels of one unit, across and down."""
        return input_size if self.units == "normalised" else (1.0, 1.0)

    def corners(self, boxes: Array, input_size: Size) -> Array:
        """[N, 4] in this format and unit to float32 [N, 4] xyxy pixels."""
        with np.errstate(all="ignore"):  # what is no number stays none
            xyxy = _CORNERS[self.format](boxes.astype(np.float32, copy=False))
            pixels: Array = xyxy * np.array(self.unit(input_size) * 2, np.float32)
        return pixels

    def candidates(
        self, boxes: Array, scores: Array, class_ids: Array, input_size: Size, *, suppress: bool = True
    ) -> Candidates:
        """Candidates of boxes in this format and unit."""
        xyxy = self.corners(boxes, input_size)
        return Candidates(xyxy, scores, class_ids, suppress=suppress, in_image=self.units == "image")


CORNERS, CENTRED, NORMALISED = Box(), Box("cxcywh"), Box("xyxy", "normalised")


def _halves(boxes: Array) -> Array:
    centres, halves = boxes[:, :2], boxes[:, 2:] * np.float32(0.5)
    return np.concatenate([centres - halves, centres + halves], axis=1)


_CORNERS: Mapping[Format, Callable[[Array], Array]] = {
    "xyxy": lambda boxes: boxes,
    "cxcywh": _halves,
    "xywh": lambda boxes: np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1),
    "yxyx": lambda boxes: boxes[:, [1, 0, 3, 2]],
}


@dataclass(frozen=True, slots=True)
class Extras:
    """The columns behind the classes: coefficients of masks, keypoints, an angle, in this order."""

    masks: int = 0  # coefficients, one for each prototype
    keypoints: int = 0
    keypoint_values: Literal[2, 3] = 3  # x, y and, of three, how visible
    angle: bool = False  # of the width, in radians, clockwise as seen

    def __post_init__(self) -> None:
        if min(self.masks, self.keypoints) < 0:
            raise ValueError("masks and keypoints are counts, 0 or more")

    @property
    def columns(self) -> int:
        return self.masks + self.keypoints * self.keypoint_values + self.angle

    def attached(
        self, boxes: Candidates, columns: Array, prototypes: Array | None, unit: tuple[float, float]
    ) -> Candidates | Instances:
        """The candidates with what [N, columns] and the prototypes of their image say of them."""
        if not self.columns:
            return boxes
        masks = None if prototypes is None else Prototyped(columns[:, : self.masks], prototypes)
        joints = self._keypoints(columns[:, self.masks :], unit) if self.keypoints else None
        return Instances(boxes, masks, joints, columns[:, -1] if self.angle else None)

    def _keypoints(self, columns: Array, unit: tuple[float, float]) -> Array:
        """Float32 [N, K, 3]: x, y in pixels, and visibility, 1 where none is told."""
        values = self.keypoint_values
        joints = columns[:, : self.keypoints * values].reshape(len(columns), self.keypoints, values)
        xy = joints[..., :2] * np.array(unit, np.float32)
        visible = joints[..., 2:] if values == 3 else np.ones((*xy.shape[:2], 1), np.float32)
        return np.concatenate([xy, visible], axis=2)


NO_EXTRAS = Extras()


@dataclass(frozen=True, slots=True)
class Columns:
    """How one output holds boxes: a layout for scores and classes, four columns of box, and extras at the end."""

    layout: Layout
    box: Box
    extras: Extras = NO_EXTRAS
    multi_label: bool = False
    suppress: bool = True
    most: int = MAX_CANDIDATES

    def found(
        self,
        image: Array,
        prototypes: Array | None,
        conf: float,
        *,
        input_size: Size,
        transposed: bool = False,
    ) -> Candidates | Instances:
        """Candidates of one image's output; transposed where an anchor is a column of it."""
        chosen = decode_boxes(
            self.layout, image, conf=conf, multi_label=self.multi_label, max_candidates=self.most
        )

        def gathered(columns: slice) -> Array:  # never the classes between them: most of an output's bytes
            return image[columns, chosen.anchors].T if transposed else image[chosen.anchors, columns]

        scored = chosen.scores, chosen.class_ids
        if self.box == CENTRED and isinstance(self.layout, V5 | V8):  # the kernel made corners of them
            boxes = Candidates(chosen.boxes_xyxy, *scored, suppress=self.suppress)
        else:
            boxes = self.box.candidates(gathered(slice(4)), *scored, input_size, suppress=self.suppress)
        if not self.extras.columns:
            return boxes
        width = image.shape[0 if transposed else 1]
        extra = gathered(slice(width - self.extras.columns, width))
        return self.extras.attached(boxes, extra, prototypes, self.box.unit(input_size))


def columns_found(
    columns: Columns,
    images: Array,
    prototypes: Array | None,
    conf: float,
    *,
    input_size: Size,
    transposed: bool = False,
) -> list[Candidates | Instances]:
    """What scores above conf, an item an image of the batch; prototypes are of the same batch, or there are none."""
    masks: Sequence[Array | None] = [None] * len(images) if prototypes is None else list(prototypes)
    return [
        columns.found(image, its, conf, input_size=input_size, transposed=transposed)
        for image, its in zip(images, masks, strict=True)
    ]


def prototypes_of(outputs: Sequence[Output]) -> tuple[Output, Output | None] | None:
    """An output of boxes [N, ., .], and prototypes [N, M, h, w] if there are some; None for anything else."""
    boxes = [output for output in outputs if len(output.shape) == 3]
    others = [output for output in outputs if len(output.shape) == 4]
    if len(boxes) != 1 or len(boxes) + len(others) != len(outputs) or len(others) > 1:
        return None
    return boxes[0], others[0] if others else None


def column_roles(outputs: Sequence[Output]) -> dict[str, str] | None:
    """The roles of an output of boxes and one of prototypes, which may be absent."""
    pair = prototypes_of(outputs)
    if pair is None:
        return None
    return {pair[0].name: "predictions"} | ({pair[1].name: "prototypes"} if pair[1] else {})


def classes_of(
    output: Output, columns: int, prototypes: Output | None, seen: Seen | None, *, start: int
) -> int:
    """How many classes an output of boxes has that nobody names; COCO's 80 where nothing tells.

    Args:
        output: of the boxes.
        columns: of a box, in all.
        prototypes: of which each has a coefficient at the end, if there are some.
        seen: a run, in which class probabilities are the columns from `start` that stay between 0 and 1: joints and
            coefficients do not.
        start: the column of the first class.
    """
    if prototypes is not None:
        return columns - start - prototypes.shape[1]
    if seen is None:
        return COCO_CLASSES
    image = seen.values[output.name][0]
    rows = image if image.shape[1] == columns else image.T
    inside = ((rows >= 0) & (rows <= 1)).all(axis=0)[start:]
    return int(len(inside) if inside.all() else inside.argmin())


def extras_of(columns: int, prototypes: Output | None, classes: int) -> Extras | None:
    """What `columns` behind the box and objectness hold, given the number of classes; None if that is not certain."""
    rest = columns - classes
    if prototypes is not None:
        return Extras(masks=rest) if rest == prototypes.shape[1] > 0 else None
    known = {0: Extras(), 1: Extras(angle=True), 51: Extras(keypoints=17)}
    if rest > 1 and rest % 3 == 0 and rest % 2:
        return Extras(keypoints=rest // 3)
    return known.get(rest)


def cells(input_size: Size, strides: Sequence[int] = STRIDES) -> int:
    """Cells of all grids of an input."""
    return sum((input_size[0] // stride) * (input_size[1] // stride) for stride in strides)


def is_grid(anchors: int, each: int, input_size: Size | None) -> bool:
    """Whether so many anchors, `each` a cell, are those of strides 8, 16 and 32, or 64 too, or 4 too, or without 8.

    Where the input's size is not known, of a square one, of which the coarsest grid is a square too.
    """
    if input_size is not None:
        families = (STRIDES, (*STRIDES, 64), (4, *STRIDES), STRIDES[1:])
        return any(anchors == each * cells(input_size, strides) for strides in families)
    coarsest = [anchors // (each * step) for step in (21, 85) if anchors % (each * step) == 0]
    return anchors > 0 and any(isqrt(count) ** 2 == count for count in coarsest)
