"""Pose on the fake GPU: the people that the host finds, and only the work that was promised."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from fakes.runners import assert_equal, machine, reader_kind, run, runners, telling_model, told_frames
from gpp import needs_gpp

from vedette.kernels._paf_cases import crowd, draw_maps
from vedette.runtime.cuda_readers.people import PeopleReader
from vedette.runtime.cuda_readers.raw import RawReader
from vedette.runtime.decoders.openpose import BODY_25, COCO_18, Parameters, openpose_exact
from vedette.runtime.decoders.trt_pose import COCO_17_AND_NECK
from vedette.runtime.errors import ModelError
from vedette.runtime.frame import Array
from vedette.runtime.manifest import Decoder, Input, Manifest, Output, Resize
from vedette.runtime.tasks import Config

pytestmark = needs_gpp
SIZE = (320, 192)
PEOPLE = (3, 0, 1)  # in the answers of a model


def answer(parameters: Parameters, people: int, *, background: bool, one: bool) -> dict[str, Array]:
    """The maps of some people, as one output or as two, and noise where a background may be."""
    width, height = SIZE[0] // parameters.stride, SIZE[1] // parameters.stride
    joints, random = len(parameters.keypoint_names), np.random.default_rng(people)
    truth = np.full((people, joints, 2), np.nan)
    drawn = crowd(people, pairs=COCO_18.pairs)[:, : min(joints, 18)] % (width - 2, height - 1)
    truth[:, : drawn.shape[1]] = drawn
    heatmaps, pafs = draw_maps(
        truth, size=(height, width), pairs=parameters.pairs, channels=parameters.paf_channels
    )
    pafs += random.normal(0, 0.02, pafs.shape).astype(np.float32)
    if background:
        heatmaps = np.concatenate([heatmaps, random.random((1, height, width))])
    return {"maps": np.concatenate([heatmaps, pafs])} if one else {"heatmaps": heatmaps, "pafs": pafs}


def card(family: str, parameters: Parameters, arrays: Mapping[str, Array]) -> Manifest:
    width, height = SIZE
    one, three = ((batch, 3, height, width) for batch in (1, 3))
    letterbox = Resize("letterbox", "top-left")
    pixels = Input(
        "images", (-1, 3, height, width), "float32", one, one, three, pixel_format="bgr", resize=letterbox
    )
    outputs = tuple(Output(role, (-1, *array.shape), role=role) for role, array in arrays.items())
    return Manifest("m", "pose", (pixels,), outputs, Decoder(family, asdict(parameters)))


def model(folder: Path, family: str, parameters: Parameters, *, one: bool = False) -> Path:
    background = family == "openpose"
    answers = [answer(parameters, people, background=background, one=one) for people in PEOPLE]
    return telling_model(folder, card(family, parameters, answers[0]), answers)


@pytest.mark.parametrize(
    ("family", "parameters", "one"),
    [
        ("openpose", COCO_18, False),
        ("openpose", COCO_18, True),
        ("openpose", BODY_25, True),
        ("openpose", replace(COCO_18, window=7, peak_threshold=0.2), False),
        ("trt_pose", replace(COCO_17_AND_NECK, stride=8), False),
    ],
    ids=["two outputs", "one output", "body 25", "centroids", "trt_pose"],
)
def test_people_are_those_the_host_finds(
    family: str, parameters: Parameters, one: bool, tmp_path: Path
) -> None:
    with machine() as gpu:
        runner, host, engine = runners(model(tmp_path, family, parameters, one=one), Config(max_det=20))
        for numbers in ([0], [0], [2], [1], [0], [2, 0, 1], [0, 1, 2], [1, 0, 2], [2, 2, 0]):
            frames = told_frames(numbers)
            gpu.reset()
            found = run(runner, frames)
            counts = gpu.counts
            assert_equal(found, run(host, frames))
            assert [len(result) > 0 for result in found] == [number != 1 for number in numbers]
        assert (counts.uploads, counts.downloads, counts.graph_launches, counts.allocations) == (1, 1, 1, 0)
        assert counts.synchronisations == 1
        runner.close()
        engine.close()


@pytest.mark.parametrize("config", [Config(max_det=2), Config(conf=1.0), Config(conf=0.0, max_det=1000)])
def test_options_mean_what_they_mean_on_the_host(config: Config, tmp_path: Path) -> None:
    with machine():
        runner, host, engine = runners(model(tmp_path, "openpose", COCO_18), config)
        for numbers in ([0, 2], [2, 0]):
            assert_equal(run(runner, told_frames(numbers)), run(host, told_frames(numbers)))
        runner.close()
        engine.close()


@pytest.mark.parametrize(
    ("parameters", "reader"),
    [
        (COCO_18, PeopleReader),
        (replace(COCO_18, upsample=2), RawReader),
        (openpose_exact(COCO_18), RawReader),
        (replace(COCO_18, openpose_rules=True), RawReader),
    ],
    ids=["as it is", "enlarged", "exact", "OpenPose's rules"],
)
def test_what_the_kernel_does_not_do_is_decoded_on_the_host(
    parameters: Parameters, reader: type, tmp_path: Path
) -> None:
    path = model(tmp_path, "openpose", parameters)
    with machine():
        assert reader_kind(path, told_frames([0])) is reader


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"heatmaps": 17}, "17 heatmaps are not enough for 18 joints"),
        ({"pafs": 37}, "are not all indices of 37 maps"),
    ],
)
def test_maps_that_do_not_fit_the_skeleton_are_refused(
    change: Mapping[str, int], why: str, tmp_path: Path
) -> None:
    arrays = answer(COCO_18, 1, background=True, one=False)
    arrays |= {name: arrays[name][:channels] for name, channels in change.items()}
    path = telling_model(tmp_path, card("openpose", COCO_18, arrays), [arrays])
    with machine():
        runner, _, engine = runners(path)
        with pytest.raises(ModelError, match="cannot be read as openpose") as caught:
            run(runner, told_frames([0]))
        assert why in caught.value.why
        runner.close()
        engine.close()
