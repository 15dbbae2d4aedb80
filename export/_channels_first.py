"""Graphs that take pictures channels last or as bytes, as TensorFlow's do, made to take them as all others here.

In: the bytes of an ONNX model.  Out: the model with a transposition or a cast in front, and what was done.
ONNX Runtime and TensorRT drop a transposition that another one undoes, so most of these graphs get no slower.
"""

from typing import Any

from vedette.runtime.adoption import picture_input
from vedette.runtime.errors import ModelError
from vedette.runtime.onnx_file import graph_of

CHANNELS = 3


def channels_first(model: bytes) -> tuple[bytes, tuple[str, ...]]:
    """The same network for float pictures [N, 3, H, W], and why it was changed: nothing where it was not."""
    picture = picture_input(graph_of(model))
    if picture is None:
        return model, ()
    if 1 in picture.shape[1::2] and CHANNELS not in picture.shape[1::2]:
        raise ModelError(
            f"its input {picture.name} {list(picture.shape)} takes pictures of one channel",
            why="pictures have three here",
            cure="put a sum of the three in front of the graph",
        )
    last = picture.shape[3] == CHANNELS and picture.shape[1] != CHANNELS
    number = picture.dtype not in ("float32", "float16")
    if not last and not number:
        return model, ()
    said = f"its input is {picture.dtype} {list(picture.shape)}"
    changes = " and ".join(["a transposition"] * last + ["a cast"] * number)
    return _with_front(model, picture.name, last=last, number=number), (
        f"{said}: {changes} was put in front",
    )


def _with_front(model: bytes, name: str, *, last: bool, number: bool) -> bytes:
    import onnx

    proto = onnx.load_model_from_string(model)
    value = next(value for value in proto.graph.input if value.name == name)
    kind = value.type.tensor_type.elem_type
    steps = [onnx.helper.make_node("Transpose", [""], [""], perm=[0, 2, 3, 1])] * last
    steps += [onnx.helper.make_node("Cast", [""], [""], to=kind)] * number
    inside = f"{name}_inside"
    _rename(proto.graph, name, inside)
    value.name = name
    names = [name, *(f"{inside}_{step}" for step in range(1, len(steps))), inside]
    for step, (before, after) in enumerate(zip(names, names[1:], strict=False)):
        node = onnx.NodeProto()
        node.CopyFrom(steps[step])
        node.input[0], node.output[0] = before, after
        proto.graph.node.insert(step, node)
    if last:
        _turn(value.type.tensor_type.shape)
    if number:
        value.type.tensor_type.elem_type = onnx.TensorProto.FLOAT
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


def _turn(shape: Any) -> None:
    """[N, H, W, C] to [N, C, H, W]."""
    sides = [type(side).FromString(side.SerializeToString()) for side in shape.dim]
    for place, axis in enumerate((0, 3, 1, 2)):
        shape.dim[place].CopyFrom(sides[axis])
