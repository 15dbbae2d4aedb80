"""Blocks: joined, and marked with the condition under which they ran."""

from dataclasses import replace

import pytest
from speeds import block

from vedette.runtime.measuring.blocks import Block, Load, condition_of, conditioned, joined
from vedette.runtime.measuring.gauges import GpuSpell

QUIET = Load(own=900.0, delay=10.0, others=20.0, stolen=0.0, idle=1000.0, quota=0.0)
SECOND = Block(0, 0.0, 1.0, 30, 100.0, QUIET)


def test_two_that_follow_each_other_are_one_with_all_their_frames() -> None:
    first, second = block([10, 12], start_s=1.0), block([20.0], start_s=1.022)
    both = joined(first, second)
    assert (both.start_s, both.frames) == (1.0, 3)
    assert both.seconds == pytest.approx(0.042)
    assert both.load.own == pytest.approx(0.8 * 42)
    assert both.ms["work"].count == 3
    assert both.ms["work"].largest == 20
    assert both.load.quota is None


@pytest.mark.parametrize(
    ("changed", "condition"),
    [
        ({}, "warm"),
        ({"delay": 200.0}, "warm"),  # our own threads waited for each other: nobody else was there
        ({"delay": 200.0, "others": 300.0}, "contended"),
        ({"others": 900.0}, "warm"),  # on other cores
        ({"stolen": 50.0}, "contended"),  # 2.5 % of two cores
        ({"quota": 30.0}, "throttled"),
        ({"heat": 1}, "throttled"),
        ({"delay": None, "others": 900.0, "idle": 100.0}, "contended"),
        ({"delay": None, "others": 900.0, "idle": 900.0}, "warm"),
        ({"delay": None, "others": None, "stolen": None, "idle": None, "quota": None}, "warm"),
        ({"delay": 200.0, "others": 300.0, "heat": 1}, "throttled"),
    ],
)
def test_a_condition_has_its_reason(changed: dict[str, float | None], condition: str) -> None:
    assert condition_of(replace(SECOND, load=replace(QUIET, **changed)), cores=2) == condition  # type: ignore[arg-type]


def test_a_gpu_that_slowed_down_throttles() -> None:
    spell = GpuSpell(1.0, 50.0, 91.0, 900.0, None, 99.0, ("thermal, hardware",))
    assert condition_of(replace(SECOND, gpu=spell), cores=2) == "throttled"
    assert condition_of(replace(SECOND, gpu=replace(spell, reasons=())), cores=2) == "warm"


def test_blocks_before_the_steady_state_are_warming() -> None:
    made = [replace(SECOND, start_s=float(index)) for index in range(4)]
    found = conditioned(made, warm_from_s=1.5, cores=2)
    assert [one.condition for one in found] == ["warming", "warming", "warm", "warm"]


@pytest.mark.parametrize(
    "wrong", [{"frames": 0}, {"seconds": 0.0}, {"seconds": float("nan")}, {"start_s": -1.0}]
)
def test_a_block_that_cannot_be_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="a block has frames"):
        replace(SECOND, **wrong)  # type: ignore[arg-type]
