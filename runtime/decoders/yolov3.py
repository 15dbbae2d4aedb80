"""YOLOv3 and 4 before their last layer, and the raw heads of YOLOv5 and 7: anchors on grids of two to four strides.

In: outputs head_0, head_1 … from the finest grid to the coarsest, [N, A * (5 + C), h, w] or as `layout` says: x, y, w, h,
objectness, classes.  Out: Candidates. What their graph has decoded already is family yolov5.

x = (scale_xy * sigmoid - (scale_xy - 1) / 2 + column) * stride; w = e^t * anchor, or (2 * sigmoid)^2 * anchor.

Source: AlexeyAB/darknet src/yolo_layer.c (scale_x_y, new_coords) and cfg/yolov3.cfg.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np

from vedette.kernels.box_layouts import V5
from vedette.kernels.decode_boxes import decode_boxes
from vedette.runtime.decoders import Candidates, named
from vedette.runtime.decoders._boxes import Size
from vedette.runtime.errors import ModelError
from vedette.runtime.frame import Array
from vedette.runtime.manifest import Manifest, Output

Sizes = tuple[tuple[float, float], ...]
YOLOV3_ANCHORS: tuple[Sizes, ...] = (
    ((10.0, 13.0), (16.0, 30.0), (33.0, 23.0)),
    ((30.0, 61.0), (62.0, 45.0), (59.0, 119.0)),
    ((116.0, 90.0), (156.0, 198.0), (373.0, 326.0)),
)
YOLOV4_ANCHORS: tuple[Sizes, ...] = (
    ((12.0, 16.0), (19.0, 36.0), (40.0, 28.0)),
    ((36.0, 75.0), (76.0, 55.0), (72.0, 146.0)),
    ((142.0, 110.0), (192.0, 243.0), (459.0, 401.0)),
)
YOLOV4_SCALES = (1.2, 1.1, 1.05)
# TensorRT's sample and what descends from it name a head after its layer in the cfg, counted from 1
V3_NAMES = {"082_convolutional", "094_convolutional", "106_convolutional"}
V4_NAMES = {"139_convolutional", "150_convolutional", "161_convolutional"}


@dataclass(frozen=True, slots=True)
class Parameters:
    """What a manifest may say; nothing of it can be told from shapes."""

    anchors: tuple[Sizes, ...] = YOLOV3_ANCHORS  # width, height in input pixels, a tuple a head
    scale_xy: tuple[float, ...] = (1.0,)  # of all heads, or of each
    sizes: Literal["exponential", "square"] = "exponential"  # square: darknet's new_coords, YOLOv5 and 7
    activated: bool = False  # the graph ends in sigmoids, as new_coords does
    layout: Literal["nchw", "nhwc", "nahwc"] = (
        "nchw"  # nhwc: [N, h, w, A * (5 + C)]; nahwc: [N, A, h, w, 5 + C]
    )

    def __post_init__(self) -> None:
        if len(self.scale_xy) not in (1, len(self.anchors)) or not all(self.anchors):
            raise ValueError("scale_xy is one number, or one a head; every head has anchors")


def roles(outputs: Sequence[Output]) -> dict[str, str] | None:
    """The role of each output by name, from the finest grid to the coarsest, if they can be this family's."""
    counts = [int(np.prod(output.shape[1:])) for output in outputs]
    ranks = {len(output.shape) for output in outputs}
    if not 2 <= len(outputs) <= 4 or ranks not in ({4}, {5}) or len(set(counts)) < len(counts):
        return None
    if any(side < 1 for output in outputs for side in output.shape[1:]):
        return None
    ordered = sorted(outputs, key=lambda output: -int(np.prod(output.shape[1:])))
    if any(np.prod(a.shape[1:]) != 4 * np.prod(b.shape[1:]) for a, b in pairwise(ordered)):
        return None
    return {output.name: f"head_{index}" for index, output in enumerate(ordered)}


def claims(outputs: Sequence[Output]) -> Parameters | None:
    """The parameters of COCO's YOLOv3 or 4, if the outputs have the names that converters give theirs."""
    names = {output.name for output in outputs}
    if not roles(outputs) or {output.shape[1] for output in outputs} != {255}:
        return None
    if names == V4_NAMES:
        return Parameters(YOLOV4_ANCHORS, YOLOV4_SCALES)
    return Parameters() if names == V3_NAMES else None


def decode(
    outputs: Mapping[str, Array],
    manifest: Manifest,
    parameters: Parameters,
    conf: float,
    *,
    input_size: Size,
) -> list[Candidates]:
    """Boxes of the anchors whose best class scores above conf, an item an image.

    Raises:
        ModelError: the anchors of the manifest do not divide the channels.
    """
    images: list[list[Array]] = []
    for index, anchors in enumerate(parameters.anchors):
        head = _groups(named(outputs, manifest, f"head_{index}"), parameters, manifest)
        scale = parameters.scale_xy[index if len(parameters.scale_xy) > 1 else 0]
        images.append([
            _rows(image, np.array(anchors, np.float32), scale, parameters, conf, input_size)
            for image in head
        ])  # fmt: skip
    return [_candidates(np.concatenate(heads), conf) for heads in zip(*images, strict=True)]


def _groups(head: Array, parameters: Parameters, manifest: Manifest) -> Array:
    """[N, A, 5 + C, h, w] of any layout."""
    count = len(parameters.anchors[0])
    if parameters.layout == "nahwc":
        groups = head.transpose(0, 1, 4, 2, 3)
    else:
        channels = head if parameters.layout == "nchw" else head.transpose(0, 3, 1, 2)
        if channels.shape[1] % count:
            raise ModelError(
                f"the heads of {manifest.name} do not fit their anchors",
                why=f"{channels.shape[1]} channels are not a multiple of {count} anchors",
                cure="give the anchors of the cfg that it was trained with",
            )
        groups = channels.reshape(len(head), count, -1, *channels.shape[2:])
    if groups.shape[1] != count or groups.shape[2] < 6:
        raise ModelError(
            f"the heads of {manifest.name} do not fit their anchors",
            why=f"they hold {groups.shape[1]} anchors of {groups.shape[2]} numbers; {count} of 6 or more are expected",
            cure="give the layout and the anchors that it was trained with",
        )
    return groups


def _rows(
    groups: Array, anchors: Array, scale: float, parameters: Parameters, conf: float, input_size: Size
) -> Array:
    """[n, 5 + C] as V5 has them, of the cells of [A, 5 + C, h, w] whose objectness is above conf."""
    height, width = groups.shape[2:]
    own = np.array if parameters.activated else _sigmoid
    with np.errstate(all="ignore"):
        which, row, column = np.nonzero(own(groups[:, 4]) > np.float32(conf))
        found = groups[which, :, row, column]
        stride = np.array(input_size, np.float32) / np.array([width, height], np.float32)
        offset = np.stack([column, row], axis=1).astype(np.float32) - np.float32((scale - 1) / 2)
        centres = (own(found[:, :2]) * np.float32(scale) + offset) * stride
        lengths = np.exp(found[:, 2:4])
        if parameters.sizes == "square":
            lengths = np.square(2 * own(found[:, 2:4]))
        return np.concatenate([centres, lengths * anchors[which], own(found[:, 4:])], axis=1)


def _candidates(rows: Array, conf: float) -> Candidates:
    found = decode_boxes(V5(), rows, conf=conf)
    return Candidates(found.boxes_xyxy, found.scores, found.class_ids)


def _sigmoid(values: Array) -> Array:
    sigmoid: Array = np.float32(1) / (np.float32(1) + np.exp(-values))
    return sigmoid
