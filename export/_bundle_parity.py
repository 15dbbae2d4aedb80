"""The same feeds through one part of a bundle in PyTorch and in ONNX Runtime: how far apart are the outputs?

In: a part, its exported graph, and what it is fed with in a run of the whole.  Out: one row an output. Next: bundle.py.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from vedette.export.networks._whole import Graph, Tensors
from vedette.export.parity import picture, refuse_what_differs, row_of
from vedette.runtime.backends.onnxruntime_ import OrtEngine
from vedette.runtime.frame import Array
from vedette.runtime.manifest import Input, Manifest, Parity
from vedette.runtime.preprocess import fill, place

BATCHES = (1, 2)


def pictures(spec: Input) -> Iterator[torch.Tensor]:
    """Batches, of the sizes BATCHES, of seeded pictures through the model's own preprocessing; unit noise where it takes none."""
    rng = np.random.default_rng(0)
    for batch in BATCHES:
        if spec.pixel_format == "none":
            yield torch.from_numpy(rng.standard_normal((batch, *spec.shape[1:])).astype(np.float32))
            continue
        size = (spec.shape[3], spec.shape[2])
        buffer = np.empty((batch, 3, size[1], size[0]), np.float32)
        for chw in buffer:
            fill(chw, picture(rng, size), spec, place(size, size, spec.resize))
        grey = spec.pixel_format == "gray"
        yield torch.from_numpy(buffer.mean(axis=1, keepdims=True) if grey else buffer)


def parity_of_part(
    graph: Graph, model: bytes, card: Manifest, feeds: Sequence[Tensors]
) -> tuple[Parity, ...]:
    """Compare a part with its exported graph.

    Raises:
        ModelError: the difference is above parity.LIMITS for the card's precision, or not finite.
    """
    engine = OrtEngine(model, name=card.name)
    pairs: dict[str, list[tuple[Array, Array]]] = {output.name: [] for output in card.outputs}
    for tensors in feeds:
        expected, found = _by_torch(graph, tensors), _by_ort(engine, card, tensors)
        expected, found = graph.aligned(expected, found) if graph.aligned else (expected, found)
        for name, rows in pairs.items():
            rows.append((expected[name], found[name]))
    engine.close()
    report = tuple(row_of(name, rows) for name, rows in pairs.items())
    refuse_what_differs(card, report)
    return report


def _by_torch(graph: Graph, tensors: Tensors) -> dict[str, Array]:
    with torch.inference_mode():
        outputs = graph.module(*tensors)
    names = [output.name for output in graph.card.outputs]
    return {name: tensor.numpy() for name, tensor in zip(names, outputs, strict=True)}


def _by_ort(engine: OrtEngine, card: Manifest, tensors: Tensors) -> dict[str, Array]:
    """Copies: the engine keeps the arrays that it returns."""
    feeds = {spec.name: tensor.numpy() for spec, tensor in zip(card.inputs, tensors, strict=True)}
    return {name: np.array(values) for name, values in engine(feeds).items()}
