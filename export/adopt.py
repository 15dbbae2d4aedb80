"""A foreign ONNX model gets a manifest: what it says of itself, tried on a picture, and refused where that stays ambiguous.

In: an .onnx without a manifest, and what the user knows.  Out: the model with a manifest beside it.
Next: runtime/adoption.py, which makes the proposals that are tried here.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path

import numpy as np

from vedette.runtime import adoption
from vedette.runtime import manifest as manifests
from vedette.runtime.adoption import Hints, Proposal
from vedette.runtime.backends.onnxruntime_ import OrtEngine
from vedette.runtime.draw import write_bytes
from vedette.runtime.engine import check_contract
from vedette.runtime.errors import ModelError, UsageError, VedetteError
from vedette.runtime.frame import Array, Frame
from vedette.runtime.onnx_file import external_files, graph_of
from vedette.runtime.results import Result
from vedette.runtime.runner import HostRunner, Recipe

log = logging.getLogger(__name__)
OVERLAP = 0.5  # of an answer's box with a found one, at which they are the same


@dataclass(frozen=True, slots=True)
class Answer:
    """An object that is in the picture."""

    label: str
    box_xyxy: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Tried:
    """A proposal, and what it finds."""

    proposal: Proposal
    result: Result


def adopt(
    path: Path,
    out: Path,
    *,
    hints: Hints = Hints(),
    image: Array | None = None,
    answer: Answer | None = None,
) -> Tried:
    """Decide how to read a model, and write it with its manifest.

    Args:
        path: the model.
        out: where it goes; may be the same.
        hints: what the user knows of it.
        image: uint8 [H, W, 3] BGR to try it on; else a portrait.
        answer: an object in that image, which the right reading finds.

    Raises:
        ModelError: nothing here reads it, or several families do.
        DiskError: `out` cannot be written.
    """
    model = manifests.read(path)
    _refuse_other_files(path, model)
    picture = _portrait() if image is None else image
    found = adoption.proposals(model, path.stem, hints)
    tried = [attempt for proposal in found if (attempt := _tried(proposal, model, picture))]
    chosen = _chosen(path, model, tried, answer)
    if out != path:
        write_bytes(out, model)
    card = adoption.vouching(chosen.proposal.card, out.name, model)
    manifests.save(replace(card, name=out.stem), out)
    return chosen


def _tried(proposal: Proposal, model: bytes, image: Array) -> Tried | None:
    """What it finds in a picture; None where it does not get that far."""
    try:
        engine = OrtEngine(model, name=proposal.card.name)
        try:
            check_contract(engine, proposal.card)
            card = adoption.settled(proposal.card, engine)
            result = HostRunner(Recipe(card), engine).submit([Frame((image,))]).results()[0]
        finally:
            engine.close()
    except VedetteError as error:
        log.info("%s: %s", proposal.card.decoder.family, error.what)
        return None
    return Tried(replace(proposal, card=card), result)


def _chosen(path: Path, model: bytes, tried: Sequence[Tried], answer: Answer | None) -> Tried:
    """The only one that is left.

    Raises:
        ModelError: none, or several.
    """
    left = [attempt for attempt in tried if answer is None or _answers(attempt.result, answer)]
    sure = [attempt for attempt in left if attempt.proposal.sure]
    left = sure or left
    if len(left) == 1:
        return left[0]
    families = sorted({attempt.proposal.card.decoder.family for attempt in left or tried})
    outputs = ", ".join(f"{value.name} {list(value.shape)}" for value in graph_of(model).outputs)
    if left:
        raise ModelError(
            f"{path.name} can be read in {len(left)} ways",
            why=f"{outputs} fits {', '.join(families)}",
            cure=f"say which with --family {families[0]}, or what is in a picture with --image and --answer",
        )
    raise ModelError(
        f"nothing here reads {path.name}" if not tried else f"no reading of {path.name} finds the answer",
        why=f"its outputs are {outputs}" + (f"; tried: {', '.join(families)}" if tried else ""),
        cure="say what it is with --task and --family; vedette inspect shows a model's tensors",
    )


def _answers(result: Result, answer: Answer) -> bool:
    """Whether the object is among those found."""
    boxes = result.boxes
    if boxes is None or not len(boxes):
        return False
    names = [result.names[int(index)] for index in boxes.cls]
    overlaps = _iou(np.asarray(boxes.xyxy, np.float64), np.array(answer.box_xyxy))
    return any(
        overlap >= OVERLAP and answer.label in ("", name)
        for name, overlap in zip(names, overlaps, strict=True)
    )


def _iou(boxes: Array, one: Array) -> Array:
    """Of [N, 4] with [4]."""
    sides = np.minimum(boxes[:, 2:], one[2:]) - np.maximum(boxes[:, :2], one[:2])
    shared = np.clip(sides, 0, None).prod(axis=1)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1) + (one[2:] - one[:2]).prod()
    overlap: Array = shared / (areas - shared)
    return overlap


def answer_of(text: str) -> Answer:
    """'person 100,50,200,300', or only the box.

    Raises:
        UsageError: it is not that.
    """
    label, _, box = text.strip().rpartition(" ")
    try:
        sides = tuple(float(side) for side in box.split(","))
    except ValueError:
        sides = ()
    if len(sides) != 4 or sides[2] <= sides[0] or sides[3] <= sides[1]:
        raise UsageError(
            f"--answer {text!r} is no object",
            why="it is a label and a box: left, top, right, bottom in pixels of the image",
            cure="--answer 'person 100,50,200,300', say",
        )
    return Answer(label, sides)


def _portrait() -> Array:
    import cv2

    data = files("vedette").joinpath("export", "astronaut.jpg").read_bytes()
    image: Array | None = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    return image


def _refuse_other_files(path: Path, model: bytes) -> None:
    strangers = external_files(model)
    if strangers:
        raise ModelError(
            f"{path.name} keeps weights in another file: {min(strangers)}",
            why="a model is adopted as one file",
            cure="save it as one: onnx.save(model, path, save_as_external_data=False)",
        )
