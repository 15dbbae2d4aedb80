"""What each family's numbers mean, densely and in NumPy: the reference half of decode_boxes.py that differs by family.

In: a layout and its checked float32 outputs.  Out: Dense, the box and the scores of every anchor.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vedette.kernels.box_layouts import (
    V5,
    V8,
    EndToEnd,
    FastestDet,
    Layout,
    NanoDet,
    Priors,
    Region,
    Yolox,
)

Array = NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False)
class Dense:
    """Everything that a network says, candidate or not."""

    boxes: Array  # [n, 4] xyxy
    values: Array  # [n, C], whose highest is the best class
    scores: Array  # [n, C]
    objectness: Array | None = None  # [n]


def _v8(layout: V8, output: Array) -> Dense:
    scores = output[4 : len(output) - layout.extras].T
    return Dense(_corners(output[:4].T), scores, scores)


def _v5(layout: V5, output: Array) -> Dense:
    objectness, values = output[:, 4], output[:, 5 : output.shape[1] - layout.extras]
    return Dense(_corners(output[:, :4]), values, objectness[:, None] * values, objectness)


def _end_to_end(layout: EndToEnd, output: Array) -> Dense:
    class_ids = output[:, 5]
    sound = (class_ids >= 0) & (class_ids <= 2**24) & (class_ids == np.floor(class_ids))
    scores = np.where(sound, output[:, 4], np.float32(np.nan))[:, None]
    return Dense(output[:, :4], scores, scores)


def _yolox(layout: Yolox, output: Array) -> Dense:
    width, height = layout.input_size
    grids = [_cells(width // stride, height // stride) for stride in layout.strides]
    strides = np.repeat(np.array(layout.strides, np.float32), [len(grid) for grid in grids])[:, None]
    centres = (output[:, :2] + np.concatenate(grids)) * strides
    boxes = _corners(np.concatenate([centres, np.exp(output[:, 2:4]) * strides], axis=1))
    objectness, values = output[:, 4], output[:, 5 : output.shape[1] - layout.extras]
    return Dense(boxes, values, objectness[:, None] * values, objectness)


def _region(layout: Region, output: Array) -> Dense:
    sizes = np.array(layout.anchors, np.float32)
    channels, rows, columns = output.shape
    groups = output.reshape(len(sizes), channels // len(sizes), rows * columns)
    grid = groups.transpose(0, 2, 1)  # [A, h * w, 5 + C]
    cell = np.array(layout.input_size, np.float32) / np.array([columns, rows], np.float32)
    centres = (_cells(columns, rows) + _sigmoid(grid[..., :2])) * cell
    lengths = np.exp(grid[..., 2:4]) * sizes[:, None] * cell
    boxes = _corners(np.concatenate([centres, lengths], axis=2).reshape(-1, 4))
    objectness, values = _sigmoid(grid[..., 4]).reshape(-1), grid[..., 5:].reshape(len(boxes), -1)
    return Dense(boxes, values, objectness[:, None] * _softmax(values), objectness)


def _fastestdet(layout: FastestDet, output: Array) -> Dense:
    channels, rows, columns = output.shape
    columns_rows, size = np.array([columns, rows], np.float32), np.array(layout.input_size, np.float32)
    cells = output.reshape(channels, -1).T
    centres = (_cells(columns, rows) + np.tanh(cells[:, 1:3])) / columns_rows * size
    boxes = _corners(np.concatenate([centres, _sigmoid(cells[:, 3:5]) * size], axis=1))
    values = cells[:, 5:]
    objectness = cells[:, 0].clip(0) ** np.float32(layout.object_power)
    return Dense(boxes, values, objectness[:, None] * values.clip(0) ** np.float32(layout.class_power))


def _nanodet(layout: NanoDet, scores: Array, distances: Array) -> Dense:
    bins = _softmax(distances.reshape(len(distances), 4, distances.shape[1] // 4))
    sides = (bins * np.arange(bins.shape[2], dtype=np.float32)).sum(axis=2) * np.float32(layout.stride)
    anchors = np.arange(len(scores))
    cells = np.stack([anchors % layout.columns, anchors // layout.columns], axis=1).astype(np.float32)
    centres = (cells + np.float32(0.5)) * np.float32(layout.stride)
    return Dense(np.concatenate([centres - sides[:, :2], centres + sides[:, 2:]], axis=1), scores, scores)


def _priors(layout: Priors, scores: Array, offsets: Array) -> Dense:
    centres, sizes = np.split(layout.priors, 2, axis=1)
    moves, growths = np.split(offsets * np.array(layout.variances, np.float32), 2, axis=1)
    boxes = _corners(np.concatenate([centres + moves * sizes, sizes * np.exp(growths)], axis=1))
    probabilities = _softmax(scores) if layout.softmax else scores
    return Dense(boxes, scores[:, layout.background :], probabilities[:, layout.background :])


FAMILIES: Mapping[type[Layout], Callable[..., Dense]] = {
    V8: _v8,
    V5: _v5,
    EndToEnd: _end_to_end,
    Yolox: _yolox,
    Region: _region,
    FastestDet: _fastestdet,
    NanoDet: _nanodet,
    Priors: _priors,
}


def _corners(boxes_cxcywh: Array) -> Array:
    centres, halves = boxes_cxcywh[:, :2], boxes_cxcywh[:, 2:] * np.float32(0.5)
    return np.concatenate([centres - halves, centres + halves], axis=1)


def _cells(columns: int, rows: int) -> Array:
    """[rows * columns, 2] column and row of every cell, in reading order."""
    grid = np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), axis=-1)
    return grid.reshape(-1, 2).astype(np.float32)


def _sigmoid(x: Array) -> Array:
    sigmoid: Array = np.float32(1) / (np.float32(1) + np.exp(-x))
    return sigmoid


def _softmax(x: Array) -> Array:
    weights = np.exp(x - x.max(axis=-1, keepdims=True))
    softmax: Array = weights / weights.sum(axis=-1, keepdims=True)
    return softmax
