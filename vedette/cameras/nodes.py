"""A value of a YAML file that knows its line and column, and what ends the reading of one.

Next: tree.py, which builds them.
"""

from dataclasses import dataclass, field
from typing import Any

from vedette.cameras.problems import Loc, Problem
from vedette.cameras.scalars import Scalar

Place = tuple[int, int]  # line and column, from 1
Value = Scalar | tuple["Node", ...] | dict[str, "Node"]


@dataclass(slots=True, eq=False)
class Node:
    """A value with its place; one that an anchor repeats is in the tree several times."""

    value: Value
    place: Place
    keys: dict[str, Place] = field(default_factory=dict)  # of a mapping: where each key is
    weight: int = 1  # values in it

    def plain(self) -> Any:
        """The value as dicts, tuples and scalars."""
        if isinstance(self.value, dict):
            return {key: node.plain() for key, node in self.value.items()}
        return tuple(node.plain() for node in self.value) if isinstance(self.value, tuple) else self.value

    def walked(self, loc: Loc, *, at_key: bool = False) -> tuple[Loc, Place]:
        """As far along a path as the tree goes, skipping parts that only a schema knows; and the place there.

        Args:
            loc: keys and indices from here.
            at_key: of a value in a mapping, give the place of its key.
        """
        node, place, been = self, self.place, ()  # type: Node, Place, Loc
        for part in loc:
            if isinstance(node.value, dict) and isinstance(part, str) and part in node.value:
                place, node = node.keys[part], node.value[part]
            elif isinstance(node.value, tuple) and isinstance(part, int) and part < len(node.value):
                place, node = node.value[part].place, node.value[part]
            else:
                continue
            been = (*been, part)
        return been, place if at_key else node.place


class Refusal(Exception):  # noqa: N818  (it never leaves this package)
    """What ends the reading of a file at once."""

    def __init__(self, place: Place, what: str, why: str, cure: str) -> None:
        super().__init__(what)
        self.problem = Problem(*place, what, why, cure)
