"""What a model without a manifest says of itself: proposals of how to read it, each with its reasons.

In: the bytes of an ONNX model.  Out: cards, the surest first; none where nothing fits.
An exporter's metadata (Ultralytics') is believed; else the families are asked what they claim of the outputs' shapes.
Next: decoders/ (roles and claims), export/adopt.py (which proves a proposal on a picture and writes it down).
"""

import ast
import inspect
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from vedette.kernels.box_layouts import plan
from vedette.runtime import manifest as manifests
from vedette.runtime.coco import COCO_80, COCO_91
from vedette.runtime.decoders import parameters_of
from vedette.runtime.engine import Engine
from vedette.runtime.frame import Array
from vedette.runtime.manifest import Decoder, Input, Manifest, Output, Resize, Task
from vedette.runtime.onnx_file import Graph, Value, external_files, graph_of
from vedette.runtime.plugins import load, names
from vedette.runtime.runner import SIZES

log = logging.getLogger(__name__)
DECODERS = "vedette.runtime.decoders"
COCO = {80: COCO_80, 91: COCO_91}
TYPICAL = 640  # pixels, where a network takes any size and does not say its own
LARGEST = 4096
TASKS: Mapping[str, Task] = {
    "detect": "detection", "segment": "instances", "pose": "instances", "obb": "instances"
}  # fmt: skip
POSE = {"openpose", "trt_pose"}
SEGMENTATION = {"mask", "unet"}
LETTERBOX, STRETCH = Resize(), Resize("stretch")


@dataclass(frozen=True, slots=True)
class Prepared:
    """How a family's authors prepare a picture."""

    pixel_format: str = "rgb"
    resize: Resize = LETTERBOX
    scale: float = 1 / 255
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)


IMAGENET = Prepared(resize=STRETCH, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
# Sources: the authors' own inference code, as ../decoders names them.
PREPARED: Mapping[str, Prepared] = {
    "yolox": Prepared("bgr", Resize("letterbox", "top-left"), 1.0),
    "yolov2": Prepared(resize=Resize("letterbox", pad=127.5)),
    "yolov3": Prepared(resize=Resize("letterbox", pad=127.5)),
    "fastestdet": Prepared("bgr", STRETCH),
    "nanodet": Prepared("bgr", STRETCH, 1.0, (103.53, 116.28, 123.675), (57.375, 57.12, 58.395)),
    "rtdetr": Prepared(resize=STRETCH),
    "rfdetr": IMAGENET,
    "ssd": Prepared(resize=STRETCH, scale=1.0, mean=(127.0,), std=(128.0,)),
    "unet": Prepared(resize=STRETCH),
    "mask": Prepared(resize=STRETCH),
    "mask_rcnn": Prepared(resize=STRETCH),
    "openpose": Prepared("bgr", Resize("multiple", multiple=8, pad=0.0), 1 / 256, (0.5,)),
    "trt_pose": IMAGENET,
}


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


def proposals(model: bytes, name: str, hints: Hints = Hints()) -> list[Proposal]:
    """How the model may be read, the surest first."""
    graph = graph_of(model)
    pictures = [value for value in graph.inputs if value.name != SIZES]
    shape = pictures[0].shape if len(pictures) == 1 else ()
    if len(shape) != 4 or shape[1] not in (3, -1) or not graph.outputs:
        return []
    facts = _Facts.of(graph, pictures[0], hints)
    families = [hints.family] if hints.family else names(DECODERS)
    found = [proposal for family in families for proposal in _proposed(facts, family, name)]
    if hints.task:
        found = [proposal for proposal in found if proposal.card.task == hints.task]
    return sorted(found, key=lambda proposal: not proposal.sure)


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


def settled(card: Manifest, engine: Engine) -> Manifest:
    """The card with what only a run tells: the unit of its boxes, and names for COCO's 80 or 91 nameless classes.

    Raises:
        ModelError: the outputs cannot be read as the card says.
    """
    names_ = () if card.labels else COCO.get(_classes(card), ())
    if names_:
        log.warning("%s names none of its %d classes: they are taken for COCO's", card.name, len(names_))
    return _with_unit(replace(card, labels=card.labels or names_), engine)


def _classes(card: Manifest) -> int:
    """How many classes the shapes of the outputs leave, 0 where they do not tell."""
    plugin: Any = load(DECODERS, card.decoder.family)
    shape = card.inputs[0].bounds()[1]
    heads = getattr(plugin, "heads", lambda *_, **__: None)(
        parameters_of(card), input_size=(shape[3], shape[2])
    )
    if not heads:
        return 0
    shapes = {output.role: output.shape[1:] for output in card.outputs}
    head = heads.grids[0]
    try:
        return int(plan(head.layout, tuple(shapes[role] for role in head.roles)).classes)
    except (ValueError, KeyError):  # an axis of no fixed length
        return 0


def _with_unit(card: Manifest, engine: Engine) -> Manifest:
    """Most boxes of any picture have a size that can be."""
    box = card.decoder.parameters.get("box")
    if not box or box["units"] == "image":
        return card
    sides = _sides(card, engine)
    if not len(sides) or 1 < np.median(sides) < 2 * max(card.inputs[0].bounds()[1][2:]):
        return card
    other = "normalised" if box["units"] == "pixels" else "pixels"
    parameters = card.decoder.parameters | {"box": box | {"units": other}}
    return replace(card, decoder=Decoder(card.decoder.family, parameters))


def _sides(card: Manifest, engine: Engine) -> Array:
    """The longer side of every box that a network makes of noise, in pixels as the card counts them."""
    spec = card.inputs[0]
    shape = spec.bounds()[1]
    feed = np.random.default_rng(0).random(shape).astype(spec.dtype)
    feeds = {spec.name: feed} | {
        other.name: np.array([shape[:1:-1]], other.dtype) for other in card.inputs[1:]
    }
    outputs = engine(feeds)
    plugin: Any = load(DECODERS, card.decoder.family)
    found = plugin.decode(outputs, card, parameters_of(card), 0.0, input_size=(shape[3], shape[2]))[0]
    boxes = getattr(found, "boxes", found).boxes_xyxy
    sides: Array = np.abs(boxes[:, 2:] - boxes[:, :2]).max(axis=1, initial=0)
    return sides[np.isfinite(sides) & (sides > 0)]


@dataclass(frozen=True, slots=True)
class _Facts:
    """What is known before any family is asked."""

    outputs: tuple[Output, ...]
    picture: Value
    labels: tuple[str, ...] = ()
    task: str = ""  # in Ultralytics' words
    sides: tuple[int, ...] = ()  # height, width that it was made for
    stride: int = 32
    sizes: tuple[Value, ...] = ()  # the input that is told the picture's size
    reasons: tuple[str, ...] = ()

    @classmethod
    def of(cls, graph: Graph, picture: Value, hints: Hints) -> "_Facts":
        outputs = tuple(_output(value) for value in graph.outputs)
        said = {key: _literal(value) for key, value in graph.metadata.items()}
        task, labels = str(said.get("task", "")), hints.labels or _labels(said.get("names"))
        sides = _numbers(said.get("imgsz"))
        reasons = (f"its metadata says {task or 'names'}, {len(labels)} classes",) if labels else ()
        stride = said.get("stride")
        step = stride if isinstance(stride, int) and 1 <= stride <= 1024 else 32
        return cls(outputs, picture, labels, task, sides if len(sides) == 2 else (), step,
                   tuple(value for value in graph.inputs if value.name == SIZES), reasons)  # fmt: skip

    @property
    def input_size(self) -> tuple[int, int] | None:
        """(width, height), where it is known."""
        height, width = self.picture.shape[2:]
        return (width, height) if min(height, width) > 0 else None


def _proposed(facts: _Facts, family: str, name: str) -> Iterator[Proposal]:
    plugin: Any = load(DECODERS, family)
    claims, known = plugin.claims, inspect.signature(plugin.claims).parameters
    extra = {"classes": len(facts.labels), "input_size": facts.input_size}
    parameters = claims(facts.outputs, **{key: value for key, value in extra.items() if key in known})
    roles = plugin.roles(facts.outputs)
    if parameters is None or roles is None:
        return
    task = _task(family, parameters, facts)
    card = Manifest(
        name, task, (_input(facts, PREPARED.get(family, Prepared())), *_sizes(facts)),
        _with_roles(facts.outputs, roles), Decoder(family, json.loads(json.dumps(asdict(parameters)))), labels=facts.labels,
        provenance="adopted: " + "; ".join(facts.reasons or ("by the shapes of its outputs",)),
    )  # fmt: skip
    shapes = ", ".join(f"{output.name} {list(output.shape)}" for output in facts.outputs)
    yield Proposal(card, (*facts.reasons, f"{shapes} is a layout of {family}"), sure=facts.task in TASKS)


def _task(family: str, parameters: Any, facts: _Facts) -> Task:
    if family in POSE or family in SEGMENTATION:
        return "pose" if family in POSE else "segmentation"
    more = getattr(getattr(parameters, "extras", None), "columns", 0) or getattr(parameters, "masks", False)
    return "instances" if more or family == "mask_rcnn" else "detection"


def _input(facts: _Facts, prepared: Prepared) -> Input:
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
    return Input(
        value.name, value.shape, value.dtype, **(bounds if -1 in value.shape else {}),  # type: ignore[arg-type]
        pixel_format=prepared.pixel_format, resize=prepared.resize, scale=prepared.scale,  # type: ignore[arg-type]
        mean=prepared.mean, std=prepared.std,
    )  # fmt: skip


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
