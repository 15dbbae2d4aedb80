"""YOLOv2: several anchors a cell of a single grid, the region of darknet, raw.

In: output region [N, A * (5 + C), h, w], anchor by anchor: x, y, width, height, objectness, classes.  Out: Candidates.

Sources: Redmon and Farhadi, YOLO9000, CVPR 2017; AlexeyAB/darknet src/region_layer.c (the layout), cfg/yolov2.cfg.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vedette.kernels.box_layouts import Region
from vedette.runtime.decoders import Candidates, Head, Heads, boxes
from vedette.runtime.errors import ModelError
from vedette.runtime.frame import Array
from vedette.runtime.manifest import Manifest, Output

COCO_ANCHORS = (
    (0.57273, 0.677385), (1.87446, 2.06253), (3.33843, 5.47434), (7.88282, 3.52778), (9.77052, 9.16828),
)  # fmt: skip
COCO_CHANNELS = 425  # 5 * (5 + 80); anchors of other trainings cannot be told from a shape


@dataclass(frozen=True, slots=True)
class Parameters:
    """What a manifest may say; a box scores sigmoid(objectness) * softmax(classes)."""

    anchors: tuple[tuple[float, float], ...] = COCO_ANCHORS  # width, height in cells


def roles(outputs: Sequence[Output]) -> dict[str, str] | None:
    """The role of each output by name, if it is the only one and has the shape of COCO's."""
    shapes = [output.shape for output in outputs]
    if len(shapes) != 1 or len(shapes[0]) != 4 or shapes[0][1] != COCO_CHANNELS:
        return None
    return {outputs[0].name: "region"}


def claims(outputs: Sequence[Output]) -> Parameters | None:
    """COCO's parameters, if the outputs have the shape of COCO's region."""
    return Parameters() if roles(outputs) else None


def decode(
    outputs: Mapping[str, Array],
    manifest: Manifest,
    parameters: Parameters,
    conf: float,
    *,
    input_size: tuple[int, int],
) -> list[Candidates]:
    """Boxes of the anchors whose best class scores above conf, an item an image.

    Raises:
        ModelError: the anchors of the manifest do not divide the channels.
    """
    try:
        return boxes(heads(parameters, input_size=input_size), outputs, manifest, conf)
    except ValueError as error:
        raise ModelError(
            f"the region of {manifest.name} does not fit its anchors",
            why=str(error),
            cure="give the anchors of the cfg that it was trained with",
        ) from None


def heads(parameters: Parameters, *, input_size: tuple[int, int]) -> Heads:
    """The one grid."""
    return Heads((Head(Region(input_size, parameters.anchors), ("region",)),))
