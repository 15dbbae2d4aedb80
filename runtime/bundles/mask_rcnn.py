"""Mask R-CNN in three graphs, with suppression between them: proposals, then boxes with classes, then masks and joints.

In: Frames.  Out: Results with boxes, masks and keypoints.  The graphs' shapes are fixed but for the batch: R proposals an
image, of which those that are not used are all 0, and as many objects as the image that has most.

The engines may be on a GPU; what goes between them does so by host arrays. So the pyramid of features comes down once and goes
up twice a batch, at 800 x 1344 pixels about 90 MB each way an image. A Runner that leaves it on the device is to be chosen in
`runner_of`; nms.cu, assemble_masks.cu and heatmap_keypoints.cu are there for it.

Next: _two_stages.py, what happens between the graphs.  Source: He et al., Mask R-CNN, 2017.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from vedette.runtime.bundle import CURE, Loaded, Part, parameters_of
from vedette.runtime.bundles._two_stages import best_objects, best_proposals, joints, side_by_side
from vedette.runtime.decoders import Candidates, Instances, Maps
from vedette.runtime.decoders.mask_rcnn import HALF
from vedette.runtime.engine import Engine
from vedette.runtime.errors import ManifestError
from vedette.runtime.frame import Array, Frame
from vedette.runtime.intake import Intake, check_shapes, in_batches
from vedette.runtime.manifest import Manifest
from vedette.runtime.preprocess import Placement, Size
from vedette.runtime.results import Result
from vedette.runtime.runner import Done, Pending, Runner
from vedette.runtime.tasks import Config, instances
from vedette.runtime.timing import Stopwatch

# Of each part its inputs, but for the picture, and the axes of its outputs by role.
INPUTS: Mapping[str, set[str]] = {
    "features": set(),
    "boxes": {"pyramid", "proposals"},
    "objects": {"pyramid", "rois", "labels"},
}
OUTPUTS: Mapping[str, Mapping[str, int]] = {
    "features": {"pyramid": 4, "proposal_boxes": 3, "proposal_scores": 2, "proposal_levels": 2},
    "boxes": {"scores": 3, "boxes": 4},
    "objects": {"masks": 4, "keypoints": 5},
}
OPTIONAL = {"masks", "keypoints"}


@dataclass(frozen=True, slots=True)
class Parameters:
    """What bundle.json says of all parts."""

    proposals: int  # that `boxes` takes of an image
    proposal_iou: float = 0.7  # proposals of one level that overlap by more suppress each other
    box_iou: float = 0.5  # and boxes of one class, where the user asks for nothing else
    detections: int = 100  # that `objects` takes of an image at most
    skeleton: tuple[tuple[int, int], ...] = ()  # lines to draw between joints

    def __post_init__(self) -> None:
        if not (0 < self.proposals <= 65536 and 0 < self.detections <= 65536):
            raise ValueError("proposals and detections are 1 to 65536")
        if not (0 <= self.proposal_iou <= 1 and 0 <= self.box_iou <= 1):
            raise ValueError("an overlap is a share, 0 to 1")


def defaults(parameters: Parameters) -> Config:
    """What its authors measured it with; conf is the task's."""
    return Config(iou=parameters.box_iou, max_det=parameters.detections)


def runner_of(
    loaded: Loaded, engines: Mapping[str, Engine], config: Config, *, imgsz: Size | None = None
) -> Runner:
    """A Runner on host arrays.

    Raises:
        ManifestError: the parts do not fit together.
        UsageError: an imgsz that the first graph does not take.
    """
    parameters: Parameters = parameters_of(loaded.bundle)
    _check(loaded.parts, parameters)
    graphs = {role: _Graph(part.manifest, engines[role]) for role, part in loaded.parts.items()}
    return MaskRcnnRunner(loaded.card, graphs, parameters, config, imgsz=imgsz)


class MaskRcnnRunner:
    """Three engines in turn, and on the host what is between them."""

    in_flight = 1

    def __init__(
        self,
        card: Manifest,
        graphs: Mapping[str, "_Graph"],
        parameters: Parameters,
        config: Config,
        *,
        imgsz: Size | None = None,
    ) -> None:
        self.name, self._card, self._graphs, self._parameters = card.name, card, graphs, parameters
        self._intake = Intake(graphs["features"].manifest, imgsz=imgsz)
        self.max_batch = min(graph.manifest.inputs[0].bounds()[2][0] for graph in graphs.values())
        self._config = replace(config, max_det=min(config.max_det, parameters.detections))
        self._conf = instances.DEFAULT_CONF if config.conf is None else config.conf

    def submit(self, frames: Sequence[Frame]) -> Pending:
        """The work is done when the results are asked for."""
        return Done(lambda: in_batches(self._intake, frames, self._batch))

    def close(self) -> None:
        """There is nothing to free."""

    def _batch(self, frames: Sequence[Frame], placements: Sequence[Placement]) -> list[Result]:
        watch, graphs = Stopwatch(), self._graphs
        with watch("preprocess"):
            feeds = self._intake.filled(graphs["features"].engine, frames, placements)
        with watch("inference"):
            first = graphs["features"](feeds)
        with watch("decode"):
            proposals = self._proposals(first, placements)
        with watch("inference"):
            feeds = {
                "pyramid": first["pyramid"],
                "proposals": side_by_side(proposals, self._parameters.proposals),
            }
            second = graphs["boxes"](feeds)
        with watch("decode"):
            objects = self._objects(second, [len(rows) for rows in proposals], placements)
        with watch("inference"):
            third = graphs["objects"](self._regions(first["pyramid"], objects))
        with watch("decode"):
            found = [_instances(objects[index], _of(third, index)) for index in range(len(frames))]
            results = [self._finished(*each) for each in zip(found, frames, placements, strict=True)]
        return [result.timed(watch.each(len(frames))) for result in results]

    def _proposals(self, outputs: Mapping[str, Array], placements: Sequence[Placement]) -> list[Array]:
        """Of each image [n, 4]."""
        names = "proposal_boxes", "proposal_scores", "proposal_levels"
        parameters = self._parameters
        return [
            best_proposals(*image, iou=parameters.proposal_iou, most=parameters.proposals)
            for image in zip(*(outputs[name] for name in names), placements, strict=True)
        ]

    def _objects(
        self, outputs: Mapping[str, Array], counts: Sequence[int], placements: Sequence[Placement]
    ) -> list[Candidates]:
        """Of each image, whose first proposals are none of those that only fill the room."""
        config = self._config
        return [
            best_objects(
                boxes[:count], scores[:count], placement,
                conf=self._conf, iou=config.iou, most=config.max_det, classes=config.classes,
            )
            for boxes, scores, count, placement in zip(outputs["boxes"], outputs["scores"], counts, placements, strict=True)
        ]  # fmt: skip

    def _regions(self, pyramid: Array, objects: Sequence[Candidates]) -> dict[str, Array]:
        """What the last graph takes; a graph without any region is refused, so there is one at least."""
        most = max(1, *(len(found.scores) for found in objects))
        if self._graphs["objects"].engine.on_device is not None:  # which keeps memory for a few shapes
            most = min(1 << (most - 1).bit_length(), self._parameters.detections)
        rois = side_by_side([found.boxes_xyxy for found in objects], most)
        labels = side_by_side([found.class_ids for found in objects], most)
        return {"pyramid": pyramid, "rois": rois, "labels": labels}

    def _finished(self, found: Instances, frame: Frame, placement: Placement) -> Result:
        result = instances.finish(found, frame, placement, self._card, self._config)
        drawn = self._parameters.skeleton if result.keypoints is not None else ()
        return replace(result, skeleton=drawn or result.skeleton)


class _Graph:
    """One part: arrays by name in, arrays by role out."""

    def __init__(self, manifest: Manifest, engine: Engine) -> None:
        self.manifest, self.engine = manifest, engine

    def __call__(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Run it.

        Raises:
            ModelError: the graph refuses these inputs, or its outputs are not what its manifest says.
        """
        types = {spec.name: spec.dtype for spec in self.manifest.inputs}
        typed = {name: array.astype(types[name], copy=False) for name, array in feeds.items()}
        outputs = self.engine(typed)
        batch = len(next(iter(feeds.values())))
        check_shapes(self.manifest, {name: array.shape for name, array in outputs.items()}, batch)
        return {spec.role: _wide(outputs[spec.name]) for spec in self.manifest.outputs}


def _wide(values: Array) -> Array:
    """float16 as float32."""
    return values.astype(np.float32) if values.dtype == np.float16 else values


def _of(outputs: Mapping[str, Array], index: int) -> dict[str, Array]:
    return {role: array[index] for role, array in outputs.items()}


def _instances(boxes: Candidates, outputs: Mapping[str, Array]) -> Instances:
    """Of one image, from as many of the last graph's rows as it has objects."""
    count = len(boxes.scores)
    masks, heatmaps = (outputs[role][:count] if role in outputs else None for role in ("masks", "keypoints"))
    return Instances(
        boxes,
        None if masks is None else Maps(masks, HALF, "box"),
        None if heatmaps is None else joints(heatmaps, boxes.boxes_xyxy),
    )


def _check(parts: Mapping[str, Part], parameters: Parameters) -> None:
    """What the Runner relies on.

    Raises:
        ManifestError: it is not so.
    """
    if parts.keys() != OUTPUTS.keys():
        raise _misfit(f"it has the parts {', '.join(parts)}, not {', '.join(OUTPUTS)}")
    for role, part in parts.items():
        _check_part(role, part.manifest)
    shapes = {role: {spec.name: spec.shape for spec in part.manifest.inputs} for role, part in parts.items()}
    if shapes["boxes"]["proposals"][1] not in (-1, parameters.proposals):
        raise _misfit(f"boxes takes {shapes['boxes']['proposals'][1]} proposals, not {parameters.proposals}")
    room = next(spec.bounds()[2][1] for spec in parts["objects"].manifest.inputs if spec.name == "rois")
    if 0 < room < parameters.detections:
        raise _misfit(f"objects takes {room} regions at most, not {parameters.detections}")
    found = {spec.role: spec.shape for spec in parts["objects"].manifest.outputs}
    count = found["keypoints"][2] if "keypoints" in found else 0
    if any(not 0 <= joint < count for pair in parameters.skeleton for joint in pair):
        raise _misfit(f"the skeleton has joints that are not among the {count} of objects")


def _check_part(role: str, card: Manifest) -> None:
    inputs = {spec.name for spec in card.inputs}
    axes = {spec.role: len(spec.shape) for spec in card.outputs}
    needed = OUTPUTS[role].keys() - OPTIONAL
    if INPUTS[role] and inputs != INPUTS[role]:
        raise _misfit(f"{role} takes {', '.join(sorted(inputs))}, not {', '.join(sorted(INPUTS[role]))}")
    if not needed <= axes.keys() or any(OUTPUTS[role].get(name) != count for name, count in axes.items()):
        told = ", ".join(f"{name} of {count} axes" for name, count in OUTPUTS[role].items())
        raise _misfit(f"{role} gives {', '.join(axes) or 'nothing'}, not {told}")


def _misfit(why: str) -> ManifestError:
    return ManifestError("the parts of the bundle do not fit together", why=why, cure=CURE)
