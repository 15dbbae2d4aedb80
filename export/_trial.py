"""Readings of a foreign model, tried on a picture: which of them make sense of what it gives, and which see objects.

In: proposals and an open engine.  Out: each one settled, with a Result.
What makes sense: boxes that are boxes, and of grids those that lie at their cells.  Next: adopt.py, which decides.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from vedette.export._class_count import FAMILIES, classes_within
from vedette.runtime import adoption, settling
from vedette.runtime.adoption import Proposal
from vedette.runtime.decoders import Seen
from vedette.runtime.engine import Engine
from vedette.runtime.errors import ModelError, VedetteError
from vedette.runtime.facts import Hints
from vedette.runtime.frame import Array, Frame
from vedette.runtime.manifest import Input, Manifest
from vedette.runtime.onnx_file import Graph, graph_of
from vedette.runtime.preparations import STRETCH, Prepared, others
from vedette.runtime.preprocess import fill, place
from vedette.runtime.results import Result
from vedette.runtime.runner import SIZES, HostRunner, Recipe

log = logging.getLogger(__name__)
# of an input that takes any size, as far as its graph says
SIDES = (640, 416, 512, 320, 256, 224)


@dataclass(frozen=True, slots=True)
class Tried:
    """A reading, and what it finds."""

    proposal: Proposal
    result: Result
    order: float  # the correlation of its boxes with the cells of their grid


@dataclass(frozen=True, slots=True)
class Trial:
    """A model and a picture to try it on."""

    engine: Engine
    model: bytes
    image: Array  # uint8 [H, W, 3] BGR
    whole: bool = False  # the graph wants values from 0 to 255

    @property
    def graph(self) -> Graph:
        """The outside of the model."""
        return graph_of(self.model)

    def proposals(self, name: str, hints: Hints) -> list[Proposal]:
        """What the families claim of a run on the picture.

        Raises:
            ModelError: no size of picture that was tried goes through the graph.
        """
        seen, typical = self._seen()
        found = adoption.proposals(self.model, name, hints, seen=seen, typical=typical)
        if self.whole:
            return [self._as_bytes(proposal) for proposal in found]
        if len(found) == 1 and _may_be_of_bytes(found[0].card):
            return replace(self, whole=True).proposals(name, replace(hints, task="image")) or found
        return found

    def _as_bytes(self, proposal: Proposal) -> Proposal:
        spec, *others_ = proposal.card.inputs
        spec = Prepared(resize=spec.resize, scale=1.0).of(spec)
        return replace(proposal, card=replace(proposal.card, inputs=(spec, *others_)))

    def tried(self, proposal: Proposal) -> Tried | None:
        """A proposal settled, and what it finds; None where it makes no sense of the outputs."""
        family = proposal.card.decoder.family
        try:
            card, fit, order = self._settled(proposal)
            result = self.result(card, self.image)
        except VedetteError as error:
            log.info("%s: %s", family, error.what)
            return None
        if fit < settling.LEAST:
            log.info("%s: only %.0f %% of its boxes would be boxes", family, 100 * fit)
            return None
        return Tried(replace(proposal, card=card), result, order)

    def prepared_otherwise(self, tried: Tried) -> Iterator[Tried]:
        """The same reading of pictures that are prepared as other networks want them."""
        card, spec = tried.proposal.card, tried.proposal.card.inputs[0]
        if self.whole:
            return
        now = Prepared.said_by(spec)
        for other in others(now):
            changed = replace(card, inputs=(other.of(spec), *card.inputs[1:]))
            yield replace(
                tried, proposal=replace(tried.proposal, card=changed), result=self.result(changed, self.image)
            )

    def result(self, card: Manifest, image: Array) -> Result:
        """What a reading finds in a picture."""
        return HostRunner(Recipe(card), self.engine).submit([Frame((image,))]).results()[0]

    def _seen(self) -> tuple[Seen, tuple[int, int]]:
        picture = adoption.picture_input(self.graph)
        if picture is None:
            return Seen({}, {}), (0, 0)
        refused: ModelError | None = None
        for side in SIDES:
            height, width = (length if length > 0 else side for length in picture.shape[2:])
            try:
                spec = Input(picture.name, (1, 3, height, width), picture.dtype)  # type: ignore[arg-type]
                values = self._run(Prepared(scale=1.0 if self.whole else 1 / 255).of(spec))
            except ModelError as error:
                refused = refused or error
                continue
            return Seen(values, {value.name: value.ends for value in self.graph.outputs}), (height, width)
        assert refused is not None
        raise refused

    def _run(self, spec: Input) -> dict[str, Array]:
        """The outputs for the picture, prepared as `spec` says, at its shape."""
        height, width = spec.shape[2:]
        feed = np.zeros(spec.shape, spec.dtype)
        fill(feed[0], self.image, spec, place(self.image.shape[1::-1], (width, height), spec.resize))
        sizes = {v.name: np.array([[width, height]], v.dtype) for v in self.graph.inputs if v.name == SIZES}
        return {name: np.asarray(array) for name, array in self.engine({spec.name: feed, **sizes}).items()}

    def _settled(self, proposal: Proposal) -> tuple[Manifest, float, float]:
        """The card with boxes that fit, how many do, and how well they keep to their cells."""
        card, spec = proposal.card, proposal.card.inputs[0]
        height, width = spec.bounds()[1][2:]
        outputs, size = self._run(replace(spec, shape=(1, 3, height, width))), (width, height)
        card, fit = settling.with_box_that_fits(card, outputs, size, sure=proposal.sure)
        boxed = card.task in ("detection", "instances")
        order = _order(settling.boxes_of(card, outputs, size), size) if boxed else 0.0
        box = card.decoder.parameters.get("box")
        if card.decoder.family == "end_to_end" and box == {"format": "cxcywh", "units": "normalised"}:
            spec = Prepared(resize=STRETCH).of(spec)  # a transformer's queries: RT-DETR's
            card = replace(card, inputs=(spec, *card.inputs[1:]))
        classes = settling.classes_of(card, outputs)
        if card.decoder.family in FAMILIES:
            classes = classes_within(self.model)
        return settling.with_names(card, classes), fit, order


def _may_be_of_bytes(card: Manifest) -> bool:
    """Three maps without a meaning may be a picture of what should have been 0 to 255; who gives that mostly takes it."""
    return card.decoder.family == "unet" or card.decoder.parameters.get("white") == 255


def _order(boxes: Array, size: tuple[int, int]) -> float:
    """The correlation of boxes' middles with the cells that they come from, 0 where they come from no grid of cells."""
    middles = (boxes[:, :2] + boxes[:, 2:]) / 2
    for each in (1, 3):
        for strides in ((8, 16, 32), (8, 16, 32, 64), (16, 32)):
            grids = [_cells(size, stride) for stride in strides for _ in range(each)]
            cells = np.concatenate(grids)
            if len(cells) == len(middles) and np.isfinite(middles).all() and middles.std(axis=0).all():
                return float(min(np.corrcoef(cells[:, axis], middles[:, axis])[0, 1] for axis in range(2)))
    return 0.0


def _cells(size: tuple[int, int], stride: int) -> Array:
    """[n, 2] the middles of a grid's cells, row by row."""
    columns, rows = np.meshgrid(*(np.arange(side // stride) + 0.5 for side in size))
    cells: Array = np.stack([columns.ravel(), rows.ravel()], axis=1) * stride
    return cells
