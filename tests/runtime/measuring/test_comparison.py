"""What is told as a regression: worse than the limit, and surely so; and what cannot be compared at all."""

from dataclasses import replace

import numpy as np
import pytest
from speeds import MACHINE, RAN, SETTINGS, blocks, record

from vedette.runtime.errors import UsageError
from vedette.runtime.measuring.blocks import Block
from vedette.runtime.measuring.bootstrap import draws, ratio_of, statistic_of, stretches
from vedette.runtime.measuring.comparison import Comparison, compare
from vedette.runtime.measuring.gauges import GpuSpell
from vedette.runtime.measuring.rules import TOLD, Rule, rules_of

P50 = rules_of(["p50+10%"])


def word(found: Comparison, metric: str = "p50") -> str:
    return next(verdict.word for verdict in found.verdicts if verdict.metric == metric)


def test_a_against_a_is_no_regression_though_its_blocks_wander() -> None:
    rules = rules_of(["p50+5%", "p99+5%", "fps-5%", "cpu_ms+5%", "work.mean+5%"])
    wrong = 0
    for seed in range(40):
        found = compare(record(blocks(10, seed=seed)), record(blocks(10, seed=1000 + seed)), rules)
        wrong += bool(found.regressions)
    assert wrong <= 1  # of 200 metrics, each of 99 %: half of one per hundred is on the worse side


@pytest.mark.parametrize("seed", range(5))
def test_a_fifth_slower_is_a_regression_in_every_measure_of_time(seed: int) -> None:
    rules = rules_of(["p50+10%,p90+10%,work.mean+10%", "fps-10%", "cpu_ms+10%", "memory_mb+10%"])
    found = compare(record(blocks(10, seed=seed)), record(blocks(12, seed=50 + seed)), rules)
    assert {verdict.metric for verdict in found.regressions} == {"p50", "p90", "work.mean", "fps", "cpu_ms"}
    assert word(found, "memory_mb") == "no worse"
    change = next(verdict for verdict in found.verdicts if verdict.metric == "p50")
    assert change.low < change.change < change.high
    assert change.change == pytest.approx(0.2, abs=0.05)


def test_what_is_faster_is_better_and_within_the_limit_no_worse() -> None:
    base = record(blocks(10, seed=1))
    assert word(compare(base, record(blocks(7, seed=2)), P50)) == "better"
    assert word(compare(base, record(blocks(10.5, seed=3)), P50)) == "no worse"


def test_beyond_the_limit_but_not_sure_is_told_as_that() -> None:
    few = blocks(10, seed=4, rounds=1, each=4)
    scattered = [blocks(mean, seed=5, rounds=1, each=1)[0] for mean in (5.0, 22.0, 6.0, 12.0)]
    found = compare(record(few), record(scattered), rules_of(["work.mean+1%"]))
    assert word(found, "work.mean") == "unsure"
    assert not found.regressions


def test_without_a_limit_all_is_told_and_nothing_fails() -> None:
    found = compare(record(blocks(10, seed=1)), record(blocks(30, seed=2)), TOLD)
    assert {verdict.word for verdict in found.verdicts} == {"told"}
    assert len(found.verdicts) == len(TOLD)
    assert not found.regressions


def test_on_shared_cores_what_the_wait_explains_is_no_regression() -> None:
    """The threads ran as long as before, and waited as long again: twice the time is not the program's doing."""
    base = record(blocks(10, seed=1, condition="contended"))
    waited = record(blocks(10, seed=2, condition="contended", delay_share=1.0))
    slow = record(blocks(20, seed=3, condition="contended", delay_share=1.0))
    slower = record(blocks(25, seed=3, condition="contended", delay_share=1.0))
    work = rules_of(["work.p50+10%", "p99+10%"])
    assert word(compare(base, slow, work), "work.p50") == "no worse"
    assert word(compare(base, slower, work), "work.p50") == "regression"
    assert word(compare(base, waited, work), "work.p50") == "no worse"
    assert word(compare(base, slower, work), "p99") == "not judged"


def test_where_only_the_new_one_shared_cores_its_waits_explain_what_they_can() -> None:
    base = record(blocks(10, seed=1))
    rules = rules_of(["work.p50+10%,cpu_ms+10%"])
    for mean, expected in ((20, "no worse"), (26, "regression")):
        new = record(blocks(mean, seed=2, condition="contended", delay_share=1.0))
        assert word(compare(base, new, rules), "work.p50") == expected
        assert word(compare(base, new, rules), "cpu_ms") == "regression"


def test_slower_though_it_waited_less_is_a_regression() -> None:
    """A build that sleeps wants no core while it does."""
    base, new = record(blocks(10, seed=1, condition="contended", delay_share=1.0)), record(blocks(13, seed=2))
    assert word(compare(base, new, P50)) == "regression"


def test_where_the_kernel_does_not_tell_of_waits_time_on_shared_cores_is_not_judged() -> None:
    def silent(mean: float) -> list[Block]:
        made = blocks(mean, seed=1, condition="contended")
        return [replace(one, load=replace(one.load, delay=None)) for one in made]

    found = compare(record(silent(10)), record(silent(30)), rules_of(["p50+10%,cpu_ms+10%"]))
    assert (word(found), word(found, "cpu_ms")) == ("not judged", "regression")
    assert "does not say how long" in found.verdicts[0].note


def test_warm_blocks_are_compared_where_both_have_enough_of_them() -> None:
    shared = [*blocks(10, seed=1), *blocks(40, seed=2, condition="contended", rounds=1)]
    assert word(compare(record(blocks(10, seed=3)), record(shared), P50)) == "no worse"


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"model": replace(RAN, name="other")}, "name: toy before, other now"),
        ({"model": replace(RAN, precision="fp16")}, "precision"),
        ({"machine": replace(MACHINE, cpu="another")}, "cpu"),
        ({"machine": replace(MACHINE, usable_cores=4)}, "usable cores: 8 before, 4 now"),
        ({"settings": replace(SETTINGS, size=(32, 24))}, "size: 64, 48 before, 32, 24 now"),
        ({"settings": replace(SETTINGS, sinks=())}, "sinks: json before, nothing now"),
        ({"backend": "openvino"}, "combinations"),
    ],
)
def test_different_things_are_not_compared(changed: dict[str, object], named: str) -> None:
    with pytest.raises(UsageError) as raised:
        compare(record(blocks(10, seed=1)), record(blocks(10, seed=1), **changed), P50)  # type: ignore[arg-type]
    assert named in raised.value.why


def test_what_may_be_the_change_itself_is_only_told() -> None:
    new = record(
        blocks(10, seed=1), model=replace(RAN, sha256={"toy.onnx": "cd" * 32}), versions={"python": "3.12", "numpy": "2.0"},
        machine=replace(MACHINE, governor="powersave"),
    )  # fmt: skip
    warnings = compare(record(blocks(10, seed=1)), new, P50).warnings
    assert len(warnings) == 3
    assert "the model's toy.onnx: abababababab… before, cdcdcdcdcdcd… now" in warnings
    assert "version of python: 3.11 before, 3.12 now" in warnings


def test_a_rule_for_what_was_not_measured_is_refused_and_what_is_only_told_is_not() -> None:
    both = record(blocks(10, seed=1))
    with pytest.raises(UsageError, match="--fail-if joules cannot be judged"):
        compare(both, both, rules_of(["joules+5%"]))
    assert word(compare(both, both, [Rule("joules")]), "joules") == "not judged"


def test_joules_a_frame_are_compared() -> None:
    def powered(watts: float) -> list[Block]:
        made = blocks(10, seed=1)
        return [replace(one, gpu=GpuSpell(one.seconds, watts * one.seconds, 60, 1400, 1, 50)) for one in made]

    rules = rules_of(["joules+10%"])
    assert word(compare(record(powered(50)), record(powered(60)), rules), "joules") == "regression"
    assert word(compare(record(powered(50)), record(powered(51)), rules), "joules") == "no worse"


def test_stretches_are_runs_of_neighbours_that_go_round_the_end() -> None:
    chosen = stretches(27, 50, np.random.default_rng(1))
    assert chosen.shape == (50, 27)
    assert ((np.diff(chosen.reshape(-1, 3), axis=1) % 27) == 1).all()
    assert set(chosen.ravel()) == set(range(27))


def test_a_draw_holds_as_many_blocks_as_there_are_and_whole_rounds_are_left_out() -> None:
    rounds = [0] * 10 + [1] * 10 + [2] * 10
    found = draws(rounds, np.random.default_rng(2), count=200)
    assert (found.sum(axis=1) == 30).all()
    per_round = found.reshape(200, 3, 10).sum(axis=2)
    assert set(np.unique(per_round)) == {0.0, 10.0, 20.0, 30.0}
    two = draws([0] * 10 + [1] * 10, np.random.default_rng(2), count=50)
    assert (two.reshape(50, 2, 10).sum(axis=2) == 10).all()  # of two rounds both stay


def test_a_quantile_of_weighed_blocks_is_that_of_their_repeated_frames() -> None:
    made = blocks(10, seed=5, rounds=1, each=6)
    weights = np.array([[2.0, 0.0, 1.0, 3.0, 0.0, 1.0]])
    statistic = statistic_of(Rule("work", "p90"), made)
    assert statistic is not None
    values = [
        np.exp(bucket * np.log(1.01))
        for block, times in zip(made, weights[0], strict=True)
        for bucket, count in zip(block.ms["work"].buckets, block.ms["work"].counts, strict=True)
        for _ in range(int(count * times))
    ]
    assert statistic(weights)[0] == pytest.approx(np.quantile(values, 0.9, method="inverted_cdf"))


def test_an_interval_covers_the_true_ratio_about_as_often_as_it_says() -> None:
    rule, covered = Rule("work", "mean"), 0
    for seed in range(60):
        found = ratio_of(
            rule, blocks(10, seed=seed, rounds=6), blocks(12, seed=500 + seed, rounds=6), seed=seed
        )
        assert found is not None
        covered += found.low <= 1.2 <= found.high
    assert covered >= 54
