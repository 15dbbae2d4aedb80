"""A network of several graphs as a folder: exported, checked, run by the runtime, and built."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

for needed in ("torch", "onnx", "onnxslim", "safetensors", "cv2", "sklearn", "skimage", "tensorrt_rtx"):
    pytest.importorskip(needed)

import onnx  # noqa: E402
import torch  # noqa: E402

from vedette import Model  # noqa: E402
from vedette.commands import build as build_verb  # noqa: E402
from vedette.commands import export as export_verb  # noqa: E402
from vedette.export import build  # noqa: E402
from vedette.export._bundle_parity import parity_of_part, pictures  # noqa: E402
from vedette.export._half import half_inside  # noqa: E402
from vedette.export.build import Options, zoo_weights  # noqa: E402
from vedette.export.bundle import build_bundle, export_bundle, is_whole  # noqa: E402
from vedette.export.networks import mask_rcnn  # noqa: E402
from vedette.export.networks._mask_rcnn_eager import Eager, Found  # noqa: E402
from vedette.export.networks._mask_rcnn_network import MaskRCNN  # noqa: E402
from vedette.export.networks._mask_rcnn_parity import proposals_aligned  # noqa: E402
from vedette.export.to_onnx import onnx_from_torch  # noqa: E402
from vedette.export.training.mask_rcnn import fresh, images_of  # noqa: E402
from vedette.export.training.scenes import scene  # noqa: E402
from vedette.export.weights import load_weights  # noqa: E402
from vedette.runtime import bundle as bundles  # noqa: E402
from vedette.runtime.backends.onnxruntime_ import OrtEngine  # noqa: E402
from vedette.runtime.errors import ModelError, UsageError  # noqa: E402
from vedette.runtime.frame import Array  # noqa: E402
from vedette.runtime.results import Result  # noqa: E402

ROLES = ("features", "boxes", "objects")
REFUSED_BY_TENSORRT = {"RoiAlign", "NonZero", "NonMaxSuppression"}
CONF = 0.05


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The zoo's network in both precisions."""
    folders = {precision: tmp_path_factory.mktemp(precision) / "mask_rcnn" for precision in ("fp32", "fp16")}
    for precision, folder in folders.items():
        export_bundle("mask-rcnn", folder, options=Options(precision=precision))
    return folders


@pytest.fixture(scope="module")
def eager() -> Eager:
    network = mask_rcnn.network()
    path = zoo_weights("mask_rcnn")
    assert path is not None
    load_weights(network, path)
    return Eager(network.eval(), (128, 128))


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_a_bundle_has_three_parts_each_with_a_manifest_that_is_vouched_for(
    exported: dict[str, Path], precision: str
) -> None:
    loaded = bundles.load(exported[precision])
    assert tuple(loaded.parts) == ROLES
    assert loaded.bundle.labels == tuple("0123456789")
    assert loaded.bundle.parameters["proposals"] == 64
    assert loaded.bundle.parameters["skeleton"] == [[0, 4], [1, 4], [2, 4], [3, 4]]
    for part in loaded.parts.values():
        assert part.manifest.precision == precision
        assert part.manifest.reference_sha256
        assert {row.output for row in part.manifest.parity} == {spec.name for spec in part.manifest.outputs}


@pytest.mark.parametrize("role", ROLES)
def test_the_graphs_have_nothing_that_tensorrt_refuses(exported: dict[str, Path], role: str) -> None:
    graph = onnx.load(exported["fp32"] / f"{role}.onnx")
    operators = [node.op_type for node in graph.graph.node]
    assert not REFUSED_BY_TENSORRT & set(operators)
    assert "BatchNormalization" not in operators
    assert operators.count("GridSample") == (role != "features")
    assert graph.opset_import[0].version == 17
    assert all(value.type.tensor_type.shape.dim[0].dim_param == "batch" for value in graph.graph.input)


@pytest.mark.parametrize("role", ROLES)
def test_weights_are_half_and_coordinates_are_not(exported: dict[str, Path], role: str) -> None:
    graph = onnx.shape_inference.infer_shapes(onnx.load(exported["fp16"] / f"{role}.onnx"))
    types = {weight.name: weight.data_type for weight in graph.graph.initializer}
    types |= {
        value.name: value.type.tensor_type.elem_type
        for value in [*graph.graph.input, *graph.graph.value_info]
    }
    kinds = ("Conv", "ConvTranspose", "Gemm", "GridSample", "Exp", "Floor")
    seen: dict[str, set[int]] = {kind: set() for kind in kinds}
    for node in graph.graph.node:
        seen.get(node.op_type, set()).update(types[name] for name in node.input if name)
    inside = seen["Conv"] | seen["ConvTranspose"] | seen["Gemm"]
    outside = seen["GridSample"] | seen["Exp"] | seen["Floor"]
    assert inside == {onnx.TensorProto.FLOAT16}
    assert outside == {onnx.TensorProto.FLOAT}


def matched(result: Result, found: Found) -> list[int]:
    """For each object of the eager module, the row of the same class whose box is the same; -1 where there is none."""
    rows = []
    assert result.boxes is not None
    for box, label in zip(found.boxes.numpy(), found.labels.numpy(), strict=True):
        overlaps = ious(result.boxes.xyxy, box) * (result.boxes.cls == label)
        rows.append(int(overlaps.argmax()) if len(overlaps) and overlaps.max() >= 0.99 else -1)
    return rows


def ious(boxes: Array, box: Array) -> Array:
    low, high = np.maximum(boxes[:, :2], box[:2]), np.minimum(boxes[:, 2:], box[2:])
    common = np.clip(high - low, 0, None).prod(axis=1)
    union: Array = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1) + (box[2:] - box[:2]).prod() - common
    return np.asarray(common / union)


def soft(mask: Array, box: Array, size: int = 128) -> Array:
    """A mask over its box, on the picture: by OpenCV, as the convention says it."""
    import cv2

    grow = 30 / 28
    centre, half = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / 2 * grow
    (left, top), (right, bottom) = (centre - half).astype(int), (centre + half).astype(int)
    canvas = np.zeros((3 * size, 3 * size), np.float32)
    part = cv2.resize(np.pad(mask, 1), (int(right - left + 1), int(bottom - top + 1)))
    canvas[size + top : size + bottom + 1, size + left : size + right + 1] = part
    return canvas[size : 2 * size, size : 2 * size]


def compared(result: Result, found: Found) -> tuple[int, int, list[float], list[float]]:
    """Objects that both have, that either has, the IoU of their masks, and how far their keypoints are apart in pixels."""
    rows = matched(result, found)
    assert result.masks is not None or not len(result)
    overlaps, gaps = [], []
    for index, row in enumerate(rows):
        if row < 0:
            continue
        assert found.masks is not None
        assert found.keypoints is not None
        assert result.masks is not None
        assert result.keypoints is not None
        ours = soft(found.masks[index].numpy(), found.boxes[index].numpy()) >= 0.5
        theirs = np.asarray(result.masks.data[row]) > 0
        either = (ours | theirs).sum()
        overlaps.append(float((ours & theirs).sum() / either) if either else 1.0)
        place = np.abs(found.keypoints[index, :, :2].numpy() - result.keypoints.xy[row]).max()
        gaps.append(float(place))
    both = sum(row >= 0 for row in rows)
    return both, len(rows) + len(result) - both, overlaps, gaps


def agreement(model: Model, eager: Eager, images: Sequence[Array], batch: int) -> None:
    """Acceptance: 99.5 % of what either finds is the same in the other; masks IoU 0.98, keypoints 0.5 pixels."""
    both = either = 0
    overlaps: list[float] = []
    gaps: list[float] = []
    for start in range(0, len(images), batch):
        some = images[start : start + batch]
        for result, found in zip(
            model(list(some), conf=CONF), eager.detect(images_of(some), conf=CONF), strict=True
        ):
            same, all_, covered, apart = compared(result, found)
            both, either = both + same, either + all_
            overlaps += covered
            gaps += apart
    assert either > 2 * len(images)
    assert both >= 0.995 * either
    assert min(overlaps) >= 0.98
    assert max(gaps) <= 0.5


@pytest.mark.parametrize("batch", [1, 4])
def test_the_bundle_finds_what_the_eager_module_finds(
    exported: dict[str, Path], eager: Eager, batch: int
) -> None:
    images = [scene(index, seed=21, split="val").image for index in range(12)]
    with closing(Model(exported["fp32"], backend="onnxruntime")) as model:
        agreement(model, eager, images, batch)


@pytest.mark.slow
def test_the_bundle_finds_what_the_eager_module_finds_in_many_scenes(
    exported: dict[str, Path], eager: Eager
) -> None:
    images = [scene(index, seed=22, split="val").image for index in range(200)]
    with closing(Model(exported["fp32"], backend="onnxruntime")) as model:
        agreement(model, eager, images, 4)


@pytest.mark.parametrize("grey", [0, 128, 255])
def test_a_picture_without_a_digit_beside_one_with(
    exported: dict[str, Path], eager: Eager, grey: int
) -> None:
    empty = np.full((128, 128, 3), grey, np.uint8)
    full = scene(0, seed=21, split="val").image
    with closing(Model(exported["fp32"], backend="onnxruntime")) as model:
        alone, *both = model(empty, conf=0.3) + model([empty, full], conf=0.3)
        assert (
            [len(alone), len(both[0])]
            == [len(eager.detect(images_of([empty]), conf=0.3)[0].boxes)] * 2
            == [0, 0]
        )
        assert len(both[1]) == len(eager.detect(images_of([full]), conf=0.3)[0].boxes) > 0


def test_half_precision_finds_the_same_digits(exported: dict[str, Path], eager: Eager) -> None:
    images = [scene(index, seed=23, split="val").image for index in range(8)]
    with closing(Model(exported["fp16"], backend="onnxruntime")) as model:
        pairs = list(zip(model(images, conf=0.5), eager.detect(images_of(images), conf=0.5), strict=True))
    assert sum(len(found.boxes) for _, found in pairs) > len(images)
    for result, found in pairs:
        assert result.boxes is not None
        near = [ious(result.boxes.xyxy, box).max() for box in found.boxes.numpy()]
        assert len(result) == len(found.boxes)
        assert min(near, default=1) > 0.97


def test_parity_refuses_the_graph_of_other_weights() -> None:
    whole, other = mask_rcnn.whole(), mask_rcnn.whole()
    graph = other.graphs["boxes"]
    model = onnx_from_torch(graph.module, graph.card)
    feeds = [whole.feeds(images)["boxes"] for images in pictures(whole.graphs["features"].card.inputs[0])]
    with pytest.raises(ModelError, match="does not compute"):
        parity_of_part(whole.graphs["boxes"], model, graph.card, feeds)


def test_proposals_are_compared_box_by_box_whatever_their_order() -> None:
    rng = np.random.default_rng(0)
    boxes = rng.uniform(0, 100, (1, 20, 4)).astype(np.float32)
    scores = np.sort(rng.random((1, 20), np.float32))[:, ::-1]
    levels = np.zeros((1, 20), np.int64)
    first: dict[str, Array] = {"proposal_boxes": boxes, "proposal_scores": scores, "proposal_levels": levels}
    order = np.array([1, 0, *range(2, 20)])
    ours, theirs = proposals_aligned(first, {**first, "proposal_boxes": boxes[:, order]})
    np.testing.assert_array_equal(ours["proposal_boxes"], theirs["proposal_boxes"])
    assert len(ours["proposal_boxes"]) == 19  # the last may be another's
    _, moved = proposals_aligned(first, {**first, "proposal_boxes": boxes + 0.25})
    assert np.abs(ours["proposal_boxes"] - moved["proposal_boxes"]).max() == pytest.approx(0.25, abs=1e-4)


class Outside(torch.nn.Module):
    """A convolution inside, and coordinates outside that float16 cannot hold."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = torch.nn.Conv2d(1, 1, 1, bias=False)
        torch.nn.init.constant_(self.inner.weight, 1 / 3)
        self.register_buffer("place", torch.tensor([1024.25]), persistent=False)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        inside = self.inner(x)
        return inside + self.get_buffer("place"), inside


def test_what_is_outside_the_named_modules_stays_float32() -> None:
    from vedette.runtime.manifest import Decoder, Input, Manifest, Output

    shape = (1, 1, 2, 2)
    card = Manifest(
        "toy", "image", (Input("x", shape, minimum=shape, typical=shape, maximum=shape),),
        (Output("place", shape), Output("inside", shape)), Decoder(""),
    )  # fmt: skip
    model = onnx_from_torch(Outside().eval(), card)
    engine = OrtEngine(half_inside(model, ("inner",)))
    found = engine({"x": np.full(shape, 0.75, np.float32)})
    rounded = np.float32(np.float16(0.75) * np.float16(1 / 3))
    np.testing.assert_allclose(found["inside"], rounded, rtol=1e-3)
    np.testing.assert_allclose(found["place"], 1024.25 + rounded, atol=2e-4)  # float16 would say 1024 or 1025


def test_a_bundle_is_refused_where_one_file_is_asked_for(tmp_path: Path) -> None:
    for call in (
        lambda: export_bundle("mask-rcnn", tmp_path / "m.onnx"),
        lambda: build.export("mask-rcnn", tmp_path / "m.onnx"),
        lambda: export_bundle("mask-rcnn", tmp_path / "m", options=Options((128, 128), dynamic=True)),
        lambda: export_bundle("mask-rcnn", tmp_path / "m", options=Options(precision="int8")),
    ):
        with pytest.raises(UsageError):
            call()
    assert not list(tmp_path.iterdir())


def test_which_networks_are_bundles() -> None:
    assert is_whole("mask-rcnn")
    assert is_whole("mask_rcnn")
    assert not is_whole("yolov2")
    assert not is_whole("some:network")


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_every_part_builds_with_tensorrt_rtx(
    exported: dict[str, Path], precision: str, tmp_path: Path
) -> None:
    built = list(build_bundle(exported[precision], tmp_path / "engines", lane="tensorrt-rtx"))
    assert [card.precision for card, _ in built] == [precision] * 3
    loaded = bundles.load(tmp_path / "engines")
    assert [part.path.name for part in loaded.parts.values()] == [f"{role}.engine" for role in ROLES]
    assert all(part.manifest.build["lane"] == "tensorrt-rtx" for part in loaded.parts.values())
    before = bundles.load(exported[precision]).bundle
    assert replace(loaded.bundle, parts={}, files={}) == replace(before, parts={}, files={})


def test_engines_are_not_mixed_with_their_models(exported: dict[str, Path]) -> None:
    with pytest.raises(UsageError, match="cannot write into"):
        next(build_bundle(exported["fp32"], exported["fp32"]))


@pytest.mark.slow
def test_the_commands_take_a_folder(
    exported: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "larger"
    assert export_verb.export("mask-rcnn", out, imgsz="160x96") == 0
    assert bundles.load(out).card.inputs[0].shape == (-1, 3, 96, 160)
    assert build_verb.build(str(out), tmp_path / "engines", lane="tensorrt-rtx") == 0
    told = capsys.readouterr().out
    assert all(f"mask_rcnn_{role}" in told for role in ROLES)
    assert (tmp_path / "engines" / "bundle.json").is_file()


def random_resnet50(path: Path, **plan: object) -> Path:
    """A state dict by torchvision's names whose numbers stay small on their way through fifty layers."""
    from vedette.export.networks._mask_rcnn_network import Plan
    from vedette.export.networks._mask_rcnn_weights import RESNET50

    torch.manual_seed(0)
    network = fresh(MaskRCNN(Plan(RESNET50, **plan)))  # type: ignore[arg-type]
    for name, layer in network.named_modules():
        if name.endswith("bn3"):
            torch.nn.init.constant_(layer.get_parameter("weight"), 0.3)
    torch.save(
        {name: value for name, value in network.state_dict().items() if "num_batches" not in name}, path
    )
    return path


@pytest.mark.slow
def test_keypoint_rcnn_by_torchvision_s_names_is_exported_run_and_built(tmp_path: Path) -> None:
    path = random_resnet50(tmp_path / "keypoints.pth", classes=1, masks=(), keypoints=17)
    out = tmp_path / "keypoint_rcnn"
    cards = export_bundle("mask-rcnn", out, weights=path, options=Options(imgsz=(160, 128)))
    assert [spec.name for spec in cards[-1].outputs] == ["keypoints"]
    picture = np.random.default_rng(0).integers(0, 255, (100, 150, 3), dtype=np.uint8)
    with closing(Model(out, backend="onnxruntime")) as model:
        [none], [some] = model(picture, conf=0.99), model(picture, conf=0.01)
    assert len(none) == 0
    assert len(some) > 0
    assert some.masks is None
    assert some.keypoints is not None
    assert some.keypoints.xy.shape == (len(some), 17, 2)
    assert set(some.names.values()) == {"person"}
    assert len(list(build_bundle(out, tmp_path / "engines", lane="tensorrt-rtx"))) == 3


WHOLE = pytest.param((1344, 800), marks=pytest.mark.soak)  # minutes; torchvision's own size


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", pytest.param("fp16", marks=pytest.mark.soak)])
@pytest.mark.parametrize("size", [(320, 224), WHOLE])
def test_resnet50_is_exported_and_built(size: tuple[int, int], precision: str, tmp_path: Path) -> None:
    path = random_resnet50(tmp_path / "random.pth")
    options = Options(imgsz=size, precision=precision)
    cards = export_bundle("mask-rcnn", tmp_path / "resnet50", weights=path, options=options)
    rows = {row.output: row for card in cards for row in card.parity}
    assert rows["boxes"].scale > 0.7 * size[0]
    assert rows["boxes"].mean_abs < (1e-4 if precision == "fp32" else 0.05)  # pixels
    built = list(build_bundle(tmp_path / "resnet50", tmp_path / "engines", lane="tensorrt-rtx"))
    assert len(built) == 3
    assert bundles.load(tmp_path / "engines").bundle.labels[0] == "person"
