"""How many classes a graph tells apart that chooses its boxes by itself: what it divides the index of a choice by.

RT-DETR, YOLOv10 and their kin flatten queries times classes, take the best, and find the class as the remainder.
"""

from typing import Any

import numpy as np

FAMILIES = {"end_to_end", "rtdetr"}
DIVISIONS = {"Mod", "Div"}


def classes_within(model: bytes) -> int:
    """The last whole number that a whole number is divided by; 0 where there is none."""
    import onnx

    graph = onnx.load_model_from_string(model).graph
    constants = {weight.name: weight for weight in graph.initializer}
    constants |= {node.output[0]: _value(node) for node in graph.node if node.op_type == "Constant"}
    found = [
        int(number)
        for node in graph.node
        if node.op_type in DIVISIONS
        and (number := _whole(constants.get(node.input[1]))) is not None
        and 1 < number < 10_000
    ]
    return found[-1] if found else 0


def _value(node: Any) -> Any:
    return next((attribute.t for attribute in node.attribute if attribute.name == "value"), None)


def _whole(tensor: Any) -> int | None:
    """The one whole number that a tensor holds."""
    import onnx

    if tensor is None or tensor.data_type not in (onnx.TensorProto.INT64, onnx.TensorProto.INT32):
        return None
    values = np.asarray(onnx.numpy_helper.to_array(tensor)).ravel()
    return int(values[0]) if len(values) == 1 else None
