"""The accuracy gate: mutants of a real detector fail it, each for its own reason; an honest fp16 conversion passes."""

import json
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

for needed in ("torch", "onnx", "onnxruntime", "sklearn", "skimage", "faster_coco_eval"):
    pytest.importorskip(needed)

import onnx  # noqa: E402
import toy  # noqa: E402
import two_stages  # noqa: E402
from accuracy import shared  # noqa: E402
from onnx import helper, numpy_helper  # noqa: E402

from vedette.commands import build as command  # noqa: E402
from vedette.commands.inspect import inspect  # noqa: E402
from vedette.export import build  # noqa: E402
from vedette.export.gate import frames as gate_frames  # noqa: E402
from vedette.export.gate import verify  # noqa: E402
from vedette.export.gate.sides import CpuGraph, side_of_graph  # noqa: E402
from vedette.export.gate.verify import Gate, build_verified_bundle  # noqa: E402
from vedette.export.precision import half_from_full  # noqa: E402
from vedette.export.to_engine import Built  # noqa: E402
from vedette.export.training.scenes import scene  # noqa: E402
from vedette.runtime import bundle as bundles  # noqa: E402
from vedette.runtime import manifest as manifests  # noqa: E402
from vedette.runtime.backends.onnxruntime_ import OrtEngine  # noqa: E402
from vedette.runtime.draw import write_picture  # noqa: E402
from vedette.runtime.errors import ModelError, SourceError, UsageError  # noqa: E402
from vedette.runtime.find import find_model  # noqa: E402
from vedette.runtime.frame import Frame  # noqa: E402
from vedette.runtime.manifest import Certificate, Manifest  # noqa: E402
from vedette.runtime.sinks.video import VideoSink  # noqa: E402

Array = np.ndarray[Any, Any]
Change = Callable[[Manifest, Any], Manifest]


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Scenes of handwritten digits, wider than high: they need padding in a square input."""
    folder = tmp_path_factory.mktemp("digits")
    for index in range(16):
        write_picture(folder / f"{index:02}.png", scene(index, seed=7, split="val").image[:104])
    return folder


def yolov2(folder: Path, change: Change = lambda card, graph: card, *, half: bool = True) -> Path:
    """The trained detector of digits, changed; its manifest vouches for what it is now."""
    path = find_model("yolov2")
    card, files = manifests.load(path)
    model = onnx.load_from_string(files[path.name])
    card = change(card, model.graph)
    data = half_from_full(model.SerializeToString()) if half else model.SerializeToString()
    return written(folder / "m.onnx", data, replace(card, precision="fp16" if half else "fp32"))


def written(path: Path, data: bytes, card: Manifest) -> Path:
    path.write_bytes(data)
    manifests.save(replace(card, files={path.name: manifests.sha256(data)}), path)
    return path


def verdict(model: Path, where: Path | str, **how: Any) -> Certificate:
    with closing(Gate(model, str(where), **how)) as gate:
        return gate.of_graph()


def refusal(model: Path, where: Path | str, **how: Any) -> str:
    with pytest.raises(ModelError) as caught:
        verdict(model, where, **how)
    return caught.value.why


def preparing(**changes: Any) -> Change:
    """Pictures prepared otherwise."""

    def change(card: Manifest, graph: Any) -> Manifest:
        return replace(card, inputs=(replace(card.inputs[0], **changes),))

    return change


def behind_the_door(graph: Any, *nodes: Any, **weights: Array) -> None:
    """Put nodes between the input and what reads it; they make `inner` of it."""
    door = graph.input[0].name
    for node in graph.node:
        node.input[:] = ["inner" if name == door else name for name in node.input]
    others = list(graph.node)
    del graph.node[:]
    graph.node.extend([*nodes, *others])
    graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in weights.items())


def shifted(card: Manifest, graph: Any) -> Manifest:
    """All boxes lie 3 pixels too far to the right and too low: so does what the network sees."""
    door = graph.input[0].name
    pad = helper.make_node("Pad", [door, "pads"], ["wide"], mode="edge")
    cut = helper.make_node("Slice", ["wide", "starts", "ends", "axes"], ["inner"])
    behind_the_door(
        graph, pad, cut,
        pads=np.array([0, 0, 3, 3, 0, 0, 0, 0]), starts=np.array([0, 0]), ends=np.array([-3, -3]), axes=np.array([2, 3]),
    )  # fmt: skip
    return card


def exchanged(card: Manifest, graph: Any) -> Manifest:
    """Red and blue, inside the graph, of which the manifest says nothing."""
    door = graph.input[0].name
    node = helper.make_node("Gather", [door, "order"], ["inner"], axis=1)
    behind_the_door(graph, node, order=np.array([2, 1, 0]))
    return card


def relabelled(card: Manifest, graph: Any) -> Manifest:
    return replace(card, labels=(*card.labels[1:], card.labels[0]))


def convolutions(graph: Any) -> list[Any]:
    return [node for node in graph.node if node.op_type == "Conv"]


def scaled(graph: Any, name: str, factor: float) -> None:
    """A weight, times a factor."""
    weight = next(item for item in graph.initializer if item.name == name)
    weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) * np.float32(factor), name))


def doubled(card: Manifest, graph: Any) -> Manifest:
    """The last convolution's weights and bias: each output is twice what it was."""
    for name in convolutions(graph)[-1].input[1:]:
        scaled(graph, name, 2)
    return card


def overflowing(card: Manifest, graph: Any) -> Manifest:
    """The second convolution makes values of 1e5 and more, and the third divides them again: what comes out is the same."""
    second, third = convolutions(graph)[1:3]
    for name in second.input[1:]:
        scaled(graph, name, 2.0**14)
    scaled(graph, third.input[1], 2.0**-14)
    return card


def test_an_honest_half_passes_and_its_certificate_says_who_judged(tmp_path: Path, digits: Path) -> None:
    found = verdict(yolov2(tmp_path), digits)
    assert (found.frames, found.unit, found.kept, found.invented) == (16, "boxes", 1.0, 0.0)
    assert found.decisions >= 20
    assert 0 < found.drift_mean <= found.drift_max < 0.01
    assert found.map_loss == pytest.approx(0, abs=0.5)
    assert found.reference == "yolov2 of the zoo"
    assert found.reference_sha256 == manifests.sha256(find_model("yolov2").read_bytes())
    assert not found.engine_ran
    assert "CPU" in found.judge
    assert found.largest is not None
    assert 1 < found.largest < 65504


@pytest.mark.parametrize("half", [True, False])
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (relabelled, "classes differ: "),
        (doubled, "it is 2 times the reference's"),
        (exchanged, "its colours are swapped: with red and blue exchanged, 100% of"),
        (preparing(pixel_format="rgb"), "its colours are swapped: it is fed rgb, its reference bgr"),
    ],
    ids=["permuted", "doubled", "colours in the graph", "colours in the manifest"],
)
def test_each_mutant_fails_for_its_own_reason(
    tmp_path: Path, digits: Path, change: Change, reason: str, half: bool
) -> None:
    assert reason in refusal(yolov2(tmp_path, change, half=half), digits)


def test_boxes_that_are_shifted_by_3_pixels_are_told_as_displaced(tmp_path: Path, digits: Path) -> None:
    told = refusal(yolov2(tmp_path, shifted), digits)
    assert told.startswith("boxes are displaced by ")
    right, below = (float(number) for number in told.split()[4:6] for number in [number.strip(",")])
    assert (right, below) == pytest.approx((3, 3), abs=0.8)


def test_padding_on_the_wrong_side_fails_though_boxes_are_moved_back(tmp_path: Path, digits: Path) -> None:
    spec = manifests.load(find_model("yolov2"))[0].inputs[0]
    wrong = preparing(resize=replace(spec.resize, rule="letterbox", anchor="bottom-right"))
    right = spec.resize.anchor
    told = refusal(yolov2(tmp_path, wrong), digits)
    assert "its padding is another: letterbox" in told
    assert f"bottom-right, filled with {spec.resize.pad:g}, its reference's" in told
    assert f", {right}," in told


def test_other_values_of_pixels_are_told(tmp_path: Path, digits: Path) -> None:
    assert "its pictures have other values" in refusal(yolov2(tmp_path, preparing(mean=(0.1,))), digits)


def test_values_of_1e5_fail_in_float16_naming_the_node_and_pass_in_float32(
    tmp_path: Path, digits: Path
) -> None:
    assert verdict(yolov2(tmp_path, overflowing, half=False), digits).kept == 1
    model = yolov2(tmp_path, overflowing)
    told = refusal(model, digits)
    second = convolutions(onnx.load(str(model)).graph)[1]
    assert f"{second.name or second.output[0]} (Conv) reaches " in told
    assert "and float16 ends at 65,504" in told
    reached = float(told.split(" reaches ")[1].split(",")[0])
    assert 1e5 <= reached < 1e7


def test_the_outputs_that_onnx_runtime_gives_of_an_overflowing_half_prove_nothing(
    tmp_path: Path, digits: Path
) -> None:
    """Why the stand-in rounds and watches: this engine would be full of infinities."""
    model = yolov2(tmp_path, overflowing)
    engine = OrtEngine(model.read_bytes())
    images = np.random.default_rng(0).random((1, 3, 128, 128), np.float32)
    assert all(np.isfinite(values).all() for values in engine({engine.inputs[0].name: images}).values())


def refusing_to_open(*_: Any, **__: Any) -> Any:
    from vedette.runtime.errors import DeviceError

    raise DeviceError("no GPU", why="there is none in this test")


@pytest.fixture
def builds_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A builder whose engine is four letters, on a machine where it cannot run."""
    monkeypatch.setattr(
        build,
        "engine_from_onnx",
        lambda *_, **__: Built(b"plan", {"lane": "none", "version": "0", "target": "any"}),
    )
    monkeypatch.setattr(verify, "open_engine", refusing_to_open)


@pytest.mark.usefixtures("builds_nothing")
def test_an_engine_that_fails_is_not_left_behind_and_an_older_one_stays(tmp_path: Path, digits: Path) -> None:
    model, out = yolov2(tmp_path, relabelled), tmp_path / "new.engine"
    older = tmp_path / "old.engine"
    older.write_bytes(b"older")
    manifests.path_beside(older).write_text("older")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with closing(Gate(model, str(digits))) as gate:
        for path in (out, older):
            with pytest.raises(ModelError, match="no engine was written") as caught:
                build.build(model, path, judge=gate.of_engine)
            assert caught.value.exit_code == 4
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.usefixtures("builds_nothing")
def test_an_engine_that_passes_carries_its_certificate(tmp_path: Path, digits: Path) -> None:
    out = tmp_path / "m.engine"
    with closing(Gate(yolov2(tmp_path), str(digits))) as gate:
        card, _ = build.build(tmp_path / "m.onnx", out, judge=gate.of_engine)
    assert manifests.load(out) == (card, {"m.engine": b"plan"})
    assert card.certificate is not None
    assert card.certificate.why_not == "there is none in this test"
    build.build(tmp_path / "m.onnx", out)
    assert manifests.load(out)[0].certificate is None, "another build was not verified"


def test_where_the_engine_runs_it_judges_itself(
    tmp_path: Path, digits: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = yolov2(tmp_path)
    card, files = manifests.load(model)
    opened = []

    def open_engine(path: Path, card: Manifest, given: Any) -> Any:
        opened.append((path.name, given[path.name]))
        return OrtEngine(files["m.onnx"])

    monkeypatch.setattr(verify, "open_engine", open_engine)
    with closing(Gate(model, str(digits))) as gate:
        found = gate.of_engine(replace(card, files={"m.engine": ""}), b"plan")
    assert opened == [("m.engine", b"plan")]
    assert (found.engine_ran, found.why_not, found.largest) == (True, "", None)


def test_outputs_that_are_no_numbers_are_named(tmp_path: Path, digits: Path) -> None:
    def change(card: Manifest, graph: Any) -> Manifest:
        bias = next(item for item in graph.initializer if item.name == convolutions(graph)[-1].input[2])
        values = numpy_helper.to_array(bias).copy()
        values[0] = np.nan
        bias.CopyFrom(numpy_helper.from_array(values, bias.name))
        return card

    told = refusal(yolov2(tmp_path, change, half=False), digits)
    assert "it gives values that are no numbers in region" in told


def test_nothing_is_certified_on_too_few_decisions(tmp_path: Path, digits: Path) -> None:
    write_picture(tmp_path / "grey" / "0.png", np.full((128, 128, 3), 90, np.uint8))
    with pytest.raises(ModelError, match="too little to judge by: the reference decides 0 boxes in 1 frames"):
        verdict(yolov2(tmp_path), tmp_path / "grey")
    with pytest.raises(ModelError, match="too little to judge by"):
        verdict(yolov2(tmp_path), digits / "00.png")


def test_frames_that_cannot_be_read_are_told_or_skipped(tmp_path: Path, digits: Path) -> None:
    model = yolov2(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError, match="holds no picture"):
        verdict(model, tmp_path / "empty")
    with pytest.raises(SourceError):
        verdict(model, tmp_path / "absent")
    with pytest.raises(UsageError, match="live"):
        verdict(model, "rtsp://127.0.0.1:1/none")
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "a.png").write_bytes(b"no picture")
    with pytest.raises(SourceError, match="cannot read the picture"):
        verdict(model, broken)
    for path in digits.iterdir():
        (broken / path.name).write_bytes(path.read_bytes())
    assert verdict(model, broken).frames == 16


def test_a_video_is_a_source_of_frames_and_the_digest_is_of_their_pixels(
    tmp_path: Path, digits: Path
) -> None:
    model = yolov2(tmp_path)
    sink = VideoSink(tmp_path / "clip.mp4")
    for index in range(8):
        sink.write(Frame((scene(index, seed=7, split="val").image,), time_s=float(index)), [])
    sink.close()
    assert verdict(model, tmp_path / "clip.mp4").frames == 8
    one, other = (verdict(model, where) for where in (digits, digits / "0*.png"))
    assert one.frames_sha256 != other.frames_sha256
    assert one.frames_sha256 == verdict(model, digits).frames_sha256


def test_a_model_of_unknown_origin_needs_its_reference_named(tmp_path: Path, digits: Path) -> None:
    def unknown(card: Manifest, graph: Any) -> Manifest:
        return replace(card, name="mine", reference_sha256="")

    (tmp_path / "full").mkdir()
    full, half = yolov2(tmp_path / "full", unknown, half=False), yolov2(tmp_path, unknown)
    assert verdict(full, digits).reference == "itself, in fp32"
    with pytest.raises(UsageError) as caught:
        verdict(half, digits)
    assert "--reference" in caught.value.cure
    assert verdict(half, digits, reference=str(full)).kept == 1
    manifests.path_beside(full).unlink()
    assert verdict(half, digits, reference=str(full)).reference == "m.onnx", "read by the other's manifest"
    with pytest.raises(UsageError, match="is no reference"):
        verdict(half, digits, reference=str(half))
    with pytest.raises(UsageError, match="it does segmentation") as caught:
        verdict(half, digits, reference="unet")


def test_a_network_of_the_box_at_another_size_is_compared_at_that_size(tmp_path: Path, digits: Path) -> None:
    options = build.Options(imgsz=(160, 160), precision="fp16")
    build.export("yolov2", tmp_path / "m.onnx", options=options)
    found = verdict(tmp_path / "m.onnx", digits)
    assert (found.kept, found.reference) == (1.0, "yolov2 of the zoo")
    told = refusal(tmp_path / "m.onnx", digits, reference="yolov2")
    assert "it is fed pictures of 160x160, its reference of 128x128" in told


def decisions_of_yolov2(where: Path) -> dict[str, Any]:
    """What it finds at conf 0.5, as COCO's annotations."""
    with closing(Gate(find_model("yolov2"), str(where))) as gate:
        results = [gate.reference.side.result(frame) for frame in gate.frames]
    images, annotations = [], list[dict[str, Any]]()
    for image, result in enumerate(results, 1):
        images.append({"id": image, "file_name": Path(result.path).name, "width": 128, "height": 104})
        for found in result.to_dict()["detections"]:
            left, top, right, bottom = found["box_xyxy"]
            box, number = [left, top, right - left, bottom - top], len(annotations) + 1
            common = {"id": number, "image_id": image, "iscrowd": 0, "area": box[2] * box[3], "bbox": box}
            if found["score"] >= 0.5:
                annotations.append({**common, "category_id": found["class_id"]})
    categories = [{"id": index, "name": name} for index, name in results[0].names.items()]
    return {"images": images, "categories": categories, "annotations": annotations}


def test_annotations_beside_the_pictures_are_the_truth_of_map(tmp_path: Path, digits: Path) -> None:
    annotated = tmp_path / "data"
    (annotated / "images").mkdir(parents=True)
    for path in digits.iterdir():
        (annotated / "images" / path.name).write_bytes(path.read_bytes())
    (annotated / "annotations.json").write_text(json.dumps(decisions_of_yolov2(digits)))
    found = verdict(yolov2(tmp_path), annotated)
    assert found.map_truth == "annotations"
    assert found.map_loss == pytest.approx(0, abs=0.2)
    told = refusal(yolov2(tmp_path, shifted), annotated)
    assert "points of mAP by annotations" in told
    (annotated / "annotations.json").write_text("{")
    with pytest.raises(SourceError, match=r"annotations\.json"):
        verdict(yolov2(tmp_path), annotated)


def test_labels_of_pixels_are_decisions(tmp_path: Path, digits: Path) -> None:
    path = find_model("unet")
    card, files = manifests.load(path)
    half = written(tmp_path / "m.onnx", half_from_full(files[path.name]), replace(card, precision="fp16"))
    found = verdict(half, digits)
    assert (found.unit, found.map_loss) == ("pixels", None)
    assert 0.99 <= found.kept < 1, "some pixels on an edge turn over"
    assert found.decisions > 10_000
    labels = (card.labels[0], *card.labels[2:], card.labels[1])
    told = refusal(written(tmp_path / "m.onnx", files[path.name], replace(card, labels=labels)), digits)
    assert "classes differ: " in told


def test_a_picture_made_of_a_picture_is_compared_by_its_pixels(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    write_picture(tmp_path / "photos" / "0.png", scene(0, split="val").image[:64, :64])
    path = find_model("cyclegan")
    card, files = manifests.load(path)
    half = written(tmp_path / "m.onnx", half_from_full(files[path.name]), replace(card, precision="fp16"))
    found = verdict(half, tmp_path / "photos")
    assert found.psnr_db is not None
    assert (found.unit, found.psnr_db > 40) == ("pixels", True)
    wrong = replace(card, inputs=(replace(card.inputs[0], pixel_format="bgr"),))
    told = refusal(written(tmp_path / "m.onnx", files[path.name], wrong), tmp_path / "photos")
    assert "its colours are swapped" in told
    assert "the worst picture has a PSNR of" in told


@pytest.fixture
def bright(tmp_path: Path) -> Path:
    """White pictures, in each of which the network of two stages finds four objects."""
    for index in range(4):
        write_picture(tmp_path / "bright" / f"{index}.png", np.full((64, 64, 3), 255, np.uint8))
    return tmp_path / "bright"


@pytest.mark.usefixtures("builds_nothing")
def test_a_bundle_is_judged_as_a_whole_and_written_only_when_it_holds(
    tmp_path: Path, bright: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify, "open_parts", refusing_to_open)
    folder, out = two_stages.bundle(tmp_path / "rcnn"), tmp_path / "engines"
    with closing(Gate(folder, str(bright))) as gate:
        built = list(build_verified_bundle(folder, out, gate))
    assert [card.name for card, _ in built] == ["features", "boxes", "objects"]
    found = bundles.load(out).bundle.certificate
    assert found is not None
    assert (found.unit, found.decisions, found.kept, found.mask_iou, found.joints_near) == (
        "instances",
        12,
        1.0,
        1.0,
        1.0,
    )
    other = two_stages.bundle(tmp_path / "other", scores=two_stages.SCORES * np.float32(0.4))
    before = {path: path.read_bytes() for path in out.iterdir()}
    with (
        closing(Gate(other, str(bright), reference=str(folder))) as gate,
        pytest.raises(ModelError) as caught,
    ):
        list(build_verified_bundle(other, out, gate))
    assert "0.00 % of 12 instances are kept" in caught.value.why
    assert {path: path.read_bytes() for path in out.iterdir()} == before


def test_masks_and_joints_of_the_same_box_must_be_the_same(
    tmp_path: Path, bright: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = two_stages.bundle(tmp_path / "full")
    turned = two_stages.masks()[:, ::-1, ::-1].copy()
    monkeypatch.setattr(two_stages, "masks", lambda: turned)
    assert "12 with another mask" in refusal(
        two_stages.bundle(tmp_path / "masks"), bright, reference=str(full)
    )
    monkeypatch.undo()
    far = two_stages.heatmaps()[:, :, ::-1, ::-1].copy()
    monkeypatch.setattr(two_stages, "heatmaps", lambda: far)
    told = refusal(two_stages.bundle(tmp_path / "joints"), bright, reference=str(full))
    assert "12 with other joints" in told


def test_what_decides_nothing_is_refused_at_once(tmp_path: Path, digits: Path) -> None:
    with pytest.raises(UsageError, match="decides nothing"):
        Gate(find_model("vae"), str(digits))
    with pytest.raises(UsageError) as caught:
        Gate(two_stages.bundle(tmp_path / "rcnn") / "boxes.onnx", str(digits))
    assert "bundle.json" in caught.value.cure


def test_people_in_photos_keep_their_joints_in_half(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for name in ("1.jpg", "2.jpg"):
        (photos / name).write_bytes(shared(f"photos/{name}").read_bytes())
    path = find_model("openpose_thin")
    card, files = manifests.load(path)
    half = written(tmp_path / "m.onnx", half_from_full(files[path.name]), replace(card, precision="fp16"))
    found = verdict(half, photos)
    assert (found.unit, found.kept) == ("people", 1.0)
    assert found.joints_near is not None
    assert found.joints_near > 0.9


def test_a_model_of_80_classes_keeps_its_boxes_in_half_on_photos(tmp_path: Path) -> None:
    photos = shared("photos")
    path = find_model("nanodet")
    card, files = manifests.load(path)
    half = written(tmp_path / "m.onnx", half_from_full(files[path.name]), replace(card, precision="fp16"))
    found = verdict(half, photos)
    assert (found.kept, found.invented) == (1.0, 0.0)
    swapped = replace(card, inputs=(replace(card.inputs[0], pixel_format="rgb"),))
    assert "its colours are swapped" in refusal(
        written(tmp_path / "m.onnx", files[path.name], swapped), photos
    )


def test_of_many_frames_some_are_taken_evenly(digits: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate_frames, "MOST", 6)
    frames = gate_frames.frames_of(str(digits))
    assert [frame.index for frame in frames] == [0, 3, 6, 9, 12, 15] == [frame.index for frame in frames]


@pytest.mark.usefixtures("builds_nothing")
def test_the_command_tells_what_it_verified_and_inspect_tells_it_again(
    tmp_path: Path, digits: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, out = yolov2(tmp_path), tmp_path / "m.engine"
    assert command.build(str(model), out, verify=str(digits)) == 0
    told = capsys.readouterr().out
    assert "verified 100.00% of the reference's 39 boxes kept" in told
    assert "the engine itself has not run: there is none in this test" in told
    assert inspect(str(out)) == 0
    again = capsys.readouterr().out
    assert all(line.strip() in again for line in told.splitlines() if line.startswith(("verified", "  ")))
    assert inspect(str(out), json=True) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["certificate"]["kept"], document["certificate"]["engine_ran"]) == (1.0, False)
    with pytest.raises(UsageError, match="goes with --verify"):
        command.build(str(model), out, reference="yolov2")
    with pytest.raises(UsageError, match="out of range"):
        command.build(str(model), out, verify=str(digits), min_kept=99)


@pytest.mark.usefixtures("builds_nothing")
def test_the_command_shows_the_certificate_of_a_bundle(
    tmp_path: Path, bright: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(verify, "open_parts", refusing_to_open)
    folder, out = two_stages.bundle(tmp_path / "rcnn"), tmp_path / "engines"
    assert command.build(str(folder), out, verify=str(bright)) == 0
    assert inspect(str(out)) == 0
    told = capsys.readouterr().out
    assert told.count("verified 100.00% of the reference's 12 instances kept") == 2
    assert "mean IoU of masks 1.0000; 100.00% of their joints near" in told


def test_a_toy_is_its_own_reference(tmp_path: Path, bright: Path) -> None:
    """A graph of a few weights in float32: both sides are the same, and see one dog a cell."""
    found = verdict(toy.onnx_model(tmp_path), bright)
    assert (found.reference, found.kept, found.largest) == ("itself, in fp32", 1.0, None)


def test_the_sides_agree_with_the_runtime(tmp_path: Path, digits: Path) -> None:
    """What is compared is what `run` finds."""
    from vedette import Model

    path = find_model("yolov2")
    model = Model(path, backend="onnxruntime", conf=0.5)
    expected = [len(result) for result in model(digits)]
    model.close()
    side = side_of_graph(manifests.load(path)[0], CpuGraph(path.read_bytes()))
    with closing(Gate(path, str(digits))) as gate:
        frames = list(gate.frames)
    found = [int((side.result(frame).boxes.conf >= 0.5).sum()) for frame in frames]  # type: ignore[union-attr]
    side.close()
    assert found == expected
    assert Counter(found)[0] < len(found)
