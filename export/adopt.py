"""A foreign ONNX model gets a manifest: what it says of itself, tried on a picture, and refused where that stays ambiguous.

In: an .onnx without a manifest, and what the user knows.  Out: the model with a manifest beside it.
Next: runtime/adoption.py, which makes the proposals that are tried here.
"""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import numpy as np

from vedette.export._answers import Answer, answered
from vedette.export._channels_first import channels_first
from vedette.export._constants import with_constants
from vedette.export._trial import Trial, Tried
from vedette.runtime import adoption
from vedette.runtime import manifest as manifests
from vedette.runtime.adoption import Proposal
from vedette.runtime.backends.onnxruntime_ import OrtEngine
from vedette.runtime.draw import write_bytes
from vedette.runtime.errors import ModelError, UsageError
from vedette.runtime.facts import Hints
from vedette.runtime.frame import Array
from vedette.runtime.manifest import Manifest
from vedette.runtime.onnx_file import external_files, graph_of
from vedette.runtime.preparations import Prepared
from vedette.runtime.results import Result

ORDER = 0.3  # of a correlation, by which a reading may be worse
SEEN = 0.5  # of a score, at which the portrait's person is recognised
MANY = 8  # objects; who finds more in the portrait sees things
NEAR = 20  # pixels from its nose
NOSE = (141.0, 77.0)
BETTER = 0.1  # by which another reading must find the answer more surely


PERSON = Answer("person", (9.0, 8.0, 228.0, 317.0))  # in our portrait


def adopt(
    path: Path,
    out: Path,
    *,
    hints: Hints = Hints(),
    image: Array | None = None,
    answer: Answer | None = None,
    constants: Sequence[str] = (),
) -> Tried:
    """Decide how to read a model, and write it with its manifest.

    Args:
        path: the model.
        out: where it goes; may be the same.
        hints: what the user knows of it.
        image: uint8 [H, W, 3] BGR to try it on; else a portrait.
        answer: an object in that image, which the right reading finds.
        constants: NAME=VALUE of inputs besides the picture, as _constants.py reads them.

    Raises:
        ModelError: nothing here reads it, or several families do.
        UsageError: a constant does not fit, or the model is changed and would be overwritten.
        DiskError: `out` cannot be written.
    """
    alone, told = with_constants(_whole(path), constants)
    front = channels_first(alone)
    model, changes = front.model, (*told, *front.changes)
    if changes and out.resolve() == path.resolve():
        raise UsageError(
            f"adopting {path.name} changes it",
            why="; ".join(changes),
            cure="write it under another name: -o FILE.onnx",
        )
    picture = _portrait() if image is None else image
    with closing(OrtEngine(model, name=path.stem)) as engine:
        trial = Trial(engine, model, picture, whole=front.whole)
        found = trial.proposals(path.stem, hints)
        tried = [attempt for proposal in found if (attempt := trial.tried(proposal))]
        chosen = (
            _answering(path, trial, tried, answer)
            if answer
            else _seeing(trial, _only(path, model, found, tried))
        )
    chosen = replace(chosen, proposal=replace(chosen.proposal, reasons=(*changes, *chosen.proposal.reasons)))
    if changes or out != path:
        write_bytes(out, model)
    card = adoption.vouching(chosen.proposal.card, out.name, model)
    manifests.save(replace(card, name=out.stem), out)
    return chosen


def _only(path: Path, model: bytes, found: Sequence[Proposal], tried: Sequence[Tried]) -> Tried:
    """The only reading that is left: what its exporter says, or the one that makes sense.

    Raises:
        ModelError: none, or several.
    """
    left = [attempt for attempt in tried if attempt.proposal.sure] or _orderly(tried)
    if len(left) == 1:
        return left[0]
    outputs = ", ".join(f"{value.name} {list(value.shape)}" for value in graph_of(model).outputs)
    if left:
        ways = sorted(
            {(attempt.proposal.card.task, attempt.proposal.card.decoder.family) for attempt in left}
        )
        raise ModelError(
            f"{path.name} can be read in {len(left)} ways",
            why=f"{outputs} fits {', '.join(f'{family} ({task})' for task, family in ways)}",
            cure=f"say which with --family {ways[0][1]}, or what is in a picture with --image and --answer",
        )
    families = sorted({proposal.card.decoder.family for proposal in found})
    raise ModelError(
        f"nothing here reads {path.name}",
        why=f"its outputs are {outputs}" + (f"; no sense in them as {', '.join(families)}" if found else ""),
        cure=f"say what it is with --task and --family; vedette inspect {path.name} shows its tensors",
    )


def _orderly(tried: Sequence[Tried]) -> Sequence[Tried]:
    """Without readings whose boxes lie anywhere, where those of another lie at their cells."""
    best = max((attempt.order for attempt in tried), default=0.0)
    return [attempt for attempt in tried if attempt.order >= best - ORDER]


def _seeing(trial: Trial, tried: Tried) -> Tried:
    """The reading, with pictures prepared as its family does, unless it sees the portrait's person only another way."""
    card = tried.proposal.card
    if tried.proposal.sure or not (card.task == "pose" or "person" in card.labels):
        return tried
    portrait = replace(trial, image=_portrait())
    if _recognised(portrait.result(card, portrait.image), card):
        return tried
    others = [other for other in portrait.prepared_otherwise(tried) if len(other.result) <= MANY]
    best = max(others, key=lambda other: _recognised(other.result, card), default=tried)
    if _recognised(best.result, card) < SEEN:
        return tried
    found = trial.result(best.proposal.card, trial.image)
    return _prepared(replace(best, result=found), "only so it recognises the person in a portrait")


def _recognised(result: Result, card: Manifest) -> float:
    """How surely the person in our portrait is found: its box, or its nose."""
    if result.task != "pose" or result.keypoints is None:
        return answered(result, PERSON, nameless=False)
    names = card.decoder.parameters.get("keypoint_names", ())
    if "nose" not in names:
        return 0.0
    joints, scores = result.keypoints.xy[:, list(names).index("nose")], result.keypoints.conf
    near = np.abs(joints - np.array(NOSE)).max(axis=1) <= NEAR
    return float(scores.max(axis=1)[near].max(initial=0))


def _answering(path: Path, trial: Trial, tried: Sequence[Tried], answer: Answer) -> Tried:
    """The reading and preparation that find the answer, the surest; as the family prepares unless another is better.

    Raises:
        ModelError: none finds it.
    """
    best, most = None, 0.0
    for attempt in tried:
        for number, other in enumerate(
            [attempt, *([] if attempt.proposal.sure else trial.prepared_otherwise(attempt))]
        ):
            score = answered(other.result, answer)
            if score > most + (BETTER if best else 0.0):
                best, most = other if number == 0 else _prepared(other, "the answer is found so"), score
    if best is None:
        ways = [f"as {one.proposal.card.decoder.family} it finds {_told(one.result)}" for one in tried]
        raise ModelError(
            f"no reading of {path.name} finds the answer",
            why="; ".join(ways) or "nothing here reads it",
            cure="check the box and the label of --answer, or say more with --task and --family",
        )
    return best


def _told(result: Result) -> str:
    """What is found, the best few with their boxes."""
    boxes = result.boxes
    if boxes is None or not len(boxes):
        return result.summary()
    best = [
        f"{result.names[int(boxes.cls[i])]} at {','.join(f'{side:.0f}' for side in boxes.xyxy[i])}"
        for i in range(min(3, len(boxes)))
    ]
    return f"{result.summary()}: {'; '.join(best)}"


def _prepared(tried: Tried, why: str) -> Tried:
    spec = tried.proposal.card.inputs[0]
    way = Prepared.said_by(spec).describe()
    reasons = (*tried.proposal.reasons, f"pictures are prepared as {way}: {why}")
    return replace(tried, proposal=replace(tried.proposal, reasons=reasons))


def _portrait() -> Array:
    import cv2

    data = files("vedette").joinpath("export", "astronaut.jpg").read_bytes()
    image: Array | None = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    return image


def _whole(path: Path) -> bytes:
    model = manifests.read(path)
    strangers = external_files(model)
    if strangers:
        raise ModelError(
            f"{path.name} keeps weights in another file: {min(strangers)}",
            why="a model is adopted as one file",
            cure="save it as one: onnx.save(model, path, save_as_external_data=False)",
        )
    return model
