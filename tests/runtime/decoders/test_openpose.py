from dataclasses import replace

import numpy as np
import pytest

from vedette.kernels._paf_cases import draw_maps
from vedette.runtime.decoders import People
from vedette.runtime.decoders.openpose import COCO_18, Parameters, decode
from vedette.runtime.frame import Array
from vedette.runtime.manifest import Decoder, Manifest, Output

MANIFEST = Manifest(
    "m", "pose", (), (Output("a", (), role="heatmaps"), Output("b", (), role="pafs")), Decoder("openpose")
)
PERSON = np.array(
    [
        *((10, 3), (10, 7), (6, 7), (4, 11), (3, 15), (14, 7), (16, 11), (17, 15), (8, 16), (8, 21), (8, 26)),
        *((13, 16), (13, 21), (13, 26), (8.7, 2), (11.4, 2), (7, 3), (13, 3)),
    ]
)
LEFT_AND_RIGHT = np.array([0, 1, 5, 6, 7, 2, 3, 4, 11, 12, 13, 8, 9, 10, 15, 14, 17, 16])


def maps_of(people: Array, size: tuple[int, int] = (30, 40)) -> dict[str, Array]:
    heatmaps, pafs = draw_maps(people, size=size, pairs=COCO_18.pairs, channels=COCO_18.paf_channels)
    background = 1 - heatmaps.max(axis=0, keepdims=True)
    return {"a": np.concatenate([heatmaps, background])[None], "b": pafs[None]}


def found(outputs: dict[str, Array], parameters: Parameters = COCO_18, conf: float = 0.4) -> list[People]:
    height, width = outputs["a"].shape[2:]
    return decode(outputs, MANIFEST, parameters, conf, input_size=(8 * width, 8 * height))


@pytest.mark.parametrize("upsample", [1, 4])
def test_joints_lie_where_the_centre_of_their_cell_lies_in_the_input(upsample: int) -> None:
    (people,) = found(maps_of(PERSON[None]), replace(COCO_18, upsample=upsample))
    assert people.xy.shape == (1, 18, 2)
    np.testing.assert_allclose(people.xy[0], PERSON * 8 + 3.5, atol=1.2)
    assert people.joint_scores.min() > 0.8


def test_a_mirrored_picture_has_mirrored_people() -> None:
    outputs = maps_of(PERSON[None] + 0.2)
    width = outputs["a"].shape[3]
    mirrored = maps_of(
        np.stack([width - 1 - PERSON[LEFT_AND_RIGHT, 0] - 0.2, PERSON[LEFT_AND_RIGHT, 1] + 0.2], axis=1)[None]
    )
    (one,), (other,) = found(outputs), found(mirrored)
    np.testing.assert_allclose(other.xy[0, LEFT_AND_RIGHT, 0], 8 * width - 1 - one.xy[0, :, 0], atol=1e-3)


def test_missing_joints_are_zero_and_images_stay_apart() -> None:
    person = PERSON.copy()
    person[[4, 7, 10, 13]] = np.nan
    outputs = maps_of(person[None])
    both = {name: np.concatenate([np.zeros_like(array), array]) for name, array in outputs.items()}
    nobody, people = found(both)
    assert nobody.xy.shape == (0, 18, 2)
    assert np.flatnonzero(people.joint_scores[0] == 0).tolist() == [4, 7, 10, 13]
    assert (people.xy[0, [4, 7, 10, 13]] == 0).all()


def test_the_background_is_no_joint() -> None:
    (people,) = found(maps_of(np.zeros((0, 18, 2))))
    assert len(people.scores) == 0


def test_people_below_conf_are_left_out() -> None:
    outputs = maps_of(PERSON[None])
    (people,) = found(outputs)
    assert people.scores[0] == pytest.approx((18 * 0.95 + 19 * 1.0) / 18, abs=0.1)
    assert people.skeleton == COCO_18.skeleton
    assert len(found(outputs, conf=2.5)[0].scores) == 0


def test_maps_that_are_not_finite_find_nobody_when_enlarged() -> None:
    outputs = {
        "a": np.full((1, 19, 9, 9), np.nan, np.float32),
        "b": np.full((1, 38, 9, 9), np.inf, np.float32),
    }
    (people,) = found(outputs, replace(COCO_18, upsample=2))
    assert len(people.scores) == 0


def test_coco_18_is_whole() -> None:
    assert len(COCO_18.keypoint_names) == len(set(COCO_18.keypoint_names)) == 18
    assert len(COCO_18.pairs) == len(COCO_18.paf_channels) == 19
    assert sorted(channel for pair in COCO_18.paf_channels for channel in pair) == list(range(38))
    assert len(COCO_18.skeleton) == 17
