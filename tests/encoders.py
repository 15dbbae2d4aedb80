"""Raw outputs of detectors, written from known boxes by each family's own formula: the inverse of a decoder, in float64.

In: Things in network-input pixels.  Out: the arrays of one image.  Nothing of the package's arithmetic is used.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Size = tuple[int, int]  # (width, height)
CLASSES = 3
STRIDES = (8, 16, 32)
V3_ANCHORS = (((10.0, 13.0), (16.0, 30.0), (33.0, 23.0)), ((30.0, 61.0), (62.0, 45.0), (59.0, 119.0)),
              ((116.0, 90.0), (156.0, 198.0), (373.0, 326.0)))  # fmt: skip
SSD_SIZES = ((20.0, 20.0), (30.0, 15.0), (60.0, 50.0))


class Thing(NamedTuple):
    """One object."""

    box: tuple[float, float, float, float]  # xyxy
    score: float
    class_id: int


class Case(NamedTuple):
    """A family as one exporter writes it."""

    family: str
    parameters: dict[str, Any]
    encode: Callable[[Sequence[Thing], Size], dict[str, Array]]  # role -> array of one image
    suppresses: bool = True


def centred(box: Sequence[float]) -> Array:
    x1, y1, x2, y2 = box
    return np.array([(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1])


def four(box: Sequence[float], fmt: str, unit: Size = (1, 1)) -> Array:
    """A box as an exporter writes it."""
    x1, y1, x2, y2 = np.array(box) / np.array([*unit, *unit])
    corner = {"xyxy": [x1, y1, x2, y2], "yxyx": [y1, x1, y2, x2], "xywh": [x1, y1, x2 - x1, y2 - y1]}
    return centred([x1, y1, x2, y2]) if fmt == "cxcywh" else np.array(corner[fmt])


def one_hot(thing: Thing, of: float = 1.0) -> Array:
    scores = np.full(CLASSES, 0.01)
    scores[thing.class_id] = thing.score / of
    return scores


def logit(p: Any) -> Any:
    return np.log(p) - np.log1p(-np.asarray(p))


def cells(size: Size) -> int:
    return sum((size[0] // s) * (size[1] // s) for s in STRIDES)


def slots(count: int, of: int) -> list[int]:
    """Rising places among `of`, spread out."""
    return [3 + index * (of // (count + 1)) for index in range(count)]


def v8(fmt: str = "cxcywh", *, normalised: bool = False, rows: bool = False) -> Any:
    def encode(things: Sequence[Thing], size: Size) -> dict[str, Array]:
        table = np.zeros((cells(size), 4 + CLASSES))
        for slot, thing in zip(slots(len(things), len(table)), things, strict=True):
            table[slot] = [*four(thing.box, fmt, size if normalised else (1, 1)), *one_hot(thing)]
        return {"predictions": table if rows else table.T}

    return encode


def v5(*, normalised: bool = False) -> Any:
    def encode(things: Sequence[Thing], size: Size) -> dict[str, Array]:
        table = np.zeros((3 * cells(size), 5 + CLASSES))
        for slot, thing in zip(slots(len(things), len(table)), things, strict=True):
            table[slot, :4] = four(thing.box, "cxcywh", size if normalised else (1, 1))
            table[slot, 4:] = [0.96, *one_hot(thing, 0.96)]
        return {"predictions": table}

    return encode


def end_to_end(fmt: str = "xyxy", *, normalised: bool = False) -> Any:
    def encode(things: Sequence[Thing], size: Size) -> dict[str, Array]:
        table = np.zeros((20, 6))
        for row, thing in zip(table, things, strict=False):
            row[:] = [*four(thing.box, fmt, size if normalised else (1, 1)), thing.score, thing.class_id]
        return {"detections": table}

    return encode


def yolox(things: Sequence[Thing], size: Size) -> dict[str, Array]:
    table = np.zeros((cells(size), 5 + CLASSES))
    starts = np.cumsum([0] + [(size[0] // s) * (size[1] // s) for s in STRIDES])
    for index, thing in enumerate(things):
        level = min(index, 2)  # things of one cell lie on different grids
        stride, (x, y, w, h) = STRIDES[level], centred(thing.box)
        column, row = (
            min(int(x // stride), size[0] // stride - 1),
            min(int(y // stride), size[1] // stride - 1),
        )
        slot = starts[level] + row * (size[0] // stride) + column
        table[slot, :4] = [x / stride - column, y / stride - row, np.log(w / stride), np.log(h / stride)]
        table[slot, 4:] = [0.96, *one_hot(thing, 0.96)]
    return {"predictions": table}


def v3(scale: Sequence[float], sizes: str, layout: str, *, activated: bool = False) -> Any:
    own: Any = np.array if activated else logit

    def encode(things: Sequence[Thing], size: Size) -> dict[str, Array]:
        dark = 0.001 if activated else -9.0
        heads = [np.full((3, 5 + CLASSES, size[1] // s, size[0] // s), dark) for s in STRIDES]
        for index, thing in enumerate(things):
            level = 2 - min(index, 2)  # the larger anchors first
            stride, (x, y, w, h) = STRIDES[level], centred(thing.box)
            column, row = int(x // stride), int(y // stride)
            at = (np.array([x / stride - column, y / stride - row]) + (scale[level] - 1) / 2) / scale[level]
            share = np.array([w, h]) / np.array(V3_ANCHORS[level][index % 3])
            lengths = np.log(share) if sizes == "exponential" else own(np.sqrt(share) / 2)
            values = [*own(at), *lengths, own(0.96), *own(one_hot(thing, 0.96))]
            heads[level][index % 3, :, row, column] = values
        arrays: list[Array] = [*heads]
        if layout == "nchw":
            arrays = [head.reshape(-1, *head.shape[2:]) for head in heads]
        elif layout == "nhwc":
            arrays = [head.reshape(-1, *head.shape[2:]).transpose(1, 2, 0) for head in heads]
        else:
            arrays = [head.transpose(0, 2, 3, 1) for head in heads]
        return {f"head_{level}": array for level, array in enumerate(arrays)}

    return encode


def queries(roles: Sequence[str], fmt: str, *, normalised: bool = False, first: int = 0) -> Any:
    """Boxes, scores and labels apart; with a fourth role the count, behind which lies rubbish."""

    def encode(things: Sequence[Thing], size: Size) -> dict[str, Array]:
        boxes, scores, labels = np.zeros((20, 4)), np.full(20, 0.9 if roles[3:] else 0.0), np.full(20, first)
        boxes[:, 2:] = 10
        for row, thing in enumerate(things):
            boxes[row] = four(thing.box, fmt, size if normalised else (1, 1))
            scores[row], labels[row] = thing.score, thing.class_id + first
        arrays = dict(zip(roles, (boxes, scores, labels), strict=False))
        return arrays | ({roles[3]: np.array([len(things)])} if roles[3:] else {})

    return encode


def transformer(*, softmax: bool = False) -> Any:
    def encode(things: Sequence[Thing], size: Size) -> dict[str, Array]:
        boxes = np.full((20, 4), 0.5)
        logits = np.full((20, CLASSES + softmax), -9.0)
        if softmax:
            logits[:, -1] = 9
        for row, thing in enumerate(things):
            boxes[row] = four(thing.box, "cxcywh", size)
            shares = one_hot(thing)
            logits[row] = np.log([*shares, 1 - shares.sum()]) + 5 if softmax else logit(shares)
        return {"boxes": boxes, "logits": logits}

    return encode


def ssd_levels(size: Size) -> list[dict[str, Any]]:
    """Two grids, of 16 and 32 pixels."""
    sizes = [list(wh) for wh in SSD_SIZES]
    return [
        {"columns": size[0] // s, "rows": size[1] // s, "step": [float(s), float(s)], "sizes": sizes}
        for s in (16, 32)
    ]


def priors(size: Size) -> Array:
    """cx cy w h, cell by cell, size by size."""
    return np.array([
        ((column + 0.5) * s, (row + 0.5) * s, *wh)
        for s in (16, 32) for row in range(size[1] // s) for column in range(size[0] // s) for wh in SSD_SIZES
    ])  # fmt: skip


def ssd(kind: str) -> Any:
    def encode(things: Sequence[Thing], size: Size) -> dict[str, Array]:
        known = priors(size)
        scores, boxes = np.zeros((len(known), 1 + CLASSES)), np.zeros((len(known), 4))
        scores[:, 0] = 9 if kind == "levels" else 1
        for slot, thing in zip(slots(len(things), len(known)), things, strict=True):
            at, own = centred(thing.box), known[slot]
            offset = np.array([*(at[:2] - own[:2]) / own[2:] / 0.1, *np.log(at[2:] / own[2:]) / 0.2])
            shares = np.array([1 - one_hot(thing).sum(), *one_hot(thing)])
            scores[slot] = np.log(shares) - 2 if kind == "levels" else shares
            boxes[slot] = four(thing.box, "xyxy", size) if kind == "decoded" else offset
        if kind != "output":
            return {"scores": scores, "boxes": boxes}
        swapped = (known / np.array([*size, *size]))[:, [1, 0, 3, 2]]
        return {"scores": scores, "boxes": boxes[:, [1, 0, 3, 2]], "priors": swapped}

    return encode


SIZE = (160, 96)
V3_PARAMETERS: Mapping[str, Any] = {"anchors": V3_ANCHORS}
NORMALISED = {"box": {"format": "cxcywh", "units": "normalised"}}
CASES: Mapping[str, Case] = {
    "v8": Case("yolov8", {}, v8()),
    "v8, transposed": Case("yolov8", {"layout": "rows"}, v8(rows=True)),
    "v8 of 0 to 1": Case("yolov8", NORMALISED, v8(normalised=True)),
    "v8 of corners": Case("yolov8", {"box": {"format": "xyxy"}}, v8("xyxy")),
    "v8 of a corner and a size": Case("yolov8", {"box": {"format": "xywh"}}, v8("xywh")),
    "v8 of y before x, of 0 to 1": Case(
        "yolov8", {"box": {"format": "yxyx", "units": "normalised"}, "layout": "rows"}, v8("yxyx", normalised=True, rows=True)
    ),
    "v5": Case("yolov5", {}, v5()),
    "v5 of 0 to 1": Case("yolov5", NORMALISED, v5(normalised=True)),
    "end to end": Case("end_to_end", {}, end_to_end(), suppresses=False),
    "end to end of 0 to 1": Case(
        "end_to_end", {"box": {"units": "normalised"}}, end_to_end(normalised=True), suppresses=False
    ),
    "rows of six, not suppressed": Case(
        "end_to_end", {"box": {"format": "cxcywh"}, "suppressed": False}, end_to_end("cxcywh")
    ),
    "yolox": Case("yolox", {}, yolox),
    "v3": Case("yolov3", {**V3_PARAMETERS}, v3((1, 1, 1), "exponential", "nchw")),
    "v4": Case("yolov3", {**V3_PARAMETERS, "scale_xy": (1.2, 1.1, 1.05)}, v3((1.2, 1.1, 1.05), "exponential", "nchw")),
    "raw heads of v5": Case(
        "yolov3", {**V3_PARAMETERS, "scale_xy": (2.0,), "sizes": "square", "layout": "nahwc"}, v3((2, 2, 2), "square", "nahwc")
    ),
    "new_coords": Case(
        "yolov3", {**V3_PARAMETERS, "scale_xy": (2.0,), "sizes": "square", "activated": True, "layout": "nhwc"},
        v3((2, 2, 2), "square", "nhwc", activated=True),
    ),
    "rt-detr": Case("rtdetr", {}, queries(("boxes", "scores", "labels"), "xyxy"), suppresses=False),
    "d-fine of 0 to 1, classes from 1": Case(
        "rtdetr", {**NORMALISED, "first_class": 1},
        queries(("boxes", "scores", "labels"), "cxcywh", normalised=True, first=1), suppresses=False,
    ),
    "rf-detr": Case("rfdetr", {}, transformer(), suppresses=False),
    "detr": Case(
        "rfdetr", {"activation": "softmax", "no_object": 1, "multi_label": False}, transformer(softmax=True), suppresses=False
    ),
    "efficient nms": Case(
        "efficientnms", {}, queries(("det_boxes", "det_scores", "det_classes", "num_dets"), "xyxy"), suppresses=False
    ),
    "tensorflow": Case(
        "efficientnms", {"box": {"format": "yxyx", "units": "normalised"}, "first_class": 1},
        queries(("det_boxes", "det_scores", "det_classes", "num_dets"), "yxyx", normalised=True, first=1),
        suppresses=False,
    ),
    "ssd": Case("ssd", {"levels": ssd_levels(SIZE), "softmax": True}, ssd("levels")),
    "ssd, decoded": Case("ssd", {}, ssd("decoded")),
    "ssd with its priors, y first": Case("ssd", {"priors": True, "yx": True}, ssd("output")),
}  # fmt: skip
