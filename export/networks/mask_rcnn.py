"""Mask R-CNN: a box, a class, a mask and keypoints for every object; a bundle of three graphs.

In: a picture, float32 [N, 3, H, W], RGB, normalised as ImageNet's. Out: per object, what _mask_rcnn_parts.py says.
One class holds our small network for digits (1.1 M parameters, trained by ../training/mask_rcnn.py) and torchvision's
maskrcnn_resnet50_fpn and keypointrcnn_resnet50_fpn, whose weights load by their names; which it is follows from them.

Next: _mask_rcnn_network.py (the module), _mask_rcnn_parts.py (its graphs), _mask_rcnn_weights.py, ../bundle.py.
Source: He et al., Mask R-CNN, ICCV 2017.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from vedette.export.networks._mask_rcnn_eager import BOX_IOU, DETECTIONS, PROPOSAL_IOU, Eager
from vedette.export.networks._mask_rcnn_network import MaskRCNN, Plan, Proposing
from vedette.export.networks._mask_rcnn_parity import proposals_aligned
from vedette.export.networks._mask_rcnn_weights import DIGIT_BODY, loaded, plan_of, renamed
from vedette.export.networks._roi import Layout
from vedette.export.networks._roi_heads import HEATMAP_SIDE, MASK_SIDE
from vedette.export.networks._whole import Graph, Whole
from vedette.export.weights import read
from vedette.runtime.bundle import PART, Bundle
from vedette.runtime.coco import COCO_91
from vedette.runtime.manifest import Decoder, Input, Manifest, Output, Resize
from vedette.runtime.preprocess import Size, target_size
from vedette.runtime.tasks.instances import COCO_17

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
LARGEST_BATCH = 4
DIGITS = Plan(
    DIGIT_BODY, Proposing(anchors=(15, 24, 36), ratios=(1.3, 1.75, 2.3), best=100, kept=64),
    width=48, hidden=192, classes=10, masks=(48, 48, 32), joints=(48, 48), keypoints=5, canonical=(40, 3),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class About:
    """What the weights do not say of a plan."""

    size: Size  # (width, height) where none is asked for
    resize: Resize
    labels: tuple[str, ...] = ()
    skeleton: tuple[tuple[int, int], ...] = ()
    licence: str = "unknown"
    provenance: str = ""
    accuracy: str = ""


OURS = About(
    (128, 128), Resize("letterbox"), tuple(str(digit) for digit in range(10)), tuple((joint, 4) for joint in range(4)),
    "Apache-2.0",
    "trained here on digit scenes: scikit-learn's digits on photos of scikit-image and scikit-learn",
    "boxes AP 0.71, AP50 0.95, masks AP50 0.94, keypoints AP50 0.93 on 1000 held-out digit scenes"
    " (pycocotools; other writers, other photos)",
)  # fmt: skip


def network() -> MaskRCNN:
    """Our Mask R-CNN with fresh weights."""
    return MaskRCNN(DIGITS)


def whole(weights: Path | None = None, imgsz: Size | None = None) -> Whole:
    """The network of a file of weights, or ours with fresh ones, as graphs for pictures of one size.

    Raises:
        ModelError: the file is unreadable, or a tensor is missing, unknown or of another shape.
        UsageError: the sides are not multiples of the coarsest stride.
    """
    if weights is None:
        module, about = network().eval(), OURS
    else:
        state = renamed(read(weights))
        plan = plan_of(state, DIGITS)
        module = loaded(state, plan, weights.name)
        about = OURS if plan == DIGITS else about_of(plan, weights.name)
    size = target_size(pixels(module.plan, about), imgsz)
    eager = Eager(module, size)
    return Whole(_bundle(module.plan, about), _graphs(eager, about, size), eager.feeds)


def about_of(plan: Plan, origin: str) -> About:
    """Of a plan of torchvision's: COCO's labels, where the counts are COCO's."""
    labels = {90: COCO_91[1:], 1: ("person",)}.get(plan.classes, ())
    skeleton = COCO_17 if plan.keypoints == 17 else ()
    resize = Resize(
        "letterbox", anchor="top-left", pad=116.0
    )  # the mean's grey, torchvision's 0 after normalising
    return About((1344, 800), resize, labels, skeleton, provenance=f"weights of {origin}")


def pixels(plan: Plan, about: About) -> Input:
    """The picture that all starts from, of any size."""
    (width, height), step = about.size, plan.body.strides[-1]
    return Input(
        "images", (-1, 3, -1, -1), minimum=(1, 3, step, step), typical=(1, 3, height, width),
        maximum=(LARGEST_BATCH, 3, 4096, 4096), multiple_of=(1, 1, step, step), pixel_format="rgb",
        resize=about.resize, scale=1 / 255, mean=MEAN, std=STD,
    )  # fmt: skip


def _bundle(plan: Plan, about: About) -> Bundle:
    parameters = {
        "proposals": plan.proposing.kept, "proposal_iou": PROPOSAL_IOU, "box_iou": BOX_IOU, "detections": DETECTIONS,
        "skeleton": [list(pair) for pair in about.skeleton],
    }  # fmt: skip
    return Bundle(
        "mask_rcnn", "mask_rcnn", "instances", {}, {}, parameters=parameters, labels=about.labels,
        licence=about.licence, provenance=about.provenance, accuracy=about.accuracy,
    )  # fmt: skip


def _graphs(eager: Eager, about: About, size: Size) -> dict[str, Graph]:
    """The parts by role, each with its card."""
    return {
        "features": Graph(
            eager.features, _features_card(eager, about, size), ("backbone", "rpn"), proposals_aligned
        ),
        "boxes": Graph(eager.boxes, _boxes_card(eager, about, size), ("box_head", "box_predictor")),
        "objects": Graph(eager.objects, _objects_card(eager, about, size), ("mask", "keypoint")),
    }


def _features_card(eager: Eager, about: About, size: Size) -> Manifest:
    plan = eager.plan
    count = sum(min(plan.proposing.best, len(anchors)) for anchors in eager.anchors)
    outputs = (
        Output("pyramid", (-1, *_pyramid(plan, size)), role="pyramid"),
        Output(
            "proposal_boxes", (-1, count, 4), role="proposal_boxes", box_format="xyxy", box_units="pixels"
        ),
        Output("proposal_scores", (-1, count), role="proposal_scores"),
        Output("proposal_levels", (-1, count), "int64", role="proposal_levels"),
    )
    return _card("features", about, (_fixed(pixels(plan, about), size),), outputs)


def _fixed(images: Input, size: Size) -> Input:
    """The picture of one size."""
    shape = (3, *size[::-1])
    bounds = [(batch, *shape) for batch in (-1, 1, 1, LARGEST_BATCH)]
    return replace(
        images, shape=bounds[0], minimum=bounds[1], typical=bounds[2], maximum=bounds[3], multiple_of=()
    )


def _boxes_card(eager: Eager, about: About, size: Size) -> Manifest:
    plan = eager.plan
    count, classes = plan.proposing.kept, plan.classes
    inputs = _tensor("pyramid", _pyramid(plan, size)), _tensor("proposals", (count, 4))
    outputs = (
        Output("scores", (-1, count, classes), role="scores"),
        Output("boxes", (-1, count, classes, 4), role="boxes", box_format="xyxy", box_units="pixels"),
    )
    return _card("boxes", about, inputs, outputs)


def _objects_card(eager: Eager, about: About, size: Size) -> Manifest:
    plan, outputs = eager.plan, []
    if plan.masks:
        outputs.append(Output("masks", (-1, -1, MASK_SIDE, MASK_SIDE), role="masks"))
    if plan.keypoints:
        outputs.append(
            Output("keypoints", (-1, -1, plan.keypoints, HEATMAP_SIDE, HEATMAP_SIDE), role="keypoints")
        )
    inputs = (
        _tensor("pyramid", _pyramid(plan, size)),
        _tensor("rois", (-1, 4)),
        replace(_tensor("labels", (-1,)), dtype="int64"),
    )
    return _card("objects", about, inputs, tuple(outputs))


def _pyramid(plan: Plan, size: Size) -> tuple[int, int, int]:
    columns, rows = Layout(size, plan.body.strides).atlas
    return plan.width, rows, columns


def _tensor(name: str, shape: tuple[int, ...]) -> Input:
    """An input that is no picture; -1 is a number of objects."""
    least, usual, most = (
        tuple(count if side < 0 else side for side in shape) for count in (1, 8, DETECTIONS)
    )
    return Input(name, (-1, *shape), minimum=(1, *least), typical=(1, *usual), maximum=(LARGEST_BATCH, *most))


def _card(role: str, about: About, inputs: tuple[Input, ...], outputs: tuple[Output, ...]) -> Manifest:
    return Manifest(
        f"mask_rcnn_{role}", "instances", inputs, outputs, Decoder(PART), labels=about.labels,
        licence=about.licence, provenance=about.provenance, accuracy=about.accuracy,
    )  # fmt: skip
