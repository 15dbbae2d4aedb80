"""What every task promises; a new file of tasks/ needs an example of what it takes here."""

import inspect
import json
from collections.abc import Mapping
from dataclasses import asdict
from types import ModuleType
from typing import Any, get_args

import numpy as np
import pytest

from vedette.runtime.decoders import Candidates, Instances, Maps, People, Picture, Prototyped
from vedette.runtime.decoders.openpose import COCO_18
from vedette.runtime.frame import Frame
from vedette.runtime.manifest import Decoder, Manifest, Task
from vedette.runtime.plugins import load, names
from vedette.runtime.preprocess import Placement
from vedette.runtime.results import Result
from vedette.runtime.tasks import Config

FOLDER = "vedette.runtime.tasks"
PLACEMENT = Placement((64, 48), (32, 32), (32, 24), (0, 4))
PERSON = np.full((1, 18, 2), 16, np.float32)
FOUND: Mapping[str, tuple[Decoder, Any]] = {
    "detection": (
        Decoder("fastestdet"),
        Candidates(np.array([[4, 8, 20, 24]], np.float32), np.array([0.9], np.float32), np.array([0])),
    ),
    "image": (Decoder("image"), Picture(np.full((32, 32, 3), 99, np.float32))),
    "instances": (
        Decoder("mask_rcnn"),
        Instances(
            Candidates(np.array([[4, 8, 20, 24]], np.float32), np.array([0.9], np.float32), np.array([0])),
            Maps(np.full((1, 28, 28), 0.9, np.float32), 0.5, "box"),
            np.full((1, 17, 3), 16, np.float32),
        ),
    ),
    "pose": (
        Decoder("openpose", asdict(COCO_18)),
        People(PERSON, np.full((1, 18), 0.5, np.float32), np.array([0.8], np.float32)),
    ),
    "segmentation": (Decoder("mask"), np.full((1, 32, 32), 0.9, np.float32)),
}
NOTHING: Mapping[str, Any] = {
    "detection": Candidates(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64)),
    "instances": Instances(
        Candidates(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64)),
        Prototyped(np.zeros((0, 32), np.float32), np.zeros((32, 8, 8), np.float32)),
        np.zeros((0, 17, 3), np.float32),
    ),
    "pose": People(np.zeros((0, 18, 2), np.float32), np.zeros((0, 18), np.float32), np.zeros(0, np.float32)),
    "segmentation": np.zeros((1, 32, 32), np.float32),
}


def task(name: str) -> ModuleType:
    return load(FOLDER, name)


def finished(name: str, decoded: Any) -> Result:
    frame = Frame((np.zeros((48, 64, 3), np.uint8),))
    manifest = Manifest("m", get_args(Task)[0], (), (), FOUND[name][0], labels=("person",))
    result = task(name).finish(decoded, frame, PLACEMENT, manifest, Config())
    assert isinstance(result, Result)
    return result


@pytest.mark.parametrize("name", names(FOLDER))
def test_its_functions_are_the_contract(name: str) -> None:
    assert name in get_args(Task)
    assert 0 < task(name).DEFAULT_CONF < 1
    arguments = ["decoded", "frame", "placement", "manifest", "config"]
    assert list(inspect.signature(task(name).finish).parameters) == arguments
    assert list(inspect.signature(task(name).record).parameters) == ["result"]
    assert list(inspect.signature(task(name).draw).parameters) == ["image", "result"]


@pytest.mark.parametrize("name", names(FOLDER))
def test_a_find_is_counted_recorded_and_drawn(name: str) -> None:
    result = finished(name, FOUND[name][1])
    assert (result.task, result.model) == (name, "m")
    assert result.summary() == ("1 picture" if name == "image" else "1 person")
    assert result.plot().any()
    assert json.loads(result.to_json()) == result.to_dict()


@pytest.mark.parametrize("name", NOTHING)
def test_nothing_is_a_result_too(name: str) -> None:
    result = finished(name, NOTHING[name])
    assert len(result) == 0
    assert result.summary() == "nothing"
    assert not result.plot().any()
    (only,) = task(name).record(result).values()
    assert only in ([], {"fractions": {}, "rle": {}})
    assert list(result) == []
