"""Which nodes of a graph would overflow in float16, and so stay float32: an island; and whether what was made holds.

ONNX Runtime computes float16 graphs on a CPU in wider types, so that its outputs prove nothing. So every intermediate of the
float32 graph is looked at: the largest absolute value of each, over feeds as a run has them.

In: a Skeleton in float32, weights, feeds.  Out: nodes; or a ModelError.  Next: _streamed.py.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vedette.export._half import HALF_WEIGHT, float_tensors
from vedette.export._hollow import Weights
from vedette.export._large import write
from vedette.export._skeleton import Skeleton
from vedette.runtime.engine import cpu_threads
from vedette.runtime.errors import ModelError
from vedette.runtime.frame import Array

LARGEST = 65504.0  # of float16
MARGIN = 4.0  # other pictures and words than the feeds reach further
ENDS = {"ReduceMax": "_most", "ReduceMin": "_least", "ReduceMean": "_mean"}
Feeds = Mapping[str, Array]


def island(skeleton: Skeleton, weights: Weights, feeds: Iterable[Feeds], folder: Path) -> set[str]:
    """The outputs of nodes that would read or make what float16 holds only just or not at all.

    Args:
        skeleton: in float32; it is not changed.
        weights: of it; they count as float16 rounds them.
        feeds: inputs by name, as in a run.
        folder: where the weights can lie meanwhile.

    Raises:
        ModelError: it is not finite in float32 already.
        DiskError: there is no room for the weights.
    """
    judge = skeleton.copy()
    _round_weights(judge)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".judge-") as scratch:
        write(judge, weights, Path(scratch) / "judge.onnx")
        seen = peaks(judge.model, feeds, Path(scratch))
    broken = [name for name, peak in seen.items() if not np.isfinite(peak)]
    if broken:
        raise ModelError(
            "the network is not finite in float32",
            why=f"{broken[0]} has NaN or infinite values",
            cure="copy its weights again",
        )
    wide = {name for name, peak in seen.items() if peak * MARGIN > LARGEST}
    return {
        node.output[0]
        for node in skeleton.model.graph.node
        if wide.intersection(node.input) or wide.intersection(node.output)
    }


def _round_weights(skeleton: Skeleton) -> None:
    """Weights are kept in float16, and cast where they are used first: what is computed is float32 all the same."""
    from onnx import TensorProto, helper

    graph, nodes, casts = skeleton.model.graph, [], {}
    for declared in graph.initializer:
        if skeleton.origin(declared.name) is not None:
            name = declared.name
            declared.name, declared.data_type = f"{name}{HALF_WEIGHT}", TensorProto.FLOAT16
            casts[name] = helper.make_node("Cast", [declared.name], [name], to=TensorProto.FLOAT)
    for node in graph.node:
        nodes += [casts.pop(name) for name in dict.fromkeys(node.input) if name in casts]
        nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)


def check_written(model: Any, feeds: Iterable[Feeds], path: Path, name: str) -> None:
    """Refuse a graph with values that are not finite, or that float16 does not hold where it is float16.

    Args:
        model: the onnx.ModelProto that was written; it is used up.
        feeds: inputs by name.
        path: where it was written, with its weights beside it.
        name: of the part.

    Raises:
        ModelError: there is such a value.
    """
    half = _floats(model)[1]
    for tensor, peak in peaks(model, feeds, path.parent).items():
        if not np.isfinite(peak) or (tensor in half and peak > LARGEST):
            raise ModelError(
                f"{name} overflows in float16",
                why=f"{tensor} reaches {peak:g}, float16 ends at {LARGEST:g}",
                cure="export it with --precision fp32",
            )


def peaks(model: Any, feeds: Iterable[Feeds], folder: Path) -> dict[str, float]:
    """The largest absolute value of every tensor over all feeds; one of them at a time is in memory.

    Args:
        model: an onnx.ModelProto, used up.
        feeds: inputs by name.
        folder: of its external weights.
    """
    names = _watch(model)
    session = lean_session(model.SerializeToString(), folder)
    asked = [f"{name}{end}" for name in names for end in ENDS.values()]
    seen = np.zeros(len(names))
    for each in feeds:
        found = np.array([float(value) for value in session.run(asked, dict(each))]).reshape(-1, len(ENDS))
        sizes = np.abs(found).max(axis=1)
        seen = np.maximum(seen, np.where(np.isnan(found).any(axis=1), np.inf, sizes))
    return dict(zip(names, seen.tolist(), strict=True))


def lean_session(model: bytes, folder: Path) -> Any:
    """A session that maps its external weights, and keeps no other copy of them: slow, and no larger than it must be."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = cpu_threads()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.execution_order = ort.ExecutionOrder.PRIORITY_BASED  # else all casts of weights come first
    options.enable_cpu_mem_arena = options.enable_mem_pattern = False
    options.add_session_config_entry("session.disable_prepacking", "1")
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry(
        "session.model_external_initializers_file_folder_path", str(folder.resolve())
    )
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _watch(model: Any) -> list[str]:
    """Give a graph three more outputs for each tensor: its largest, its smallest and its mean, which is NaN where one is."""
    from onnx import TensorProto, helper

    full, half = _floats(model)
    graph, watched = model.graph, full | half
    before, nodes, names = {*(value.name for value in graph.input)}, [], []
    for node in [None, *graph.node]:  # what is watched, right behind what makes it
        made = before if node is None else node.output
        nodes += [] if node is None else [node]
        for name in watched.intersection(made):
            names.append(name)
            nodes += _watching(name, cast=name in half)
            graph.output.extend(
                helper.make_tensor_value_info(f"{name}{end}", TensorProto.FLOAT, []) for end in ENDS.values()
            )
    del graph.node[:]
    graph.node.extend(nodes)
    return names


def _floats(model: Any) -> tuple[set[str], set[str]]:
    """The names of tensors of float32, and of float16."""
    import onnx

    inferred = onnx.shape_inference.infer_shapes(model)
    return float_tensors(inferred), float_tensors(inferred, onnx.TensorProto.FLOAT16)


def _watching(name: str, *, cast: bool) -> Iterator[Any]:
    from onnx import TensorProto, helper

    values = name
    if cast:
        values = f"{name}_wide"
        yield helper.make_node("Cast", [name], [values], to=TensorProto.FLOAT)
    for operator, end in ENDS.items():
        yield helper.make_node(operator, [values], [f"{name}{end}"], keepdims=0)
