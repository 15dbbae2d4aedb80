"""A skeleton's weights are put into it, one at a time, and it is written: as one file, or with a file of weights beside it.

In: Skeleton, Weights.  Out: m.onnx, and m.onnx.data where the weights are large: a protocol buffer ends at 2 GB.
At no time is more than one weight in memory, and the weights of a graph that is one file.  Next: bundle.py.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vedette.export._half import nearest_half
from vedette.export._hollow import Weights
from vedette.export._skeleton import Skeleton
from vedette.runtime import manifest as manifests
from vedette.runtime.draw import disk_error, write_bytes
from vedette.runtime.frame import Array

LARGE = 512 << 20  # bytes of weights from which they lie in a file of their own
PAGE = 4096  # where a weight begins, so that it can be mapped
Put = Callable[[Any, Array], None]


def is_large(skeleton: Skeleton) -> bool:
    """Whether its weights go into a file of their own."""
    return sum(_bytes(weight) for weight in skeleton.model.graph.initializer) >= LARGE


def _bytes(weight: Any) -> int:
    from onnx import helper

    dtype = np.dtype(helper.tensor_dtype_to_np_dtype(weight.data_type))
    return int(np.prod(list(weight.dims), dtype=np.int64)) * dtype.itemsize


def write(skeleton: Skeleton, weights: Weights, path: Path) -> dict[str, str]:
    """Write a graph with its weights; the skeleton is used up.

    Returns:
        The sha256 of every file by its name, as a manifest has them.

    Raises:
        DiskError: a file cannot be written.
    """
    files: dict[str, str] = {}
    if is_large(skeleton):
        beside = path.with_name(f"{path.name}.data")
        with _appending(beside) as (put, digest):
            _fill(skeleton, weights, put)
        files[beside.name] = digest.hexdigest()
    else:
        _fill(skeleton, weights, _inline)
    data = skeleton.model.SerializeToString()
    write_bytes(path, data)
    return {path.name: manifests.sha256(data), **files}


def _fill(skeleton: Skeleton, weights: Weights, put: Put) -> None:
    from onnx import TensorProto

    for declared in skeleton.model.graph.initializer:
        origin = skeleton.origin(declared.name) if declared.data_location == TensorProto.EXTERNAL else None
        if origin is not None:
            half = declared.data_type == TensorProto.FLOAT16
            put(declared, numbers(origin.of(weights), half=half))


def numbers(tensor: torch.Tensor, *, half: bool) -> Array:
    """float16, with what is out of range at its ends, or float32; contiguous."""
    if half and tensor.dtype == torch.float16:
        return np.ascontiguousarray(tensor.numpy())
    values = np.ascontiguousarray(tensor.float().numpy())
    return nearest_half(values) if half else values


def _inline(declared: Any, values: Array) -> None:
    from onnx import TensorProto

    declared.ClearField("external_data")
    declared.data_location = TensorProto.DEFAULT
    declared.raw_data = values.tobytes()


@contextlib.contextmanager
def _appending(path: Path) -> Iterator[tuple[Put, Any]]:
    """What puts a weight at the end of a file, and the digest of what was put; the file has its name when all is there."""
    digest = hashlib.sha256()
    partial = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:

            def put(declared: Any, values: Array) -> None:
                gap = bytes(-file.tell() % PAGE)
                _point(declared, path.name, file.tell() + len(gap), values.nbytes)
                for piece in (gap, values.data.cast("B")):
                    file.write(piece)
                    digest.update(piece)

            yield put, digest
        partial.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise disk_error(path, error) from None


def _point(declared: Any, location: str, offset: int, length: int) -> None:
    """A weight lies at a place of a file."""
    declared.ClearField("external_data")
    for key, value in (("location", location), ("offset", offset), ("length", length)):
        entry = declared.external_data.add()
        entry.key, entry.value = key, str(value)
