"""Weights of an ONNX graph from elsewhere, renamed for one of our modules.

In: an ONNX file and our module. Out: a strict state dict. The two are matched convolution by convolution, in
the order in which the graph lists them. Read next: state_dict_from_original in each network's file.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx
import torch
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import numpy_helper
from torch import nn


@dataclass(frozen=True, slots=True)
class Convolution:
    """The constants of one convolution, in PyTorch's layout, which is ONNX's too."""

    name: str
    weight: torch.Tensor  # [out, in / groups, kh, kw]; [in, out / groups, kh, kw] if transposed
    bias: torch.Tensor | None  # [out]


def convolutions_from_onnx(path: Path) -> list[Convolution]:
    """List the convolutions of a graph in its own order.

    A bias may also be a later addition of a constant [1, out, 1, 1], where the graph adds a residual first.

    Raises:
        ValueError: the file is not an ONNX model, or it computes the weights of a convolution.
    """
    graph = _graph(path)
    constants = {one.name: torch.from_numpy(numpy_helper.to_array(one).copy()) for one in graph.initializer}
    convolutions = []
    for node in graph.node:
        if node.op_type not in {"Conv", "ConvTranspose"}:
            continue
        weight, bias = (constants.get(name) for name in [*node.input[1:], ""][:2])
        if weight is None:
            raise ValueError(f"{path.name}: the weight of node '{node.name}' is not a constant of the graph")
        if bias is None:
            bias = _constant_added(graph, node.output[0], constants)
        convolutions.append(Convolution(node.name, weight, bias))
    return convolutions


def state_dict_from_convolutions(
    module: nn.Module, layers: Iterable[nn.Module], convolutions: Sequence[Convolution]
) -> dict[str, torch.Tensor]:
    """Name the constants of a graph after the layers of a module.

    Args:
        module: whose state dict it shall be.
        layers: its convolutions, in the order of the graph.
        convolutions: of the graph.

    Returns:
        A state dict for `module.load_state_dict(strict=True)`, float32.

    Raises:
        ValueError: their numbers differ, or a weight or bias is missing or has another shape than ours.
    """
    names = {layer: name for name, layer in module.named_modules()}
    layers = list(layers)
    if len(layers) != len(convolutions):
        expected = f"{type(module).__name__} has {len(layers)}"
        raise ValueError(f"the graph has {len(convolutions)} convolutions; {expected}")
    state = {}
    for layer, convolution in zip(layers, convolutions, strict=True):
        for kind, ours in layer.named_parameters():
            theirs = convolution.weight if kind == "weight" else convolution.bias
            if theirs is None or theirs.shape != ours.shape:
                found = "missing" if theirs is None else list(theirs.shape)
                where = f"{names[layer]}.{kind}"
                raise ValueError(f"{where}: '{convolution.name}' has {found}; expected {list(ours.shape)}")
            state[f"{names[layer]}.{kind}"] = theirs.float()
    return state


def convolution_layers(module: nn.Module) -> list[nn.Module]:
    """List the convolutions of a module in the order of their registration."""
    return [layer for layer in module.modules() if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)]


def _graph(path: Path) -> onnx.GraphProto:
    try:
        return onnx.load(path).graph
    except DecodeError as error:
        raise ValueError(f"{path.name} is not an ONNX model: {error}") from error


def _constant_added(
    graph: onnx.GraphProto, result: str, constants: dict[str, torch.Tensor]
) -> torch.Tensor | None:
    """Follow a result through additions until one adds a constant; flatten that to [out]."""
    for adder in graph.node:
        if adder.op_type in {"Add", "Sum"} and result in adder.input:
            addends = [constants[name] for name in adder.input if name in constants]
            if addends:
                return addends[0].flatten()
            result = adder.output[0]
    return None
