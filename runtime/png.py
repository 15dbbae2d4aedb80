"""Text inside a PNG: written behind its header, read from anywhere in it.

In: the bytes of a PNG.  Out: the same with a text, or its text.
Source: the PNG specification, third edition, chapters 5 and 11.3.3.
"""

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

from vedette.runtime.draw import write_bytes
from vedette.runtime.errors import SourceError
from vedette.runtime.frame import Array

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_HEADER_END = len(SIGNATURE) + 25  # IHDR is the first chunk, of 13 bytes


def encode(image: Array) -> bytes:
    """The PNG of uint8 [H, W] or [H, W, 3] BGR."""
    import cv2

    done, data = cv2.imencode(".png", image)
    assert done
    return data.tobytes()


def with_text(png: bytes, key: str, text: str) -> bytes:
    """A PNG with one more text chunk.

    Args:
        png: any.
        key: 1 to 79 characters of ASCII.
        text: of ASCII.
    """
    body = key.encode("ascii") + b"\0" + text.encode("ascii")
    chunk = struct.pack(">I", len(body)) + b"tEXt" + body + struct.pack(">I", zlib.crc32(b"tEXt" + body))
    return png[:_HEADER_END] + chunk + png[_HEADER_END:]


def text_of(path: Path, key: str) -> str | None:
    """The text of that key in a file, or None.

    Raises:
        SourceError: it cannot be read, or is no whole PNG.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error.strerror or str(error)) from None
    if not data.startswith(SIGNATURE):
        raise _unreadable(path, "it is no PNG")
    for kind, body in _chunks(path, data):
        name, _, text = body.partition(b"\0")
        if kind == b"tEXt" and name == key.encode("ascii"):
            return text.decode("latin-1")
    return None


def _chunks(path: Path, data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = len(SIGNATURE)
    while at < len(data):
        (size,) = struct.unpack(">I", data[at : at + 4].ljust(4, b"\0"))
        kind, body, check = (
            data[at + 4 : at + 8],
            data[at + 8 : at + 8 + size],
            data[at + 8 + size : at + 12 + size],
        )
        if check != struct.pack(">I", zlib.crc32(kind + body)):
            raise _unreadable(path, "it is damaged or not whole")
        yield kind, body
        at += 12 + size


def _unreadable(path: Path, why: str) -> SourceError:
    return SourceError(f"cannot read {path}", why=why, cure="give a .png that vedette generate wrote")


def save(path: Path, image: Array, key: str, text: str) -> None:
    """Write a picture with its text.

    Raises:
        DiskError: it cannot be written.
    """
    write_bytes(path, with_text(encode(image), key, text))
