"""What pydantic found wrong, as Problems: at a line and column, in words, without the value."""

from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any

from vedette.cameras.json_schema import keys_at
from vedette.cameras.nodes import Node
from vedette.cameras.problems import Loc, Problem, dotted, shown

KINDS = {
    "string_type": ("is not text", "it is a number, a list, true or false", "quote it, '…', if it is text"),
    "int_type": ("is not a whole number", "", "write digits alone, without quotes or unit"),
    "int_from_float": (
        "is not a whole number",
        "it has a point",
        "write digits alone, without quotes or unit",
    ),
    "float_type": ("is not a number", "", "write digits alone, without quotes or unit"),
    "bool_type": ("is neither true nor false", "", "write true or false, without quotes"),
    "tuple_type": ("is not a list", "", "put it in brackets: [a, b]"),
    "dict_type": (
        "has no keys",
        "it holds a key or more, each with a value",
        "put KEY: VALUE below it, indented",
    ),
    "model_type": (
        "has no keys",
        "it holds a key or more, each with a value",
        "put KEY: VALUE below it, indented",
    ),
    "missing": ("has too few values", "more are needed", ""),
    "string_pattern_mismatch": ("is written in a way that it cannot have", "", ""),
}


def problems_of(errors: list[Any], root: Node) -> Iterator[Problem]:
    """A Problem for each of a ValidationError's errors()."""
    for error in errors:
        yield _problem(error, root)


def placed(root: Node, loc: Loc, what: str, why: str, cure: str, *, at_key: bool = False) -> Problem:
    """A Problem at a path of the file, or as far along it as the file goes."""
    return Problem(*root.walked(loc, at_key=at_key)[1], what, why, cure)


def close(word: str, words: Any, otherwise: str) -> str:
    """The cure of a misspelt word."""
    found = get_close_matches(word, list(words), n=1, cutoff=0.6)
    return f"did you mean {found[0]}?" if found else otherwise


def _problem(error: Any, root: Node) -> Problem:
    kind, loc = error["type"], tuple(error["loc"])
    been, _ = root.walked(loc)
    if kind == "missing" and isinstance(loc[-1], str):
        where, name = dotted(been), str(loc[-1])
        text = keys_at(been).get(name, {}).get("description", "")
        return placed(
            root, been, f"{where} has no {name}", f"{name} is required", f"add {name}: {text}", at_key=True
        )
    if kind == "extra_forbidden":
        return _unknown(root, been)
    if loc[-1:] == ("[key]",):
        return placed(
            root, been, f"{dotted(been[:-1])} holds a name that is not allowed",
            "a name is 1 to 64 of A-Z, a-z, 0-9, _ and -", "rename it", at_key=True,
        )  # fmt: skip
    return placed(root, been, *_told(error, been, root))


def _unknown(root: Node, loc: Loc) -> Problem:
    known = keys_at(loc[:-1])
    why = f"it may have {', '.join(known)}" if known else "nothing may stand here"
    cure = close(str(loc[-1]), known, "take it out; docs/cameras.md has every key")
    return placed(root, loc, f"{dotted(loc[:-1])} has no key {shown(loc[-1])}", why, cure, at_key=True)


def _told(error: Any, been: Loc, root: Node) -> tuple[str, str, str]:
    where, context = dotted(been), error.get("ctx", {})
    if error["type"] == "refused":
        return f"{where} {context['what']}", context["why"], context["cure"]
    about = keys_at(been[:-1]).get(str(been[-1]), {}) if been else {}
    told = (
        f"{been[-1]}: {about['description']}" if "description" in about else "docs/cameras.md has every key"
    )
    if error["type"] == "literal_error":
        return (
            f"{where} is none of its words",
            f"they are {context['expected']}",
            _closest(about, been, root, told),
        )
    limit = error["msg"].replace("Input should", "it should").replace("Value should", "it should")
    what, why, cure = KINDS.get(error["type"], ("is out of range", limit, ""))
    return f"{where} {what}", why or limit, cure or told


def _closest(about: Any, been: Loc, root: Node, otherwise: str) -> str:
    node: Any = root.plain()
    for part in been:
        node = node[part]
    return close(str(node), [str(word) for word in about.get("enum", [])], otherwise)
