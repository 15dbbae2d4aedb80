"""Models that want the same picture of a frame share one preparation."""

from dataclasses import replace

import numpy as np
import pytest
import toy

from vedette.kernels.picture import Layout
from vedette.runtime import intake as intakes
from vedette.runtime.engine import HostBuffers, Tensor
from vedette.runtime.frame import Array, Frame
from vedette.runtime.intake import Intake
from vedette.runtime.manifest import Resize
from vedette.runtime.preprocess import fill_frame


class Engine:
    """Only its input arrays are asked for."""

    def __init__(self) -> None:
        self.buffers = HostBuffers((Tensor("images", "float32", (-1, 3, 32, 32)),))


@pytest.fixture
def letterboxes(monkeypatch: pytest.MonkeyPatch) -> list[Frame]:
    """The frames that were prepared, each time one was."""
    seen: list[Frame] = []

    def noted(chw: Array, frame: Frame, layout: Layout, *, padded: bool) -> None:
        seen.append(frame)
        fill_frame(chw, frame, layout, padded=padded)

    monkeypatch.setattr(intakes, "fill_frame", noted)
    return seen


def frame(level: int) -> Frame:
    return Frame((np.full((20, 40, 3), level, np.uint8),))


def prepared(intake: Intake, engine: Engine, *frames: Frame) -> Array:
    [(_, placements)] = intake.batches(frames)
    return intake.filled(engine, frames, placements)["images"]  # type: ignore[arg-type]


def test_the_second_model_reads_what_the_first_prepared(letterboxes: list[Frame]) -> None:
    first, second = Intake(toy.CARD), Intake(toy.CARD)
    one, two = Engine(), Engine()
    for level in (10, 20):
        shown = frame(level)
        assert prepared(first, one, shown) is prepared(second, two, shown)
        assert prepared(second, two, shown).max() == np.float32(level) * np.float32(1 / 255)
    assert len(letterboxes) == 2


def test_a_preparation_that_was_written_over_is_made_again(letterboxes: list[Frame]) -> None:
    first, second = Intake(toy.CARD), Intake(toy.CARD)
    one, two = Engine(), Engine()
    earlier, later = frame(10), frame(20)
    prepared(first, one, earlier)
    prepared(first, one, later)
    assert prepared(second, two, earlier).max() == np.float32(10) * np.float32(1 / 255)
    prepared(first, one, frame(30), frame(40))
    assert prepared(second, two, later).max() == np.float32(20) * np.float32(1 / 255)


def test_models_with_other_inputs_share_nothing(letterboxes: list[Frame]) -> None:
    other = replace(toy.CARD, inputs=(replace(toy.CARD.inputs[0], scale=1.0),))
    shown = frame(10)
    assert prepared(Intake(toy.CARD), Engine(), shown).max() < 1
    assert prepared(Intake(other), Engine(), shown).max() == 10
    assert len(letterboxes) == 2


def test_pictures_of_changing_sizes_never_see_the_surroundings_of_others() -> None:
    """Two intakes with one engine, batches of one and two: each input is as in an engine of its own."""
    engine, wide, tall = Engine(), frame(10), Frame((np.full((40, 20, 3), 90, np.uint8),))
    spec = replace(toy.CARD.inputs[0], resize=Resize("letterbox"))
    one, other = (Intake(replace(toy.CARD, inputs=(replace(spec, scale=scale),))) for scale in (1.0, 0.5))
    for intake, shown in [
        (one, [wide]), (one, [tall]), (one, [tall, wide]), (one, [wide, tall]), (other, [tall, wide]),
        (other, [wide]), (one, [wide]), (one, [wide]), (other, [wide, tall]), (one, [tall]),
    ]:  # fmt: skip
        fresh = [replace(each, prepared={}) for each in shown]
        expected = prepared(Intake(intake.manifest), Engine(), *fresh).copy()
        found = prepared(intake, engine, *[replace(each, prepared={}) for each in shown])
        np.testing.assert_array_equal(found, expected)
