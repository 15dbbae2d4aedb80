"""YOLOv5 and 7, YOLOv6, and YOLOv3 and 4 decoded by their graph: cx cy w h, objectness, class probabilities.

In: output predictions [N, n, 5 + C + E]; for masks prototypes [N, M, h, w] too.
Out: Candidates; Instances if there are extras. A class scores objectness times its probability.

Source: ultralytics/yolov5 models/yolo.py, Detect and Segment (facts, no code).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vedette.kernels.box_layouts import V5
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

ANCHORS_A_CELL = 3  # 1 of YOLOv6 and of YOLOX that decodes by itself


@dataclass(frozen=True, slots=True)
class Parameters:
    """What a manifest may say."""

    box: Box = CENTRED
    extras: Extras = NO_EXTRAS
    multi_label: bool = False  # every class above conf, not only the best


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
    """The parameters, if the outputs have three anchors a cell of an input of this size, or else of a square one.

    Args:
        outputs: of the network.
        classes: how many there are, where that is known; else as many as were seen, or COCO's 80.
        input_size: (width, height) of the input, where that is known.
        seen: what a run gave; then one anchor a cell is enough, with as many classes as were known, or COCO's.
    """
    if (pair := prototypes_of(outputs)) is None:
        return None
    anchors, columns = pair[0].shape[1:]
    count = classes or classes_of(pair[0], columns, pair[1], seen, start=5)
    one = seen is not None and columns == 5 + (classes or COCO_CLASSES) and is_grid(anchors, 1, input_size)
    if not one and not is_grid(anchors, ANCHORS_A_CELL, input_size):
        return None
    extras = extras_of(columns - 5, pair[1], count)
    return Parameters(extras=extras) if extras is not None and not extras.angle else None


def decode(
    outputs: Mapping[str, Array],
    manifest: Manifest,
    parameters: Parameters,
    conf: float,
    *,
    input_size: Size,
) -> list[Candidates | Instances]:
    """What scores above conf, an item an image."""
    extras, images = parameters.extras, named(outputs, manifest, "predictions")
    masks = named(outputs, manifest, "prototypes") if extras.masks else None
    columns = Columns(V5(extras.columns), parameters.box, extras, parameters.multi_label)
    return columns_found(columns, images, masks, conf, input_size=input_size)


def heads(parameters: Parameters, *, input_size: Size) -> Heads | None:
    """The one grid, where its boxes are as the kernel reads them."""
    box = parameters.box
    if box.format != "cxcywh" or box.units == "image":
        return None
    grid = Head(V5(parameters.extras.columns), ("predictions",))
    return Heads((grid,), parameters.multi_label, unit=box.unit(input_size))
