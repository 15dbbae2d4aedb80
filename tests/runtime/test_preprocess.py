"""Pictures land where the rules say, and come back."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vedette.runtime.errors import UsageError
from vedette.runtime.manifest import Input, Resize
from vedette.runtime.preprocess import fill, place, target_size


@pytest.mark.parametrize(
    ("size", "resize", "scaled", "offset", "input_size"),
    [
        ((1920, 1080), Resize("letterbox"), (640, 360), (0, 140), (640, 640)),
        ((768, 576), Resize("letterbox"), (640, 480), (0, 80), (640, 640)),
        ((500, 333), Resize("letterbox"), (640, 426), (0, 107), (640, 640)),
        ((333, 500), Resize("letterbox"), (426, 640), (107, 0), (640, 640)),
        ((100, 101), Resize("letterbox"), (634, 640), (3, 0), (640, 640)),
        ((768, 576), Resize("letterbox", "top-left"), (640, 480), (0, 0), (640, 640)),
        ((768, 576), Resize("letterbox", "bottom-right"), (640, 480), (0, 160), (640, 640)),
        ((768, 576), Resize("stretch"), (640, 640), (0, 0), (640, 640)),
        ((1000, 10), Resize("letterbox"), (640, 6), (0, 317), (640, 640)),
    ],
)
def test_where_a_picture_lies(
    size: tuple[int, int],
    resize: Resize,
    scaled: tuple[int, int],
    offset: tuple[int, int],
    input_size: tuple[int, int],
) -> None:
    placement = place(size, (640, 640), resize)
    assert (placement.scaled, placement.offset, placement.input_size) == (scaled, offset, input_size)


def test_multiple_keeps_the_ratio_and_rounds_the_input_up() -> None:
    placement = place((640, 480), (656, 368), Resize("multiple", "top-left", multiple=16))
    assert placement.scaled == (491, 368)
    assert placement.input_size == (496, 368)


@settings(derandomize=True, max_examples=200, deadline=None)
@given(
    width=st.integers(1, 4000),
    height=st.integers(1, 4000),
    rule=st.sampled_from(["letterbox", "stretch", "multiple"]),
)
def test_the_corners_of_the_picture_come_back(width: int, height: int, rule: str) -> None:
    placement = place((width, height), (416, 320), Resize(rule, multiple=16))  # type: ignore[arg-type]
    rows, columns = placement.crop
    corners = np.array([[columns.start, rows.start], [columns.stop, rows.stop]], np.float32)
    np.testing.assert_allclose(placement.to_image(corners), [[0, 0], [width, height]], atol=1e-3)
    assert columns.stop <= placement.input_size[0]
    assert rows.stop <= placement.input_size[1]


def test_pixels_equal_an_opencv_composition() -> None:
    image = np.random.default_rng(0).integers(0, 256, (333, 500, 3), np.uint8)
    spec = Input(
        "x", (1, 3, 320, 320), pixel_format="rgb", resize=Resize("letterbox", pad=114.0), scale=1 / 255,
        mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225),
    )  # fmt: skip
    placement = place((500, 333), (320, 320), spec.resize)
    filled = np.empty((3, 320, 320), np.float32)
    fill(filled, image, spec, placement)
    resized = cv2.resize(image, (320, 213), interpolation=cv2.INTER_LINEAR)
    boxed = cv2.copyMakeBorder(resized, 53, 54, 0, 0, cv2.BORDER_CONSTANT, value=(114, 114, 114))
    blob = cv2.dnn.blobFromImage(boxed, 1 / 255, swapRB=True)[0]
    expected = (blob - np.array(spec.mean).reshape(3, 1, 1)) / np.array(spec.std).reshape(3, 1, 1)
    np.testing.assert_allclose(filled, expected, atol=2e-6)


def test_a_size_outside_the_bounds_is_refused_with_the_bounds() -> None:
    spec = Input(
        "x", (1, 3, -1, -1), minimum=(1, 3, 64, 64), typical=(1, 3, 96, 128), maximum=(1, 3, 640, 640),
        multiple_of=(1, 1, 32, 32),
    )  # fmt: skip
    assert target_size(spec, None) == (128, 96)
    assert target_size(spec, (320, 64)) == (320, 64)
    for wrong in ((100, 64), (32, 64), (64, 1280)):
        with pytest.raises(UsageError) as caught:
            target_size(spec, wrong)
        assert "steps of 32" in caught.value.why
