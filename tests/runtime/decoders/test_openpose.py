from dataclasses import replace

import numpy as np
import poses
import pytest

from vedette.kernels._paf_cases import crowd, draw_maps
from vedette.runtime.decoders import People, trt_pose
from vedette.runtime.decoders.openpose import (
    BODY_25,
    COCO_18,
    Parameters,
    claims,
    decode,
    openpose_exact,
    roles,
)
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


# ---- BODY_25, trt_pose and OpenPose's own mode, on crowds

BODY_MANIFEST = Manifest("m", "pose", (), (Output("net", (), role="maps"),), Decoder("openpose"))


def test_body_25_is_openpose_s_own() -> None:
    assert BODY_25.keypoint_names == tuple(poses.NAMES)
    assert dict(zip(BODY_25.pairs, BODY_25.paf_channels, strict=True)) == {
        pair: (channel, channel + 1) for pair, channel in poses.FIELDS.items()
    }


@pytest.mark.parametrize("parameters", [BODY_25, openpose_exact(BODY_25)], ids=["default", "exact"])
@pytest.mark.parametrize("seed", range(2))
def test_thirty_people_of_body_25_have_all_their_joints_under_their_own_names(
    parameters: Parameters, seed: int
) -> None:
    size = (120, 200)
    cells = crowd(30, pairs=tuple(poses.FIELDS), person=2.2 * poses.BODY, seed=seed, size=size)
    maps = poses.body_25(cells, size).astype(np.float32)[None]
    (people,) = decode({"net": maps}, BODY_MANIFEST, parameters, 0.4, input_size=(1600, 960))
    assert (people.joint_scores > 0).all()
    poses.assert_joints(people.xy, 8 * cells + 3.5, within=1.6)


def test_trt_pose_has_y_before_x_and_no_background() -> None:
    parameters = trt_pose.COCO_17_AND_NECK
    order = [COCO_18.keypoint_names.index(name) for name in parameters.keypoint_names]
    cells = crowd(12, pairs=parameters.pairs, person=PERSON[order] * 0.6, size=(112, 112))
    heatmaps, pafs = draw_maps(
        cells, size=(112, 112), pairs=parameters.pairs, channels=parameters.paf_channels
    )
    dy = cells[0, 13, 1] - cells[0, 15, 1]  # of the first limb, from ankle to knee, which goes up
    assert np.sign(pafs[0]).sum() * np.sign(dy) > 0
    outputs = {"a": heatmaps[None], "b": pafs[None]}
    (people,) = trt_pose.decode(outputs, MANIFEST, parameters, 0.4, input_size=(448, 448))
    assert (people.joint_scores > 0).all()
    poses.assert_joints(people.xy, cells * 4 + 1.5, within=1.2)


def test_openpose_exact_is_in_the_parameters() -> None:
    exact = openpose_exact(COCO_18)
    assert (exact.upsample, exact.window, exact.openpose_rules, exact.stride) == (8, 7, True, 8)
    person = PERSON + 0.13  # in the middle of a cell it has four equal pixels when enlarged, and so no peak
    (people,) = found(maps_of(person[None]), exact)
    np.testing.assert_allclose(people.xy[0], person * 8 + 3.5, atol=1.2)


@pytest.mark.parametrize(
    ("channels", "parameters", "named"),
    [
        ((57,), COCO_18, {"maps"}),
        ((78,), BODY_25, {"maps"}),
        ((26, 52), BODY_25, {"heatmaps", "pafs"}),
        ((38, 19), COCO_18, {"heatmaps", "pafs"}),
    ],
)
def test_the_layout_is_known_by_its_channels(
    channels: tuple[int, ...], parameters: Parameters, named: set[str]
) -> None:
    outputs = [Output(str(count), (-1, count, 46, 82)) for count in channels]
    assert claims(outputs) == parameters
    assert set((roles(outputs) or {}).values()) == named


def test_body_25_is_whole() -> None:
    assert len(BODY_25.keypoint_names) == len(set(BODY_25.keypoint_names)) == 25
    assert len(BODY_25.pairs) == len(BODY_25.paf_channels) == 26
    assert sorted(channel for pair in BODY_25.paf_channels for channel in pair) == list(range(52))
    assert len(BODY_25.skeleton) == 24
    sides = ("left", "right")
    for start, end in BODY_25.skeleton:  # no limb joins left and right
        names = BODY_25.keypoint_names[start], BODY_25.keypoint_names[end]
        assert len({name.split("_")[0] for name in names if name.startswith(sides)}) < 2
