"""Models as others export them: graphs that answer every picture with the same arrays."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
Array = np.ndarray[Any, Any]


def constant_model(
    path: Path,
    outputs: dict[str, Array],
    said: dict[str, str] | None = None,
    size: tuple[int, int] = (96, 64),
    *,
    channels_last: bool = False,
    dtype: str = "FLOAT",
    declared: bool = True,
    ends: str = "",
) -> Path:
    """A graph that answers every picture of (width, height) with these arrays, [1, …] each.

    Args:
        path: where it is written.
        outputs: by name.
        said: its metadata.
        size: of the input.
        channels_last: the input is [1, H, W, 3].
        dtype: of the input, a name of TensorProto's.
        declared: whether the graph says the lengths of its outputs' axes.
        ends: an operator to put behind each.
    """
    helper, numpy_helper, kinds = onnx.helper, onnx.numpy_helper, onnx.TensorProto
    shape = [1, size[1], size[0], 3] if channels_last else [1, 3, size[1], size[0]]
    picture = helper.make_tensor_value_info("images", getattr(kinds, dtype), shape)
    nodes, values = [helper.make_node("Cast", ["images"], ["floats"], to=kinds.FLOAT)], []
    nodes.append(helper.make_node("ReduceMin", ["floats"], ["least"], keepdims=0))
    weights = [numpy_helper.from_array(np.zeros((), np.float32), "zero")]
    nodes.append(helper.make_node("Mul", ["least", "zero"], ["nothing"]))
    for name, array in outputs.items():
        kind = helper.np_dtype_to_tensor_dtype(
            array.dtype if array.dtype.kind == "i" else np.dtype(np.float32)
        )
        weights.append(numpy_helper.from_array(array.astype(np.float32), f"{name}_w"))
        nodes.append(helper.make_node("Add", [f"{name}_w", "nothing"], [f"{name}_sum"]))
        if ends:
            nodes.append(helper.make_node(ends, [f"{name}_sum"], [f"{name}_end"]))
        nodes.append(helper.make_node("Cast", [f"{name}_{'end' if ends else 'sum'}"], [name], to=kind))
        sides = array.shape if declared else [f"{name}{axis}" for axis in range(array.ndim)]
        values.append(helper.make_tensor_value_info(name, kind, sides))
    graph = helper.make_graph(nodes, "g", [picture], values, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    for key, value in (said or {}).items():
        model.metadata_props.add(key=key, value=value)
    onnx.save(model, str(path))
    return path


def cells(size: tuple[int, int], strides: tuple[int, ...] = (8, 16, 32)) -> Array:
    """[n, 3] the middle of every cell and its stride, grid after grid, row by row."""
    return np.array(
        [
            ((x + 0.5) * s, (y + 0.5) * s, s)
            for s in strides
            for y in range(size[1] // s)
            for x in range(size[0] // s)
        ],
        np.float32,
    )
