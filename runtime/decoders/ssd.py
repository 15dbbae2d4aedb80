"""SSD and its kin (RetinaNet, BlazeFace, UltraFace): boxes against priors, known beforehand.

In: outputs scores [N, n, B + C] and boxes [N, n, 4]; priors [n, 4] or [1, n, 4] too, where the graph gives them.
Out: Candidates, one for every class of a prior that scores above conf. `levels` or the output priors say what boxes are
offsets against; without either they are boxes already, as pytorch-ssd and jetson-inference export them.

Source: Liu et al., SSD, ECCV 2016; weiliu89/caffe src/caffe/layers/prior_box_layer.cpp (the order of the priors).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from vedette.kernels.box_layouts import Priors
from vedette.kernels.decode_boxes import decode_boxes
from vedette.runtime.decoders import Candidates, Head, Heads, Seen, named
from vedette.runtime.decoders._boxes import NORMALISED, Box, Size
from vedette.runtime.errors import ModelError
from vedette.runtime.frame import Array
from vedette.runtime.manifest import Manifest, Output

FEWEST = 400  # boxes; fewer are a detector's answer rather than all its priors


@dataclass(frozen=True, slots=True)
class Level:
    """The priors of one grid: in every cell, in reading order, one of each size, around its centre."""

    columns: int
    rows: int
    step: tuple[float, float]  # input pixels of a cell, across and down
    sizes: tuple[tuple[float, float], ...]  # width, height in input pixels

    def __post_init__(self) -> None:
        if min(self.columns, self.rows) < 1 or not self.sizes:
            raise ValueError("a level has a cell and a size at least")


@dataclass(frozen=True, slots=True)
class Parameters:
    """What a manifest may say. An offset is a share of its prior times a variance: cx, cy, and the logarithms of w, h."""

    box: Box = NORMALISED  # of boxes that are no offsets; its unit is also that of an output priors
    levels: tuple[Level, ...] = ()
    priors: bool = False  # are an output
    variances: tuple[float, float, float, float] = (0.1, 0.1, 0.2, 0.2)
    yx: bool = False  # offsets and priors have y before x and h before w, as TensorFlow's
    softmax: bool = False  # still to be done
    background: int = 1  # leading columns that are no class
    multi_label: bool = True


def roles(outputs: Sequence[Output]) -> dict[str, str] | None:
    """The role of each output by name, if there are boxes and scores of as many priors."""
    boxes = [output for output in outputs if len(output.shape) == 3 and output.shape[2] == 4]
    named_boxes = [output for output in boxes if output.name != "priors"]
    scores = [output for output in outputs if len(output.shape) == 3 and output.shape[2] != 4]
    priors = [output for output in outputs if output.name == "priors"]
    if (len(named_boxes), len(scores)) != (1, 1) or len(outputs) != 2 + len(priors):
        return None
    if named_boxes[0].shape[1] != scores[0].shape[1]:
        return None
    return {named_boxes[0].name: "boxes", scores[0].name: "scores"} | {o.name: "priors" for o in priors}


def claims(outputs: Sequence[Output], *, classes: int = 0, seen: Seen | None = None) -> Parameters | None:
    """The parameters, if the outputs are boxes and scores, many, and named so (pytorch-ssd's, decoded) or seen."""
    found = roles(outputs)
    if found is None or (seen is None and set(found) != {"scores", "boxes"}):
        return None
    scores = next(output for output in outputs if found[output.name] == "scores")
    if not scores.shape[1] >= FEWEST or scores.shape[2] < 1:
        return None
    if seen is None:
        return Parameters() if scores.shape[2] > 1 else None
    softmax = not seen.shares(scores.name)
    background = int(softmax or seen.sums_to_one(scores.name, 2)) if classes != scores.shape[2] else 0
    return Parameters(softmax=softmax, background=background, priors="priors" in found.values())


def decode(
    outputs: Mapping[str, Array],
    manifest: Manifest,
    parameters: Parameters,
    conf: float,
    *,
    input_size: Size,
) -> list[Candidates]:
    """Boxes of the priors that score above conf, an item an image.

    Raises:
        ModelError: there are more or fewer priors than boxes.
    """
    boxes, scores = (named(outputs, manifest, role) for role in ("boxes", "scores"))
    offsets = bool(parameters.levels) or parameters.priors
    layout = _layout(parameters, _priors(outputs, manifest, parameters, boxes.shape[1], input_size))
    if len(layout.priors) != boxes.shape[1]:
        raise ModelError(
            f"{manifest.name} has {boxes.shape[1]} boxes, and its manifest {len(layout.priors)} priors",
            why="each box is an offset against a prior of its own",
            cure="give the levels that it was trained with",
        )
    moves = np.ascontiguousarray(boxes[..., [1, 0, 3, 2]]) if offsets and parameters.yx else boxes
    found = []
    for values, own, raw in zip(scores, moves, boxes, strict=True):
        chosen = decode_boxes(layout, values, own, conf=conf, multi_label=parameters.multi_label)
        arrays = chosen.scores, chosen.class_ids
        whole = Candidates(chosen.boxes_xyxy, *arrays)
        found.append(
            whole if offsets else parameters.box.candidates(raw[chosen.anchors], *arrays, input_size)
        )
    return found


def _priors(
    outputs: Mapping[str, Array], manifest: Manifest, parameters: Parameters, count: int, input_size: Size
) -> Array:
    """float32 [n, 4] cx cy w h in input pixels; zeros where boxes are no offsets."""
    if parameters.priors:
        priors = named(outputs, manifest, "priors").reshape(-1, 4)[:count]
        pixels = priors * np.array(
            parameters.box.unit(input_size)[:: -1 if parameters.yx else 1] * 2, np.float32
        )
        return pixels[:, [1, 0, 3, 2]] if parameters.yx else pixels
    return priors_of(parameters.levels) if parameters.levels else np.zeros((count, 4), np.float32)


def _layout(parameters: Parameters, priors: Array) -> Priors:
    return Priors(priors, parameters.variances, parameters.softmax, parameters.background)


@lru_cache(maxsize=16)
def priors_of(levels: tuple[Level, ...]) -> Array:
    """float32 [n, 4] cx cy w h in input pixels, level after level."""
    return np.concatenate([_level(level) for level in levels]).astype(np.float32)


def _level(level: Level) -> Array:
    columns, rows = np.meshgrid(np.arange(level.columns) + 0.5, np.arange(level.rows) + 0.5)
    centres = np.stack([columns, rows], axis=-1).reshape(-1, 1, 2) * np.array(level.step)
    sizes = np.array(level.sizes)[None]
    count = centres.shape[0], sizes.shape[1], 2
    return np.concatenate([np.broadcast_to(centres, count), np.broadcast_to(sizes, count)], axis=2).reshape(
        -1, 4
    )


@lru_cache(maxsize=16)
def _known(parameters: Parameters) -> Priors:
    return _layout(parameters, priors_of(parameters.levels))


def heads(parameters: Parameters, *, input_size: Size) -> Heads | None:
    """The priors, where they are known and offsets are as the kernel reads them."""
    if not parameters.levels or parameters.yx:
        return None
    return Heads((Head(_known(parameters), ("scores", "boxes")),), parameters.multi_label)
