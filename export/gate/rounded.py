"""A float16 graph as a GPU computes it, for a CPU that has no float16: each value in float32, then rounded to float16.

ONNX Runtime's CPU computes float16 graphs in wider types from one node to the next, so that its outputs alone prove nothing:
what would be infinite on an engine stays a number there. Here every node's float16 result is rounded where it is made, and
what it was before that is watched.

In: a serialised graph.  Out: the graph to run, and its watched tensors.  Next: sides.py, which runs it; _overflow.py.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from vedette.export._half import float_tensors
from vedette.runtime.errors import ModelError

ENDS = {"ReduceMax": "_most", "ReduceMin": "_least"}  # of a watched tensor; an output each, named after it
# What these make, float16 held before.
MOVING = frozenset(
    (
        *("Reshape", "Transpose", "Concat", "Slice", "Split", "Squeeze", "Unsqueeze", "Flatten", "Gather", "Identity"),
        *("Expand", "Tile", "Pad", "DepthToSpace", "SpaceToDepth", "MaxPool", "Relu", "Clip", "Max", "Min", "Abs", "Neg"),
        *("Where", "Constant", "ConstantOfShape", "GatherElements", "GatherND", "TopK", "Dropout"),
    )
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Rounded:
    """A graph in float32 whose values are those of float16.

    Attributes:
        model: serialised.
        watched: the node that makes it by tensor, in the order of the graph; each has outputs of its name and each of ENDS,
            its largest and its smallest value before it was rounded.
    """

    model: bytes
    watched: Mapping[str, str] = field(default_factory=dict)


def read(model: bytes, name: str) -> tuple[Any, set[str]]:
    """A graph as an onnx.ModelProto, and its float16 tensors.

    Raises:
        ModelError: it is none.
    """
    import onnx

    try:
        proto = onnx.load_from_string(model)
        inferred = onnx.shape_inference.infer_shapes(proto)
    except Exception as error:
        raise ModelError(
            f"{name} is not a graph that can be read",
            why=next(iter(str(error).splitlines()), type(error).__name__)[:300],
            cure="copy or export the file again",
        ) from error
    return proto, float_tensors(inferred, onnx.TensorProto.FLOAT16)


def rounded(model: bytes, name: str = "model") -> Rounded:
    """The same doors, but float16 tensors inside are float32 with float16's values; a graph without any stays as it is.

    Args:
        model: serialised.
        name: of it, for messages.

    Raises:
        ModelError: it is no graph.
    """
    proto, half = read(model, name)
    if not half:
        return Rounded(model)
    rewriting = _Rewriting(proto.graph, half)
    rewriting.run()
    return Rounded(proto.SerializeToString(), rewriting.watched)


class _Rewriting:
    """A graph's nodes, one after the other, with roundings in between."""

    def __init__(self, graph: Any, half: set[str]) -> None:
        self.graph, self.half = graph, half
        self.outputs = {value.name for value in graph.output}
        self.renamed: dict[str, str] = {}  # a float16 door to what is behind it, in float32
        self.watched: dict[str, str] = {}
        self.nodes: list[Any] = []

    def run(self) -> None:
        """Rewrite it."""
        from onnx import TensorProto, helper

        graph = self.graph
        for weight in graph.initializer:
            if weight.data_type == TensorProto.FLOAT16:
                _widen(weight)
        for value in graph.input:
            if value.name in self.half:
                self.renamed[value.name] = f"{value.name}_behind"
                self._cast(value.name, self.renamed[value.name], TensorProto.FLOAT)
        for node in list(graph.node):
            self._take(node)
        del graph.node[:]
        graph.node.extend(self.nodes)
        del graph.value_info[:]  # which says float16
        for name in self.watched:
            for end in ENDS.values():
                graph.output.append(helper.make_tensor_value_info(f"{name}{end}", TensorProto.FLOAT, []))

    def _take(self, node: Any) -> None:
        """Add a node, and what rounds and watches what it makes."""
        told = f"{node.name or node.output[0]} ({node.op_type})"
        node.input[:] = [self.renamed.get(name, name) for name in node.input]
        made = [name for name in node.output if name in self.half]
        moves = node.op_type in MOVING
        wide = {name: f"{name}_wide" for name in made if not moves or name in self.outputs}
        node.output[:] = [wide.get(name, name) for name in node.output]
        _retype(node)
        self.nodes.append(node)
        for name, source in wide.items():
            if not moves:
                self.watched[name] = told
                self.nodes += _ends_of(source, name)
            self._round(source, name)

    def _round(self, source: str, name: str) -> None:
        from onnx import TensorProto

        narrow, behind = (name, f"{name}_behind") if name in self.outputs else (f"{name}_narrow", name)
        self._cast(source, narrow, TensorProto.FLOAT16)
        self._cast(narrow, behind, TensorProto.FLOAT)
        if behind != name:
            self.renamed[name] = behind

    def _cast(self, source: str, target: str, to: int) -> None:
        from onnx import helper

        self.nodes.append(helper.make_node("Cast", [source], [target], name=f"{target}_rounding", to=to))


def _ends_of(source: str, name: str) -> Iterator[Any]:
    """Nodes that give the ends of a tensor under the name of another."""
    from onnx import helper

    for operator, end in ENDS.items():
        yield helper.make_node(operator, [source], [f"{name}{end}"], keepdims=0)


def _widen(weight: Any) -> None:
    """A float16 tensor of a graph as float32, in its place."""
    from onnx import numpy_helper

    name = weight.name
    weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight).astype(np.float32), name))


def _retype(node: Any) -> None:
    """A node that makes float16 by itself makes float32."""
    from onnx import TensorProto

    for attribute in node.attribute:
        if node.op_type == "Cast" and attribute.name == "to" and attribute.i == TensorProto.FLOAT16:
            attribute.i = TensorProto.FLOAT
        elif attribute.t.data_type == TensorProto.FLOAT16:
            _widen(attribute.t)
