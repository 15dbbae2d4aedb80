"""`Model`, from Python."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import toy

from vedette import Model, Result, VedetteError
from vedette.runtime.errors import ModelError, SourceError, UsageError
from vedette.runtime.frame import Array

PICTURE = np.full((48, 64, 3), 200, np.uint8)


@pytest.fixture
def model(tmp_path: Path) -> Iterator[Model]:
    opened = Model(toy.recording(tmp_path))
    yield opened
    opened.close()


def test_an_array_gives_one_result_in_its_own_pixels(model: Model) -> None:
    [result] = model(PICTURE)
    assert result.boxes is not None
    np.testing.assert_allclose(result.boxes.xyxy, [[8, 18, 24, 30]], atol=1e-4)
    assert (result.summary(), len(result), result.orig_shape) == ("1 dog", 1, (48, 64))


def test_several_pictures_come_back_in_their_order(model: Model) -> None:
    sizes = [(40, 30), (64, 48), (20, 10)]
    results = model([np.zeros((height, width, 3), np.uint8) for width, height in sizes])
    assert [result.frame.size for result in results] == sizes


def test_a_call_may_have_its_own_thresholds(model: Model) -> None:
    assert len(model(PICTURE, conf=0.95)[0]) == 0
    assert len(model(PICTURE)[0]) == 1


def test_a_stream_gives_results_one_at_a_time(model: Model) -> None:
    results = model("synthetic:64x48@10?frames=5", stream=True)
    assert isinstance(next(results), Result)
    assert len(list(results)) == 4


def test_a_live_source_without_stream_is_refused(model: Model) -> None:
    with pytest.raises(UsageError, match="stream=True"):
        model("synthetic:64x48@10?live=1")


@pytest.mark.parametrize(
    "wrong",
    [
        PICTURE.astype(np.float32),
        PICTURE[..., 0],
        np.zeros((0, 5, 3), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
    ],
)
def test_an_array_that_is_no_picture_is_refused(model: Model, wrong: Array) -> None:
    with pytest.raises(UsageError, match="as a picture"):
        model(wrong)


def test_a_missing_picture_is_refused(model: Model) -> None:
    with pytest.raises(SourceError):
        model("nothing.jpg")


@pytest.mark.parametrize("classes", [1, "dog", ["dog"], [1], np.array([1]), ("cat", 1)])
def test_classes_by_name_or_number(model: Model, classes: Any) -> None:
    assert len(model(PICTURE, classes=classes)[0]) == 1
    assert len(model(PICTURE, classes=0)[0]) == 0


def test_pictures_may_come_from_a_generator(model: Model) -> None:
    assert len(model(PICTURE for _ in range(3))) == 3


def test_a_closed_model_says_so(tmp_path: Path) -> None:
    model = Model(toy.recording(tmp_path))
    model.close()
    model.close()
    with pytest.raises(UsageError, match="closed"):
        model(PICTURE)


@pytest.mark.parametrize(
    "options",
    [
        *(
            {"conf": 1.5},
            {"iou": -0.1},
            {"confidence": 0.5},
            {"conf": "high"},
            {"max_det": 0},
            {"classes": "owl"},
        ),
        *({"classes": [99]}, {"imgsz": "640"}, {"imgsz": (1, 2, 3)}, {"imgsz": 32.5}),
    ],
)
def test_options_that_cannot_be_meant_are_refused(tmp_path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        Model(toy.recording(tmp_path), **options)


def test_an_unknown_name_tells_what_there_is() -> None:
    with pytest.raises(ModelError) as caught:
        Model("nonesuch")
    assert "nanodet" in caught.value.why


def test_every_error_is_a_vedette_error_with_three_lines() -> None:
    error = VedetteError("the camera rtsp://user:pa:ss/w@rd@host/1 is\ngone", why="because", cure="look")
    assert str(error).count("\n") == 2
    assert "pa" not in str(error).split("camera")[1].split("host")[0]


def test_an_output_of_another_shape_than_promised_is_refused(tmp_path: Path) -> None:
    path = toy.recording(tmp_path)
    from vedette.runtime.backends import replay

    replay.record(path, {"grid": np.zeros((1, 9, 4, 4), np.float32)})
    toy.with_manifest(path)
    with pytest.raises(ModelError, match="has the shape"):
        Model(path)(PICTURE)
