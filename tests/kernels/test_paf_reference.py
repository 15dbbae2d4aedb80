"""The meaning of paf in its three parts; test_paf.py has the whole, and what runs in place of the reference."""

import numpy as np
import pytest

from vedette.kernels._paf_assembly import assemble
from vedette.kernels._paf_cases import draw_maps
from vedette.kernels._paf_reference import Limbs, Peaks, find_peaks, score_limbs
from vedette.kernels.paf import CASES, MAX_PEAKS, Array, Rules, Skeletons

RULES = Rules((), ())


def peaks_in(heatmaps: Array, rules: Rules = RULES) -> Peaks:
    return find_peaks(heatmaps, rules)


# ---- peaks


@pytest.mark.parametrize(("window", "error"), [(0, 0.05), (3, 0.26), (7, 0.02)])
def test_a_gaussian_is_found_to_a_fraction_of_a_cell(window: int, error: float) -> None:
    rules = Rules((), (), window=window)
    for person in np.random.default_rng(0).uniform(4, 26, (50, 1, 2)):
        heatmaps, _ = draw_maps(person[None], size=(31, 31), pairs=(), channels=())
        peaks = peaks_in(heatmaps, rules)
        np.testing.assert_allclose(peaks.xy, person, atol=error)
        assert peaks.joints.tolist() == [0]


def test_a_peak_between_two_equal_cells_is_one_peak_between_them() -> None:
    heatmap = np.zeros((1, 5, 6), np.float32)
    heatmap[0, 2, 2:4] = 0.8
    assert peaks_in(heatmap).xy.tolist() == [[2.5, 2.0]]


@pytest.mark.parametrize("place", [(0, 0), (0, 3), (4, 5), (2, 5)])
def test_peaks_at_the_border_are_found_at_the_centre_of_their_cell(place: tuple[int, int]) -> None:
    heatmap = np.zeros((1, 5, 6), np.float32)
    heatmap[0][place] = 0.8
    assert peaks_in(heatmap).xy.tolist() == [[place[1], place[0]]]


def test_a_value_at_the_threshold_is_no_peak() -> None:
    heatmap = np.zeros((1, 3, 3), np.float32)
    heatmap[0, 1, 1] = 0.05
    assert len(peaks_in(heatmap).scores) == 0


def test_peaks_come_by_joint_then_best_first_and_are_bounded() -> None:
    peaks = peaks_in(CASES["worst"]()[0])
    assert np.bincount(peaks.joints).tolist() == [MAX_PEAKS] * 5
    assert (np.diff(peaks.joints) >= 0).all()
    assert (np.diff(peaks.scores)[np.diff(peaks.joints) == 0] <= 0).all()


OPENPOSE = Rules((), (), window=7, openpose=True)


@pytest.mark.parametrize(
    ("cells", "found"),
    [
        ([(4, 4)], 1),
        ([(4, 4), (4, 5)], 0),  # inside, equal neighbours are none of them peaks
        ([(1, 4), (1, 5)], 2),  # beside the outermost row both are
        ([(0, 4)], 0),
        ([(0, 1)], 1),  # OpenPose asks for the second column first
        ([(8, 8)], 0),
    ],
)
def test_openpose_has_its_own_peaks_near_the_border(cells: list[tuple[int, int]], found: int) -> None:
    heatmap = np.zeros((1, 9, 9), np.float32)
    for cell in cells:
        heatmap[0][cell] = 0.8
    assert len(peaks_in(heatmap, OPENPOSE).scores) == found


def test_the_centroid_weighs_what_is_positive_in_its_window() -> None:
    heatmap = np.zeros((1, 12, 12), np.float32)
    heatmap[0, 5, 5], heatmap[0, 5, 8], heatmap[0, 2, 5], heatmap[0, 6, 6], heatmap[0, 5, 9] = (
        1,
        0.5,
        0.25,
        -9,
        0.4,
    )
    peaks = peaks_in(heatmap, OPENPOSE)
    best = peaks.xy[peaks.scores.argmax()]
    np.testing.assert_allclose(
        best, [(5 + 0.5 * 8 + 0.25 * 5) / 1.75, (5 + 0.5 * 5 + 0.25 * 2) / 1.75], rtol=1e-6
    )


# ---- limbs


def two_peaks(*ends: tuple[float, float]) -> Peaks:
    xy = np.array(ends, np.float32)
    return Peaks(xy, np.ones(len(xy), np.float32), np.array([0] + [1] * (len(xy) - 1)))


ONE_LIMB = Rules(((0, 1),), ((0, 1),))


def test_a_limb_needs_nineteen_of_twenty_samples_of_its_field() -> None:
    peaks = two_peaks((0, 1), (20, 1))
    pafs = np.zeros((2, 3, 21), np.float32)
    pafs[0] = 0.8
    assert score_limbs(pafs, peaks, ONE_LIMB).scores.tolist() == [pytest.approx(0.8)]
    pafs[0, :, 5] = 0  # one of the 25 samples
    assert score_limbs(pafs, peaks, ONE_LIMB).scores.tolist() == [pytest.approx(0.8)]
    pafs[0, :, 5:7] = 0.05
    assert len(score_limbs(pafs, peaks, ONE_LIMB).scores) == 0


def test_a_fixed_number_of_samples_is_averaged_whatever_they_are() -> None:
    peaks, pafs = two_peaks((0, 1), (7, 1)), np.zeros((2, 3, 8), np.float32)
    pafs[0, 1, :3] = 0.7
    rules = Rules(((0, 1),), ((0, 1),), samples=7, sample_threshold=0.1)
    assert score_limbs(pafs, peaks, rules).scores.tolist() == [pytest.approx(0.3)]
    pafs[0, 1, 1:3] = 0
    assert len(score_limbs(pafs, peaks, rules).scores) == 0


def test_a_limb_against_its_field_is_none_unless_it_is_very_short() -> None:
    peaks = two_peaks((9, 9), (5, 9), (8.9, 9))
    limbs = score_limbs(np.ones((2, 20, 20), np.float32), peaks, ONE_LIMB)
    assert limbs.ends.tolist() == [2]
    assert limbs.scores.tolist() == [pytest.approx(0.050001)]


def test_two_peaks_at_one_place_are_no_limb() -> None:
    limbs = score_limbs(np.ones((2, 20, 20), np.float32), two_peaks((9, 9), (9, 9)), ONE_LIMB)
    assert len(limbs.scores) == 0


# ---- people


def hand_made(
    joints: list[int], limbs: list[tuple[int, int, int, float]], *, openpose: bool = False
) -> Skeletons:
    """People of three joints from peaks of score 0.5 at (index, 0), and (pair, start, end, score) limbs."""
    xy = np.stack([np.arange(len(joints)), np.zeros(len(joints))], axis=1).astype(np.float32)
    peaks = Peaks(xy, np.full(len(joints), 0.5, np.float32), np.array(joints))
    pairs, starts, ends, scores = (np.array(column) for column in zip(*limbs, strict=True))
    rules = Rules(((0, 1), (1, 2), (0, 2)), ((0, 1),) * 3, min_score=0, openpose=openpose)
    return assemble(peaks, Limbs(pairs, starts, ends, scores.astype(np.float32)), 3, rules)


def test_the_score_is_the_sum_of_joints_and_limbs_over_the_joints() -> None:
    found = hand_made([0, 1, 2], [(0, 0, 1, 0.5), (1, 1, 2, 0.75), (2, 0, 2, 0.25)])  # the last closes a ring
    assert found.scores.tolist() == [pytest.approx((3 * 0.5 + 0.5 + 0.75 + 0.25) / 3)]


def test_the_better_of_two_limbs_wins_a_shared_joint() -> None:
    people = [0, 0, 1, 1, 2, 2]
    limbs = [(0, 0, 2, 0.6), (0, 0, 3, 0.7), (0, 1, 2, 0.8), (1, 2, 4, 0.9), (1, 3, 5, 0.9)]
    found = hand_made(people, limbs)
    assert found.xy[:, :, 0].tolist() == [[1, 2, 4], [0, 3, 5]]


def test_a_limb_gives_way_to_two_that_score_more_together() -> None:
    joints = [0, 0, 1, 1, 2, 2]
    rest = [(1, 2, 4, 0.9), (1, 3, 5, 0.9)]
    crossed = [(0, 0, 2, 0.7), (0, 0, 3, 0.8), (0, 1, 3, 0.6)]
    assert hand_made(joints, [*crossed, *rest]).xy[:, :, 0].tolist() == [[0, 2, 4], [1, 3, 5]]
    crossed[1] = (0, 0, 3, 1.3)
    assert hand_made(joints, [*crossed, *rest]).xy[:, :, 0].tolist() == [[0, 3, 5]]


def test_openpose_takes_the_limbs_of_all_pairs_in_one_order() -> None:
    joints, limbs = [0, 1, 1, 2], [(0, 0, 1, 0.5), (0, 0, 2, 0.4), (1, 2, 3, 0.9), (2, 0, 3, 0.8)]
    assert (
        len(hand_made(joints, limbs).scores) == 0
    )  # the first pair joins 0 to 1, and so keeps 3, with 2, from 0
    assert hand_made(joints, limbs, openpose=True).xy[:, :, 0].tolist() == [[0, 2, 3]]


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
