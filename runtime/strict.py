"""JSON read into frozen dataclasses, strictly: no key but theirs, no type but the declared one, no number that is none.

In: JSON text, or what JSON gave, and a dataclass.  Out: an instance of it.  Used by manifest.py, bundle.py, recipe.py, decoders/.
Declared are str, bool, int, float, Literal, X | None, tuple, dict with str keys, Any, and dataclasses of these. A whole
number may stand for a float. The commonest libraries for this take longer to import than all else that a start reads.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from math import isfinite
from types import NoneType
from typing import Any, Literal, NoReturn, TypeVar, get_args, get_origin

T = TypeVar("T")
DEEPEST = 64  # levels of what is not declared; more is an attack on whoever copies it
SCALARS: Mapping[Any, str] = {str: "a text", bool: "true or false", int: "a whole number", NoneType: "null"}


class RefusedError(ValueError):
    """What is wrong, and where: 'inputs.0.shape: …'."""


def loads(of: type[T], text: bytes | str) -> T:
    """An instance of a dataclass from JSON.

    Raises:
        RefusedError: it is no JSON, or not of this form.
    """
    try:
        text = text if isinstance(text, str) else text.decode()
        document = json.loads(text)  # NaN is refused below, where its place is known
    except (ValueError, RecursionError) as error:
        raise RefusedError(f"the document: it is no JSON: {error}") from None
    return read(of, document)


def read(of: type[T], value: Any) -> T:
    """An instance of a dataclass from what JSON gave; a tuple may stand for a list.

    Raises:
        RefusedError: it is not of this form.
    """
    made: T = _read(of, value, "")
    return made


def _refuse(where: str, why: str) -> NoReturn:
    raise RefusedError(f"{where[1:] or 'the document'}: {why}")


def _read(kind: Any, value: Any, where: str) -> Any:
    if kind in SCALARS:
        return _scalar(kind, value, where)
    if kind is float:
        return _float(value, where)
    if is_dataclass(kind):
        return _object(kind, value, where)
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is tuple:
        return _tuple(arguments, value, where)
    if origin is dict:
        return {key: _read(arguments[1], item, f"{where}.{key}") for key, item in _items(value, where)}
    if origin is Literal:
        return _literal(arguments, value, where)
    if NoneType in arguments:
        (other,) = (argument for argument in arguments if argument is not NoneType)
        return None if value is None else _read(other, value, where)
    assert kind is Any, f"{kind} cannot be declared"
    return _anything(value, where)


def _scalar(kind: Any, value: Any, where: str) -> Any:
    if type(value) is not kind:
        _refuse(where, f"it is not {SCALARS[kind]}")
    if kind is str and not value.isascii():
        _check_text(value, where)
    return value


def _check_text(text: str, where: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:  # half a surrogate pair, which nothing could print
        _refuse(where, "it is not a text")


def _float(value: Any, where: str) -> float:
    if type(value) not in (int, float):
        _refuse(where, "it is not a number")
    try:
        number = float(value)
    except OverflowError:
        _refuse(where, "it is too large a number")
    if not isfinite(number):
        _refuse(where, "it is not a finite number")
    return number


def _literal(choices: Sequence[Any], value: Any, where: str) -> Any:
    if not any(type(value) is type(choice) and value == choice for choice in choices):
        _refuse(where, f"it is not {' or '.join(json.dumps(choice) for choice in choices)}")
    return value


def _tuple(kinds: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        _refuse(where, "it is not a list")
    if kinds[-1] is Ellipsis:
        kinds = kinds[:1] * len(value)
    if len(value) != len(kinds):
        _refuse(where, f"it has {len(value)} items, not {len(kinds)}")
    return tuple(
        _read(kind, item, f"{where}.{index}")
        for index, (kind, item) in enumerate(zip(kinds, value, strict=True))
    )


def _items(value: Any, where: str) -> Sequence[tuple[str, Any]]:
    if not isinstance(value, dict):
        _refuse(where, "it is not an object")
    for key in value:
        _scalar(str, key, where)
    return list(value.items())


def _object(kind: Any, value: Any, where: str) -> Any:
    known = {field.name: field for field in fields(kind)}
    given = dict(_items(value, where))
    for name in given.keys() - known.keys():
        _refuse(f"{where}.{name}", "there is no such key")
    for name, field in known.items():
        if name not in given and field.default is MISSING and field.default_factory is MISSING:
            _refuse(f"{where}.{name}", "it is missing")
    read_ = {name: _read(known[name].type, item, f"{where}.{name}") for name, item in given.items()}
    try:
        return kind(**read_)
    except ValueError as error:  # of its __post_init__
        _refuse(where, str(error))


def _anything(value: Any, where: str, left: int = DEEPEST) -> Any:
    """What JSON can hold, checked as far as anybody may trip over it."""
    if not left:
        _refuse(where[:80], "it is nested too deeply")
    if isinstance(value, dict):
        return {key: _anything(item, f"{where}.{key}", left - 1) for key, item in _items(value, where)}
    if isinstance(value, list | tuple):
        return [_anything(item, f"{where}.{index}", left - 1) for index, item in enumerate(value)]
    if type(value) is float:
        return _float(value, where)
    return _scalar(type(value) if type(value) in SCALARS else str, value, where)
