"""One call against the references of its steps, and by hand."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vedette.kernels._decode_boxes_cases import CASES, scene
from vedette.kernels.box_layouts import V5, V8, EndToEnd, Layout
from vedette.kernels.decode_boxes import Array
from vedette.kernels.detect_boxes import Detector, Found, Wanted, detect_boxes_reference

PLACES: Any = {"size": (640, 360), "image": (10.0, 20.0, 0.5, 0.75)}
CHOICES: dict[str, Any] = {
    "plain": {},
    "whole boxes": {"clip": False},
    "few": {"max_det": 7},
    "two classes": {"classes": (3, 1, 1)},
    "no such class": {"classes": (100_000,)},
    "nothing suppresses": {"iou": np.inf},
    "all overlaps suppress": {"iou": 0.0},
    "other units": {"unit": (1.5, 0.25)},
}


def detected(layouts: Sequence[Layout], outputs: Sequence[Array], wanted: Wanted) -> Found:
    return Detector(layouts, [output.shape for output in outputs], wanted)(outputs)


def assert_equal(found: Found, expected: Found) -> None:
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other, strict=True)


@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize("name", CASES)
def test_one_call_is_its_steps(name: str, choice: str) -> None:
    case = CASES[name]()
    given = {"conf": case.conf, "multi_label": case.multi_label, **PLACES, **CHOICES[choice]}
    found, expected = (
        by([case.layout], list(case.outputs), Wanted(**given)) for by in (detected, detect_boxes_reference)
    )
    if isinstance(case.layout, V8 | V5 | EndToEnd):
        assert_equal(found, expected)
        return
    assert found[2].tolist() == expected[2].tolist()  # exponentials differ in the last places
    np.testing.assert_allclose(found[1], expected[1], rtol=1e-5)
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-5, atol=1e-2)


KINDS: Sequence[Layout] = V8(), V8(2), V5(), EndToEnd()


@st.composite
def asked(draw: st.DrawFn) -> tuple[list[Layout], list[Array], Wanted]:
    """One to three grids; some numbers are equal, some are none."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    layouts: list[Layout] = []
    outputs = []
    for _ in range(draw(st.integers(1, 3))):
        anchors = draw(st.integers(0, 90))
        layout = draw(st.sampled_from(KINDS))
        columns = 6 if isinstance(layout, EndToEnd) else 10
        rows = np.round(random.uniform(-5, 120, (anchors, columns)), draw(st.sampled_from([0, 3])))
        rows[:, 4:] = np.round(random.uniform(0, 1, (anchors, columns - 4)), draw(st.sampled_from([1, 3])))
        if isinstance(layout, EndToEnd):
            rows[:, 5] = random.choice([0, 1, 2, 7, 2**24, -1, 0.5], anchors)
        rows[random.random(rows.shape) < draw(st.sampled_from([0, 0, 0.02]))] = draw(
            st.sampled_from([np.nan, np.inf, 3e38])
        )
        layouts.append(layout)
        outputs.append((rows.T if isinstance(layout, V8) else rows).astype(np.float32))
    return layouts, outputs, Wanted(
        draw(st.sampled_from([(100, 60), (1, 1)])),
        conf=draw(st.sampled_from([0.0, 0.25, 0.5])),
        iou=draw(st.sampled_from([0.0, 0.45, np.inf])),
        max_det=draw(st.sampled_from([1, 5, 300, 10**9])),
        classes=draw(st.sampled_from([(), (0,), (2, 7, 2**24)])),
        multi_label=draw(st.booleans()),
        clip=draw(st.booleans()),
        unit=draw(st.sampled_from([(1.0, 1.0), (320.0, 0.5)])),
        image=draw(st.sampled_from([(0.0, 0.0, 1.0, 1.0), (13.0, -2.0, 0.3, 1.7)])),
    )  # fmt: skip


@settings(derandomize=True, deadline=None, max_examples=400)
@given(asked())
def test_one_call_is_its_steps_for_any_numbers(case: tuple[list[Layout], list[Array], Wanted]) -> None:
    layouts, outputs, wanted = case
    one = Detector(layouts, [output.shape for output in outputs], wanted)
    assert_equal(one(outputs), detect_boxes_reference(*case))
    assert_equal(one(outputs), detect_boxes_reference(*case))  # nothing is left of the first call


def test_by_hand() -> None:
    """Two boxes of one class overlap, the third lies beside the picture, the fourth reaches over its edge."""
    columns = [
        [100, 100, 40, 20, 0.9, 0.0],
        [101, 100, 40, 20, 0.8, 0.0],
        [400, 100, 40, 20, 0.7, 0.0],
        [10, 60, 40, 20, 0.0, 0.6],
    ]
    output = np.array(columns, np.float32).T
    wanted = Wanted((300, 200), image=(0.0, 40.0, 1.0, 1.0))
    boxes, scores, class_ids = detected([V8()], [output], wanted)
    assert boxes.tolist() == [[80, 50, 120, 70], [0, 10, 30, 30]]
    assert scores.tolist() == [np.float32(0.9), np.float32(0.6)]
    assert class_ids.tolist() == [0, 1]
    whole = detected([V8()], [output], Wanted((300, 200), image=(0.0, 40.0, 1.0, 1.0), clip=False))
    assert whole[0].tolist() == [[80, 50, 120, 70], [-10, 10, 30, 30]]


def test_arrays_of_other_types_and_strides_are_read() -> None:
    output = scene(5)
    detector = Detector([V8()], [output.shape], Wanted((640, 640)))
    half = output.astype(np.float16)
    assert_equal(detector([half]), detector([half.astype(np.float32)]))
    assert_equal(detector([np.asfortranarray(output)]), detector([output]))


def test_what_does_not_fit_is_refused() -> None:
    output = scene(5)
    with pytest.raises(ValueError, match="conf and iou"):
        Detector([V8()], [output.shape], Wanted((640, 640), conf=-1))
    with pytest.raises(ValueError, match="two axes"):
        Detector([V8()], [(1, 84, 8400)], Wanted((640, 640)))
    with pytest.raises(ValueError, match="want 1 outputs, not 2"):
        Detector([V8()], [output.shape] * 2, Wanted((640, 640)))
    with pytest.raises(ValueError, match="want outputs"):
        Detector([V8()], [output.shape], Wanted((640, 640)))([output[:, :-1]])
