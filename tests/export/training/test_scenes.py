"""Digit scenes: every annotation against the picture's own pixels, or pycocotools."""

import contextlib
import io
import json
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

cv2 = pytest.importorskip("cv2")
datasets = pytest.importorskip("sklearn.datasets")
pytest.importorskip("skimage")

from vedette.export.training import _compose, _digits, _photos, scenes  # noqa: E402
from vedette.export.training._clip import clip  # noqa: E402
from vedette.export.training.scenes import KEYPOINTS, SEMANTIC, Scene, scene  # noqa: E402
from vedette.runtime.frame import Array  # noqa: E402

VAL = [scene(index, seed=11, split="val") for index in range(30)]


def same(first: Scene, second: Scene) -> bool:
    return all(
        np.array_equal(getattr(first, name), getattr(second, name)) for name in Scene.__dataclass_fields__
    )


def test_a_seed_and_an_index_give_the_same_scene_again() -> None:
    assert same(scene(3, seed=5, split="val"), scene(3, seed=5, split="val"))


@pytest.mark.parametrize("other", [{"seed": 6}, {"index": 4}, {"split": "train"}])
def test_another_seed_index_or_split_gives_another_scene(other: dict[str, Any]) -> None:
    asked: dict[str, Any] = {"index": 3, "seed": 5, "split": "val"}
    assert not same(scene(**asked), scene(**asked | other))


def test_an_unknown_split_is_refused() -> None:
    with pytest.raises(ValueError, match="train"):
        scene(0, split="test")


def test_the_arrays_have_the_promised_types() -> None:
    for one in VAL:
        count = len(one.class_ids)
        shapes = {
            "image": (np.uint8, (128, 128, 3)), "boxes_xyxy": (np.float32, (count, 4)),
            "class_ids": (np.int64, (count,)), "masks": (np.bool_, (count, 128, 128)),
            "keypoints": (np.float32, (count, 5, 3)), "labels": (np.uint8, (128, 128)),
            "track_ids": (np.int64, (count,)),
        }  # fmt: skip
        for name, (dtype, shape) in shapes.items():
            array = getattr(one, name)
            assert (array.dtype, array.shape) == (dtype, shape), name
        assert 1 <= count <= 5


def test_boxes_are_the_extent_of_their_masks() -> None:
    for one in VAL:
        for box, mask in zip(one.boxes_xyxy, one.masks, strict=True):
            left, top, width, height = cv2.boundingRect(mask.astype(np.uint8))
            assert box.tolist() == [left, top, left + width, top + height]


def test_masks_share_no_pixel_and_are_the_digits_of_the_label_map() -> None:
    for one in VAL:
        assert (one.masks.sum(axis=0) == (one.labels == SEMANTIC.index("digit"))).all()


def test_keypoints_lie_on_the_outermost_pixels_of_the_digit() -> None:
    for one in VAL:
        for box, mask, points in zip(one.boxes_xyxy, one.masks, one.keypoints, strict=True):
            named = dict(zip(KEYPOINTS, points, strict=True))
            for name in ("top", "right", "bottom", "left"):
                x, y, visible = named[name]
                assert mask[int(y), int(x)]
                assert visible == 2
            edges = (named["left"][0], named["top"][1], named["right"][0], named["bottom"][1])
            np.testing.assert_array_equal(np.array(edges) - [0.5, 0.5, -0.5, -0.5], box)
            moments = cv2.moments(mask.astype(np.uint8), binaryImage=True)
            centre = np.array([moments["m10"], moments["m01"]]) / moments["m00"] + 0.5
            np.testing.assert_allclose(named["centre"][:2], centre, atol=1e-3)


def test_every_class_occurs_and_no_digit_is_mostly_hidden() -> None:
    assert set(np.concatenate([np.unique(one.labels) for one in VAL])) == set(range(len(SEMANTIC)))
    assert set(np.concatenate([one.class_ids for one in VAL])) == set(range(10))
    assert min(one.masks.sum(axis=(1, 2)).min() for one in VAL) > 20


def test_a_larger_scene_has_larger_digits() -> None:
    heights = [
        np.mean([np.diff(scene(index, size=size).boxes_xyxy[:, 1::2]).mean() for index in range(20)])
        for size in (128, 320)
    ]
    assert heights[1] / heights[0] == pytest.approx(2.5, rel=0.15)


def thing(left: int, alpha: Array, class_id: int = 7) -> _compose.Thing:
    return _compose.Thing(1, class_id, alpha, np.zeros_like(alpha), left, 0)


def test_a_digit_of_which_less_than_a_quarter_shows_is_not_annotated() -> None:
    square = np.ones((8, 8), np.float32)
    for shift, seen in ((1, 1), (2, 2)):
        things = [thing(0, square), thing(shift, square)]
        rng = np.random.default_rng(0)
        found = _compose.annotated(rng, _compose.Camera(0, 0), np.zeros((16, 16, 3), np.float32), things)
        assert len(found.class_ids) == seen
        assert (found.labels == 1).sum() == 8 * (8 + shift)


def test_a_pixel_belongs_to_the_topmost_thing_that_covers_more_than_half_of_it() -> None:
    faint, solid = np.full((4, 4), 0.5, np.float32), np.full((4, 4), 0.51, np.float32)
    owner = _compose.ownership([thing(0, solid), thing(2, faint), thing(4, solid)], 8)
    assert owner[0].tolist() == [0, 0, 0, 0, 2, 2, 2, 2]


def test_the_splits_share_no_writer() -> None:
    train, val = _digits.indices("train"), _digits.indices("val")
    assert sorted([*train, *val]) == list(range(1797))
    assert val[0] in _digits.FORMS
    assert train[-1] + 1 == val[0]


def test_a_form_begins_where_the_labels_begin_anew() -> None:
    target = "".join(map(str, datasets.load_digits().target))
    for start in _digits.FORMS[:-1]:
        begins = "123456789" if start == 906 else "0123456789"  # one 0 is missing
        assert target[start:].startswith(begins)
    assert target.count("012345678901234567890123456789") == 12  # two forms lack a digit or two


def test_the_splits_share_no_photo() -> None:
    assert not set(_photos.PHOTOS["train"]) & set(_photos.PHOTOS["val"])
    for split in ("train", "val"):
        for photo in _photos.photos(split):
            assert photo.dtype == np.uint8
            assert photo.shape[2] == 3
            assert min(photo.shape[:2]) >= _photos.CROP[1]


def write(out: Path, *flags: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setattr(sys, "argv", ["scenes", str(out), *flags])
    scenes.main()
    document: dict[str, Any] = json.loads((out / "annotations.json").read_text())
    return document


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools 2.0.11
def test_pycocotools_reads_what_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    coco = pytest.importorskip("pycocotools.coco")
    document = write(tmp_path, "--count", "5", "--seed", "11", monkeypatch=monkeypatch)
    with contextlib.redirect_stdout(io.StringIO()):
        loaded = coco.COCO(str(tmp_path / "annotations.json"))
    assert document["info"]["semantic_classes"] == list(SEMANTIC)
    for image, one in zip(loaded.dataset["images"], VAL, strict=False):
        assert np.array_equal(cv2.imread(str(tmp_path / image["file_name"])), one.image)
        label_map = cv2.imread(str(tmp_path / "labels" / image["file_name"]), cv2.IMREAD_UNCHANGED)
        assert np.array_equal(label_map, one.labels)
        found = loaded.loadAnns(loaded.getAnnIds(image["id"]))
        assert np.array_equal([loaded.annToMask(item) for item in found], one.masks)
        assert [int(loaded.cats[item["category_id"]]["name"]) for item in found] == one.class_ids.tolist()
        assert [item["area"] for item in found] == one.masks.sum(axis=(1, 2)).tolist()
        np.testing.assert_allclose(
            np.reshape([item["keypoints"] for item in found], (-1, 5, 3)), one.keypoints, atol=1e-3
        )
        boxes = np.array([item["bbox"] for item in found])
        assert np.array_equal(np.hstack([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]]), one.boxes_xyxy)


FRAMES = list(clip(100, seed=2, split="val", size=128))


def test_a_digit_keeps_its_identity_and_moves_little_from_frame_to_frame() -> None:
    digits: dict[int, set[int]] = defaultdict(set)
    places: dict[int, dict[int, Array]] = defaultdict(dict)
    for index, one in enumerate(FRAMES):
        for track, digit, box in zip(one.track_ids, one.class_ids, one.boxes_xyxy, strict=True):
            digits[int(track)].add(int(digit))
            places[int(track)][index] = (box[:2] + box[2:]) / 2
    assert len(digits) == 4
    assert all(len(kinds) == 1 for kinds in digits.values())
    for path in places.values():
        assert len(path) > 60
        steps = [np.abs(path[index + 1] - path[index]).max() for index in path if index + 1 in path]
        assert np.median(steps) < 3


def boxes_by_track(one: Scene) -> dict[int, Array]:
    return dict(zip(one.track_ids.tolist(), one.boxes_xyxy, strict=True))


@pytest.mark.parametrize(("first", "second", "frame"), [(3, 4, 30), (5, 6, 60)])
def test_each_pair_of_digits_crosses(first: int, second: int, frame: int) -> None:
    both = [boxes_by_track(one) for one in FRAMES]
    apart = [
        np.linalg.norm((boxes[first][:2] + boxes[first][2:] - boxes[second][:2] - boxes[second][2:]) / 2)
        for boxes in both
        if first in boxes and second in boxes
    ]
    hidden = sum(not {first, second} <= set(boxes) for boxes in both[frame - 15 : frame + 15])
    assert min(apart) < 12 or hidden
    assert max(apart) > 30


def test_a_clip_is_written_with_a_frame_for_each_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = write(tmp_path, "--count", "12", "--seed", "2", "--video", "--size", "128", monkeypatch=monkeypatch)  # fmt: skip
    capture = cv2.VideoCapture(str(tmp_path / "clip.mp4"))
    frames = [frame for read, frame in iter(capture.read, (False, None)) if read]
    expected = list(clip(12, seed=2, split="val", size=128))
    assert [image["frame_index"] for image in document["images"]] == list(range(12))
    for frame, one in zip(frames, expected, strict=True):
        assert np.abs(frame.astype(int) - one.image).mean() < 12  # lossy, and 4:2:0
    tracks = [item["track_id"] for item in document["annotations"]]
    assert tracks == [track for one in expected for track in one.track_ids]
