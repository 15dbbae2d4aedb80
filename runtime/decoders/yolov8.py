"""YOLOv8, 9, 11 and 12, and whatever has no objectness: cx cy w h, class scores, and what a task adds to a box.

In: output predictions [N, 4 + C + E, n], or [N, n, 4 + C + E]; for masks prototypes [N, M, h, w] too.
Out: Candidates; Instances if there are extras. Class scores are probabilities; keypoints are in the box's units.

Source: ultralytics nn/modules/head.py, Detect, Segment, Pose and OBB (facts, no code).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from vedette.kernels.box_layouts import V8
from vedette.runtime.decoders import Candidates, Head, Heads, Instances, Seen, named
from vedette.runtime.decoders._boxes import (
    CENTRED,
    COCO_CLASSES,
    NO_EXTRAS,
    Box,
    Columns,
    Extras,
    Size,
    classes_of,
    column_roles,
    columns_found,
    extras_of,
    is_grid,
    prototypes_of,
)
from vedette.runtime.frame import Array
from vedette.runtime.manifest import Manifest, Output

QUERIES = 300  # of RT-DETR as Ultralytics exported it: rows of centre, size and class scores


@dataclass(frozen=True, slots=True)
class Parameters:
    """What a manifest may say. An angle needs the box as cxcywh."""

    layout: Literal["channels", "rows"] = "channels"  # an anchor is a column, or a row
    box: Box = CENTRED
    extras: Extras = NO_EXTRAS
    multi_label: bool = False  # every class above conf, not only the best
    suppressed: bool = False  # by the network: queries of a transformer rather than anchors

    def __post_init__(self) -> None:
        if self.extras.angle and self.box.format != "cxcywh":
            raise ValueError("a box with an angle is cxcywh")


def roles(outputs: Sequence[Output]) -> dict[str, str] | None:
    """The role of each output by name, if they can be this family's."""
    return column_roles(outputs)


def claims(
    outputs: Sequence[Output],
    *,
    classes: int = 0,
    input_size: Size | None = None,
    seen: Seen | None = None,
) -> Parameters | None:
    """The parameters, if the outputs can be no other family's.

    Args:
        outputs: of the network.
        classes: how many there are, where that is known; else as many as were seen, COCO's 80, or 1 without extras.
        input_size: (width, height) of the input, where that is known.
        seen: what a run gave. Rows with one column more than COCO's classes have an objectness: another family's.
    """
    pair = prototypes_of(outputs)
    if pair is None:
        return None
    first, second = pair[0].shape[1:]
    layout: Literal["channels", "rows"] = "channels" if first > 0 and not 0 < second < first else "rows"
    columns, anchors = (first, second) if layout == "channels" else (second, first)
    if (
        pair[1] is None
        and (anchors, columns) == (QUERIES, 4 + (classes or COCO_CLASSES))
        and layout == "rows"
    ):
        return Parameters("rows", Box("cxcywh", "normalised"), suppressed=True)
    if columns < 5 or (anchors != -1 and not is_grid(anchors, 1, input_size)):
        return None
    if columns == 5 and not classes and layout == "channels":
        return Parameters()
    count = classes or classes_of(pair[0], columns, pair[1], seen, start=4)
    extras = extras_of(columns - 4, pair[1], count)
    if extras is None or (
        not classes and ((extras.angle and seen is None) or (layout == "rows" and count == COCO_CLASSES + 1))
    ):
        return None
    return Parameters(layout, extras=extras)


def decode(
    outputs: Mapping[str, Array],
    manifest: Manifest,
    parameters: Parameters,
    conf: float,
    *,
    input_size: Size,
) -> list[Candidates | Instances]:
    """What scores above conf, an item an image."""
    images = named(outputs, manifest, "predictions")
    if parameters.layout == "rows":
        images = np.ascontiguousarray(images.transpose(0, 2, 1))
    masks = named(outputs, manifest, "prototypes") if parameters.extras.masks else None
    return columns_found(_columns(parameters), images, masks, conf, input_size=input_size, transposed=True)


def _columns(parameters: Parameters) -> Columns:
    extras = parameters.extras
    return Columns(
        V8(extras.columns), parameters.box, extras, parameters.multi_label, suppress=not parameters.suppressed
    )


def heads(parameters: Parameters, *, input_size: Size) -> Heads | None:
    """The one grid, where it lies as the kernel reads it."""
    box = parameters.box
    if parameters.layout != "channels" or box.format != "cxcywh" or box.units == "image":
        return None
    grid = Head(V8(parameters.extras.columns), ("predictions",))
    return Heads(
        (grid,), parameters.multi_label, suppress=not parameters.suppressed, unit=box.unit(input_size)
    )
