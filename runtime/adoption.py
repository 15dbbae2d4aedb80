"""What a model without a manifest says of itself: proposals of how to read it, each with its reasons.

In: the bytes of an ONNX model.  Out: cards, the surest first; none where nothing fits.
An exporter's metadata (Ultralytics') is believed; else the families are asked what they claim of the outputs' shapes,
and, where the model was run, of their values.
Next: decoders/ (roles and claims), preparations.py, settling.py, export/adopt.py (which proves a proposal and writes it).
"""

import ast
import inspect
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from vedette.runtime import manifest as manifests
from vedette.runtime.decoders import Seen
from vedette.runtime.decoders._boxes import is_grid
from vedette.runtime.manifest import Decoder, Input, Manifest, Output, Resize, Task
from vedette.runtime.onnx_file import Graph, Value, external_files, graph_of
from vedette.runtime.plugins import load, names
from vedette.runtime.preparations import PREPARED, STRETCH, Prepared
from vedette.runtime.runner import SIZES

log = logging.getLogger(__name__)
DECODERS = "vedette.runtime.decoders"
TYPICAL = 640  # pixels, where a network takes any size and does not say its own
LARGEST = 4096
TASKS: Mapping[str, Task] = {
    "detect": "detection", "segment": "instances", "pose": "instances", "obb": "instances",
    "semantic": "segmentation",
}  # fmt: skip
POSE = {"openpose", "trt_pose"}
SEGMENTATION = {"mask", "unet", "label_map"}
CORNER = Resize("letterbox", "top-left", pad=0.0)  # as a rule of multiples does in an input of one size
ANYTHING = {"image", *SEGMENTATION}  # claim maps of any kind, and only what no other family does


@dataclass(frozen=True, slots=True)
class Proposal:
    """A way to read a model, and why."""

    card: Manifest
    reasons: tuple[str, ...]
    sure: bool  # its exporter says so


@dataclass(frozen=True, slots=True)
class Hints:
    """What the user knows; empty where nothing."""

    task: str = ""
    family: str = ""
    labels: tuple[str, ...] = ()


def proposals(
    model: bytes, name: str, hints: Hints = Hints(), *, seen: Seen | None = None, typical: Sequence[int] = ()
) -> list[Proposal]:
    """How the model may be read, the surest first.

    Args:
        model: the bytes of an ONNX model.
        name: for its manifest.
        hints: what the user knows.
        seen: what a run gave, if there was one.
        typical: height and width of that run's input.
    """
    graph = graph_of(model)
    picture = picture_input(graph)
    if picture is None or picture.shape[1] not in (3, -1) or not graph.outputs:
        return []
    facts = _Facts.of(graph, picture, hints, seen, tuple(typical))
    if (
        facts.task and facts.task not in TASKS and not hints.task
    ):  # its exporter says that it does something else
        return []
    families = [hints.family] if hints.family else names(DECODERS)
    found = [proposal for family in families for proposal in _proposed(facts, family, name, hints)]
    if hints.task:
        found = [proposal for proposal in found if proposal.card.task == hints.task]
    for others in (ANYTHING, SEGMENTATION):
        found = [proposal for proposal in found if proposal.card.decoder.family not in others] or found
    return sorted(found, key=lambda proposal: not proposal.sure)


def picture_input(graph: Graph) -> Value | None:
    """The one input that a picture fills, if there is one."""
    pictures = [value for value in graph.inputs if value.name != SIZES]
    return pictures[0] if len(pictures) == 1 and len(pictures[0].shape) == 4 else None


def in_memory(path: Path) -> tuple[Manifest, dict[str, bytes]]:
    """A model whose exporter says how to read it, without a manifest; nothing is written.

    Raises:
        ModelError: it cannot be read.
        ManifestError: its metadata does not say enough.
    """
    model = manifests.read(path)
    sure = [proposal for proposal in proposals(model, path.stem) if proposal.sure]
    if len(sure) != 1 or external_files(model):
        raise manifests.missing(path)
    log.warning("%s has no manifest: %s; vedette adopt writes one", path.name, "; ".join(sure[0].reasons))
    return vouching(sure[0].card, path.name, model), {path.name: model}


def vouching(card: Manifest, name: str, model: bytes) -> Manifest:
    """The card for these bytes."""
    return replace(card, files={name: manifests.sha256(model)})


@dataclass(frozen=True, slots=True)
class _Facts:
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
    ) -> "_Facts":
        declared = tuple(_output(value) for value in graph.outputs)
        outputs = declared if seen is None else tuple(
            replace(output, shape=seen.values[output.name].shape) for output in declared
        )  # fmt: skip
        said = {key: _literal(value) for key, value in graph.metadata.items()}
        task, labels = str(said.get("task", "")), hints.labels or _labels(said.get("names"))
        sides = typical or _numbers(said.get("imgsz"))
        reasons = (f"its metadata says {task or 'names'}, {len(labels)} classes",) if labels else ()
        stride = said.get("stride")
        step = stride if isinstance(stride, int) and 1 <= stride <= 1024 else 32
        return cls(outputs, declared, picture, seen, labels, task, sides if len(sides) == 2 else (), step,
                   tuple(value for value in graph.inputs if value.name == SIZES), reasons,
                   "rtdetr" in f"{said.get('head')} {said.get('description')}".lower())  # fmt: skip

    @property
    def input_size(self) -> tuple[int, int] | None:
        """(width, height), where it is known."""
        height, width = self.sides if self.seen and self.sides else self.picture.shape[2:]
        return (width, height) if min(height, width) > 0 else None


def _proposed(facts: _Facts, family: str, name: str, hints: Hints) -> Iterator[Proposal]:
    plugin: Any = load(DECODERS, family)
    roles = plugin.roles(facts.outputs)
    parameters = _claimed(plugin, facts) or (_usual(plugin) if hints.family else None)
    if parameters is None or roles is None:
        return
    task = _task(family, parameters, facts)
    card = Manifest(
        name, task, (_input(facts, family), *_sizes(facts)),
        _with_roles(facts.declared, roles), Decoder(family, json.loads(json.dumps(asdict(parameters)))), labels=facts.labels,
        provenance="adopted: " + "; ".join(facts.reasons or ("by the shapes of its outputs",)),
    )  # fmt: skip
    shapes = ", ".join(f"{output.name} {list(output.shape)}" for output in facts.outputs)
    yield Proposal(card, (*facts.reasons, f"{shapes} is a layout of {family}"), sure=facts.task in TASKS)


def _claimed(plugin: Any, facts: _Facts) -> Any:
    """What a family claims, told as much as it asks for."""
    known = inspect.signature(plugin.claims).parameters
    facts_ = {"classes": len(facts.labels), "input_size": facts.input_size, "seen": facts.seen}
    return plugin.claims(facts.outputs, **{key: value for key, value in facts_.items() if key in known})


def _usual(plugin: Any) -> Any:
    """The parameters of a family that the user names, if it has usual ones."""
    try:
        return plugin.Parameters()
    except TypeError:
        return None


def _task(family: str, parameters: Any, facts: _Facts) -> Task:
    if family in POSE or family in ANYTHING:
        return "pose" if family in POSE else "image" if family == "image" else "segmentation"
    more = getattr(getattr(parameters, "extras", None), "columns", 0) or getattr(parameters, "masks", False)
    return "instances" if more or family == "mask_rcnn" else "detection"


def _input(facts: _Facts, family: str) -> Input:
    """The picture's input; an axis of no fixed length may be any multiple of the stride."""
    prepared = PREPARED.get(family, Prepared())
    if facts.task == "semantic" or (family == "ssd" and _of_a_grid(facts)):
        prepared = Prepared()
    if facts.stretched:
        prepared = Prepared(resize=STRETCH)
    if prepared.resize.rule == "multiple" and min(facts.picture.shape[2:]) > 0:
        prepared = replace(prepared, resize=CORNER)
    value, step = facts.picture, facts.stride
    usual = (1, 3, *(facts.sides or (TYPICAL, TYPICAL)))
    bounds = {
        name: tuple(side if side > 0 else free for side, free in zip(value.shape, sides, strict=True))
        for name, sides in (
            ("minimum", (1, 3, step, step)),
            ("typical", usual),
            ("maximum", (16, 3, LARGEST, LARGEST)),
        )
    }
    bounds["multiple_of"] = (1, 1, step, step)
    shape = (value.shape[0], 3, *value.shape[2:])  # channels that the graph leaves open are three
    spec = Input(value.name, shape, value.dtype, **(bounds if -1 in value.shape else {}))  # type: ignore[arg-type]
    return prepared.of(spec)


def _of_a_grid(facts: _Facts) -> bool:
    """Whether there is a box for each cell, as YOLO-NAS, DAMO-YOLO and PP-YOLOE have them, and not for each prior."""
    return any(
        len(output.shape) == 3 and is_grid(output.shape[1], 1, facts.input_size) for output in facts.outputs
    )


def _sizes(facts: _Facts) -> Iterator[Input]:
    for value in facts.sizes:
        yield Input(value.name, value.shape, value.dtype, (1, 2), (1, 2), (16, 2))  # type: ignore[arg-type]


def _output(value: Value) -> Output:
    return Output(value.name, value.shape, value.dtype)  # type: ignore[arg-type]


def _with_roles(outputs: Sequence[Output], roles: Mapping[str, str]) -> tuple[Output, ...]:
    return tuple(replace(output, role=roles.get(output.name, "")) for output in outputs)


def _literal(text: str) -> Any:
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
