"""Graphs that take pictures channels last, as bytes or without a batch, made to take them as all others here.

In: the bytes of an ONNX model.  Out: the model with a few operators in front, and what was done.
ONNX Runtime and TensorRT drop a transposition that another one undoes, so most of these graphs get no slower.
"""

from dataclasses import dataclass
from typing import Any

from vedette.runtime.errors import ModelError
from vedette.runtime.onnx_file import Value, graph_of
from vedette.runtime.runner import SIZES

CHANNELS = 3


@dataclass(frozen=True, slots=True)
class Front:
    """The model, what was put in front of it and why, and whether it wants values from 0 to 255."""

    model: bytes
    changes: tuple[str, ...] = ()
    whole: bool = False


def channels_first(model: bytes) -> Front:
    """The same network for float pictures [N, 3, H, W].

    Raises:
        ModelError: it takes pictures of one channel.
    """
    pictures = [value for value in graph_of(model).inputs if value.name != SIZES]
    if len(pictures) != 1 or len(pictures[0].shape) not in (3, 4):
        return Front(model)
    picture = pictures[0]
    first, _, last = picture.shape[-3:]
    if 1 in (first, last) and CHANNELS not in (first, last):
        raise ModelError(
            f"its input {picture.name} {list(picture.shape)} takes pictures of one channel",
            why="pictures have three here",
            cure="put a sum of the three in front of the graph",
        )
    steps = _steps(picture, turned=last == CHANNELS != first)
    if not steps:
        return Front(model)
    done = f"its input is {picture.dtype} {list(picture.shape)}: {' and '.join(steps)} was put in front"
    return Front(_with_front(model, picture, steps), (done,), "a cast" in steps)


def _steps(picture: Value, *, turned: bool) -> dict[str, dict[str, Any]]:
    """What is to be put in front, in this order: its name, operator and attributes."""
    steps: dict[str, dict[str, Any]] = {}
    if turned:
        steps["a transposition"] = {"op_type": "Transpose", "perm": [0, 2, 3, 1]}
    if len(picture.shape) == 3:
        steps["a squeeze"] = {"op_type": "Squeeze"}
    if picture.dtype not in ("float32", "float16"):
        steps["a cast"] = {"op_type": "Cast"}
    return steps


def _with_front(model: bytes, picture: Value, steps: dict[str, dict[str, Any]]) -> bytes:
    import onnx

    proto = onnx.load_model_from_string(model)
    graph, name = proto.graph, picture.name
    value = next(value for value in graph.input if value.name == name)
    kind = value.type.tensor_type
    names = [name, *(f"{name}_{step}" for step in range(1, len(steps))), f"{name}_inside"]
    _rename(graph, name, names[-1])
    for place, attributes in enumerate(steps.values()):
        more = {"to": kind.elem_type} if attributes["op_type"] == "Cast" else {}
        node = onnx.helper.make_node(inputs=[names[place]], outputs=[names[place + 1]], **attributes, **more)
        graph.node.insert(place, node)
    if "a cast" in steps:
        kind.elem_type = onnx.TensorProto.FLOAT
    _reshape(kind.shape, turned="a transposition" in steps)
    serialised: bytes = proto.SerializeToString()
    return serialised


def _rename(graph: Any, old: str, new: str) -> None:
    """Every use of a value, in graphs within graphs too."""
    for node in graph.node:
        for index, name in enumerate(node.input):
            if name == old:
                node.input[index] = new
        for attribute in node.attribute:
            for inner in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])):
                _rename(inner, old, new)


def _reshape(shape: Any, *, turned: bool) -> None:
    """[(N,) H, W, C] or [(N,) C, H, W] to [N, C, H, W]; without a batch, of one."""
    if len(shape.dim) == 3:
        shape.dim.insert(0, type(shape.dim[0])(dim_value=1))
    sides = [type(side).FromString(side.SerializeToString()) for side in shape.dim]
    for place, axis in enumerate((0, 3, 1, 2) if turned else range(4)):
        shape.dim[place].CopyFrom(sides[axis])
