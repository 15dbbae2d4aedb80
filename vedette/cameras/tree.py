"""YAML as a tree that knows the line and column of every key and value.

In: text.  Out: Nodes, and all that is wrong with them.  Next: scalars.py for single words, load.py.

Built from the parser's events, so that what is deep, large or endless is refused before it exists; PyYAML's own
composer would follow it, take the last of two keys of one name, and make objects of tags.
"""

from collections.abc import Iterator
from typing import Any

import yaml

from vedette.cameras.nodes import Node, Place, Refusal
from vedette.cameras.problems import Problem, shown
from vedette.cameras.scalars import Scalar, Trap, scalar_of

DEEPEST = 16
MOST_VALUES = 50_000  # with every repetition of an anchor counted: five thousand cameras
PARSER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml, a hundred times as fast, where it is


def tree_of(text: str) -> tuple[Node, list[Problem]]:
    """The tree of a text, and what is wrong with single values of it.

    Raises:
        Refusal: it is no YAML, or not of the kind that is taken.
    """
    builder = _Builder(text)
    try:
        return builder.document(), builder.problems
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        why = error.problem if error.problem and "'" not in error.problem else "its punctuation does not fit"
        raise Refusal(
            place, "this is not YAML", why, "check quotes, brackets, colons and indentation up to here"
        ) from None
    except (yaml.YAMLError, ValueError):  # ValueError: of escapes, by the parser that is pure Python
        raise Refusal(
            (1, 1),
            "this is not YAML",
            "the file has characters that YAML does not know",
            "save it as plain text",
        ) from None


class _Builder:
    def __init__(self, text: str) -> None:
        self.problems: list[Problem] = []
        self._events: Iterator[Any] = yaml.parse(text, Loader=PARSER)
        self._anchors: dict[str, Node] = {}

    def document(self) -> Node:
        """The only document of the stream."""
        next(self._events)
        begin = next(self._events)
        if not isinstance(begin, yaml.DocumentStartEvent):
            raise Refusal(
                (1, 1), "the file is empty", "it names no camera", "see docs/cameras.md for an example"
            )
        if begin.tags:
            raise Refusal(_place(begin), "a %TAG line", "tags are not taken", "take the line out")
        root = self._node(next(self._events), 0)
        next(self._events)
        second = next(self._events)
        if not isinstance(second, yaml.StreamEndEvent):
            raise Refusal(
                _place(second), "a second document", "a file holds one", "take out this --- and merge the two"
            )
        return root

    def _node(self, event: Any, depth: int) -> Node:
        place = _place(event)
        if isinstance(event, yaml.AliasEvent):
            return self._repeated(event, place)
        if event.tag is not None:
            raise Refusal(
                place,
                "a tag, which begins with !",
                "values have the kind they look like",
                "take it out, or quote the value",
            )
        if depth > DEEPEST:
            raise Refusal(
                place,
                f"values nested more than {DEEPEST} deep",
                "no key needs that",
                "close a bracket, or check the indentation",
            )
        if isinstance(event, yaml.ScalarEvent):
            node = Node(self._scalar(event, place), place)
        elif isinstance(event, yaml.SequenceStartEvent):
            node = self._list(place, depth)
        else:
            node = self._mapping(place, depth)
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        return node

    def _repeated(self, event: Any, place: Place) -> Node:
        if event.anchor not in self._anchors:
            raise Refusal(
                place, "a value that begins with *, and no & of that name above it", "* repeats what & has marked",
                "quote it, '…', if it is text; else mark the value that it repeats",
            )  # fmt: skip
        return self._anchors[event.anchor]

    def _scalar(self, event: Any, place: Place) -> Scalar:
        text: str = event.value
        if any(ord(character) < 32 or ord(character) == 127 for character in text):
            self._tell(
                place,
                Trap(
                    "a value with a line break or control character",
                    "values are one line of text",
                    "write it on one line",
                ),
            )
        if not event.implicit[0]:
            return text
        value = scalar_of(text)
        if isinstance(value, Trap):
            self._tell(place, value)
            return text
        if value is None:
            self._tell(
                place,
                Trap("a key without a value", "nothing follows it", "give it a value, or take the key out"),
            )
        return value

    def _list(self, place: Place, depth: int) -> Node:
        items: list[Node] = []
        weight = 1
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            items.append(self._node(event, depth + 1))
            weight = _bounded(weight + items[-1].weight, _place(event))
        return Node(tuple(items), place, weight=weight)

    def _mapping(self, place: Place, depth: int) -> Node:
        entries: dict[str, Node] = {}
        keys: dict[str, Place] = {}
        merged: list[Node] = []
        weight = 1
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key, where, merges = self._key(event)
            value = self._node(next(self._events), depth + 1)
            weight = _bounded(weight + value.weight, where)
            if merges:
                merged.append(value)
            elif key in entries:
                line, column = keys[key]
                self._tell(
                    where,
                    Trap(
                        f"the key {shown(key)} a second time",
                        f"it is at {line}:{column} already, and only one can hold",
                        "take one of them out",
                    ),
                )
            else:
                entries[key], keys[key] = value, where
        node = Node(entries, place, keys, weight)
        for other in merged:
            self._merge(node, other)
        return node

    def _key(self, event: Any) -> tuple[str, Place, bool]:
        """A key, its place, and whether it is the << that merges."""
        place = _place(event)
        if not isinstance(event, yaml.ScalarEvent) or event.tag is not None:
            raise Refusal(
                place,
                "a key that is not a word",
                "it is a list, a mapping, a repetition or has a tag",
                "quote it, '…', if it is text",
            )
        key: str = event.value
        if not event.implicit[0]:
            return key, place, False
        if key == "<<":
            return key, place, True
        value = scalar_of(key)
        if isinstance(value, Trap):
            self._tell(place, Trap(f"{value.what}, as a key", value.why, "quote it: '…'"))
        elif not isinstance(value, str):
            self._tell(
                place, Trap("a number, true, false or nothing as a key", "keys are text", "quote it: '…'")
            )
        return key, place, False

    def _merge(self, node: Node, other: Node) -> None:
        """What << names fills in the keys that a mapping lacks; of several, the first that has it."""
        for part in other.value if isinstance(other.value, tuple) else (other,):
            if not (isinstance(node.value, dict) and isinstance(part.value, dict)):
                self._tell(
                    other.place,
                    Trap(
                        "<< before something that has no keys",
                        "it takes in the keys of a mapping, or of a list of them",
                        "<<: *NAME, say",
                    ),
                )
                return
            for key, value in part.value.items():
                if key not in node.value:
                    node.value[key], node.keys[key] = value, part.keys[key]

    def _tell(self, place: Place, trap: Trap) -> None:
        self.problems.append(Problem(*place, trap.what, trap.why, trap.cure))


def _place(event: Any) -> Place:
    return event.start_mark.line + 1, event.start_mark.column + 1


def _bounded(weight: int, place: Place) -> int:
    if weight > MOST_VALUES:
        raise Refusal(
            place,
            f"more than {MOST_VALUES} values",
            "repetitions count each time",
            "split the file, or repeat less",
        )
    return weight
