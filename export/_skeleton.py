"""A graph whose weights are named and not there: small however large the network is; and what each weight is made of.

In: a Hollow and its card.  Out: Skeleton.  Next: _overflow.py (which of it stays float32 in float16), _large.py (its weights
are written).  Each weight is an initialiser of external data that lies nowhere yet.
"""

from __future__ import annotations

import io
import math
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from vedette.export._half import HALF_WEIGHT
from vedette.export._hollow import Hollow, Weights
from vedette.export.to_onnx import OPSET, dynamic_axes, quietly
from vedette.runtime.manifest import Input, Manifest


@dataclass(frozen=True, slots=True)
class Origin:
    """What a weight of the graph is made of: a weight of the module, its axes in another order, or of another shape."""

    name: str
    axes: tuple[int, ...] = ()
    shape: tuple[int, ...] = ()

    def of(self, weights: Weights) -> torch.Tensor:
        """Its numbers, in the type that they are kept in."""
        tensor = weights[self.name]()
        tensor = tensor.permute(self.axes) if self.axes else tensor
        return tensor.reshape(self.shape) if self.shape else tensor


@dataclass(frozen=True, slots=True, eq=False)
class Skeleton:
    """A graph without weights.

    Attributes:
        model: onnx.ModelProto; yours to change, so copy it first where it is needed again.
        origins: of every initialiser that has no data.
    """

    model: Any
    origins: dict[str, Origin]

    def origin(self, name: str) -> Origin | None:
        """Of an initialiser, which may be the float16 of another; None where its data is in the graph."""
        return self.origins.get(name.removesuffix(HALF_WEIGHT))

    def copy(self) -> Skeleton:
        import onnx

        model = onnx.ModelProto()
        model.CopyFrom(self.model)
        return replace(self, model=model)


def skeleton_of(hollow: Hollow, card: Manifest) -> Skeleton:
    """Trace a module without its weights, float32 throughout; axes that its card leaves open stay open."""
    module = hollow.empty()
    traced = _traced(module, card)
    names = {name for name, _ in module.named_parameters()}
    origins = _without_weights(traced.graph, names)
    _fold(traced.graph, origins)
    drop_unused(traced.graph)
    left = {weight.name for weight in traced.graph.initializer}
    return Skeleton(traced, {name: origin for name, origin in origins.items() if name in left})


def _traced(module: torch.nn.Module, card: Manifest) -> Any:
    buffer = io.BytesIO()
    with quietly(), torch.inference_mode(), _StaticScale():
        torch.onnx.export(
            module,
            tuple(smallest(spec) for spec in card.inputs),
            buffer,  # type: ignore[arg-type]  # the tracing exporter takes a file
            input_names=[spec.name for spec in card.inputs],
            output_names=[spec.name for spec in card.outputs],
            dynamic_axes=dynamic_axes(card),
            opset_version=OPSET,
            training=torch.onnx.TrainingMode.PRESERVE,
            export_params=False,
            do_constant_folding=False,  # of weights, which are not there
            dynamo=False,
        )
    return _folded(buffer.getvalue())


def _folded(model: bytes) -> Any:
    """Constants folded and what is computed twice computed once, by ONNX Runtime: onnxslim takes hours for 10,000 nodes."""
    import onnx
    import onnxruntime as ort

    with tempfile.TemporaryDirectory() as scratch:
        options = ort.SessionOptions()
        options.graph_optimization_level = (
            ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
        )  # operators of ONNX alone
        options.optimized_model_filepath = str(Path(scratch) / "folded.onnx")
        options.log_severity_level = 4
        ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        folded = onnx.load(options.optimized_model_filepath)
    used = [each for each in folded.opset_import if not each.domain]
    del folded.opset_import[:]  # it names every set that it knows
    folded.opset_import.extend(used)
    onnx.checker.check_model(folded)
    return folded


class _StaticScale(torch.overrides.TorchFunctionMode):
    """Attention's scale as a number: the exporter computes it from a shape that it takes for unknown."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        options = dict(kwargs or {})
        if func is torch.nn.functional.scaled_dot_product_attention and options.get("scale") is None:
            options["scale"] = 1 / math.sqrt(int(args[0].shape[-1]))
        return func(*args, **options)


def smallest(spec: Input) -> torch.Tensor:
    """Two, so that no batch of one is folded, of two steps a side: nothing in the graph may depend on the size."""
    least, _, most = spec.bounds()
    steps = spec.multiple_of or (1,) * len(least)
    sides = [2 * step if step > 1 else side for side, step in zip(least, steps, strict=True)]
    shape = (min(2, most[0]), *sides[1:])
    values = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    return values.to(getattr(torch, spec.dtype))


def _without_weights(graph: Any, names: set[str]) -> dict[str, Origin]:
    """Inputs that are weights become initialisers of data that lies nowhere."""
    weights = [value for value in graph.input if value.name in names]
    inputs = [value for value in graph.input if value.name not in names]
    del graph.input[:]
    graph.input.extend(inputs)
    for value in weights:
        sides = [side.dim_value for side in value.type.tensor_type.shape.dim]
        graph.initializer.append(placeholder(value.name, sides))
    return {value.name: Origin(value.name) for value in weights}


def placeholder(name: str, sides: Any, *, half: bool = False) -> Any:
    """A weight of external data, of which only the shape is known."""
    from onnx import TensorProto

    tensor = TensorProto(
        name=name, dims=list(sides), data_type=TensorProto.FLOAT16 if half else TensorProto.FLOAT
    )
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "nowhere"
    return tensor


def _fold(graph: Any, origins: dict[str, Origin]) -> None:
    """Weights that are turned or given axes by the graph are kept as they are used."""
    sides = {weight.name: tuple(weight.dims) for weight in graph.initializer if weight.name in origins}
    kept = []
    for node in graph.node:
        made = _moved(graph, node, sides) if node.input and node.input[0] in sides else None
        if made is None:
            kept.append(node)
            continue
        new, shape = made
        origins[node.output[0]] = new
        graph.initializer.append(placeholder(node.output[0], shape))
    del graph.node[:]
    graph.node.extend(kept)


def _moved(graph: Any, node: Any, sides: dict[str, tuple[int, ...]]) -> tuple[Origin, tuple[int, ...]] | None:
    source = node.input[0]
    if node.op_type == "Transpose":
        axes = tuple(node.attribute[0].ints)
        return Origin(source, axes=axes), tuple(sides[source][axis] for axis in axes)
    if node.op_type == "Unsqueeze":
        shape = list(sides[source])
        for axis in sorted(_numbers(graph, node.input[1])):
            shape.insert(axis, 1)
        return Origin(source, shape=tuple(shape)), tuple(shape)
    return None


def _numbers(graph: Any, name: str) -> list[int]:
    """Of a constant; an axis from the end does not occur, as weights are unsqueezed at their end."""
    from onnx import numpy_helper

    constant = next(each for each in graph.initializer if each.name == name)
    return [int(number) for number in numpy_helper.to_array(constant).ravel()]


def drop_unused(graph: Any) -> None:
    """Initialisers that nothing reads."""
    used = Counter(_read(graph))
    left = [weight for weight in graph.initializer if used[weight.name]]
    del graph.initializer[:]
    graph.initializer.extend(left)


def _read(graph: Any) -> Iterator[str]:
    for node in graph.node:
        yield from node.input
    for output in graph.output:
        yield output.name
