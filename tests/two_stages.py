"""A Mask R-CNN of a few weights as a bundle: three graphs whose answers are known, and follow the picture's brightness.

features   the proposals of a table, times the brightness: a black picture has none
boxes      each proposal as it is, for both classes; the scores of a table, times the brightness
objects    the mask and the heatmaps of a table, by the label
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vedette.runtime import bundle as bundles
from vedette.runtime import manifest as manifests
from vedette.runtime.bundle import Bundle
from vedette.runtime.manifest import Decoder, Input, Manifest, Output, Resize

Array = NDArray[Any]
SIDE = 64  # of the input
PROPOSALS = 4  # that boxes takes
CHANNELS, ATLAS = 2, 4
MAP, HEATMAP, JOINTS = 28, 14, 2
MOST = 5  # objects
PART = Decoder("part")
# The first two are of one object, the last two of two levels; one has no size. Sides are odd multiples of HEATMAP, so that a peak
# is a pixel's centre.
BOXES = np.array(
    [[4, 12, 18, 54], [5, 12, 19, 54], [30, 10, 44, 52], [7, 9, 7, 20], [46, 20, 60, 34], [46, 20, 60, 34]],
    np.float32,
)
PROPOSAL_SCORES = np.array([0.9, 0.8, 0.7, 0.99, 0.6, 0.5], np.float32)
LEVELS = np.array([0, 0, 0, 0, 0, 1])
# Of the four that stay, which are the boxes 0, 2, 4 and 5: cat and dog.
SCORES = np.array([[0.9, 0.1], [0.2, 0.8], [0.04, 0.6], [0.3, 0.55]], np.float32)


def masks() -> Array:
    """The left half of a cat, the upper two thirds of a dog: float32 [2, MAP, MAP]."""
    tables = np.zeros((2, MAP, MAP), np.float32)
    tables[0, :, : MAP // 2], tables[1, : 2 * MAP // 3] = 1, 1
    return tables


PEAKS = np.array(
    [[[3, 5], [10, 11]], [[2, 2], [6, 9]]]
)  # of each class its joints, column and row of the heatmap


def heatmaps() -> Array:
    """Peaks of logit 2 and 4 on -9: float32 [2, JOINTS, HEATMAP, HEATMAP]."""
    tables = np.full((2, JOINTS, HEATMAP, HEATMAP), -9, np.float32)
    for label, joint in np.ndindex(2, JOINTS):
        x, y = PEAKS[label, joint]
        tables[label, joint, y, x] = 2 + 2 * joint
    return tables


def bundle(
    folder: Path,
    *,
    agnostic: bool = False,
    keypoints: bool = True,
    proposal_boxes: Array = BOXES,
    scores: Array = SCORES,
    parameters: Mapping[str, Any] | None = None,
) -> Path:
    """Write it into a new folder."""
    folder.mkdir()
    _features(folder / "features.onnx", proposal_boxes)
    _boxes(folder / "boxes.onnx", scores, agnostic=agnostic)
    _objects(folder / "objects.onnx", keypoints=keypoints)
    given = {"proposals": PROPOSALS, "detections": MOST, **(parameters or {})}
    if keypoints:
        given.setdefault("skeleton", [[0, 1]])
    parts = {role: f"{role}.onnx" for role in ("features", "boxes", "objects")}
    made = Bundle(
        "toy_rcnn",
        "mask_rcnn",
        "instances",
        parts,
        {},
        parameters=given,
        labels=("cat", "dog"),
        licence="MIT",
    )
    bundles.save(made, folder)
    return folder


def _features(path: Path, boxes: Array) -> None:
    from onnx import TensorProto, helper

    tables = {"ones": np.ones((1, CHANNELS, ATLAS, ATLAS), np.float32), "boxes": boxes[None], "scores": PROPOSAL_SCORES[None],
              "levels": LEVELS[None].astype(np.float32)}  # fmt: skip
    nodes = [
        helper.make_node("ReduceMax", ["images"], ["bright"], axes=[1, 2, 3], keepdims=1),
        helper.make_node("Mul", ["bright", "ones"], ["pyramid"]),
        helper.make_node("Squeeze", ["bright", "last"], ["share"]),  # [N, 1, 1]
        helper.make_node("Mul", ["share", "boxes"], ["proposal_boxes"]),
        helper.make_node("Squeeze", ["bright", "two"], ["row"]),  # [N, 1]
        helper.make_node("Mul", ["row", "zero"], ["nothing"]),
        helper.make_node("Add", ["nothing", "scores"], ["proposal_scores"]),
        helper.make_node("Add", ["nothing", "levels"], ["floats"]),
        helper.make_node("Cast", ["floats"], ["proposal_levels"], to=TensorProto.INT64),
    ]
    tables |= {"last": np.array([3]), "two": np.array([2, 3]), "zero": np.zeros(1, np.float32)}
    count = len(boxes)
    outputs = (
        Output("pyramid", (-1, CHANNELS, ATLAS, ATLAS), role="pyramid"),
        Output(
            "proposal_boxes", (-1, count, 4), role="proposal_boxes", box_format="xyxy", box_units="pixels"
        ),
        Output("proposal_scores", (-1, count), role="proposal_scores"),
        Output("proposal_levels", (-1, count), "int64", role="proposal_levels"),
    )
    resize = Resize("letterbox", pad=0.0)
    images = _input("images", (3, SIDE, SIDE), pixel_format="bgr", resize=resize, scale=1 / 255)
    _write(path, nodes, tables, (images,), outputs)


def _boxes(path: Path, scores: Array, *, agnostic: bool) -> None:
    from onnx import helper

    nodes = [
        helper.make_node("Unsqueeze", ["proposals", "two"], ["each"]),  # [N, R, 1, 4]
        helper.make_node("Concat", ["each"] if agnostic else ["each", "each"], ["boxes"], axis=2),
        helper.make_node("ReduceMax", ["pyramid"], ["bright"], axes=[1, 2, 3], keepdims=1),
        helper.make_node("Squeeze", ["bright", "last"], ["share"]),
        helper.make_node("Mul", ["share", "table"], ["scores"]),
    ]
    tables = {"two": np.array([2]), "last": np.array([3]), "table": scores[None]}
    inputs = _input("pyramid", (CHANNELS, ATLAS, ATLAS)), _input("proposals", (PROPOSALS, 4))
    outputs = (
        Output("scores", (-1, PROPOSALS, 2), role="scores"),
        Output("boxes", (-1, PROPOSALS, 1 if agnostic else 2, 4), role="boxes"),
    )
    _write(path, nodes, tables, inputs, outputs)


def _objects(path: Path, *, keypoints: bool) -> None:
    """What is not asked for, the pyramid and the regions, counts nothing."""
    from onnx import helper

    nodes = [helper.make_node("ReduceMax", ["pyramid"], ["bright"], axes=[1, 2, 3], keepdims=1),
             helper.make_node("ReduceMax", ["rois"], ["extent"], axes=[1, 2], keepdims=1),
             helper.make_node("Unsqueeze", ["extent", "last"], ["far"]),
             helper.make_node("Add", ["bright", "far"], ["some"]),
             helper.make_node("Mul", ["some", "zero"], ["nothing"]),
             helper.make_node("Gather", ["mask_table", "labels"], ["chosen"], axis=0),
             helper.make_node("Add", ["chosen", "nothing"], ["masks"])]  # fmt: skip
    tables = {"last": np.array([3]), "zero": np.zeros(1, np.float32), "mask_table": masks()}
    outputs = [Output("masks", (-1, -1, MAP, MAP), role="masks")]
    if keypoints:
        nodes.append(helper.make_node("Gather", ["heat_table", "labels"], ["keypoints"], axis=0))
        tables["heat_table"] = heatmaps()
        outputs.append(Output("keypoints", (-1, -1, JOINTS, HEATMAP, HEATMAP), role="keypoints"))
    some = (-1, 4), (1, 4), (MOST, 4)
    rois = _input("rois", some[0], most=some[2])
    labels = replace(_input("labels", (-1,), most=(MOST,)), dtype="int64")
    _write(path, nodes, tables, (_input("pyramid", (CHANNELS, ATLAS, ATLAS)), rois, labels), tuple(outputs))


def _input(name: str, shape: tuple[int, ...], *, most: tuple[int, ...] = (), **more: Any) -> Input:
    """Of 1 to 4 images."""
    least = tuple(max(1, side) for side in shape)
    return Input(
        name, (-1, *shape), minimum=(1, *least), typical=(1, *least), maximum=(4, *(most or least)), **more
    )


def _write(
    path: Path,
    nodes: Any,
    tables: Mapping[str, Array],
    inputs: tuple[Input, ...],
    outputs: tuple[Output, ...],
) -> None:
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    types = {"float32": TensorProto.FLOAT, "int64": TensorProto.INT64}

    def values(specs: Any) -> list[Any]:
        return [
            helper.make_tensor_value_info(
                spec.name, types[spec.dtype],
                [side if side > 0 else ("batch" if axis == 0 else "count") for axis, side in enumerate(spec.shape)],
            )
            for spec in specs
        ]  # fmt: skip

    weights = [numpy_helper.from_array(np.ascontiguousarray(table), name) for name, table in tables.items()]
    graph = helper.make_graph(nodes, path.stem, values(inputs), values(outputs), weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, str(path))
    files = {path.name: manifests.sha256(path.read_bytes())}
    manifests.save(Manifest(path.stem, "instances", inputs, outputs, PART, files=files), path)
