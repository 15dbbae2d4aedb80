"""YOLOX, raw: one box a cell of each grid, its position within the cell, and the logarithm of its size in strides.

In: output predictions [N, n, 5 + C]: x, y, w, h, objectness, class probabilities.  Out: Candidates.
A graph exported with its decoding inside gives pixels: that is family yolov5.

Source: Megvii YOLOX, yolox/utils/demo_utils.py (facts, no code).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vedette.kernels.box_layouts import Yolox
from vedette.runtime.decoders import Candidates, Head, Heads, Seen, boxes
from vedette.runtime.decoders._boxes import STRIDES, Size, classes_of, is_grid
from vedette.runtime.frame import Array
from vedette.runtime.manifest import Manifest, Output

NAME = "output"  # what its exporter calls it; YOLOv6, which looks the same, calls it outputs


@dataclass(frozen=True, slots=True)
class Parameters:
    """What a manifest may say."""

    strides: tuple[int, ...] = STRIDES
    multi_label: bool = False  # every class above conf, not only the best


def roles(outputs: Sequence[Output]) -> dict[str, str] | None:
    """The role of each output by name, if it is the only one and can be this family's."""
    if len(outputs) != 1 or len(outputs[0].shape) != 3:
        return None
    return {outputs[0].name: "predictions"}


def claims(
    outputs: Sequence[Output],
    *,
    classes: int = 0,
    input_size: Size | None = None,
    seen: Seen | None = None,
) -> Parameters | None:
    """The parameters, if the one output has a row for every cell of the input, and its exporter's name or was seen."""
    if not roles(outputs) or (seen is None and outputs[0].name != NAME):
        return None
    rows, columns = outputs[0].shape[1:]
    count = classes or classes_of(outputs[0], columns, None, seen, start=5)
    return Parameters() if is_grid(rows, 1, input_size) and columns == 5 + count else None


def decode(
    outputs: Mapping[str, Array],
    manifest: Manifest,
    parameters: Parameters,
    conf: float,
    *,
    input_size: Size,
) -> list[Candidates]:
    """Boxes of the cells that score above conf, an item an image."""
    return boxes(heads(parameters, input_size=input_size), outputs, manifest, conf)


def heads(parameters: Parameters, *, input_size: Size) -> Heads:
    """The grids, which are one output."""
    layout = Yolox(input_size, parameters.strides)
    return Heads((Head(layout, ("predictions",)),), parameters.multi_label)
