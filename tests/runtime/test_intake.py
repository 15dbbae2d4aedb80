"""Models that want the same picture of a frame share one preparation."""

from dataclasses import replace

import numpy as np
import pytest
import toy

from vedette.runtime import intake as intakes
from vedette.runtime.engine import HostBuffers, Tensor
from vedette.runtime.frame import Array, Frame
from vedette.runtime.intake import Intake
from vedette.runtime.manifest import Input
from vedette.runtime.preprocess import Placement, fill_frame


class Engine:
    """Only its input arrays are asked for."""

    def __init__(self) -> None:
        self.buffers = HostBuffers((Tensor("images", "float32", (-1, 3, 32, 32)),))


@pytest.fixture
def letterboxes(monkeypatch: pytest.MonkeyPatch) -> list[Frame]:
    """The frames that were prepared, each time one was."""
    seen: list[Frame] = []

    def noted(chw: Array, frame: Frame, spec: Input, placement: Placement) -> None:
        seen.append(frame)
        fill_frame(chw, frame, spec, placement)

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
