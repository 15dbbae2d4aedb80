from functools import partial

import numpy as np
import pytest

from vedette.kernels._paf_cases import CASE_CHANNELS, CASE_PAIRS, chains, draw_maps
from vedette.kernels.paf import (
    CASES,
    MAX_PEAKS,
    Array,
    Limbs,
    Peaks,
    Skeletons,
    assemble,
    find_peaks,
    score_limbs,
)
from vedette.runtime.decoders.openpose import COCO_18

PERSON = np.array(  # COCO-18 joints of a standing person, cells
    [
        *((5, 1), (5, 3), (3, 3), (2, 5), (1.5, 7), (7, 3), (8, 5), (8.5, 7), (4, 7.5), (4, 10), (4, 12.5)),
        *((6.4, 7.5), (6.4, 10), (6.4, 12.5), (4.3, 0.4), (5.7, 0.4), (3.2, 1), (6.8, 1)),
    ]
)


def assembled(heatmaps: Array, pafs: Array) -> Skeletons:
    peaks = find_peaks(heatmaps, threshold=0.05)
    limbs = score_limbs(pafs, peaks, pairs=CASE_PAIRS, channels=CASE_CHANNELS, cell=8)
    return assemble(peaks, limbs, joints=len(heatmaps))


def matched(found: Skeletons, people: Array) -> Array:
    """The index of the true person nearest to each found one, by its first joint."""
    distances = np.linalg.norm(found.xy[:, None, 0] - people[None, :, 0], axis=-1)
    return np.asarray(distances.argmin(axis=1))


def test_a_gaussian_is_found_to_a_tenth_of_a_cell() -> None:
    truth = np.random.default_rng(0).uniform(2, 28, (50, 1, 2))
    for person in truth:
        heatmaps, _ = draw_maps(person[None], size=(31, 31), pairs=(), channels=())
        peaks = find_peaks(heatmaps, threshold=0.05)
        np.testing.assert_allclose(peaks.xy, person, atol=0.1)
        assert peaks.joints.tolist() == [0]


def test_a_peak_between_two_equal_cells_is_one_peak_between_them() -> None:
    heatmap = np.zeros((1, 5, 6), np.float32)
    heatmap[0, 2, 2:4] = 0.8
    peaks = find_peaks(heatmap, threshold=0.05)
    assert peaks.xy.tolist() == [[2.5, 2.0]]


@pytest.mark.parametrize("place", [(0, 0), (0, 3), (4, 5), (2, 5)])
def test_peaks_at_the_border_are_found_at_the_centre_of_their_cell(place: tuple[int, int]) -> None:
    heatmap = np.zeros((1, 5, 6), np.float32)
    heatmap[0][place] = 0.8
    assert find_peaks(heatmap, threshold=0.05).xy.tolist() == [[place[1], place[0]]]


def test_a_value_at_the_threshold_is_no_peak() -> None:
    heatmap = np.zeros((1, 3, 3), np.float32)
    heatmap[0, 1, 1] = 0.05
    assert len(find_peaks(heatmap, threshold=float(np.float32(0.05))).scores) == 0


def test_peaks_come_by_joint_then_best_first_and_are_bounded() -> None:
    peaks = find_peaks(CASES["worst"]()[0], threshold=0.05)
    assert np.bincount(peaks.joints).tolist() == [MAX_PEAKS] * 5
    assert (np.diff(peaks.joints) >= 0).all()
    assert (np.diff(peaks.scores)[np.diff(peaks.joints) == 0] <= 0).all()


def test_a_person_is_found_whole() -> None:
    heatmaps, pafs = CASES["one"]()
    found = assembled(heatmaps, pafs)
    np.testing.assert_allclose(found.xy, chains(1), atol=0.2)
    assert found.joint_scores.min() > 0.8
    peaks = found.joint_scores.sum()
    assert found.scores[0] == pytest.approx((peaks + 4 * 1.0) / 5, abs=0.05)  # 4 limbs of almost 1


def test_sixty_people_in_a_crowd_are_sixty_people() -> None:
    found, truth = assembled(*CASES["crowd"]()), chains(60)
    assert len(found.scores) == 60
    people = matched(found, truth)
    assert len(set(people.tolist())) == 60
    np.testing.assert_allclose(found.xy, truth[people], atol=0.25)


def test_sixty_coco_people_side_by_side_are_not_mixed_up() -> None:
    corners = np.array([(11 * (i % 10) + 2, 15 * (i // 10) + 2) for i in range(60)])
    truth = PERSON[None] + corners[:, None] + np.random.default_rng(1).uniform(-0.3, 0.3, (60, 18, 2))
    heatmaps, pafs = draw_maps(truth, size=(94, 114), pairs=COCO_18.pairs, channels=COCO_18.paf_channels)
    peaks = find_peaks(heatmaps, threshold=0.05)
    limbs = score_limbs(pafs, peaks, pairs=COCO_18.pairs, channels=COCO_18.paf_channels, cell=8)
    found = assemble(peaks, limbs, joints=18)
    assert len(found.scores) == 60
    people = matched(found, truth)
    assert sorted(people.tolist()) == list(range(60))
    seen = found.joint_scores > 0
    assert seen.sum(axis=1).min() >= 15  # eyes and ears lie close together: some share a peak
    assert np.linalg.norm(found.xy - truth[people], axis=-1)[seen].max() < 1.0


def test_a_missing_joint_is_missing_and_the_rest_stays() -> None:
    people = chains(1)
    people[0, 4] = np.nan
    heatmaps, pafs = draw_maps(people, size=(30, 30), pairs=CASE_PAIRS, channels=CASE_CHANNELS)
    found = assembled(heatmaps, pafs)
    assert (found.joint_scores > 0).tolist() == [[True, True, True, True, False]]
    assert found.xy[0, 4].tolist() == [0, 0]


def test_limbs_that_cross_join_their_own_ends() -> None:
    people = np.array([[(5, 5), (25, 25), (28, 32)], [(25, 5), (5, 25), (2, 32)]], np.float64)
    pairs, channels = ((0, 1), (1, 2)), ((0, 1), (2, 3))
    heatmaps, pafs = draw_maps(people, size=(36, 34), pairs=pairs, channels=channels)
    peaks = find_peaks(heatmaps, threshold=0.05)
    limbs = score_limbs(pafs, peaks, pairs=pairs, channels=channels, cell=8, share=0.6)
    found = assemble(peaks, limbs, joints=3)
    np.testing.assert_allclose(found.xy, people[matched(found, people)], atol=0.2)
    assert len(found.scores) == 2


def test_two_parts_are_no_person_and_a_weak_person_is_left_out() -> None:
    people = chains(1)
    people[0, 2:] = np.nan
    maps = draw_maps(people, size=(30, 30), pairs=CASE_PAIRS, channels=CASE_CHANNELS)
    assert len(assembled(*maps).scores) == 0
    heatmaps, pafs = CASES["one"]()
    assert len(assembled(heatmaps * 0.15, pafs * 0.15).scores) == 0


@pytest.mark.parametrize("name", ["one cell", "nobody", "one joint", "ties", "not a number", "infinite"])
def test_maps_without_people_give_none(name: str) -> None:
    found = assembled(*CASES[name]())
    assert found.xy.shape == (0, 5, 2)
    assert found.joint_scores.shape == (0, 5)
    assert found.scores.shape == (0,)


@pytest.mark.parametrize("name", CASES)
def test_no_person_has_two_of_a_joint_and_no_joint_two_people(name: str) -> None:
    found = assembled(*CASES[name]())
    assert np.isfinite(found.xy).all()
    for joint in range(5):
        seen = found.xy[found.joint_scores[:, joint] > 0, joint]
        assert len(np.unique(seen, axis=0)) == len(seen)
    assert (np.diff(found.scores) <= 0).all()


def test_half_precision_maps_give_the_same_people() -> None:
    heatmaps, pafs = CASES["crowd"]()
    exact, rounded = (
        assembled(heatmaps, pafs),
        assembled(heatmaps.astype(np.float16), pafs.astype(np.float16)),
    )
    assert len(rounded.scores) == 60
    order = matched(rounded, exact.xy)
    np.testing.assert_allclose(rounded.xy, exact.xy[order], atol=0.01)


def hand_made(joints: list[int], limbs: list[tuple[int, int, int, float]]) -> Skeletons:
    """People of three joints from peaks of score 0.5 at (index, 0), and (pair, start, end, score) limbs."""
    xy = np.stack([np.arange(len(joints)), np.zeros(len(joints))], axis=1).astype(np.float32)
    peaks = Peaks(xy, np.full(len(joints), 0.5, np.float32), np.array(joints))
    pairs, starts, ends, scores = (np.array(column) for column in zip(*limbs, strict=True))
    return assemble(peaks, Limbs(pairs, starts, ends, scores.astype(np.float32)), joints=3, min_score=0)


def test_the_score_is_the_sum_of_joints_and_limbs_over_the_joints() -> None:
    found = hand_made([0, 1, 2], [(0, 0, 1, 0.5), (1, 1, 2, 0.75), (2, 0, 2, 0.25)])  # the last closes a ring
    assert found.scores.tolist() == [pytest.approx((3 * 0.5 + 0.5 + 0.75 + 0.25) / 3)]


def test_the_better_of_two_limbs_wins_a_shared_joint() -> None:
    people = [0, 0, 1, 1, 2, 2]
    limbs = [(0, 0, 2, 0.6), (0, 0, 3, 0.7), (0, 1, 2, 0.8), (1, 2, 4, 0.9), (1, 3, 5, 0.9)]
    found = hand_made(people, limbs)
    assert found.xy[:, :, 0].tolist() == [[1, 2, 4], [0, 3, 5]]


def test_of_equal_limbs_the_earlier_wins() -> None:
    found = hand_made([0, 1, 1, 2], [(0, 0, 1, 0.5), (0, 0, 2, 0.5), (1, 1, 3, 0.5)])
    assert found.xy[:, :, 0].tolist() == [[0, 1, 3]]


def test_people_who_have_a_joint_in_common_are_not_joined() -> None:
    people = [0, 0, 1, 1, 2]
    limbs = [(0, 0, 2, 0.9), (0, 1, 3, 0.8), (1, 2, 4, 0.7), (2, 1, 4, 0.6)]  # the last would give 4 to both
    found = hand_made(people, limbs)
    assert found.xy[:, :, 0].tolist() == [[0, 2, 4]]
    assert found.scores.tolist() == [pytest.approx((3 * 0.5 + 0.9 + 0.7) / 3)]


def test_a_joint_is_matched_once_a_pair_even_if_that_limb_is_dropped() -> None:
    limbs = [(0, 0, 2, 0.9), (0, 1, 3, 0.8), (1, 2, 4, 0.7), (2, 1, 4, 0.6), (2, 1, 5, 0.5)]
    found = hand_made([0, 0, 1, 1, 2, 2], limbs)
    assert found.xy[:, :, 0].tolist() == [[0, 2, 4]]


def test_a_limb_needs_nineteen_of_twenty_samples_of_its_field() -> None:
    peaks = Peaks(np.array([[0, 1], [20, 1]], np.float32), np.ones(2, np.float32), np.array([0, 1]))
    pafs = np.zeros((2, 3, 21), np.float32)
    pafs[0] = 0.8
    scored = partial(score_limbs, pairs=[(0, 1)], channels=[(0, 1)], cell=8)
    assert scored(pafs, peaks).scores.tolist() == [pytest.approx(0.8)]
    pafs[0, :, 5] = 0  # one of the 25 samples
    assert scored(pafs, peaks).scores.tolist() == [pytest.approx(0.8)]
    pafs[0, :, 5:7] = 0.05
    assert len(scored(pafs, peaks).scores) == 0


def test_a_limb_against_its_field_is_none_unless_it_is_very_short() -> None:
    peaks = Peaks(
        np.array([[9, 9], [5, 9], [8.9, 9]], np.float32), np.ones(3, np.float32), np.array([0, 1, 1])
    )
    pafs = np.ones((2, 20, 20), np.float32)
    limbs = score_limbs(pafs, peaks, pairs=[(0, 1)], channels=[(0, 1)], cell=8)
    assert limbs.ends.tolist() == [2]
    assert limbs.scores.tolist() == [pytest.approx(0.050001)]
