"""Instances on the fake GPU: the masks and keypoints that the host finds, and only the work that was promised."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes.driver import FakeGpu
from fakes.runners import assert_equal, machine, reader_kind, run, runners, telling_model, told_frames
from gpp import needs_gpp

from vedette.runtime import cuda_runner
from vedette.runtime.cuda_readers.instances import InstanceReader
from vedette.runtime.cuda_readers.raw import RawReader
from vedette.runtime.cuda_readers.reader import Room
from vedette.runtime.errors import ModelError
from vedette.runtime.frame import Array
from vedette.runtime.manifest import Decoder, Input, Manifest, Output, Resize
from vedette.runtime.objects import ObjectMasks
from vedette.runtime.results import Result
from vedette.runtime.tasks import Config

pytestmark = needs_gpp
LETTERBOX = Resize("letterbox")
SIZE = (160, 96)
FEW = Config(max_det=9)
MASKS, JOINTS = {"masks": 5}, {"keypoints": 4}
FAMILIES = ("yolov8", "yolov5", "end_to_end")


def boxes(random: np.random.Generator, count: int) -> Array:
    """float32 [N, 4] xyxy in the input, over its edge and in its margin."""
    low = random.uniform(-30, np.array(SIZE), (count, 2))
    corners: Array = np.concatenate([low, low + random.uniform(0.5, 90, (count, 2))], axis=1)
    return corners


def answer(
    family: str, extras: Mapping[str, int], seed: int, *, count: int = 40, unit: tuple[float, float] = (1, 1)
) -> dict[str, Array]:
    """Raw outputs of one image: boxes of two classes, columns behind them, and prototypes if there are masks."""
    random = np.random.default_rng(seed)
    table = boxes(random, 40) / np.array(unit * 2)
    if family != "end_to_end":
        table = np.concatenate([(table[:, :2] + table[:, 2:]) / 2, table[:, 2:] - table[:, :2]], axis=1)
    scores = random.random((40, 2)) * (np.arange(40) < count)[:, None]
    middle = {
        "yolov8": scores,
        "yolov5": np.concatenate([np.full((40, 1), 0.9), scores], axis=1),
        "end_to_end": np.stack([scores[:, 0], random.integers(0, 2, 40)], axis=1),
    }[family]
    masks, joints = extras.get("masks", 0), extras.get("keypoints", 0)
    columns = [random.standard_normal((40, masks)), random.uniform(-10, 170, (40, 3 * joints))]
    rows = np.concatenate([table, middle, *columns], axis=1)
    role = "detections" if family == "end_to_end" else "predictions"
    arrays = {role: rows.T if family == "yolov8" else rows}
    return arrays | ({"prototypes": random.standard_normal((masks, 24, 40))} if masks else {})


def card(family: str, parameters: Mapping[str, Any], arrays: Mapping[str, Array], resize: Resize) -> Manifest:
    width, height = SIZE
    one, four = ((batch, 3, height, width) for batch in (1, 4))
    pixels = Input(
        "images", (-1, 3, height, width), "float32", one, one, four, pixel_format="bgr", resize=resize
    )
    outputs = tuple(Output(role, (-1, *array.shape), role=role) for role, array in arrays.items())
    return Manifest(
        "m", "instances", (pixels,), outputs, Decoder(family, dict(parameters)), labels=("a", "b")
    )


def model(
    folder: Path,
    family: str,
    extras: Mapping[str, int],
    *,
    parameters: Mapping[str, Any] | None = None,
    resize: Resize = LETTERBOX,
    **said: Any,
) -> Path:
    """Its answers: many objects, none, others."""
    answers = [answer(family, extras, seed, count=count, **said) for seed, count in enumerate((40, 0, 15))]
    made = card(family, {"extras": dict(extras), **(parameters or {})}, answers[0], resize)
    return telling_model(folder, made, answers)


def packed(result: Result) -> Any:
    assert isinstance(result.masks, ObjectMasks)
    return result.masks.packed


BOTH = {**MASKS, **JOINTS}


@pytest.mark.parametrize(
    ("family", "extras"),
    [*((family, BOTH) for family in FAMILIES), *(("yolov8", extras) for extras in (MASKS, JOINTS, {}))],
)
def test_objects_are_what_the_host_finds(family: str, extras: Mapping[str, int], tmp_path: Path) -> None:
    with machine() as gpu:
        runner, host, engine = runners(model(tmp_path, family, extras), FEW)
        for numbers in ([0], [0], [2], [1], [0], [2, 0, 1], [1, 2, 0], [0, 1, 2], [2, 2, 1]):
            frames = told_frames(numbers)
            gpu.reset()
            found = run(runner, frames)
            counts = gpu.counts
            assert_equal(found, run(host, frames))
            assert [len(result) > 0 for result in found] == [number != 1 for number in numbers]
        assert (counts.uploads, counts.downloads, counts.graph_launches, counts.allocations) == (1, 1, 1, 0)
        assert counts.synchronisations == 1
        if "masks" in extras:
            assert sum(int(words.sum() > 0) for words in packed(found[0]).words) > 2
        runner.close()
        engine.close()


@pytest.mark.parametrize("resize", [Resize("letterbox", "bottom-right"), Resize("stretch")], ids=str)
def test_pictures_of_other_sizes_share_a_batch(resize: Resize, tmp_path: Path) -> None:
    sizes = ((97, 65), (40, 90), (300, 64), (320, 192))
    with machine():
        runner, host, engine = runners(model(tmp_path, "yolov8", MASKS, resize=resize), FEW)
        for order in (sizes, sizes, sizes[::-1]):
            frames = [
                frame
                for number, size in zip((0, 2, 0, 1), order, strict=True)
                for frame in told_frames([number], size)
            ]
            assert_equal(run(runner, frames), run(host, frames))
        runner.close()
        engine.close()


def test_boxes_of_0_to_1_mean_the_same(tmp_path: Path) -> None:
    parameters = {"box": {"format": "xyxy", "units": "normalised"}}
    path = model(tmp_path, "end_to_end", MASKS, parameters=parameters, unit=SIZE)
    with machine():
        runner, host, engine = runners(path, FEW)
        for numbers in ([0, 2], [2, 0]):
            assert_equal(run(runner, told_frames(numbers)), run(host, told_frames(numbers)))
        runner.close()
        engine.close()


@pytest.mark.parametrize(
    "config", [Config(conf=0.6), Config(classes=(1,)), Config(max_det=1), Config(iou=0.2, max_det=20)]
)
def test_options_mean_what_they_mean_on_the_host(config: Config, tmp_path: Path) -> None:
    with machine():
        few = replace(config, max_det=min(config.max_det, 20))  # the fake GPU is slow
        runner, host, engine = runners(model(tmp_path, "yolov8", MASKS), few)
        for numbers in ([0, 2], [2, 0]):
            found = run(runner, told_frames(numbers))
            assert_equal(found, run(host, told_frames(numbers)))
            assert all(map(len, found))
        runner.close()
        engine.close()


def test_masks_that_find_no_room_are_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda_runner, "FIRST_ROOM", Room(2, 1))
    with machine() as gpu:
        runner, host, engine = runners(model(tmp_path, "yolov8", MASKS), Config(max_det=30, iou=1.0))
        for _ in range(3):
            gpu.reset()
            found = run(runner, told_frames([0]))
            assert_equal(found, run(host, told_frames([0])))
        assert gpu.counts.downloads == 1  # from now on there is room
        assert sum(words.size for words in packed(found[0]).words) > 97 * 2
        runner.close()
        engine.close()


def test_where_memory_is_shared_nothing_is_copied(tmp_path: Path) -> None:
    with machine(FakeGpu(integrated=True)) as gpu:
        runner, host, engine = runners(model(tmp_path, "yolov8", BOTH), FEW)
        for numbers in ([0, 2], [2, 1], [0, 0], [1, 2]):
            assert_equal(run(runner, told_frames(numbers)), run(host, told_frames(numbers)))
        assert gpu.counts.uploads == gpu.counts.downloads == 0
        runner.close()
        engine.close()


def test_prototypes_that_do_not_fit_the_coefficients_are_refused(tmp_path: Path) -> None:
    arrays = answer("yolov8", MASKS, 0) | {"prototypes": np.zeros((4, 24, 40))}
    path = telling_model(tmp_path, card("yolov8", {"extras": MASKS}, arrays, LETTERBOX), [arrays])
    with machine():
        runner, _, engine = runners(path, FEW)
        with pytest.raises(ModelError, match="cannot be read as yolov8") as caught:
            run(runner, told_frames([0]))
        assert "want 5 prototypes" in caught.value.why
        runner.close()
        engine.close()


@pytest.mark.parametrize(
    ("parameters", "reader"),
    [
        ({"extras": MASKS}, InstanceReader),
        ({"extras": {**MASKS, "angle": True}}, RawReader),
        ({"extras": MASKS, "box": {"format": "xyxy"}}, RawReader),
    ],
)
def test_what_the_kernels_do_not_read_comes_down_whole(
    parameters: Mapping[str, Any], reader: type, tmp_path: Path
) -> None:
    arrays = answer("yolov8", MASKS, 0)
    path = telling_model(tmp_path, card("yolov8", parameters, arrays, LETTERBOX), [arrays])
    with machine():
        assert reader_kind(path, told_frames([0]), FEW) is reader
