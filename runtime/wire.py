"""The protocol buffer wire format: a message as its fields, numbered; what their contents mean is the caller's to know.

In: bytes.  Out: numbers and views of the bytes, without copies.  Used by external_files.py and onnx_file.py.
Source: the encoding guide of protocol buffers.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from vedette.runtime.errors import ModelError

LENGTH_DELIMITED = 2
SKIPPED = {1: 8, 5: 4}  # wire type -> bytes


@contextmanager
def readable() -> Iterator[None]:
    """What cannot be read is refused as a model.

    Raises:
        ModelError: the bytes are no message.
    """
    try:
        yield
    except (IndexError, ValueError, RecursionError) as error:
        raise ModelError(
            "this is not an ONNX file",
            why=f"its bytes end or break off in a field: {error}",
            cure="copy it again",
        ) from None


def grouped(message: memoryview) -> dict[int, list[memoryview]]:
    """The length-delimited fields by number, each as often as it comes."""
    found: dict[int, list[memoryview]] = {}
    for number, content in fields(message):
        found.setdefault(number, []).append(content)
    return found


def fields(message: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Number and content of every length-delimited field."""
    return ((number, content) for number, content in entries(message) if isinstance(content, memoryview))


def numbers(message: memoryview) -> Iterator[tuple[int, int]]:
    """Number and value of every field that is a whole number."""
    return ((number, value) for number, value in entries(message) if isinstance(value, int))


def entries(message: memoryview) -> Iterator[tuple[int, memoryview | int]]:
    """Number and content or value of every field but those of fixed width."""
    place, end = 0, len(message)
    while place < end:
        tag, place = (message[place], place + 1) if message[place] < 128 else varint(message, place)
        wire = tag & 7
        if wire == LENGTH_DELIMITED:
            size, place = varint(message, place)
            if size > end - place:
                raise ValueError("a field is longer than what is left")
            yield tag >> 3, message[place : place + size]
            place += size
        elif wire == 0:
            value, place = varint(message, place)
            yield tag >> 3, value
        elif wire in SKIPPED:
            place += SKIPPED[wire]
        else:
            raise ValueError(f"wire type {wire}")


def varint(message: memoryview, place: int) -> tuple[int, int]:
    """The number that begins at a place, and the place behind it."""
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


def varints(message: memoryview) -> Iterator[int]:
    """The numbers of a packed field."""
    place = 0
    while place < len(message):
        value, place = varint(message, place)
        yield value
