"""YOLOv10 and 26, and any graph that suppresses by itself: x1 y1 x2 y2, score, class, and what a task adds to a box.

In: output detections [N, k, 6 + E]; for masks prototypes [N, M, h, w] too.
Out: Candidates that nothing suppresses any more; Instances if there are extras.

Source: ultralytics nn/modules/head.py, postprocess (facts, no code).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vedette.kernels.box_layouts import EndToEnd
from vedette.runtime.decoders import Candidates, Head, Heads, Instances, named
from vedette.runtime.decoders._boxes import (
    CENTRED,
    CORNERS,
    NO_EXTRAS,
    Box,
    Columns,
    Extras,
    Size,
    column_roles,
    columns_found,
    extras_of,
    is_grid,
    prototypes_of,
)
from vedette.runtime.frame import Array
from vedette.runtime.manifest import Manifest, Output


@dataclass(frozen=True, slots=True)
class Parameters:
    """What a manifest may say. An angle needs the box as cxcywh."""

    box: Box = CORNERS
    extras: Extras = NO_EXTRAS
    suppressed: bool = True  # by the network; some exporters only sort the columns so

    def __post_init__(self) -> None:
        if self.extras.angle and self.box.format != "cxcywh":
            raise ValueError("a box with an angle is cxcywh")


def roles(outputs: Sequence[Output]) -> dict[str, str] | None:
    """The role of each output by name, if they can be this family's."""
    if (roles := column_roles(outputs)) is None:
        return None
    return {name: "detections" if role == "predictions" else role for name, role in roles.items()}


def claims(
    outputs: Sequence[Output], *, classes: int = 0, input_size: Size | None = None
) -> Parameters | None:
    """The parameters, if the outputs have rows of 6 columns, and an angle, as many as prototypes, or 17 keypoints more.

    As many rows as a grid has cells may be boxes that nobody suppressed, and six rows another family's columns.
    """
    pair = prototypes_of(outputs)
    if pair is None:
        return None
    rows, columns = pair[0].shape[1:]
    if any(is_grid(rows, each, input_size) for each in (1, 3)) or 0 < rows <= 6:
        return None
    extras = extras_of(columns - 6, pair[1], 0)
    if extras is None or extras.keypoints not in (0, 17):
        return None
    return Parameters(CENTRED if extras.angle else CORNERS, extras)


def decode(
    outputs: Mapping[str, Array],
    manifest: Manifest,
    parameters: Parameters,
    conf: float,
    *,
    input_size: Size,
) -> list[Candidates | Instances]:
    """What scores above conf, an item an image."""
    extras, images = parameters.extras, named(outputs, manifest, "detections")
    masks = named(outputs, manifest, "prototypes") if extras.masks else None
    columns = Columns(EndToEnd(), parameters.box, extras, suppress=not parameters.suppressed)
    return columns_found(columns, images, masks, conf, input_size=input_size)


def heads(parameters: Parameters, *, input_size: Size) -> Heads | None:
    """The rows, where their boxes are as the kernel reads them."""
    box = parameters.box
    if box.format != "xyxy" or box.units == "image":
        return None
    grid = Head(EndToEnd(), ("detections",))
    return Heads((grid,), suppress=not parameters.suppressed, unit=box.unit(input_size))
