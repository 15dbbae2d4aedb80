"""Trained weights out of Caffe's .caffemodel files, without Caffe and without protobuf.

In: a file.  Out: tensors by layer, "conv1_1.weight", "conv1_1.bias".
A file is one protobuf message, NetParameter; of its fields only the layers' names and blobs are read, in both forms that Caffe
has had. Protobuf's wire format is a sequence of (field number, wire type, value), where a message is bytes again.

Sources: BVLC/caffe src/caffe/proto/caffe.proto (field numbers); the protobuf encoding guide (wire format).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vedette.runtime.errors import ModelError

LAYER, OLD_LAYER = 100, 2  # fields of NetParameter
NAME_AND_BLOBS = {LAYER: (1, 7), OLD_LAYER: (4, 6)}  # fields of a layer of each form
SHAPE, DATA, DOUBLE_DATA = 7, 5, 8  # fields of a blob
OLD_SHAPE = (1, 2, 3, 4)  # number, channels, height, width
VARINT, EIGHT_BYTES, BYTES, FOUR_BYTES = 0, 1, 2, 5  # wire types
PARTS = ("weight", "bias")  # the first and second blob


class _DamagedError(ValueError):
    """What is no protobuf message."""


def read_caffemodel(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a .caffemodel, float32, "layer.weight" and "layer.bias".

    Raises:
        ModelError: unreadable, or no such file.
    """
    try:
        data = path.read_bytes()
        tensors = {name: torch.from_numpy(array) for name, array in _arrays(memoryview(data))}
    except OSError as error:
        raise ModelError(
            f"cannot read {path}", why=error.strerror or str(error), cure="check --weights"
        ) from None
    except _DamagedError as error:
        raise ModelError(f"{path.name} is not a .caffemodel", why=str(error), cure="copy it again") from None
    if not tensors:
        raise ModelError(
            f"{path.name} is not a .caffemodel", why="none of its layers has weights", cure="give the trained file"
        )  # fmt: skip
    return tensors


def _arrays(net: memoryview) -> Iterator[tuple[str, NDArray[np.float32]]]:
    for number, layer in _fields(net):
        if number not in NAME_AND_BLOBS or not isinstance(layer, memoryview):
            continue
        name_field, blob_field = NAME_AND_BLOBS[number]
        fields = list(_fields(layer))
        name = next((_text(value) for field, value in fields if field == name_field), "")
        blobs = [value for field, value in fields if field == blob_field]
        for part, blob in zip(PARTS, blobs, strict=False):
            yield f"{name}.{part}", _array(blob, f"{name}.{part}")


def _fields(message: memoryview) -> Iterator[tuple[int, Any]]:
    """(field number, value) of a message: an int, or the bytes of a number, text or message."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        kind = key & 7
        if kind == VARINT:
            value, at = _varint(message, at)
            yield key >> 3, value
            continue
        if kind == BYTES:
            size, at = _varint(message, at)
        elif kind in (EIGHT_BYTES, FOUR_BYTES):
            size = 8 if kind == EIGHT_BYTES else 4
        else:
            raise _DamagedError(f"a field has wire type {kind}, which protobuf does not have")
        if at + size > len(message):
            raise _DamagedError(f"a field of {size} bytes ends after the {len(message)} that hold it")
        yield key >> 3, message[at : at + size]
        at += size


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """A number of 7 bits a byte, and where the next thing begins."""
    value = 0
    for index in range(10):
        if at + index >= len(message):
            raise _DamagedError("it ends within a number")
        byte = message[at + index]
        value |= (byte & 127) << 7 * index
        if byte < 128:
            return value, at + index + 1
    raise _DamagedError("a number has more than 64 bits")


def _text(value: Any) -> str:
    if not isinstance(value, memoryview):
        raise _DamagedError("the name of a layer is no text")
    return bytes(value).decode(errors="replace")


def _array(blob: Any, name: str) -> NDArray[np.float32]:
    """One blob in its own shape; without one, in the four numbers of the older form."""
    if not isinstance(blob, memoryview):
        raise _DamagedError(f"{name} is no blob")
    fields = list(_fields(blob))
    parts = [value for field, value in fields if field in (DATA, DOUBLE_DATA)]
    kind = "<f8" if any(field == DOUBLE_DATA for field, _ in fields) else "<f4"
    if any(not isinstance(part, memoryview) or len(part) % np.dtype(kind).itemsize for part in parts):
        raise _DamagedError(f"the numbers of {name} are no numbers")
    data = np.frombuffer(b"".join(parts), kind).astype(np.float32)
    shape = _shape(fields)
    if int(np.prod(shape)) != data.size:
        raise _DamagedError(f"{name} has {data.size} numbers, but its shape is {list(shape)}")
    return data.reshape(shape)


def _shape(fields: list[tuple[int, Any]]) -> tuple[int, ...]:
    for field, value in fields:
        if field == SHAPE and isinstance(value, memoryview):
            return tuple(size for number, part in _fields(value) if number == 1 for size in _sizes(part))
    old = dict(fields)
    return tuple(old[field] if isinstance(old.get(field), int) else 1 for field in OLD_SHAPE)


def _sizes(part: Any) -> Iterator[int]:
    """One size, or several packed into bytes."""
    if isinstance(part, int):
        yield part
        return
    at = 0
    while at < len(part):
        size, at = _varint(part, at)
        yield size
