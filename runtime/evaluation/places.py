"""JSON that is read, and told of by line and column where it is wrong."""

import json
from pathlib import Path
from typing import Any, NoReturn

from vedette.runtime.errors import SourceError

_SPACE = " \t\n\r"


def text_of(path: Path) -> str:
    """A file as text.

    Raises:
        SourceError: it cannot be read, or is no UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise SourceError(
            f"{path} is no text", why=f"byte {error.start} is no UTF-8", cure="save it as UTF-8"
        ) from None
    except OSError as error:
        raise SourceError(
            f"cannot read {path}", why=error.strerror or str(error), cure="check the path"
        ) from None


def json_of(text: str, path: Path, *, line: int = 1) -> Any:
    """Parsed JSON.

    Args:
        text: the JSON.
        path: the file it is from.
        line: of the file, at which the text begins.

    Raises:
        SourceError: it is malformed; says where.
    """
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        row = line + error.lineno - 1
        refuse(
            f"{path}:{row}:{error.colno}",
            f"malformed JSON at line {row}, column {error.colno}: {error.msg}",
            "was the file written whole?",
        )
    except RecursionError:
        refuse(str(path), "it is nested too deeply", "give a results or annotation file")


def read_json(path: Path) -> Any:
    """A file of JSON.

    Raises:
        SourceError: it cannot be read, or is malformed; says where.
    """
    return json_of(text_of(path), path)


def refuse(place: str, why: str, cure: str) -> NoReturn:
    """Raise a SourceError that begins with a place."""
    raise SourceError(f"{place} cannot be used", why=why, cure=cure)


def place_of(path: Path, *keys: str | int) -> str:
    """`file:line:column` of a value inside a JSON file that parses."""
    text = text_of(path)
    position = _found(text, keys)
    line = text.count("\n", 0, position) + 1
    return f"{path}:{line}:{position - text.rfind(chr(10), 0, position)}"


def _found(text: str, keys: tuple[str | int, ...]) -> int:
    position = _skipped(text, 0)
    for key in keys:
        position = _item(text, position, key) if isinstance(key, int) else _member(text, position, key)
    return position


def _skipped(text: str, position: int) -> int:
    while text[position] in _SPACE:
        position += 1
    return position


def _item(text: str, position: int, wanted: int) -> int:
    """Where an item of the list begins that begins at a position."""
    position = _skipped(text, position + 1)
    for _ in range(wanted):
        _, end = json.JSONDecoder().raw_decode(text, position)
        position = _skipped(text, _skipped(text, end) + 1)
    return position


def _member(text: str, position: int, wanted: str) -> int:
    """Where the value of a key begins in the object that begins at a position."""
    decoder = json.JSONDecoder()
    while True:
        key, end = decoder.raw_decode(text, _skipped(text, position + 1))
        position = _skipped(text, _skipped(text, end) + 1)
        if key == wanted:
            return position
        _, end = decoder.raw_decode(text, position)
        position = _skipped(text, end)
