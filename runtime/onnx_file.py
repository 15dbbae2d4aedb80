"""What an ONNX model says of itself, read from its bytes without any library: its tensors, its metadata, its other files.

Source: the message definitions of onnx.proto3 (ONNX).  Next: wire.py, external_files.py.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from vedette.runtime.external_files import KEY, VALUE
from vedette.runtime.external_files import external_files as external_files
from vedette.runtime.wire import grouped, numbers, readable, varints

DTYPES = {
    1: "float32",
    2: "uint8",
    6: "int32",
    7: "int64",
    9: "bool",
    10: "float16",
}  # of TensorProto.DataType
MOVING = {
    "Transpose",
    "Reshape",
    "Identity",
    "Cast",
    "Squeeze",
    "Unsqueeze",
    "Flatten",
    "QuantizeLinear",
    "DequantizeLinear",
}
CHAIN = 12  # operators


@dataclass(frozen=True, slots=True)
class Value:
    """An input or output of a graph."""

    name: str
    dtype: str  # "" for one that we do not know
    shape: tuple[int, ...]  # -1 for an axis of no fixed length
    ends: tuple[str, ...] = ()  # the last operators that compute an output, the very last first


@dataclass(frozen=True, slots=True)
class Graph:
    """The outside of a model."""

    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    metadata: Mapping[str, str]
    producer: str


def graph_of(model: bytes) -> Graph:
    """Inputs (without weights), outputs, metadata and exporter of a serialised ONNX model.

    Raises:
        ModelError: the bytes are not a protocol buffer.
    """
    with readable():
        parts = grouped(memoryview(model))
        graph = grouped(parts[7][-1]) if 7 in parts else {}
        weights = {_text(grouped(tensor), 8) for tensor in graph.get(5, [])}
        inputs, outputs = (tuple(map(_value, graph.get(number, []))) for number in (11, 12))
        makers = {
            bytes(name).decode("utf-8", "replace"): node
            for node in map(grouped, graph.get(1, []))
            for name in node.get(2, [])
        }
        outputs = tuple(replace(value, ends=tuple(_ends(value.name, makers))) for value in outputs)
        pairs = [grouped(entry) for entry in parts.get(14, [])]
        return Graph(
            tuple(value for value in inputs if value.name not in weights),
            outputs,
            {_text(pair, KEY): _text(pair, VALUE) for pair in pairs},
            _text(parts, 2),
        )


@dataclass(frozen=True, slots=True)
class External:
    """A weight that lies in another file."""

    name: str
    dtype: str  # "" for one that we do not know
    shape: tuple[int, ...]
    file: str
    offset: int


def externals_of(model: bytes) -> list[External]:
    """The weights of a serialised ONNX model's graph that lie in other files.

    Raises:
        ModelError: the bytes are not a protocol buffer.
    """
    with readable():
        parts = grouped(memoryview(model))
        tensors = grouped(parts[7][-1]).get(5, []) if 7 in parts else []
        return [found for tensor in tensors for found in _external(tensor)]


def _external(message: memoryview) -> Iterator[External]:
    """A TensorProto: dims, data_type, name, and external_data where it has any."""
    tensor = grouped(message)
    told = list(numbers(message))
    entries = {_text(pair, KEY): _text(pair, VALUE) for pair in map(grouped, tensor.get(13, []))}
    if "location" in entries:
        sides = [value for field, value in told if field == 1]
        sides += [value for packed in tensor.get(1, []) for value in varints(packed)]
        element = next((value for field, value in told if field == 2), 0)
        offset = int(entries.get("offset") or 0)
        yield External(_text(tensor, 8), DTYPES.get(element, ""), tuple(sides), entries["location"], offset)


def _value(message: memoryview) -> Value:
    """A ValueInfoProto: name, and type.tensor_type with elem_type and shape.dim."""
    info = grouped(message)
    kind = grouped(info[2][-1]) if 2 in info else {}
    tensor = kind[1][-1] if 1 in kind else memoryview(b"")
    element = next((number for field, number in numbers(tensor) if field == 1), 0)
    shapes = grouped(tensor).get(2, [])
    sides = [dict(numbers(side)).get(1, -1) for shape in shapes for side in grouped(shape).get(1, [])]
    return Value(_text(info, 1), DTYPES.get(element, ""), tuple(side if side > 0 else -1 for side in sides))


def _ends(name: str, makers: Mapping[str, dict[int, list[memoryview]]]) -> Iterator[str]:
    """The operators before a value along their first inputs; those that only move values are passed over."""
    for _ in range(CHAIN):
        if name not in makers:
            return
        operator = _text(makers[name], 4)
        if operator not in MOVING:
            yield operator
        name = bytes(makers[name].get(1, [b""])[0]).decode("utf-8", "replace")


def _text(parts: Mapping[int, Sequence[memoryview]], number: int) -> str:
    return bytes(parts[number][-1]).decode("utf-8", "replace") if number in parts else ""
