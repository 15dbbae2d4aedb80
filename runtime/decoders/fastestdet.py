"""FastestDet: one box a cell of a single grid.

In: output grid [N, 5 + C, h, w]: objectness, dx, dy, width, height, class probabilities.  Out: Candidates.

Source: dog-qiuqiu/FastestDet.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vedette.kernels.box_layouts import FastestDet
from vedette.runtime.decoders import Candidates, Head, Heads, boxes
from vedette.runtime.frame import Array
from vedette.runtime.manifest import Manifest, Output

STRIDE = 16  # input pixels a cell
COCO_CHANNELS = 85  # 5 + 80; other numbers of classes are not told from other families by their shape


@dataclass(frozen=True, slots=True)
class Parameters:
    """What a manifest may say: a class scores objectness ** object_power * probability ** class_power.

    Boxes reach beyond the picture, as the author's do, unless clip is set: docs/decisions has the figures.
    """

    object_power: float = 0.6
    class_power: float = 0.4
    clip: bool = False


def roles(outputs: Sequence[Output]) -> dict[str, str] | None:
    """The role of each output by name, if it is the only one and has this family's shape."""
    shapes = [output.shape for output in outputs]
    if len(shapes) != 1 or len(shapes[0]) != 4 or shapes[0][1] != COCO_CHANNELS:
        return None
    return {outputs[0].name: "grid"}


def claims(outputs: Sequence[Output], *, input_size: tuple[int, int] | None = None) -> Parameters | None:
    """The parameters, if the outputs have this family's shape, and the input, where it is known, 16 pixels a cell."""
    if not roles(outputs):
        return None
    cells = outputs[0].shape[2:]
    return (
        Parameters()
        if input_size is None or cells == tuple(side // STRIDE for side in input_size[::-1])
        else None
    )


def decode(
    outputs: Mapping[str, Array],
    manifest: Manifest,
    parameters: Parameters,
    conf: float,
    *,
    input_size: tuple[int, int],
) -> list[Candidates]:
    """Boxes of the cells whose best class scores above conf, an item an image."""
    return boxes(heads(parameters, input_size=input_size), outputs, manifest, conf)


def heads(parameters: Parameters, *, input_size: tuple[int, int]) -> Heads:
    """The one grid."""
    layout = FastestDet(input_size, parameters.object_power, parameters.class_power)
    return Heads((Head(layout, ("grid",)),), clip=parameters.clip)
