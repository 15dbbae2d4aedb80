"""half_inside: a float32 graph in, the same with some submodules in float16 out.

precision.py casts at every operator that must stay float32, so that what goes from one such operator to the next has been
rounded to float16 between them. Here casts are only where data enters and leaves the submodules: coordinates have no room
in float16, which from 1024 on has whole pixels only.
"""

from typing import Any

from vedette.export.to_onnx import slimmed

KEPT = {"Resize": (1, 2, 3)}  # inputs of operators that are float32 or integers whatever the data is


def half_inside(model: bytes, modules: tuple[str, ...]) -> bytes:
    """Compute the submodules in float16, with their weights; all else, and the doors, stay float32.

    Args:
        model: a serialised float32 graph whose nodes are named by the submodules that made them.
        modules: names of submodules.
    """
    import onnx

    graph = onnx.load_from_string(model)
    floats = _float_tensors(onnx.shape_inference.infer_shapes(graph))
    scopes = tuple(f"/{name}/" for name in modules)
    inside = [node.name.startswith(scopes) for node in graph.graph.node]
    _Halving(graph.graph, inside, floats).run()
    return slimmed(graph.SerializeToString())


def _float_tensors(graph: Any) -> set[str]:
    """Names of all float32 tensors."""
    from onnx import TensorProto

    values = [*graph.graph.input, *graph.graph.value_info, *graph.graph.output]
    found = {value.name for value in values if value.type.tensor_type.elem_type == TensorProto.FLOAT}
    return found | {
        weight.name for weight in graph.graph.initializer if weight.data_type == TensorProto.FLOAT
    }


class _Halving:
    """A graph's nodes, one after the other, with casts in between."""

    def __init__(self, graph: Any, inside: list[bool], floats: set[str]) -> None:
        self.graph, self.inside, self.floats = graph, inside, floats
        self.weights = {weight.name: weight for weight in graph.initializer}
        self.made = {
            name for node, half in zip(graph.node, inside, strict=True) if half for name in node.output
        }
        self.nodes: list[Any] = []
        self.cast: dict[tuple[str, str], str] = {}

    def run(self) -> None:
        """Rewrite the graph."""
        doors = {output.name for output in self.graph.output}
        for node, half in zip(list(self.graph.node), self.inside, strict=True):
            for position, name in enumerate(node.input):
                node.input[position] = self._source(node.op_type, position, name, half=half)
            renamed = {name: f"{name}_half" for name in node.output if half and name in doors}
            node.output[:] = [renamed.get(name, name) for name in node.output]
            self.nodes.append(node)
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
        if half == (name in self.made):
            return name
        key = name, "half" if half else "full"
        if key not in self.cast:
            self.cast[key] = f"{name}_{key[1]}_cast"
            self.nodes.append(_cast(name, self.cast[key], half=half))
        return self.cast[key]

    def _half_weight(self, name: str) -> str:
        """The nearest float16 of a weight, under another name."""
        import numpy as np
        from onnx import numpy_helper

        new = f"{name}_half_weight"
        if new not in self.weights:
            largest = float(np.finfo(np.float16).max)
            values = np.clip(numpy_helper.to_array(self.weights[name]), -largest, largest)
            self.weights[new] = numpy_helper.from_array(values.astype(np.float16), new)
            self.graph.initializer.append(self.weights[new])
        return new


def _cast(source: str, target: str, *, half: bool) -> Any:
    from onnx import TensorProto, helper

    return helper.make_node(
        "Cast", [source], [target], name=f"{target}_of_{source}", to=TensorProto.FLOAT16 if half else TensorProto.FLOAT
    )  # fmt: skip
