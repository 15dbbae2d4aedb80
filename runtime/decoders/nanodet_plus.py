"""NanoDet-Plus: NanoDet's boxes in one output, on four strides, measured from the corners of cells and not their centres.

In: output predictions [N, n, C + 4 * bins], stride after stride: class probabilities, then logits of four distances.
Out: Candidates.

Source: RangiLyu/nanodet nanodet_plus_head.py (facts, no code): the points of a grid are its columns and rows times the stride.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vedette.kernels.box_layouts import NanoDet
from vedette.kernels.decode_boxes import Decoded, decode_boxes
from vedette.runtime.decoders import Candidates, named
from vedette.runtime.decoders._boxes import COCO_CLASSES, Size
from vedette.runtime.errors import ModelError
from vedette.runtime.frame import Array
from vedette.runtime.manifest import Manifest, Output

BINS = 8
SETS = ((8, 16, 32, 64), (8, 16, 32))


@dataclass(frozen=True, slots=True)
class Parameters:
    """What a manifest may say."""

    strides: tuple[int, ...] = SETS[0]
    bins: int = BINS  # of each side; bin i means i strides
    multi_label: bool = True

    def __post_init__(self) -> None:
        if min((*self.strides, self.bins)) < 1:
            raise ValueError("strides and bins are 1 or more")


def roles(outputs: Sequence[Output]) -> dict[str, str] | None:
    """The role of each output by name, if it is the only one and has rows."""
    return {outputs[0].name: "predictions"} if len(outputs) == 1 and len(outputs[0].shape) == 3 else None


def claims(
    outputs: Sequence[Output], *, classes: int = 0, input_size: Size | None = None
) -> Parameters | None:
    """The parameters, if there is a row for each cell of the input, of COCO's classes or as many as are known."""
    if not roles(outputs) or input_size is None:
        return None
    rows, columns = outputs[0].shape[1:]
    strides = next((known for known in SETS if rows == sum(_cells(input_size, known))), None)
    fits = columns == (classes or COCO_CLASSES) + 4 * BINS
    return Parameters(strides) if strides and fits else None


def _cells(input_size: Size, strides: Sequence[int]) -> list[int]:
    width, height = input_size
    return [-(-width // stride) * -(-height // stride) for stride in strides]


def classes(parameters: Parameters, shapes: Mapping[str, tuple[int, ...]]) -> int:
    """How many classes outputs of these shapes have, by role and without the batch."""
    return shapes["predictions"][-1] - 4 * parameters.bins


def decode(
    outputs: Mapping[str, Array],
    manifest: Manifest,
    parameters: Parameters,
    conf: float,
    *,
    input_size: Size,
) -> list[Candidates]:
    """Boxes of the cells and classes that score above conf, an item an image.

    Raises:
        ModelError: there are more or fewer rows than cells.
    """
    rows = named(outputs, manifest, "predictions")
    ends = np.cumsum(_cells(input_size, parameters.strides))
    if ends[-1] != rows.shape[1]:
        raise ModelError(
            f"{manifest.name} has {rows.shape[1]} rows",
            why=f"an input of {input_size[0]} x {input_size[1]} has {ends[-1]} cells",
            cure="give the strides that it was trained with",
        )
    return [_found(np.split(image, ends[:-1]), parameters, conf, input_size) for image in rows]


def _found(grids: Sequence[Array], parameters: Parameters, conf: float, input_size: Size) -> Candidates:
    columns = classes(parameters, {"predictions": grids[0].shape})
    parts: list[Decoded] = []
    for stride, rows in zip(parameters.strides, grids, strict=True):
        layout = NanoDet(stride, columns=-(-input_size[0] // stride))
        scores, distances = (np.ascontiguousarray(half) for half in np.split(rows, [columns], axis=1))
        parts.append(decode_boxes(layout, scores, distances, conf=conf, multi_label=parameters.multi_label))
    halves = zip(parts, parameters.strides, strict=True)
    return Candidates(
        np.concatenate([part.boxes_xyxy - np.float32(stride / 2) for part, stride in halves]),
        np.concatenate([part.scores for part in parts]),
        np.concatenate([part.class_ids for part in parts]),
    )
