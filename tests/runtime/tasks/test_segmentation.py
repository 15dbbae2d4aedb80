import numpy as np
import pytest

from vedette.runtime.decoders import mask
from vedette.runtime.frame import Array, Frame
from vedette.runtime.manifest import Decoder, Manifest, Output
from vedette.runtime.preprocess import Placement
from vedette.runtime.results import Result
from vedette.runtime.rle import decode
from vedette.runtime.tasks import Config
from vedette.runtime.tasks.segmentation import finish, record

DEFAULT = Config()
FRAME = Frame((np.zeros((20, 40, 3), np.uint8),))
STRETCH = Placement((40, 20), (8, 8), (8, 8))
LETTERBOX = Placement((40, 20), (8, 8), (8, 4), (0, 2))  # rows 2 to 5 hold the picture


def finished(
    maps: Array,
    labels: tuple[str, ...] = ("person",),
    config: Config = DEFAULT,
    placement: Placement = STRETCH,
) -> Result:
    manifest = Manifest("m", "segmentation", (), (), Decoder("mask"), labels=labels)
    return finish(maps.astype(np.float32), FRAME, placement, manifest, config)


def label_map(result: Result) -> Array:
    assert result.segmentation is not None
    assert result.segmentation.label_map.dtype == np.int16
    return result.segmentation.label_map


def left_half(size: int = 8) -> Array:
    """One class: certain on the left, absent on the right."""
    maps = np.zeros((1, size, size))
    maps[:, :, : size // 2] = 1
    return maps


def test_the_edge_lies_halfway_between_the_centres_of_pixels() -> None:
    result = finished(left_half())
    assert label_map(result).tolist() == [[0] * 20 + [-1] * 20] * 20
    assert result.masks is not None
    np.testing.assert_array_equal(result.masks.data, label_map(result)[None] == 0)
    assert result.boxes is None


def test_the_letterbox_is_cut_off_before_the_probabilities_are_enlarged() -> None:
    maps = np.zeros((1, 8, 8))
    maps[:, :2], maps[:, 6:] = 1, 1  # only padding
    result = finished(maps, placement=LETTERBOX)
    assert result.masks is None
    assert result.segmentation is not None
    assert result.segmentation.probabilities.shape == (1, 4, 8)


def test_maps_smaller_than_the_input_are_fitted_to_it_first() -> None:
    coarse = finished(left_half(4), placement=LETTERBOX)
    np.testing.assert_array_equal(label_map(coarse), label_map(finished(left_half(), placement=LETTERBOX)))


@pytest.mark.parametrize(("conf", "covered"), [(None, 0), (0.4, 1), (0.5, 0), (0.6, 0)])
def test_one_class_must_exceed_conf(conf: float | None, covered: int) -> None:
    result = finished(np.full((1, 8, 8), 0.5), config=Config(conf=conf))
    assert len(result) == covered


def test_one_map_of_two_labels_is_the_second() -> None:
    result = finished(left_half(), ("background", "person"))
    assert np.unique(label_map(result)).tolist() == [-1, 1]
    assert result.summary() == "1 person"


def three_classes() -> Array:
    maps = np.full((3, 8, 8), 0.1)
    maps[0, :, :4], maps[1, :, 4:6], maps[2, :, 6:] = 0.8, 0.45, 0.45
    return maps


def test_of_several_classes_the_likeliest_wins() -> None:
    result = finished(three_classes(), ("sky", "road", "tree"))
    assert np.unique(label_map(result)).tolist() == [0, 1, 2]
    assert len(result) == 3
    strict = finished(three_classes(), ("sky", "road", "tree"), Config(conf=0.6))
    assert np.unique(label_map(strict)).tolist() == [-1, 0]


def test_the_background_is_none_of_the_classes() -> None:
    result = finished(three_classes(), ("background", "road", "tree"))
    assert np.unique(label_map(result)).tolist() == [-1, 1, 2]
    assert set(record(result)["segmentation"]["fractions"]) == {"road", "tree"}


def test_only_chosen_classes_are_kept() -> None:
    result = finished(three_classes(), ("sky", "road", "tree"), Config(classes=(1,)))
    assert np.unique(label_map(result)).tolist() == [-1, 1]


def test_the_record_is_the_contract() -> None:
    result = finished(three_classes(), ("sky", "road", "tree"))
    segmentation = record(result)["segmentation"]
    # between the centres of cells, 0.8 to 0.1 and 0.1 to 0.45 cross at two thirds: after column 20 of 40
    assert segmentation["fractions"] == {"sky": 0.525, "road": 0.225, "tree": 0.25}
    np.testing.assert_array_equal(decode(segmentation["rle"]["road"]), label_map(result) == 1)


def test_a_class_has_its_own_tint() -> None:
    image = finished(three_classes(), ("sky", "road", "tree")).plot()
    assert len({tuple(image[10, x].tolist()) for x in (10, 25, 35)}) == 3


def test_what_the_mask_decoder_gives_is_taken() -> None:
    manifest = Manifest("m", "segmentation", (), (), Decoder("mask"), labels=("sky", "road"))
    maps = np.stack([np.zeros((8, 8)), np.ones((8, 8))], axis=-1)[None]
    parameters = mask.Parameters("nhwc")
    named = Manifest("m", "segmentation", (), (Output("o", (), role="probability"),), Decoder("mask"))
    (found,) = mask.decode({"o": maps}, named, parameters, 0.5, input_size=(8, 8))
    result = finish(found, FRAME, STRETCH, manifest, Config())
    assert np.unique(label_map(result)).tolist() == [1]
