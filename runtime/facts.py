"""What is known of a foreign model before any family is asked: its metadata, its tensors, a run, and what the user says.

In: a Graph, Hints and Seen.  Out: Facts.  Next: adoption.py, preparations.py.
"""

import ast
from dataclasses import dataclass, replace
from typing import Any

from vedette.runtime.decoders import Seen
from vedette.runtime.decoders._boxes import is_grid
from vedette.runtime.intake import SIZES
from vedette.runtime.manifest import Output
from vedette.runtime.onnx_file import Graph, Value


@dataclass(frozen=True, slots=True)
class Hints:
    """What the user knows; empty where nothing."""

    task: str = ""
    family: str = ""
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known before any family is asked."""

    outputs: tuple[Output, ...]  # with the shapes that were seen, where there was a run
    declared: tuple[Output, ...]
    picture: Value
    seen: Seen | None = None
    labels: tuple[str, ...] = ()
    task: str = ""  # in Ultralytics' words
    sides: tuple[int, ...] = ()  # height, width that it was made for
    stride: int = 32
    sizes: tuple[Value, ...] = ()  # the input that is told the picture's size
    reasons: tuple[str, ...] = ()
    stretched: bool = False  # Ultralytics prepares pictures for its RT-DETR so, and for nothing else

    @classmethod
    def of(
        cls, graph: Graph, picture: Value, hints: Hints, seen: Seen | None, typical: tuple[int, ...]
    ) -> "Facts":
        declared = tuple(output_of(value) for value in graph.outputs)
        outputs = declared if seen is None else tuple(
            replace(output, shape=seen.values[output.name].shape) for output in declared
        )  # fmt: skip
        said = {key: literal(value) for key, value in graph.metadata.items()}
        task, labels = str(said.get("task", "")), hints.labels or _labels(said.get("names"))
        sides = typical or _numbers(said.get("imgsz"))
        reasons = (f"its metadata says {task or 'names'}, {len(labels)} classes",) if labels else ()
        stride = said.get("stride")
        step = stride if isinstance(stride, int) and 1 <= stride <= 1024 else 32
        return cls(outputs, declared, picture, seen, labels, task, sides if len(sides) == 2 else (), step,
                   tuple(value for value in graph.inputs if value.name == SIZES), reasons,
                   "rtdetr" in f"{said.get('head')} {said.get('description')}".lower())  # fmt: skip

    def cells(self, each: int) -> bool:
        """Whether an output has a row for each cell of the usual grids, or so many."""
        return any(
            len(output.shape) == 3 and is_grid(output.shape[1], each, self.input_size)
            for output in self.outputs
        )

    @property
    def input_size(self) -> tuple[int, int] | None:
        """(width, height), where it is known."""
        height, width = self.sides if self.seen and self.sides else self.picture.shape[2:]
        return (width, height) if min(height, width) > 0 else None


def output_of(value: Value) -> Output:
    return Output(value.name, value.shape, value.dtype)  # type: ignore[arg-type]


def literal(text: str) -> Any:
    """A Python literal, as exporters write them, or the text itself."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text


def _labels(found: Any) -> tuple[str, ...]:
    """{0: 'person', …} or ['person', …]."""
    if isinstance(found, dict) and sorted(found) == list(range(len(found))):
        return tuple(str(found[index]) for index in range(len(found)))
    return tuple(map(str, found)) if isinstance(found, list | tuple) else ()


def _numbers(found: Any) -> tuple[int, ...]:
    whole = isinstance(found, list | tuple) and all(isinstance(side, int) and side > 0 for side in found)
    return tuple(found) if whole else ()
