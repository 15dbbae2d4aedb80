"""What a model without a manifest says of itself: proposals of how to read it, each with its reasons.

In: the bytes of an ONNX model.  Out: cards, the surest first; none where nothing fits.
An exporter's metadata (Ultralytics') is believed; else the families are asked what they claim of the outputs' shapes,
and, where the model was run, of their values.
Next: decoders/ (roles and claims), preparations.py, settling.py, export/adopt.py (which proves a proposal and writes it).
"""

import inspect
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from vedette.runtime import manifest as manifests
from vedette.runtime.decoders import Seen
from vedette.runtime.facts import Facts, Hints
from vedette.runtime.manifest import Decoder, Input, Manifest, Output, Task
from vedette.runtime.onnx_file import Graph, Value, external_files, graph_of
from vedette.runtime.plugins import load, names
from vedette.runtime.preparations import habit
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
ANYTHING = {"image", *SEGMENTATION}  # claim maps of any kind, and only what no other family does


@dataclass(frozen=True, slots=True)
class Proposal:
    """A way to read a model, and why."""

    card: Manifest
    reasons: tuple[str, ...]
    sure: bool  # its exporter says so


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
    facts = Facts.of(graph, picture, hints, seen, tuple(typical))
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


def _proposed(facts: Facts, family: str, name: str, hints: Hints) -> Iterator[Proposal]:
    plugin: Any = load(DECODERS, family)
    roles = plugin.roles(facts.outputs)
    parameters = _claimed(plugin, facts) or (_usual(plugin) if hints.family else None)
    if parameters is None or roles is None:
        return
    task = _task(family, parameters, facts)
    card = Manifest(
        name, task, (_input(facts, family, parameters), *_sizes(facts)),
        _with_roles(facts.declared, roles), Decoder(family, json.loads(json.dumps(asdict(parameters)))), labels=facts.labels,
        provenance="adopted: " + "; ".join(facts.reasons or ("by the shapes of its outputs",)),
    )  # fmt: skip
    shapes = ", ".join(f"{output.name} {list(output.shape)}" for output in facts.outputs)
    yield Proposal(card, (*facts.reasons, f"{shapes} is a layout of {family}"), sure=facts.task in TASKS)


def _claimed(plugin: Any, facts: Facts) -> Any:
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


def _task(family: str, parameters: Any, facts: Facts) -> Task:
    if family in POSE or family in ANYTHING:
        return "pose" if family in POSE else "image" if family == "image" else "segmentation"
    extras = getattr(getattr(parameters, "extras", None), "columns", 0)
    masks, joints = getattr(parameters, "masks", False), getattr(parameters, "keypoints", False)
    return "instances" if extras or joints or masks not in (False, "none") else "detection"


def _input(facts: Facts, family: str, parameters: Any) -> Input:
    """The picture's input; an axis of no fixed length may be any multiple of the stride."""
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
    return habit(family, parameters, facts).of(spec)


def _sizes(facts: Facts) -> Iterator[Input]:
    for value in facts.sizes:
        yield Input(value.name, value.shape, value.dtype, (1, 2), (1, 2), (16, 2))  # type: ignore[arg-type]


def _with_roles(outputs: Sequence[Output], roles: Mapping[str, str]) -> tuple[Output, ...]:
    return tuple(replace(output, role=roles.get(output.name, "")) for output in outputs)
