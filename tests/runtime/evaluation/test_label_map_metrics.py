"""Label maps: scikit-learn and SciPy as oracles, masks as they lie on a disk."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from vedette.runtime.errors import SourceError, UsageError
from vedette.runtime.evaluation.boundaries import boundary_f1
from vedette.runtime.evaluation.label_maps import label_table, tally_of_masks, tally_of_records
from vedette.runtime.evaluation.mask_folder import masks_of, read_mask
from vedette.runtime.evaluation.segmentation import Tally
from vedette.runtime.frame import Array
from vedette.runtime.rle import encode


def blobs(rng: np.random.Generator, classes: int = 3, size: tuple[int, int] = (40, 60)) -> Array:
    coarse = rng.integers(0, classes, (5, 6)).astype(np.uint8)
    return cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_NEAREST).astype(np.int64)


def test_iou_and_accuracy_against_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    names = ("road", "sky", "tree")
    tally, pairs = Tally(names, boundaries=False), []
    for _ in range(5):
        true, found = blobs(rng), blobs(rng)
        true[:3] = 255
        tally.add(found, true)
        pairs.append((found[true != 255], true[true != 255]))
    found, true = (np.concatenate(part) for part in zip(*pairs, strict=True))
    done = tally.evaluation()
    assert done.confusion is not None
    np.testing.assert_array_equal(done.confusion.matrix, metrics.confusion_matrix(true, found))
    each = metrics.jaccard_score(true, found, average=None)
    assert list(done.per_class.values()) == pytest.approx(each.tolist())
    assert done.numbers["mIoU"] == pytest.approx(each.mean())
    assert done.numbers["pixel_accuracy"] == pytest.approx(metrics.accuracy_score(true, found))
    assert done.numbers["mean_accuracy"] == pytest.approx(metrics.balanced_accuracy_score(true, found))


def test_four_pixels_by_hand() -> None:
    tally = Tally(("a", "b", "c"), boundaries=False)
    tally.add(np.array([[0, 1, 1, 7]]), np.array([[0, 0, 1, 1]]))  # 7 is no class
    done = tally.evaluation()
    assert done.per_class == {"a": 1 / 2, "b": 1 / 3}  # c is nowhere
    assert done.numbers == {"mIoU": pytest.approx(5 / 12), "pixel_accuracy": 0.5, "mean_accuracy": 0.5}
    assert done.confusion is not None
    assert done.confusion.names[-1] == "no class"
    assert done.confusion.matrix[1].tolist() == [0, 1, 0, 1]


def test_strange_labels_and_sizes_are_refused() -> None:
    tally = Tally(("a", "b"))
    with pytest.raises(UsageError, match="label 9"):
        tally.add(np.zeros((2, 2), int), np.full((2, 2), 9))
    with pytest.raises(UsageError, match="3x2"):
        tally.add(np.zeros((2, 3), int), np.zeros((2, 2), int))


def outline(mask: Array) -> Array:
    """A pixel of the mask with a neighbour in the picture that is not: written with loops."""
    height, width = mask.shape
    drawn = np.zeros_like(mask)
    for y, x in zip(*np.nonzero(mask), strict=True):
        beside = [(y + 1, x), (y - 1, x), (y, x + 1), (y, x - 1)]
        drawn[y, x] = any(0 <= v < height and 0 <= u < width and not mask[v, u] for v, u in beside)
    return drawn


def test_boundary_f1_against_scipy() -> None:
    distance = pytest.importorskip("scipy.ndimage").distance_transform_edt
    rng = np.random.default_rng(0)
    for _ in range(6):
        true, found = blobs(rng) == 1, blobs(rng) == 1
        ours, theirs = outline(found), outline(true)
        within = 0.05 * np.hypot(40, 60)
        precision = (distance(~theirs)[ours] <= within).mean()
        recall = (distance(~ours)[theirs] <= within).mean()
        expected = 2 * precision * recall / (precision + recall)
        assert boundary_f1(found, true, np.ones_like(true), share=0.05) == pytest.approx(expected, abs=1e-6)


def test_boundaries_of_a_shifted_square() -> None:
    true = np.zeros((100, 100), bool)
    true[30:60, 30:60] = True
    valid = np.ones_like(true)
    assert boundary_f1(true, true, valid) == 1.0
    assert (
        boundary_f1(np.roll(true, 1, axis=1), true, valid) == 1.0
    )  # within 0.75 % of the diagonal, 1.06 pixels
    assert 0 < (boundary_f1(np.roll(true, 3, axis=1), true, valid) or 0) < 1
    assert boundary_f1(~valid, true, valid) == 0.0
    assert boundary_f1(~valid, ~valid, valid) is None


def test_masks_are_read_as_grey_palette_and_one_bit(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    labels = (np.arange(48).reshape(6, 8) % 5).astype(np.uint8)
    indexed = image.fromarray(labels)
    indexed.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0, 128, 128, 0, 0, 0, 128])
    indexed.save(tmp_path / "palette.png")
    cv2.imwrite(str(tmp_path / "grey.png"), labels)
    cv2.imwrite(str(tmp_path / "deep.png"), labels.astype(np.uint16) * 300)
    image.fromarray(labels > 2).save(tmp_path / "bit.png")
    cv2.imwrite(str(tmp_path / "colour.png"), np.dstack([labels] * 3) * 9)
    wide = labels.astype(int)
    for name, expected in (("palette", wide), ("grey", wide), ("deep", wide * 300), ("bit", wide > 2)):
        np.testing.assert_array_equal(read_mask(tmp_path / f"{name}.png"), expected)
    with pytest.raises(SourceError, match="colours"):
        read_mask(tmp_path / "colour.png")
    (tmp_path / "broken.png").write_bytes(b"no picture")
    with pytest.raises(SourceError, match=r"broken\.png"):
        read_mask(tmp_path / "broken.png")


def test_two_folders_of_masks(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name in ("true", "found"):
        (tmp_path / name).mkdir()
    for name in ("a", "b"):
        labels = blobs(rng)
        cv2.imwrite(str(tmp_path / f"true/{name}.png"), labels.astype(np.uint8))
        cv2.imwrite(str(tmp_path / f"found/{name}.png"), labels.astype(np.uint8))
    folder = masks_of(tmp_path / "true", alone=True)
    numbers = tally_of_masks(tmp_path / "found", folder, ignore=255).evaluation().numbers
    assert set(numbers.values()) == {1.0}
    (tmp_path / "found/b.png").unlink()
    with pytest.raises(SourceError, match="no mask b"):
        tally_of_masks(tmp_path / "found", folder, ignore=255)
    with pytest.raises(SourceError, match="images"):
        masks_of(tmp_path / "true")


def test_a_model_s_classes_in_the_numbers_of_the_masks() -> None:
    names, table = label_table(("person",), ())
    assert names == ("background", "person")
    assert table.tolist() == [1, 0]  # what is no person is background
    names, table = label_table(("background", "road", "sky"), ("sky", "Road"))
    assert table.tolist() == [-1, 1, 0, -1]
    with pytest.raises(UsageError, match="tree"):
        label_table(("road",), ("road", "tree"))


def test_records_of_label_maps_need_names_where_there_are_several(tmp_path: Path) -> None:
    true = np.array([[0, 1], [2, 2]])
    (tmp_path / "masks").mkdir()
    cv2.imwrite(str(tmp_path / "masks/a.png"), true.astype(np.uint8))
    rle = {name: encode(true == label) for label, name in ((2, "sky"), (1, "road"))}
    record = {"source": "x/a.jpg", "size": [2, 2], "segmentation": {"fractions": {}, "rle": rle}}
    (tmp_path / "r.jsonl").write_text(json.dumps(record))
    with pytest.raises(UsageError, match="which class is which"):
        tally_of_records(tmp_path / "r.jsonl", masks_of(tmp_path, alone=True), ignore=255)
    (tmp_path / "labels.txt").write_text("background\nroad\nsky\n")
    done = tally_of_records(tmp_path / "r.jsonl", masks_of(tmp_path, alone=True), ignore=255).evaluation()
    assert done.per_class == {"background": 1.0, "road": 1.0, "sky": 1.0}
    rle["sky"]["counts"] = "zz"
    (tmp_path / "r.jsonl").write_text(json.dumps(record))
    with pytest.raises(SourceError, match=r"r\.jsonl:1 "):
        tally_of_records(tmp_path / "r.jsonl", masks_of(tmp_path, alone=True), ignore=255)
