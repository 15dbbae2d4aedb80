"""Known boxes, written into raw outputs by independent code (encoders.py), come back through the whole runtime."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from encoders import CASES, SIZE, Case, Thing
from toy import with_manifest

from vedette import Model
from vedette.runtime.backends import replay
from vedette.runtime.decoders import boxes, parameters_of
from vedette.runtime.frame import Array, Frame
from vedette.runtime.manifest import Decoder, Input, Manifest, Output, Resize
from vedette.runtime.plugins import load
from vedette.runtime.results import Result
from vedette.runtime.runner import Recipe
from vedette.runtime.tasks import Config

LABELS = ("cat", "dog", "owl")
CENTRED = Resize("letterbox")
RESIZES = {
    "centred": CENTRED,
    "top-left": Resize("letterbox", "top-left"),
    "bottom-right": Resize("letterbox", "bottom-right"),
    "stretched": Resize("stretch"),
}
ON_GPU = {"v8", "v8 of 0 to 1", "v5", "v5 of 0 to 1", "end to end", "end to end of 0 to 1", "yolox", "ssd"}
PICTURES = [(200, 90), (61, 83)]  # wider and narrower than the input
# in shares of the picture: a corner, the opposite corner, a tie between two apart, all of it
SCENE = [
    ((0.0, 0.0, 0.31, 0.27), 0.9, 0),
    ((0.55, 0.6, 1.0, 1.0), 0.6, 1),
    ((0.05, 0.58, 0.3, 0.93), 0.6, 2),
]


def on_input(resize: Resize, size: tuple[int, int]) -> tuple[Array, Array]:
    """Gain and offset of a picture in the input, by hand."""
    target, own = np.array(SIZE), np.array(size)
    if resize.rule == "stretch":
        return target / own, np.zeros(2)
    new = np.round(own * (target / own).min())
    spare = target - new
    offset = {"centre": np.round(spare / 2 - 0.1), "top-left": spare * 0, "bottom-right": spare}
    return new / own, offset[resize.anchor]


def things(resize: Resize, size: tuple[int, int], scene: Sequence[Any]) -> list[Thing]:
    gain, offset = on_input(resize, size)
    boxes = [np.array(box) * np.tile(size, 2) * np.tile(gain, 2) + np.tile(offset, 2) for box, _, _ in scene]
    return [Thing(tuple(box), score, cls) for box, (_, score, cls) in zip(boxes, scene, strict=True)]


def manifest_of(
    case: Case, resize: Resize, shapes: dict[str, tuple[int, ...]], task: Any = "detection"
) -> Manifest:
    any_batch, one, four = ((batch, 3, *SIZE[::-1]) for batch in (-1, 1, 4))
    pixels = Input("images", any_batch, "float32", one, one, four, pixel_format="bgr", resize=resize)
    outputs = tuple(Output(f"out_{role}", (-1, *shape), role=role) for role, shape in shapes.items())
    return Manifest("m", task, (pixels,), outputs, Decoder(case.family, case.parameters), labels=LABELS)


def opened(folder: Path, case: Case, resize: Resize, scenes: Sequence[Any]) -> Model:
    """A recording of scenes, a picture each, as a model."""
    images = [
        case.encode(things(resize, size, scene), SIZE) for size, scene in zip(PICTURES, scenes, strict=False)
    ]
    arrays = {role: np.stack([image[role] for image in images]).astype(np.float32) for role in images[0]}
    path = folder / "m.npz"
    replay.record(path, {f"out_{role}": array for role, array in arrays.items()})
    shapes = {role: array.shape[1:] for role, array in arrays.items()}
    return Model(with_manifest(path, manifest_of(case, resize, shapes)))


def assert_found(result: Result, scene: Sequence[Any]) -> None:
    assert result.boxes is not None
    assert result.boxes.cls.tolist() == [cls for _, _, cls in scene]
    np.testing.assert_allclose(result.boxes.conf, [score for _, score, _ in scene], atol=1e-5)
    expected = [np.array(box) * np.tile(result.frame.size, 2) for box, _, _ in scene]
    np.testing.assert_allclose(result.boxes.xyxy, np.reshape(expected, (-1, 4)), atol=1e-3)


@pytest.mark.parametrize("resize", RESIZES)
@pytest.mark.parametrize("name", CASES)
def test_boxes_come_back_from_a_batch_of_two_pictures(name: str, resize: str, tmp_path: Path) -> None:
    scenes = SCENE, SCENE[1:][::-1]
    model = opened(tmp_path, CASES[name], RESIZES[resize], scenes)
    frames = [Frame((np.zeros((height, width, 3), np.uint8),)) for width, height in PICTURES]
    for result, scene in zip(model.runner().submit(frames).results(), scenes, strict=True):
        if CASES[name].family == "yolov3":  # its heads come in another order than its things
            assert_found(by_class(result), sorted(scene, key=lambda thing: thing[2]))
        else:
            assert_found(result, scene)


def by_class(result: Result) -> Result:
    assert result.boxes is not None
    return result[result.boxes.cls.argsort()]


@pytest.mark.parametrize("name", CASES)
def test_nothing_is_found_in_nothing(name: str, tmp_path: Path) -> None:
    model = opened(tmp_path, CASES[name], CENTRED, [[]])
    (result,) = model(np.zeros((90, 200, 3), np.uint8))
    assert (len(result), result.summary()) == (0, "nothing")


@pytest.mark.parametrize("name", CASES)
def test_what_overlaps_is_suppressed_unless_the_network_has_done_it(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    twice = [SCENE[0], ((0.01, 0.0, 0.31, 0.28), 0.7, 0), ((0.0, 0.0, 0.31, 0.27), 0.5, 1)]
    model = opened(tmp_path, case, CENTRED, [twice])
    (result,) = model(np.zeros((90, 200, 3), np.uint8))
    assert_found(result, [twice[0], twice[2]] if case.suppresses else twice)
    assert len(model(np.zeros((90, 200, 3), np.uint8), max_det=1)[0]) == 1
    assert len(model(np.zeros((90, 200, 3), np.uint8), classes=[1])[0]) == 1


@pytest.mark.parametrize("name", CASES)
def test_heads_say_what_the_decoder_does(name: str) -> None:
    case = CASES[name]
    family: Any = load("vedette.runtime.decoders", case.family)
    arrays = case.encode(things(CENTRED, PICTURES[0], SCENE), SIZE)
    manifest = manifest_of(case, CENTRED, {role: array.shape for role, array in arrays.items()})
    outputs = {f"out_{role}": array[None].astype(np.float32) for role, array in arrays.items()}
    parameters = parameters_of(manifest)
    heads = family.heads(parameters, input_size=SIZE) if hasattr(family, "heads") else None
    assert (heads is not None) == (name in ON_GPU)
    if heads is not None:
        (one,) = boxes(heads, outputs, manifest, 0.25)
        (other,) = family.decode(outputs, manifest, parameters, 0.25, input_size=SIZE)
        np.testing.assert_array_equal(one.boxes_xyxy, other.boxes_xyxy)
        np.testing.assert_array_equal(one.scores, other.scores)
        assert (one.suppress, one.clip) == (other.suppress, other.clip)


def noisy(array: Array) -> Array:
    """Twice, off by some percent; classes and other small whole numbers stay."""
    noise = np.random.default_rng(0).normal(1, 0.1, (2, *array.shape))
    return np.where(np.isin(array, [0, 1, 2]), array, array * noise).astype(np.float32)


@pytest.mark.parametrize("classes", [(), (1,)])
@pytest.mark.parametrize("name", sorted(ON_GPU))
def test_one_call_finds_what_decoder_and_task_find(name: str, classes: tuple[int, ...]) -> None:
    """On a noisy scene, whose boxes reach beside the picture; to the bit."""
    case = CASES[name]
    family: Any = load("vedette.runtime.decoders", case.family)
    arrays = case.encode(things(CENTRED, PICTURES[0], SCENE), SIZE)
    manifest = manifest_of(case, CENTRED, {role: array.shape for role, array in arrays.items()})
    outputs = {f"out_{role}": noisy(array) for role, array in arrays.items()}
    recipe = Recipe(manifest, Config(conf=0.05, classes=classes))
    frames = [Frame((np.zeros((height, width, 3), np.uint8),)) for width, height in PICTURES]
    places = [recipe.fit(frame).placement for frame in frames]
    decoded = family.decode(outputs, manifest, recipe.parameters, recipe.conf, input_size=SIZE)
    found = recipe.finish(outputs, frames, places)
    assert classes or sum(map(len, found)) > 3
    for one, boxes_, frame, place in zip(found, decoded, frames, places, strict=True):
        other = recipe.task.finish(boxes_, frame, place, manifest, recipe.config)
        assert one.boxes is not None
        for part in ("xyxy", "conf", "cls"):
            np.testing.assert_array_equal(getattr(one.boxes, part), getattr(other.boxes, part), strict=True)
        assert dict(one.names) == dict(other.names)
        assert one.boxes.orig_shape == other.boxes.orig_shape
