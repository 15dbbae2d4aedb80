"""What counts as the same decision: hand-made results of one frame."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

for needed in ("torch", "cv2"):
    pytest.importorskip(needed)

from vedette.export.gate.decisions import compare_objects, compare_people, iou, mask_iou, pairs_of  # noqa: E402
from vedette.export.gate.dense import compare_labels, compare_pictures, psnr_db  # noqa: E402
from vedette.export.gate.map import loss_by_reference  # noqa: E402
from vedette.export.gate.tally import Tally  # noqa: E402
from vedette.export.gate.verdict import Budget, Seen, check_enough, reasons  # noqa: E402
from vedette.runtime.errors import ModelError, UsageError  # noqa: E402
from vedette.runtime.frame import Frame  # noqa: E402
from vedette.runtime.objects import OrientedBoxes  # noqa: E402
from vedette.runtime.results import Boxes, Keypoints, Result, Segmentation  # noqa: E402

FRAME = Frame((np.zeros((100, 200, 3), np.uint8),))
NAMES = {0: "cat", 1: "dog"}


def objects(*rows: tuple[float, ...], names: dict[int, str] = NAMES, **parts: Any) -> Result:
    """Rows are x1, y1, x2, y2, score and class."""
    table = np.array(rows, np.float32).reshape(-1, 6)
    boxes = Boxes(table[:, :4], table[:, 4], table[:, 5].astype(np.int64), (100, 200))
    return Result(FRAME, "toy", "detection", names, boxes=boxes, **parts)


def tally_of(one: Result, other: Result) -> Tally:
    tally = Tally("boxes")
    compare_objects(tally, one, other)
    return tally


def counts(tally: Tally) -> tuple[int, int, int, int]:
    return tally.decisions, tally.kept, tally.found, tally.invented


CAT, DOG = (0, 0, 100, 100, 0.9, 0), (100, 0, 150, 100, 0.8, 1)


def test_the_same_results_have_every_decision_twice() -> None:
    assert counts(tally_of(objects(CAT, DOG), objects(DOG, CAT))) == (2, 2, 2, 0)


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        ((), (1, 0, 0, 0)),
        (((0, 0, 90.1, 100, 0.9, 0),), (1, 1, 1, 0)),  # IoU 0.901
        (((0, 0, 89.9, 100, 0.9, 0),), (1, 0, 1, 1)),  # IoU 0.899
        (((0, 0, 100, 100, 0.9, 1),), (1, 0, 1, 1)),  # another class
        (((0, 0, 100, 100, 0.49, 0),), (1, 1, 0, 0)),  # a score may cross the threshold by 0.02
        (((0, 0, 100, 100, 0.47, 0),), (1, 0, 0, 0)),
        ((CAT, (0, 0, 99, 100, 0.8, 0)), (1, 1, 2, 1)),  # one to one: the second is invented
    ],
)
def test_a_decision_is_kept_by_overlap_class_and_score(
    other: tuple[tuple[float, ...], ...], expected: tuple[int, int, int, int]
) -> None:
    assert counts(tally_of(objects(CAT), objects(*other))) == expected


def test_decisions_below_conf_are_none() -> None:
    low = (0, 0, 100, 100, 0.49, 0)
    assert counts(tally_of(objects(low), objects())) == (0, 0, 0, 0)
    assert counts(tally_of(objects(low), objects(CAT))) == (0, 0, 1, 0)


def test_classes_are_the_same_by_their_names_not_their_numbers() -> None:
    other = objects((*CAT[:5], 1), names={0: "dog", 1: "cat"})
    assert counts(tally_of(objects(CAT), other)) == (1, 1, 1, 0)
    tally = tally_of(objects(CAT), objects(CAT, names={0: "dog", 1: "cat"}))
    assert tally.classes == {("cat", "dog"): 1}


def test_scores_of_the_same_boxes_drift() -> None:
    tally = tally_of(objects(CAT, DOG), objects((*CAT[:4], 0.8, 0), (*DOG[:4], 0.8, 1)))
    assert tally.drift_mean == pytest.approx(0.05)
    assert tally.drifts[2] == pytest.approx(0.1)


def test_the_likest_pair_comes_first_whatever_the_order() -> None:
    likeness = np.array([[0.92, 0.95], [0.0, 0.97]])
    pairs = pairs_of(likeness, 0.9)
    assert sorted(zip(pairs.one.tolist(), pairs.other.tolist(), strict=True)) == [(0, 0), (1, 1)]
    assert len(pairs_of(np.zeros((0, 3)), 0.9).one) == 0
    assert len(pairs_of(np.zeros((2, 0)), 0.9).one) == 0


def test_overlaps_are_those_that_counting_pixels_gives() -> None:
    rng = np.random.default_rng(0)
    low = rng.integers(0, 20, (6, 2))
    boxes = np.concatenate([low, low + rng.integers(0, 12, (6, 2))], axis=1).astype(float)
    canvas = np.zeros((6, 40, 40), bool)
    for mask, (left, top, right, bottom) in zip(canvas, boxes.astype(int), strict=True):
        mask[top:bottom, left:right] = True
    for row, column in np.ndindex(6, 6):
        either = (canvas[row] | canvas[column]).sum()
        expected = (canvas[row] & canvas[column]).sum() / either if either else 0
        assert iou(boxes, boxes)[row, column] == pytest.approx(expected)
        if either:
            assert mask_iou(canvas[row], canvas[column]) == pytest.approx(expected)


@pytest.mark.parametrize(("turned", "kept"), [(0.0, 1), (0.05, 1), (np.pi, 1), (0.3, 0), (np.pi / 2, 0)])
def test_boxes_with_an_angle_are_the_same_by_their_own_overlap(turned: float, kept: int) -> None:
    """80 x 40: half a turn is the same box; a turn by 0.05 costs less than a tenth, by 0.3 more."""
    square = (50, 10, 150, 110, 0.9, 0)

    def oriented(angle: float) -> Result:
        xywhr = np.array([[100, 60, 80, 40, angle]], np.float32)
        boxes = OrientedBoxes(xywhr, np.array([0.9], np.float32), np.array([0]), (100, 200))
        return objects(square, obb=boxes)

    assert tally_of(oriented(0.1), oriented(0.1 + turned)).kept == kept


def person(xy: np.ndarray[Any, Any], score: float = 0.9, conf: np.ndarray[Any, Any] | None = None) -> Result:
    """One person with the joints [K, 2]."""
    low, high = xy.min(axis=0), xy.max(axis=0)
    conf = np.full(len(xy), 0.9) if conf is None else conf
    joints = Keypoints(xy[None].astype(np.float32), conf[None].astype(np.float32))
    return replace(objects((*low, *high, score, 0), names={0: "person"}), keypoints=joints)


JOINTS = np.stack([np.linspace(0, 50, 10), np.linspace(0, 100, 10)], axis=1)  # 100 high: 10 pixels are near


@pytest.mark.parametrize(("apart", "kept"), [(9.9, 1), (10.1, 0)])
def test_a_person_is_kept_while_its_joints_are_near(apart: float, kept: int) -> None:
    tally = Tally("people")
    compare_people(tally, person(JOINTS), person(JOINTS + np.array([apart, 0])))
    assert counts(tally) == (1, kept, 1, 1 - kept)
    assert tally.joints == [1.0] * kept


@pytest.mark.parametrize(("missing", "kept"), [(2, 1), (3, 0)])
def test_a_person_is_kept_with_four_in_five_of_the_joints_that_either_has(missing: int, kept: int) -> None:
    found = np.full(10, 0.9)
    found[:missing] = 0
    for one, other in ((None, found), (found, None)):
        tally = Tally("people")
        compare_people(tally, person(JOINTS, conf=one), person(JOINTS, conf=other))
        assert counts(tally) == (1, kept, 1, 1 - kept)


def test_nobody_and_people_of_other_joints() -> None:
    tally = Tally("people")
    nobody = person(JOINTS)[np.zeros(0, np.int64)]
    compare_people(tally, nobody, person(JOINTS))
    compare_people(tally, person(JOINTS), nobody)
    compare_people(tally, nobody, nobody)
    assert counts(tally) == (1, 0, 1, 1)
    with pytest.raises(ModelError, match="10 joints"):
        compare_people(tally, person(JOINTS), person(JOINTS[:9]))


def labelled(label_map: list[list[int]], names: dict[int, str] = NAMES) -> Result:
    maps = np.zeros((2, 1, 1), np.float32)
    segmentation = Segmentation(np.array(label_map, np.int16), maps)
    return Result(FRAME, "toy", "segmentation", names, segmentation=segmentation)


def test_pixels_are_kept_lost_or_invented_by_the_names_of_their_labels() -> None:
    tally = Tally("pixels")
    compare_labels(tally, labelled([[0, 0, 1, -1]]), labelled([[0, 1, -1, 1]]))
    assert counts(tally) == (3, 1, 3, 2)
    assert tally.classes == {("cat", "dog"): 1, ("dog", "nothing"): 1}
    tally = Tally("pixels")
    compare_labels(tally, labelled([[0, 1, -1]]), labelled([[1, 0, -1]], {0: "dog", 1: "cat"}))
    assert counts(tally) == (2, 2, 2, 0)
    tally = Tally("pixels")
    compare_labels(tally, labelled([[0, 1]]), labelled([[0, 1]], {0: "cat", 1: "cow"}))
    assert counts(tally) == (2, 1, 2, 1), "the reference knows no cow"


def test_pictures_are_alike_within_8_levels_of_every_channel() -> None:
    one = np.full((2, 2, 3), 100, np.uint8)
    other = one.copy()
    other[0, 0, 1], other[1, 1, 2] = 108, 109
    tally = Tally("pixels")
    pictures = [Result(FRAME, "toy", "image", {}, image=image) for image in (one, other)]
    compare_pictures(tally, *pictures)
    assert counts(tally) == (4, 3, 4, 1)
    assert tally.psnrs == [pytest.approx(10 * np.log10(255**2 / ((8**2 + 9**2) / 12)))]
    assert psnr_db(0) == 100
    compare_pictures(tally, pictures[0], replace(pictures[1], image=other[:1]))
    assert tally.psnrs[1] == 0, "another size is another picture"


def test_map_is_lost_by_a_box_that_is_missed_and_by_a_surer_one_that_is_wrong() -> None:
    """Two cats, of which the second is missed: recall ends at a half, so 51 of 101 points have precision 1."""
    pytest.importorskip("faster_coco_eval")
    cats = [CAT, (100, 0, 200, 100, 0.7, 0)]
    whole, half = tally_of(objects(*cats), objects(*cats)), tally_of(objects(*cats), objects(cats[0]))
    assert loss_by_reference(whole.rows, 0.5) == pytest.approx(0)
    assert loss_by_reference(half.rows, 0.5) == pytest.approx(100 * (1 - 51 / 101))
    wrong = tally_of(objects(CAT), objects(CAT, (100, 0, 200, 100, 0.95, 0)))
    assert loss_by_reference(wrong.rows, 0.5) == pytest.approx(50), (
        "precision is a half where the cat is found"
    )
    assert loss_by_reference(tally_of(objects(), objects(CAT)).rows, 0.5) is None


def counted(decisions: int, lost: int = 0, invented: int = 0, **more: Any) -> Tally:
    return Tally(
        "boxes", decisions=decisions, kept=decisions - lost, found=decisions, invented=invented, **more
    )


def test_the_budget_holds_in_both_directions() -> None:
    assert reasons(counted(100, lost=1, invented=1), Seen(), Budget()) == []
    [lost] = reasons(counted(100, lost=2), Seen(), Budget())
    assert lost == "98.00 % of 100 boxes are kept, at least 99% must be"
    [invented] = reasons(counted(100, invented=2), Seen(), Budget())
    assert invented == "98.00 % of its own 100 boxes are the reference's, at least 99% must be"
    assert reasons(counted(100, lost=2, invented=2), Seen(), Budget(kept=0.9)) == []
    [points] = reasons(counted(100), Seen(map_loss=0.51, map_truth="annotations"), Budget())
    assert "loses 0.51 points of mAP by annotations" in points
    assert reasons(counted(100), Seen(map_loss=0.5), Budget()) == []


@pytest.mark.parametrize("seen", [Seen(broken="no numbers"), Seen(overflow="beyond"), Seen(fed="otherwise")])
def test_what_is_wrong_in_itself_fails_whatever_is_decided(seen: Seen) -> None:
    assert len(reasons(counted(100), seen, Budget())) == 1


def test_random_offsets_cancel_and_the_same_ones_do_not() -> None:
    rng = np.random.default_rng(0)
    around = rng.normal(0, 0.01, (400, 4))
    assert reasons(counted(400, offsets=[around]), Seen(), Budget()) == []
    [told] = reasons(counted(400, offsets=[around + np.array([0, 0.02, 0, 3])]), Seen(), Budget())
    assert told.startswith("boxes are displaced by ")
    assert reasons(counted(400, offsets=[around[:9] + 1]), Seen(), Budget()) == [], "too few to say"


def test_too_few_decisions_and_a_budget_out_of_range_are_refused() -> None:
    check_enough(counted(10))
    with pytest.raises(ModelError, match="decides 9 boxes"):
        check_enough(counted(9))
    for wrong in (Budget(kept=1.5), Budget(map_loss=-1), Budget(conf=0)):
        with pytest.raises(UsageError, match="out of range"):
            wrong.check()
