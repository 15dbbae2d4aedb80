"""Which other files an ONNX model would read, found in its bytes without any library.

ONNX Runtime resolves external weights of a model in memory against the working folder in some releases and refuses them
in others; so the bytes are asked before they get there. Only the parts that can hold tensors are walked.

Source: the message definitions of onnx.proto3 (ONNX), and the protocol buffer wire format.
"""

from collections.abc import Iterator

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
LENGTH_DELIMITED = 2
SKIPPED = {1: 8, 5: 4}  # wire type -> bytes


def external_files(model: bytes) -> set[str]:
    """The locations of all external weights in a serialised ONNX model.

    Raises:
        ModelError: the bytes are not a protocol buffer.
    """
    try:
        return set(_locations(memoryview(model), MODEL, depth=0))
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
            _, place = _varint(message, place)
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
