"""CLEAR, IDF1 and HOTA: worked by hand, and against what TrackEval says of a fixed sequence."""

from collections.abc import Sequence

import numpy as np
import pytest

from vedette.runtime.evaluation.evaluation import Evaluation
from vedette.runtime.evaluation.track_files import TrackBoxes
from vedette.runtime.evaluation.tracks import evaluate

Row = tuple[int, int, float, float, float, float]  # frame, identity, left, top, width, height


def boxes_of(rows: Sequence[Row], frames: int = 0) -> TrackBoxes:
    table = np.array(rows, np.float64).reshape(-1, 6)
    boxes = np.concatenate([table[:, 2:4], table[:, 2:4] + table[:, 4:]], axis=1)
    all_, numbers = np.ones(len(table), bool), table[:, :2].astype(np.int64)
    return TrackBoxes(numbers[:, 0], numbers[:, 1], boxes, all_, ~all_, np.arange(1, frames + 1))


def measured(true: Sequence[Row], found: Sequence[Row], *, iou: float = 0.5) -> Evaluation:
    return evaluate(boxes_of(true), boxes_of(found, 100), iou=iou)


def still(frames: Sequence[int], name: int, left: float = 0.0, width: float = 10.0) -> list[Row]:
    return [(frame, name, left, 0.0, width, 10.0) for frame in frames]


def test_all_right() -> None:
    true = still(range(1, 5), 1) + still(range(2, 6), 2, 50)
    numbers = measured(true, true).numbers
    assert {numbers[name] for name in ("IDF1", "IDP", "IDR", "MOTA", "MOTP", "HOTA", "DetA", "AssA")} == {1.0}
    assert [numbers[name] for name in ("IDSW", "Frag", "FP", "FN", "MT", "PT", "ML")] == [0, 0, 0, 0, 2, 0, 0]


def test_an_identity_that_changes_half_way() -> None:
    numbers = measured(still(range(1, 5), 7), still([1, 2], 1) + still([3, 4], 2)).numbers
    assert numbers["IDSW"] == 1
    assert numbers["Frag"] == 0
    assert numbers["MOTA"] == 0.75  # 1 - 1 / 4
    assert [numbers[name] for name in ("IDF1", "IDP", "IDR")] == [
        0.5,
        0.5,
        0.5,
    ]  # 2 of 4 boxes are of the one track that is right
    assert numbers["DetA"] == 1
    assert numbers["AssA"] == pytest.approx(0.5)  # 2 / (4 + 2 - 2)
    assert numbers["HOTA"] == pytest.approx(0.5**0.5)


def test_a_hole() -> None:
    numbers = measured(still([1, 2, 3], 1), still([1, 3], 5)).numbers
    assert [numbers[name] for name in ("IDSW", "Frag", "FP", "FN")] == [0, 1, 0, 1]
    assert numbers["MOTA"] == pytest.approx(2 / 3)
    assert numbers["IDF1"] == pytest.approx(0.8)  # 2 x 2 / (2 x 2 + 0 + 1)
    assert numbers["IDP"] == 1
    assert numbers["HOTA"] == pytest.approx(2 / 3)  # 2 of 3 boxes, 2 / (3 + 2 - 2) of the track


def test_who_was_together_stays_together() -> None:
    """In frame 2 a newcomer overlaps more than who was right before."""
    true, found = still([1, 2], 1), [*still([1], 5), (2, 5, 2.5, 0.0, 10.0, 10.0), *still([2], 6)]
    numbers = measured(true, found).numbers
    assert [numbers[name] for name in ("IDSW", "FP", "FN")] == [0, 1, 0]
    assert numbers["MOTP"] == pytest.approx((1 + 7.5 / 12.5) / 2)


def test_boxes_that_overlap_too_little_are_wrong_twice() -> None:
    true, found = still([1, 2, 3, 4], 1), still([1, 2, 3, 4], 1, left=5)  # IoU 1/3
    numbers = measured(true, found).numbers
    assert [numbers[name] for name in ("FP", "FN", "MOTA", "IDF1", "MOTP")] == [4, 4, -1.0, 0.0, -1.0]
    assert numbers["DetA"] == pytest.approx(6 / 19)  # HOTA's overlaps 0.05 to 0.30
    looser = measured(true, found, iou=0.3).numbers
    assert [looser[name] for name in ("FP", "FN", "MOTA", "IDF1")] == [0, 0, 1.0, 1.0]


def test_mostly_tracked_partly_and_mostly_lost() -> None:
    true = (
        still(range(1, 11), 1)
        + still(range(1, 11), 2, 50)
        + still(range(1, 11), 3, 100)
        + still(range(1, 11), 4, 150)
    )
    found = still(range(1, 10), 1) + still(range(1, 9), 2, 50) + still([1, 2], 3, 100) + still([1], 4, 150)
    numbers = measured(true, found).numbers  # 90 %, 80 %, 20 % and 10 %
    assert [numbers[name] for name in ("MT", "PT", "ML")] == [1, 2, 1]


def test_nothing_found_and_nothing_true() -> None:
    lost = measured(still([1, 2], 1), []).numbers
    assert [lost[name] for name in ("IDF1", "MOTA", "HOTA", "FN", "ML", "MOTP")] == [
        0.0,
        0.0,
        0.0,
        2,
        1,
        -1.0,
    ]
    false = measured([], still([1, 2], 1)).numbers
    assert [false[name] for name in ("IDF1", "HOTA", "FP", "FN")] == [0.0, 0.0, 2, 0]


def test_frames_that_were_not_run_are_told() -> None:
    done = evaluate(boxes_of(still([1, 2, 3, 4], 1)), boxes_of(still([1], 1), 2))
    assert done.notes == ("2 of 4 frames of the truth are not in the results: their objects count as missed",)
    assert done.numbers["FN"] == 3


def sequence() -> tuple[list[Row], list[Row]]:
    """Six walkers, with misses, jitter, swaps, new identities and boxes of nothing; of whole numbers alone."""
    true: list[Row] = []
    found: list[Row] = []
    for frame in range(1, 61):
        for name in range(6):
            if (name == 4 and 20 <= frame < 30) or (name == 5 and frame < 25):
                continue
            left, top = 20 + 110 * name + (3 + name) * frame * (-1) ** name, 40 + 9 * name + frame
            width, height = 40 + 2 * name, 90 + 3 * name
            true.append((frame, name + 1, left, top, width, height))
            noise = (frame * 7919 + name * 104729) % 101
            if noise >= 12:
                across, down = (noise * 3) % 17 - 8, (noise * 5) % 17 - 8
                box = left + across, top + down, width + noise % 7, height - noise % 5
                found.append((frame, _named(name, frame), *box))
        if frame % 3 == 0:
            found.append((frame, 90 + frame // 12, 300 + 5 * frame, 300, 50, 80))
    return true, found


def _named(name: int, frame: int) -> int:
    if name == 0 and frame > 33:
        return 31
    if name in {1, 2} and 40 < frame < 50:
        return 14 - name
    return 41 + frame // 20 if name == 3 and frame % 20 > 16 else 11 + name


def test_a_sequence_as_trackeval_has_it() -> None:
    """TrackEval 1.3.0 (MIT): Identity, CLEAR and HOTA's eval_sequence on these boxes; motmetrics 1.4.0 has the same IDF1 … FN."""
    numbers = measured(*sequence()).numbers
    counts = {"IDSW": 11, "Frag": 36, "FP": 20, "FN": 37, "MT": 6, "PT": 0, "ML": 0}
    assert {name: numbers[name] for name in counts} == counts
    shares = {
        "IDF1": 0.7622047244094489, "IDP": 0.7831715210355987, "IDR": 0.7423312883435583,
        "MOTA": 0.7914110429447853, "MOTP": 0.7590116610559402,
        "HOTA": 0.5499440780714241, "DetA": 0.6183774465144076, "AssA": 0.48938011375109747,
    }  # fmt: skip
    assert {name: numbers[name] for name in shares} == pytest.approx(shares, abs=1e-9)
