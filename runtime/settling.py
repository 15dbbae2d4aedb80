"""What only a run tells of a foreign model: unit and format of its boxes, and names for COCO's nameless classes.

In: a card that was proposed, and the outputs of a run.  Out: the card, settled.  Next: adoption.py, export/adopt.py.
"""

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from vedette.kernels.box_layouts import plan
from vedette.runtime.coco import COCO_80, COCO_91
from vedette.runtime.decoders import parameters_of
from vedette.runtime.engine import Engine
from vedette.runtime.frame import Array
from vedette.runtime.manifest import Decoder, Manifest
from vedette.runtime.plugins import load

log = logging.getLogger(__name__)
DECODERS = "vedette.runtime.decoders"
COCO = {80: COCO_80, 90: COCO_91[1:], 91: COCO_91}
ALL, LEAST = 0.99, 0.7  # of the boxes of a reading
Size = tuple[int, int]  # (width, height)


def settled(card: Manifest, engine: Engine) -> Manifest:
    """The card after a run on noise, of which a network makes boxes like any others.

    Raises:
        ModelError: the outputs cannot be read as the card says.
    """
    shape = card.inputs[0].bounds()[1]
    noise = np.random.default_rng(0).random(shape).astype(card.inputs[0].dtype)
    sizes = {other.name: np.array([shape[:1:-1]], other.dtype) for other in card.inputs[1:]}
    outputs = engine({card.inputs[0].name: noise, **sizes})
    card, _ = with_box_that_fits(card, outputs, (shape[3], shape[2]), sure=True)
    return with_names(card, classes_of(card, outputs))


def with_names(card: Manifest, classes: int) -> Manifest:
    """With COCO's names, if there are as many classes as COCO has and nobody names them."""
    names = () if card.labels else COCO.get(classes, ())
    if names:
        log.warning("%s names none of its %d classes: they are taken for COCO's", card.name, len(names))
    return replace(card, labels=card.labels or names)


def with_box_that_fits(
    card: Manifest, outputs: Mapping[str, Array], input_size: Size, *, sure: bool = False
) -> tuple[Manifest, float]:
    """With the unit and the format in which boxes are boxes, and the share of them that then are; without boxes, 1.

    Corners are told by all of them being in order, which centres and sizes are not by chance. A format of which one is
    sure is another only if hardly any box is one.
    """
    if card.task not in ("detection", "instances"):
        return card, 1.0
    card = with_unit(card, outputs, input_size)
    own = valid_boxes(card, outputs, input_size)
    box = card.decoder.parameters.get("box")
    if card.decoder.parameters.get("extras", {}).get("angle"):  # goes with centres and sizes only
        return card, own
    for other in {"cxcywh": ("xyxy",), "xyxy": ("cxcywh",)}.get(box["format"] if box else "", ()):
        changed = with_unit(with_box(card, format=other), outputs, input_size)
        fit = valid_boxes(changed, outputs, input_size)
        if (other == "xyxy" and not sure and fit >= ALL) or own < LEAST <= fit:
            return changed, fit
    return card, own


def valid_boxes(card: Manifest, outputs: Mapping[str, Array], input_size: Size) -> float:
    """The share of boxes that have a size, up to twice the input's, and their middle near it; 1 if there is no box."""
    boxes = boxes_of(card, outputs, input_size).astype(np.float64)
    if not len(boxes):
        return 1.0
    boxes, limits = np.where(np.isfinite(boxes), boxes, 0), np.array(input_size)
    sides, middles = boxes[:, 2:] - boxes[:, :2], (boxes[:, 2:] + boxes[:, :2]) / 2
    valid = (sides > 0) & (sides < 2 * limits) & (middles > -limits) & (middles < 2 * limits)
    return float(valid.all(axis=1).mean())


def with_unit(card: Manifest, outputs: Mapping[str, Array], input_size: Size) -> Manifest:
    """With the unit in which most boxes have a size that can be: pixels, or shares of the input."""
    box = card.decoder.parameters.get("box")
    if not box or box["units"] == "image":
        return card
    boxes = boxes_of(card, outputs, input_size)
    sides = np.abs(boxes[:, 2:] - boxes[:, :2]).max(axis=1, initial=0)
    sides = sides[np.isfinite(sides) & (sides > 0)]
    if not len(sides) or 1 < np.median(sides) < 2 * max(input_size):
        return card
    return with_box(card, units="normalised" if box["units"] == "pixels" else "pixels")


def with_box(card: Manifest, **changed: str) -> Manifest:
    """The card with another unit or format of its boxes."""
    box = card.decoder.parameters["box"] | changed
    return replace(card, decoder=Decoder(card.decoder.family, card.decoder.parameters | {"box": box}))


def boxes_of(card: Manifest, outputs: Mapping[str, Array], input_size: Size) -> Array:
    """Every box that the outputs have for their first picture and that scores at all: [n, 4] xyxy in pixels of the input."""
    plugin: Any = load(DECODERS, card.decoder.family)
    parameters = parameters_of(card)
    if getattr(parameters, "multi_label", False):  # a box once
        parameters = replace(parameters, multi_label=False)
    found = plugin.decode(outputs, card, parameters, 0.0, input_size=input_size)[0]
    boxes: Array = getattr(found, "boxes", found).boxes_xyxy
    return boxes


def classes_of(card: Manifest, outputs: Mapping[str, Array]) -> int:
    """How many classes the shapes of the outputs leave, 0 where they do not tell."""
    parameters, plugin = parameters_of(card), load(DECODERS, card.decoder.family)
    height, width = card.inputs[0].bounds()[1][2:]
    shapes = {output.role: outputs[output.name].shape[1:] for output in card.outputs}
    if hasattr(plugin, "classes"):
        return int(plugin.classes(parameters, shapes))
    heads = getattr(plugin, "heads", lambda *_, **__: None)(parameters, input_size=(width, height))
    if heads:
        layout, roles = heads.grids[0].layout, heads.grids[0].roles
        try:
            return int(plan(layout, tuple(shapes[role] for role in roles)).classes)
        except (ValueError, KeyError):
            return 0
    columns = shapes.get("scores", shapes.get("logits", ()))
    others = getattr(parameters, "background", 0) + getattr(parameters, "no_object", 0)
    return columns[-1] - others if len(columns) == 2 else 0
