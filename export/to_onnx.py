"""onnx_from_torch: a module and its card in, the bytes of a slimmed opset-17 graph out; then parity.py."""

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from vedette.runtime.manifest import Input, Manifest, Output

OPSET = 17


def onnx_from_torch(module: nn.Module, card: Manifest) -> bytes:
    """Export a module in eval mode: inputs, outputs and dynamic axes as its card says.

    Args:
        module: takes the card's inputs in order, returns a tensor or a tuple of them in the order of its outputs.
        card: names, shapes and bounds; -1 marks a dynamic axis.

    Returns:
        A serialised ONNX model in one piece, constant-folded.
    """
    buffer = io.BytesIO()
    with quietly(), torch.inference_mode():
        torch.onnx.export(
            module,
            tuple(example(spec) for spec in card.inputs),
            buffer,  # type: ignore[arg-type]  # the tracing exporter takes a file
            input_names=[spec.name for spec in card.inputs],
            output_names=[spec.name for spec in card.outputs],
            dynamic_axes=dynamic_axes(card),
            opset_version=OPSET,
            training=torch.onnx.TrainingMode.PRESERVE,  # onnxslim folds batch norm, rounding once an operation
            dynamo=False,  # the graphs of the newer exporter are opset 18 and keep shape arithmetic that TensorRT dislikes
        )
    return slimmed(buffer.getvalue())


def dynamic_axes(card: Manifest) -> dict[str, dict[int, str]]:
    """Of every input and output that has some, as the exporter takes them."""
    tensors: list[Input | Output] = [*card.inputs, *card.outputs]
    return {tensor.name: _axes(tensor) for tensor in tensors if -1 in tensor.shape}


def _axes(tensor: Input | Output) -> dict[int, str]:
    """Names of the dynamic axes; all tensors share the batch."""
    dynamic = [axis for axis, side in enumerate(tensor.shape) if side < 0]
    return {axis: f"{tensor.name}_{axis}" if axis else "batch" for axis in dynamic}


def example(spec: Input) -> torch.Tensor:
    """A seeded input of the typical shape, with one more in the batch where that is dynamic, so nothing is folded to 1."""
    _, typical, largest = spec.bounds()
    batch = min(2, largest[0])
    shape = (batch, *typical[1:])
    values = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    return values.to(getattr(torch, spec.dtype))


def slimmed(model: bytes) -> bytes:
    """Fold constants and drop what is unused; the same names of inputs and outputs."""
    import onnx

    data: bytes = slimmed_graph(onnx.load_from_string(model)).SerializeToString()
    return data


def slimmed_graph(model: Any) -> Any:
    """The same of an onnx.ModelProto."""
    import onnx
    import onnxslim

    with quietly():
        graph = onnxslim.slim(model)
    onnx.checker.check_model(graph)
    return graph


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """The exporters talk of their own future; the outcome is checked by parity instead."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        yield
