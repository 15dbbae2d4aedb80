"""A detector of a few weights, with its manifest: what tests run where accuracy is not the question."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from vedette.runtime import manifest as manifests
from vedette.runtime.backends import replay
from vedette.runtime.manifest import Decoder, Input, Manifest, Output, Resize

CARD = Manifest(
    "toy", "detection",
    (Input("images", (-1, 3, 32, 32), minimum=(1, 3, 32, 32), typical=(1, 3, 32, 32), maximum=(4, 3, 32, 32),
           pixel_format="bgr", resize=Resize("stretch"), scale=1 / 255),),
    (Output("grid", (-1, 7, 4, 4), role="grid"),), Decoder("fastestdet"), labels=("cat", "dog"), licence="Apache-2.0",
)  # fmt: skip


def grid() -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """One dog of a quarter of the picture's sides, centred in cell (1, 2); nothing else."""
    values = np.zeros((1, 7, 4, 4), np.float32)
    values[0, :, 2, 1] = [0.9, 0.0, 0.0, np.log(1 / 3), np.log(1 / 3), 0.1, 0.9]
    return values


def recording(folder: Path) -> Path:
    """A replay of that grid, as a model file with its manifest."""
    path = folder / "toy.npz"
    replay.record(path, {"grid": grid()})
    return with_manifest(path)


def onnx_model(folder: Path, name: str = "toy.onnx") -> Path:
    """A graph with those shapes: the picture pooled to 4 x 4 cells, then 1 x 1 convolved; finds a dog where it is bright."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    weights = np.zeros((7, 3, 1, 1), np.float32)
    weights[0] = weights[6] = 1 / 3
    nodes = [
        helper.make_node("AveragePool", ["images"], ["cells"], kernel_shape=[8, 8], strides=[8, 8]),
        helper.make_node("Conv", ["cells", "weights"], ["grid"]),
    ]
    graph = helper.make_graph(
        nodes, "toy",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", 3, 32, 32])],
        [helper.make_tensor_value_info("grid", TensorProto.FLOAT, ["batch", 7, 4, 4])],
        [numpy_helper.from_array(weights, "weights")],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = folder / name
    onnx.save(model, str(path))
    return with_manifest(path)


def with_manifest(path: Path, card: Manifest = CARD) -> Path:
    """Write a manifest that vouches for the file as it is."""
    manifests.save(replace(card, files={path.name: manifests.sha256(path.read_bytes())}), path)
    return path


def constant_model(folder: Path, card: Manifest, outputs: Mapping[str, np.ndarray[Any, Any]]) -> Path:
    """A graph that answers every picture of [batch, 3, h, w] with the same arrays, each of one image."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    nodes = [helper.make_node("ReduceMean", ["images"], ["mean"], axes=[1, 2, 3], keepdims=0)]
    nodes.append(helper.make_node("Mul", ["mean", "zero"], ["nothing"]))
    weights, infos = [numpy_helper.from_array(np.zeros(1, np.float32), "zero")], []
    for name, array in outputs.items():
        ones = numpy_helper.from_array(np.array([-1] + [1] * array.ndim, np.int64), f"{name}_shape")
        weights += [ones, numpy_helper.from_array(array[None].astype(np.float32), f"{name}_values")]
        nodes.append(helper.make_node("Reshape", ["nothing", f"{name}_shape"], [f"{name}_nothing"]))
        nodes.append(helper.make_node("Add", [f"{name}_nothing", f"{name}_values"], [name]))
        infos.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *array.shape]))
    pictures = helper.make_tensor_value_info(
        "images", TensorProto.FLOAT, ["batch", *card.inputs[0].shape[1:]]
    )
    graph = helper.make_graph(nodes, "constant", [pictures], infos, weights)
    path = folder / "constant.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))
    return with_manifest(path, card)
