"""half_inside: a float32 graph in, the same with some submodules in float16 out; halve: the same for any of its nodes.

precision.py casts at every operator that must stay float32, so that what goes from one such operator to the next has been
rounded to float16 between them. Here casts are only where data enters and leaves the submodules: coordinates have no room
in float16, which from 1024 on has whole pixels only.
"""

from collections.abc import Sequence
from typing import Any

from vedette.export.to_onnx import slimmed
from vedette.runtime.frame import Array

HALF_WEIGHT = "_half_weight"  # after the name of a weight: the same in float16
KEPT = {"Resize": (1, 2, 3)}  # inputs of operators that are float32 or integers whatever the data is


def half_inside(model: bytes, modules: tuple[str, ...]) -> bytes:
    """Compute the submodules in float16, with their weights; all else, and the doors, stay float32.

    Args:
        model: a serialised float32 graph whose nodes are named by the submodules that made them.
        modules: names of submodules.
    """
    import onnx

    graph = onnx.load_from_string(model)
    scopes = tuple(f"/{name}/" for name in modules)
    halve(graph, [node.name.startswith(scopes) for node in graph.graph.node])
    return slimmed(graph.SerializeToString())


def halve(model: Any, inside: Sequence[bool]) -> None:
    """Compute the nodes that are marked in float16, with their weights; the weights that were are left behind.

    Args:
        model: a float32 onnx.ModelProto, which is changed.
        inside: one an node of its graph.
    """
    import onnx

    floats = float_tensors(onnx.shape_inference.infer_shapes(model))
    _Halving(model.graph, inside, floats).run()


def float_tensors(model: Any, dtype: int = 1) -> set[str]:
    """Names of all tensors of a type, float32 if not another: of a model whose shapes are inferred."""
    graph = model.graph
    values = [*graph.input, *graph.value_info, *graph.output]
    found = {value.name for value in values if value.type.tensor_type.elem_type == dtype}
    return found | {weight.name for weight in graph.initializer if weight.data_type == dtype}


class _Halving:
    """A graph's nodes, one after the other, with casts in between."""

    def __init__(self, graph: Any, inside: Sequence[bool], floats: set[str]) -> None:
        self.graph, self.inside, self.floats = graph, inside, floats
        self.weights = {weight.name: weight for weight in graph.initializer}
        self.made = {
            name for node, half in zip(graph.node, inside, strict=True) if half for name in node.output
        }
        self.nodes: list[Any] = []
        self.cast: dict[tuple[str, str], str] = {}
        self.inner: dict[str, str] = {}

    def run(self) -> None:
        """Rewrite the graph."""
        doors = {output.name for output in self.graph.output}
        for node, half in zip(list(self.graph.node), self.inside, strict=True):
            for position, name in enumerate(node.input):
                node.input[position] = self._source(node.op_type, position, name, half=half)
            if half:
                _retype(node)
            renamed = {name: f"{name}_half" for name in node.output if half and name in doors}
            node.output[:] = [renamed.get(name, name) for name in node.output]
            self.nodes.append(node)
            self.inner.update(renamed)
            for name, inner in renamed.items():
                self.nodes.append(_cast(inner, name, half=False))
        del self.graph.node[:]
        self.graph.node.extend(self.nodes)
        del self.graph.value_info[:]  # which says float32 of all

    def _source(self, operator: str, position: int, name: str, *, half: bool) -> str:
        """What an input is to be in place of a tensor."""
        if name not in self.floats or (half and position in KEPT.get(operator, ())):
            return name
        if name in self.weights:
            return self._half_weight(name) if half else name
        if name in self.inner:  # a door, which is float32, and what goes through it, which is not
            return self.inner[name] if half else name
        if half == (name in self.made):
            return name
        key = name, "half" if half else "full"
        if key not in self.cast:
            self.cast[key] = f"{name}_{key[1]}_cast"
            self.nodes.append(_cast(name, self.cast[key], half=half))
        return self.cast[key]

    def _half_weight(self, name: str) -> str:
        """The nearest float16 of a weight, under another name."""
        new = f"{name}{HALF_WEIGHT}"
        if new not in self.weights:
            self.weights[new] = _half_of(self.weights[name], new)
            self.graph.initializer.append(self.weights[new])
        return new


def _half_of(weight: Any, name: str) -> Any:
    """One whose data is elsewhere is only declared."""
    from onnx import TensorProto, numpy_helper

    if weight.data_location == TensorProto.EXTERNAL:
        declared = TensorProto()
        declared.CopyFrom(weight)
        declared.name, declared.data_type = name, TensorProto.FLOAT16
        return declared
    return numpy_helper.from_array(nearest_half(numpy_helper.to_array(weight)), name)


def nearest_half(values: Array) -> Array:
    """float16, with what is out of its range at its ends."""
    import numpy as np

    largest = float(np.finfo(np.float16).max)
    halves: Array = np.clip(values, -largest, largest).astype(np.float16)
    return halves


def _retype(node: Any) -> None:
    """A node that makes float32 by itself makes float16."""
    from onnx import TensorProto, numpy_helper

    for attribute in node.attribute:
        if node.op_type == "Cast" and attribute.i == TensorProto.FLOAT:
            attribute.i = TensorProto.FLOAT16
        elif node.op_type in {"Constant", "ConstantOfShape"} and attribute.t.data_type == TensorProto.FLOAT:
            attribute.t.CopyFrom(numpy_helper.from_array(nearest_half(numpy_helper.to_array(attribute.t))))


def _cast(source: str, target: str, *, half: bool) -> Any:
    from onnx import TensorProto, helper

    return helper.make_node(
        "Cast", [source], [target], name=f"{target}_of_{source}", to=TensorProto.FLOAT16 if half else TensorProto.FLOAT
    )  # fmt: skip
