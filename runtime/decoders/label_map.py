"""Segmentation whose graph ends in an argmax: a class for every pixel, in whole numbers.

In: output labels [N, h, w], [N, 1, h, w] or [N, h, w, 1].  Out: LabelMap.

Source: ultralytics nn/modules/head.py, SemanticSegment, which bakes the argmax in (facts, no code).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vedette.runtime.decoders import LabelMap, output_of
from vedette.runtime.decoders.mask import layout_of
from vedette.runtime.frame import Array
from vedette.runtime.manifest import Manifest, Output

NONE = 255  # of no class
WHOLE = ("uint8", "int32", "int64", "bool")


@dataclass(frozen=True, slots=True)
class Parameters:
    """What a manifest may say."""

    first_class: int = 0  # the number of class 0


def roles(outputs: Sequence[Output]) -> dict[str, str] | None:
    """The role of each output by name, if it is the only one and has a map of whole numbers."""
    fits = layout_of(outputs, most=1) is not None and outputs[0].dtype in WHOLE
    return {outputs[0].name: "labels"} if fits else None


def claims(outputs: Sequence[Output]) -> Parameters | None:
    """The parameters, if the outputs have this family's shape and type."""
    return Parameters() if roles(outputs) else None


def decode(
    outputs: Mapping[str, Array],
    manifest: Manifest,
    parameters: Parameters,
    conf: float,
    *,
    input_size: tuple[int, int],
) -> list[LabelMap]:
    """A map an image; numbers that are no class from 0 to 254 are none."""
    labels = outputs[output_of("labels", manifest)].astype(np.float64)
    if labels.ndim == 4:
        labels = labels[:, 0] if labels.shape[1] == 1 else labels[..., 0]
    classes = labels - parameters.first_class
    inside = (classes >= 0) & (classes < NONE)
    return [LabelMap(image) for image in np.where(inside, classes, NONE).astype(np.uint8)]
