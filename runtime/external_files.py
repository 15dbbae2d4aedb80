"""Which other files an ONNX model would read, found in its bytes before anything can read it.

ONNX Runtime resolves external weights of a model in memory against the working folder in some releases and refuses them
in others; so the bytes are asked before they get there. Only the parts that can hold tensors are walked. Every start of a
model comes through here, so that onnx_file.py, which tells more, need not be imported.

Source: the message definitions of onnx.proto3 (ONNX).
"""

from collections.abc import Iterator

from vedette.runtime.wire import entries, fields, readable

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


def external_files(model: bytes) -> set[str]:
    """The locations of all external weights in a serialised ONNX model.

    Raises:
        ModelError: the bytes are not a protocol buffer.
    """
    with readable():
        return set(_locations(memoryview(model), MODEL, depth=0))


def _locations(message: memoryview, kind: int, *, depth: int) -> Iterator[str]:
    if depth > 64:
        raise ValueError("nested too deeply")
    if kind == ENTRY:
        entry = dict(fields(message))
        if bytes(entry.get(KEY, b"")) == b"location":
            yield bytes(entry.get(VALUE, b"")).decode("utf-8", "replace")
        return
    parts = PARTS[kind]
    for number, content in entries(message):
        if number in parts and isinstance(content, memoryview):
            yield from _locations(content, parts[number], depth=depth + 1)
