from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from levels import LEVELS, need_level, run_at_level
from neon import Call, on_arm, sanitized

from vedette.kernels._paf_cases import (
    CASE_CHANNELS,
    CASE_PAIRS,
    RING_CHANNELS,
    RING_PAIRS,
    chains,
    crowd,
    draw_maps,
)
from vedette.kernels.paf import CASES, MAX_PEAKS, Array, Rules, Skeletons, arguments, paf, paf_reference
from vedette.runtime.decoders.openpose import COCO_18

RULES = Rules(CASE_PAIRS, CASE_CHANNELS)
COCO = COCO_18.rules(0.4)
RULES_OF = {
    "default": RULES,
    "centroid of 3": Rules(CASE_PAIRS, CASE_CHANNELS, window=3),
    "OpenPose": Rules(CASE_PAIRS, CASE_CHANNELS, cell=1.0, window=7, openpose=True),
    "trt_pose": Rules(
        CASE_PAIRS, CASE_CHANNELS, peak_threshold=0.1, window=5, samples=7, sample_threshold=0.1
    ),
    "ring": Rules(RING_PAIRS, RING_CHANNELS, share=0.4, min_parts=2),
    "OpenPose ring": Rules(RING_PAIRS, RING_CHANNELS, share=0.4, min_parts=2, openpose=True),
    "lenient": Rules(CASE_PAIRS, CASE_CHANNELS, peak_threshold=0, share=0.3, min_parts=1, min_score=-1),
}


def assert_equal(found: Skeletons, expected: Skeletons) -> None:
    for field in ("xy", "joint_scores", "scores"):
        np.testing.assert_array_equal(getattr(found, field), getattr(expected, field), err_msg=field)


# ---- crowds: everybody is found, and nobody has another's joint


def assert_found(found: Skeletons, truth: Array, *, within: float = 0.5) -> None:
    """Every person once, every joint at its place, none elsewhere: so every limb is a true one."""
    assert len(found.scores) == len(truth)
    distances = np.linalg.norm(found.xy[:, None] - truth[None], axis=-1)  # [found, true, K]
    people = distances[:, :, 1].argmin(axis=1)  # by the neck
    assert sorted(people.tolist()) == list(range(len(truth)))
    assert (found.joint_scores > 0).all()
    assert distances[np.arange(len(people)), people].max() < within


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("count", [1, 5, 20, 60])
def test_known_people_in_one_anothers_way_are_all_found_without_a_false_limb(count: int, seed: int) -> None:
    truth = crowd(count, pairs=COCO.pairs, seed=seed)
    heatmaps, pafs = draw_maps(truth, size=(135, 240), pairs=COCO.pairs, channels=COCO.channels)
    assert_found(paf(heatmaps, pafs, COCO), truth)


def test_limbs_cross_in_those_scenes() -> None:
    assert sum(crossings(crowd(60, pairs=COCO.pairs, seed=seed)) for seed in range(6)) > 20


def crossings(people: Array) -> int:
    """How often an arm, a leg or a side of the trunk crosses somebody else's."""
    number = 0
    for start, end in COCO.pairs[:12]:
        a, b = people[:, start], people[:, end]
        one, other = (_sides(a[:, None], b[:, None], point[None]) for point in (a, b))
        apart = one * other < 0  # the ends of the second limb lie on both sides of the first
        number += int((apart & apart.T).sum()) // 2
    return number


def _sides(a: Array, b: Array, point: Array) -> Array:
    """On which side of the line through a and b each point lies."""
    along, to = b - a, point - a
    sides: Array = np.sign(along[..., 0] * to[..., 1] - along[..., 1] * to[..., 0])
    return sides


def test_half_precision_maps_give_the_same_people() -> None:
    truth = crowd(20, pairs=COCO.pairs)
    heatmaps, pafs = draw_maps(truth, size=(135, 240), pairs=COCO.pairs, channels=COCO.channels)
    assert_found(paf(heatmaps.astype(np.float16), pafs.astype(np.float16), COCO), truth)


def test_limbs_that_cross_join_their_own_ends() -> None:
    people = np.array([[(5, 5), (25, 25), (28, 32)], [(25, 5), (5, 25), (2, 32)]], np.float64)
    rules = Rules(((0, 1), (1, 2)), ((0, 1), (2, 3)))
    found = paf(*draw_maps(people, size=(36, 34), pairs=rules.pairs, channels=rules.channels), rules)
    assert_found(found, people)


# ---- the C++ is the reference


@pytest.mark.parametrize("rules", RULES_OF)
@pytest.mark.parametrize("name", CASES)
def test_kernel_and_reference_agree_on(name: str, rules: str) -> None:
    maps = CASES[name]()
    assert_equal(paf(*maps, RULES_OF[rules]), paf_reference(*maps, RULES_OF[rules]))


@st.composite
def any_maps(draw: st.DrawFn) -> tuple[Array, Array]:
    """Few values, so that ties are common; people or noise; some of it not finite; of any size."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    height, width = draw(st.integers(1, 40)), draw(st.sampled_from([1, 2, 3, 5, 16, 17, 33, 40, 67]))
    if draw(st.booleans()):
        people = random.uniform(0, (width, height), (draw(st.integers(0, 6)), 5, 2))
        heatmaps, pafs = draw_maps(people, size=(height, width), pairs=CASE_PAIRS, channels=CASE_CHANNELS)
    else:
        steps = draw(st.sampled_from([4, 1000]))
        heatmaps, pafs = (
            (random.integers(-steps, steps + 1, (channels, height, width)) / steps).astype(np.float32)
            for channels in (5, 8)
        )
    share = draw(st.sampled_from([0.0, 0.0, 0.03]))
    for array in (heatmaps, pafs):
        array[random.random(array.shape) < share] = random.choice([np.nan, np.inf, -np.inf, 3e38])
    return heatmaps, pafs


@settings(derandomize=True, deadline=None, max_examples=300)
@given(any_maps(), st.sampled_from(list(RULES_OF)))
def test_kernel_and_reference_agree(maps: tuple[Array, Array], rules: str) -> None:
    assert_equal(paf(*maps, RULES_OF[rules]), paf_reference(*maps, RULES_OF[rules]))


def test_kernel_and_reference_agree_on_a_crowd() -> None:
    maps = draw_maps(crowd(60, pairs=COCO.pairs), size=(135, 240), pairs=COCO.pairs, channels=COCO.channels)
    assert_equal(paf(*maps, COCO), paf_reference(*maps, COCO))


@pytest.mark.parametrize("level", LEVELS)
def test_other_levels_give_the_same(level: int) -> None:
    run_at_level(level, __file__, "agree")


def assert_answers(run: partial[list[tuple[int, list[Array]]]], drawn: int) -> None:
    made = [(make(), rules) for make in CASES.values() for rules in ("default", "OpenPose")]

    @settings(derandomize=True, deadline=None, max_examples=drawn)
    @given(any_maps(), st.sampled_from(list(RULES_OF)))
    def collect(maps: tuple[Array, Array], rules: str) -> None:
        made.append((maps, rules))

    collect()
    calls = []
    for maps, name in made:
        most = max(5 * MAX_PEAKS // RULES_OF[name].min_parts, 1)
        shapes = (most, 5, 2), (most, 5), (most,)
        room = [np.empty(shape, np.float32) for shape in shapes]
        calls.append(Call("vedette_paf", (*arguments(*maps, RULES_OF[name]), *room)))
    for (maps, name), (count, arrays) in zip(made, run(calls), strict=True):
        assert_equal(
            Skeletons(*(array[:count] for array in arrays[-3:])), paf_reference(*maps, RULES_OF[name])
        )


def test_neon_is_the_reference() -> None:
    assert_answers(partial(on_arm), 60)


@pytest.mark.slow
@pytest.mark.parametrize("wanted", LEVELS)
def test_no_byte_outside_the_arrays_is_read_or_written(wanted: int) -> None:
    need_level(wanted)
    assert_answers(partial(sanitized, level=wanted), 200)


@pytest.mark.parametrize(
    ("heatmaps", "pafs"),
    [((5, 4, 4), (8, 4, 5)), ((5, 4), (8, 4)), ((4, 4, 4), (8, 4, 4)), ((5, 4, 4), (7, 4, 4)), ((5, 0, 4), (8, 0, 4)),
     ((65, 4, 4), (8, 4, 4))],
)  # fmt: skip
def test_maps_that_do_not_fit_the_rules_are_refused(heatmaps: tuple[int, ...], pafs: tuple[int, ...]) -> None:
    for work in (paf, paf_reference):
        with pytest.raises(ValueError, match=r"maps|joints"):
            work(np.zeros(heatmaps, np.float32), np.zeros(pafs, np.float32), RULES)


@pytest.mark.parametrize(
    "wrong",
    [{"window": 2}, {"window": -1}, {"samples": -1}, {"min_parts": 0}, {"cell": 0.0}, {"cell": float("nan")},
     {"peak_threshold": -0.1}, {"pairs": ((1, 1),) * 4}, {"channels": ((0, 1),)}],
)  # fmt: skip
def test_rules_that_make_no_sense_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"."):
        Rules(**{"pairs": CASE_PAIRS, "channels": CASE_CHANNELS, **wrong})  # type: ignore[arg-type]


# ---- people


def test_a_person_is_found_whole() -> None:
    found = paf(*CASES["one"](), RULES)
    np.testing.assert_allclose(found.xy, chains(1), atol=0.2)
    assert found.joint_scores.min() > 0.8
    peaks = found.joint_scores.sum()
    assert found.scores[0] == pytest.approx((peaks + 4 * 1.0) / 5, abs=0.05)  # 4 limbs of almost 1


def test_sixty_people_in_a_crowd_are_sixty_people() -> None:
    assert_found(paf(*CASES["crowd"](), RULES), chains(60))


def test_a_missing_joint_is_missing_and_the_rest_stays() -> None:
    people = chains(1)
    people[0, 4] = np.nan
    found = paf(*draw_maps(people, size=(30, 30), pairs=CASE_PAIRS, channels=CASE_CHANNELS), RULES)
    assert (found.joint_scores > 0).tolist() == [[True, True, True, True, False]]
    assert found.xy[0, 4].tolist() == [0, 0]


def test_two_parts_are_no_person_and_a_weak_person_is_left_out() -> None:
    people = chains(1)
    people[0, 2:] = np.nan
    maps = draw_maps(people, size=(30, 30), pairs=CASE_PAIRS, channels=CASE_CHANNELS)
    assert len(paf(*maps, RULES).scores) == 0
    heatmaps, pafs = CASES["one"]()
    assert len(paf(heatmaps * 0.15, pafs * 0.15, RULES).scores) == 0


@pytest.mark.parametrize("name", ["one cell", "nobody", "one joint", "ties", "not a number", "infinite"])
def test_maps_without_people_give_none(name: str) -> None:
    found = paf(*CASES[name](), RULES)
    assert found.xy.shape == (0, 5, 2)
    assert found.joint_scores.shape == (0, 5)
    assert found.scores.shape == (0,)


@pytest.mark.parametrize("name", CASES)
def test_no_person_has_two_of_a_joint_and_no_joint_two_people(name: str) -> None:
    found = paf(*CASES[name](), RULES)
    assert np.isfinite(found.xy).all()
    for joint in range(5):
        seen = found.xy[found.joint_scores[:, joint] > 0, joint]
        assert len(np.unique(seen, axis=0)) == len(seen)
    assert (np.diff(found.scores) <= 0).all()
