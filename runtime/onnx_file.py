"""What an ONNX model says of itself, read from its bytes without any library: its tensors, its metadata, its other files.

ONNX Runtime resolves external weights of a model in memory against the working folder in some releases and refuses them
in others; so the bytes are asked before they get there. Only the parts that can hold tensors are walked.

Source: the message definitions of onnx.proto3 (ONNX), and the protocol buffer wire format.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from vedette.runtime.errors import ModelError

MODEL, GRAPH, NODE, ATTRIBUTE, FUNCTION, SPARSE, TENSOR, ENTRY = range(8)
# message -> field number -> the message in it
PARTS: dict[int, dict[int, int]] = {
    MODEL: {7: GRAPH, 25: FUNCTION},
    GRAPH: {1: NODE, 5: TENSOR, 15: SPARSE},
    FUNCTION: {7: NODE},
    NODE: {5: ATTRIBUTE},
    ATTRIBUTE: {5: TENSOR, 6: GRAPH, 10: TENSOR, 11: GRAPH, 22: SPARSE, 23: SPARSE},
    SPARSE: {1: TENSOR, 2: TENSOR},
    TENSOR: {13: ENTRY},
}
KEY, VALUE = 1, 2  # fields of an entry
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
LENGTH_DELIMITED = 2
SKIPPED = {1: 8, 5: 4}  # wire type -> bytes


def external_files(model: bytes) -> set[str]:
    """The locations of all external weights in a serialised ONNX model.

    Raises:
        ModelError: the bytes are not a protocol buffer.
    """
    with _readable():
        return set(_locations(memoryview(model), MODEL, depth=0))


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
    with _readable():
        parts = _grouped(memoryview(model))
        graph = _grouped(parts[7][-1]) if 7 in parts else {}
        weights = {_text(_grouped(tensor), 8) for tensor in graph.get(5, [])}
        inputs, outputs = (tuple(map(_value, graph.get(number, []))) for number in (11, 12))
        makers = {
            bytes(name).decode("utf-8", "replace"): node
            for node in map(_grouped, graph.get(1, []))
            for name in node.get(2, [])
        }
        outputs = tuple(replace(value, ends=tuple(_ends(value.name, makers))) for value in outputs)
        pairs = [_grouped(entry) for entry in parts.get(14, [])]
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
    with _readable():
        parts = _grouped(memoryview(model))
        tensors = _grouped(parts[7][-1]).get(5, []) if 7 in parts else []
        return [found for tensor in tensors for found in _external(tensor)]


def _external(message: memoryview) -> Iterator[External]:
    """A TensorProto: dims, data_type, name, and external_data where it has any."""
    tensor = _grouped(message)
    numbers = list(_numbers(message))
    entries = {_text(pair, KEY): _text(pair, VALUE) for pair in map(_grouped, tensor.get(13, []))}
    if "location" in entries:
        sides = [value for field, value in numbers if field == 1]
        sides += [value for packed in tensor.get(1, []) for value in _varints(packed)]
        element = next((value for field, value in numbers if field == 2), 0)
        offset = int(entries.get("offset") or 0)
        yield External(_text(tensor, 8), DTYPES.get(element, ""), tuple(sides), entries["location"], offset)


def _varints(message: memoryview) -> Iterator[int]:
    place = 0
    while place < len(message):
        value, place = _varint(message, place)
        yield value


def _value(message: memoryview) -> Value:
    """A ValueInfoProto: name, and type.tensor_type with elem_type and shape.dim."""
    info = _grouped(message)
    kind = _grouped(info[2][-1]) if 2 in info else {}
    tensor = kind[1][-1] if 1 in kind else memoryview(b"")
    element = next((number for field, number in _numbers(tensor) if field == 1), 0)
    shapes = _grouped(tensor).get(2, [])
    sides = [dict(_numbers(side)).get(1, -1) for shape in shapes for side in _grouped(shape).get(1, [])]
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


def _grouped(message: memoryview) -> dict[int, list[memoryview]]:
    grouped: dict[int, list[memoryview]] = {}
    for number, content in _fields(message):
        grouped.setdefault(number, []).append(content)
    return grouped


def _text(parts: Mapping[int, Sequence[memoryview]], number: int) -> str:
    return bytes(parts[number][-1]).decode("utf-8", "replace") if number in parts else ""


@contextmanager
def _readable() -> Iterator[None]:
    try:
        yield
    except (IndexError, ValueError, RecursionError) as error:
        raise ModelError(
            "this is not an ONNX file",
            why=f"its bytes end or break off in a field: {error}",
            cure="copy it again",
        ) from None


def _locations(message: memoryview, kind: int, *, depth: int) -> Iterator[str]:
    if depth > 64:
        raise ValueError("nested too deeply")
    if kind == ENTRY:
        entry = dict(_fields(message))
        if bytes(entry.get(KEY, b"")) == b"location":
            yield bytes(entry.get(VALUE, b"")).decode("utf-8", "replace")
        return
    parts = PARTS[kind]
    for number, content in _fields(message):
        if number in parts:
            yield from _locations(content, parts[number], depth=depth + 1)


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Number and content of every length-delimited field."""
    return ((number, content) for number, content in _entries(message) if isinstance(content, memoryview))


def _numbers(message: memoryview) -> Iterator[tuple[int, int]]:
    """Number and value of every field that is a whole number."""
    return ((number, value) for number, value in _entries(message) if isinstance(value, int))


def _entries(message: memoryview) -> Iterator[tuple[int, memoryview | int]]:
    place = 0
    while place < len(message):
        tag, place = _varint(message, place)
        wire = tag & 7
        if wire == LENGTH_DELIMITED:
            size, place = _varint(message, place)
            if size > len(message) - place:
                raise ValueError("a field is longer than what is left")
            yield tag >> 3, message[place : place + size]
            place += size
        elif wire == 0:
            value, place = _varint(message, place)
            yield tag >> 3, value
        elif wire in SKIPPED:
            place += SKIPPED[wire]
        else:
            raise ValueError(f"wire type {wire}")


def _varint(message: memoryview, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[place]
        place += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, place
        shift += 7
        if shift > 63:
            raise ValueError("a number is too long")
