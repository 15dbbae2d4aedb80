"""`vedette run --openpose-json`, on a network that answers every picture with the maps of known people."""

import json
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np
import poses
import pytest
import toy
from forked import Done, vedette

from vedette import Model
from vedette.kernels._paf_cases import crowd
from vedette.runtime.decoders.openpose import BODY_25
from vedette.runtime.frame import Array
from vedette.runtime.manifest import Decoder, Input, Manifest, Output, Resize
from vedette.runtime.tasks.pose import COCO_KEYPOINTS, coco_keypoints

pytest.importorskip("onnx")
CELLS = (120, 200)  # height and width
CARD = Manifest(
    "body", "pose",
    (Input("images", (-1, 3, 960, 1600), minimum=(1, 3, 960, 1600), typical=(1, 3, 960, 1600), maximum=(1, 3, 960, 1600),
           pixel_format="bgr", resize=Resize("stretch")),),
    (Output("maps", (-1, 78, *CELLS), role="maps"),), Decoder("openpose", asdict(BODY_25)), labels=("person",),
)  # fmt: skip


@pytest.fixture(scope="module")
def people() -> Array:
    return crowd(30, pairs=tuple(poses.FIELDS), person=2.2 * poses.BODY, seed=5, size=CELLS)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, people: Array) -> Path:
    """body.onnx finds those people everywhere; a picture of half its size, a video, and a detector."""
    folder = tmp_path_factory.mktemp("poses")
    toy.constant_model(folder, CARD, {"maps": poses.body_25(people, CELLS)}).rename(folder / "body.onnx")
    toy.with_manifest(folder / "body.onnx", CARD)
    toy.recording(folder)
    cv2.imwrite(str(folder / "photo.png"), np.zeros((480, 800, 3), np.uint8))
    return folder


def ran(place: Path, *arguments: str) -> Done:
    return vedette("run", *arguments, cwd=place)


def keypoints_in(path: Path) -> Array:
    """[P, 25, 3] of a file, read as OpenPose's documentation says."""
    document = json.loads(path.read_text())
    assert document["version"] == 1.1
    return np.array([person["pose_keypoints_2d"] for person in document["people"]]).reshape(-1, 25, 3)


def test_thirty_people_of_body_25_come_out_joint_by_joint(place: Path, people: Array, tmp_path: Path) -> None:
    done = ran(place, "body.onnx", "photo.png", "--openpose-json", str(tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    [path] = (tmp_path / "out").iterdir()
    assert path.name == "photo_keypoints.json"
    found = keypoints_in(path)
    assert (found[..., 2] > 0).all()
    # cell i is about input pixel 8 i + 3.5, and pixels of the picture are twice as large
    poses.assert_joints(found[..., :2], (8 * people + 4) / 2 - 0.5, within=0.8)
    assert not (place / "runs").exists()


def test_a_video_has_a_file_a_frame_beside_other_outputs(place: Path, tmp_path: Path) -> None:
    video = "synthetic:64x48@10?frames=3"
    done = ran(place, "toy.npz", "body.onnx", video, "--openpose-json", str(tmp_path), "--json", "-")
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 6
    names = [f"cam0_{index:012d}_keypoints.json" for index in range(3)]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    assert [len(keypoints_in(tmp_path / name)) for name in names] == [30] * 3


@pytest.mark.parametrize(
    ("models", "why"), [(["toy.npz"], "toy is for detection"), (["body.onnx"] * 2, "same files")]
)
def test_it_takes_one_pose_model(place: Path, tmp_path: Path, models: list[str], why: str) -> None:
    done = ran(place, *models, "photo.png", "--openpose-json", str(tmp_path))
    assert done.returncode == 2
    told = done.stderr.splitlines()
    assert [line.split(":")[0].strip() for line in told] == ["error", "why", "cure"]
    assert why in told[1]
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_made_is_an_error_of_the_disk(place: Path) -> None:
    done = ran(place, "body.onnx", "photo.png", "--openpose-json", "photo.png/out")
    assert done.returncode == 6
    assert len(done.stderr.splitlines()) == 3


def test_python_users_have_coco_s_order(place: Path, people: Array) -> None:
    model = Model(place / "body.onnx")
    [result] = model(np.zeros((960, 1600, 3), np.uint8))
    ordered = coco_keypoints(result.keypoints, model.manifest.decoder.parameters["keypoint_names"])
    assert ordered.shape == (30, 17, 3)
    joints = [poses.NAMES.index(name) for name in COCO_KEYPOINTS]
    poses.assert_joints(ordered[..., :2], 8 * people[:, joints] + 3.5, within=1.6)
