"""Writes .caffemodel files with protobuf's own library, from Caffe's field numbers: what test files are made of.

Source: BVLC/caffe src/caffe/proto/caffe.proto.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

# name: (number, protobuf type, label); 1 optional, 3 repeated; types 2 float, 1 double, 3 int64, 5 int32, 9 string
BLOB = {
    "num": (1, 5, 1),
    "channels": (2, 5, 1),
    "height": (3, 5, 1),
    "width": (4, 5, 1),
    "double_data": (8, 1, 3),
}
LAYER = {"name": (1, 9, 1), "type": (2, 9, 1), "bottom": (3, 9, 3), "top": (4, 9, 3), "phase": (10, 5, 1)}
OLD_LAYER = {
    "bottom": (2, 9, 3),
    "top": (3, 9, 3),
    "name": (4, 9, 1),
    "type": (5, 5, 1),
    "blobs_lr": (7, 2, 3),
}


def written(
    layers: Mapping[str, Sequence[NDArray[Any]]],
    *,
    form: str = "layer",
    shape: str = "shape",
    numbers: str = "packed",
    wrong: str = "",
) -> bytes:
    """A file of these layers; `form` is the newer or older one, `wrong` a layer whose shape is not that of its data."""
    net = _net(numbers == "packed")()
    net.name = "test"
    for name, arrays in layers.items():
        layer = getattr(net, form).add(name=name, bottom=["x"], top=[name])
        for array in arrays:
            blob = layer.blobs.add()
            (blob.double_data if numbers == "double" else blob.data).extend(array.ravel().tolist())
            sides = [side + (name == wrong) for side in array.shape]
            if shape == "shape":
                blob.shape.dim.extend(sides)
            else:
                blob.num, blob.channels, blob.height, blob.width = [1] * (4 - len(sides)) + sides
    data: bytes = net.SerializeToString()
    return data


def state_of(tensors: Mapping[str, Any]) -> dict[str, list[NDArray[np.float32]]]:
    """The layers of a state dict, by the last part of their names, each with its weight and bias."""
    layers: dict[str, list[NDArray[np.float32]]] = {}
    for key, tensor in tensors.items():
        layers.setdefault(key.split(".")[-2], []).append(tensor.numpy())
    return layers


@cache
def _net(packed: bool) -> Any:
    from google.protobuf import (  # type: ignore[import-untyped]
        descriptor_pb2,
        descriptor_pool,
        message_factory,
    )

    file = descriptor_pb2.FileDescriptorProto(name=f"caffe{packed}.proto", package="caffe", syntax="proto2")

    def message(name: str, fields: Mapping[str, tuple[int, int, int]]) -> Any:
        made = file.message_type.add(name=name)
        for field, (number, kind, label) in fields.items():
            made.field.add(name=field, number=number, type=kind, label=label)
        return made

    def holds(owner: Any, field: str, number: int, kind: str, label: int = 3) -> None:
        owner.field.add(name=field, number=number, type=11, label=label, type_name=f".caffe.{kind}")

    message("Shape", {}).field.add(name="dim", number=1, type=3, label=3, options={"packed": packed})
    blob = message("Blob", BLOB)
    blob.field.add(name="data", number=5, type=2, label=3, options={"packed": packed})
    holds(blob, "shape", 7, "Shape", 1)
    holds(message("Layer", LAYER), "blobs", 7, "Blob")
    holds(message("OldLayer", OLD_LAYER), "blobs", 6, "Blob")
    net = message("Net", {"name": (1, 9, 1), "input": (3, 9, 3)})
    holds(net, "layer", 100, "Layer")
    holds(net, "layers", 2, "OldLayer")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("caffe.Net"))
