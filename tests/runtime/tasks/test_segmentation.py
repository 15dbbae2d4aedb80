import numpy as np
import pytest

from vedette.runtime.decoders import mask
from vedette.runtime.decoders.unet import Logits
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


def three_logits() -> Array:
    """A third of the columns each, of three classes; the softmax of the winner is 0.8."""
    maps = np.zeros((3, 8, 8), np.float32)
    for index, columns in enumerate((slice(0, 4), slice(4, 6), slice(6, 8))):
        maps[index, :, columns] = np.log(8)
    return maps


def finished_logits(
    maps: Array, config: Config = DEFAULT, *, labels: tuple[str, ...] = ("sky", "road", "tree"), frame: Frame = FRAME,
    placement: Placement = STRETCH,
) -> Result:  # fmt: skip
    manifest = Manifest("m", "segmentation", (), (), Decoder("unet"), labels=labels)
    return finish(Logits(maps), frame, placement, manifest, config)


def test_the_greatest_logit_wins_at_every_pixel_of_the_frame() -> None:
    result = finished_logits(three_logits())
    assert result.segmentation is not None
    assert label_map(result).shape == (20, 40)
    assert label_map(result)[7].tolist() == [0] * 20 + [1] * 10 + [2] * 10
    assert result.segmentation.fractions == {0: 0.5, 1: 0.25, 2: 0.25}
    assert len(result) == 3


def test_probabilities_are_made_of_logits_when_they_are_asked_for() -> None:
    result = finished_logits(three_logits(), placement=LETTERBOX)
    assert result.segmentation is not None
    probabilities = result.segmentation.probabilities
    assert probabilities.shape == (3, 4, 8)
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(axis=0), 1, rtol=1e-6)
    np.testing.assert_allclose(probabilities[1, :, 4:6], 0.8, rtol=1e-6)
    one = result.segmentation.probability(1)
    assert one.shape == (20, 40)
    np.testing.assert_allclose(one[:, 25], 0.8, rtol=1e-6)
    assert one[10, 2] == pytest.approx(0.1)


def test_conf_is_held_against_the_probability_of_the_winner() -> None:
    kept = finished_logits(three_logits(), Config(conf=0.79))
    assert np.unique(label_map(kept)).tolist() == [-1, 0, 1, 2]  # between two classes, none has 0.79
    assert (label_map(kept)[:, :17] == 0).all()
    assert finished_logits(three_logits(), Config(conf=0.81)).masks is None


def test_what_is_no_number_has_no_probability() -> None:
    maps = three_logits()
    maps[:, 0, 0], maps[0, 1, 0], maps[:, 2, 0] = np.nan, np.inf, -np.inf
    result = finished_logits(maps)
    assert result.segmentation is not None
    probabilities = result.segmentation.probabilities
    assert np.isfinite(probabilities).all()
    assert not probabilities[:, [0, 2], 0].any()


def test_classes_that_are_not_wanted_are_left_out_of_everything() -> None:
    result = finished_logits(three_logits(), Config(classes=(2, 7)), labels=("background", "road", "tree"))
    assert result.summary() == "1 tree"
    assert record(result)["segmentation"]["fractions"] == {"tree": 0.25}
    assert np.unique(label_map(result)).tolist() == [-1, 2]


def test_the_legend_has_a_line_for_every_class_that_is_there() -> None:
    from vedette.runtime.draw import colour_of

    frame = Frame((np.full((300, 400, 3), 90, np.uint8),))
    all_three = finished_logits(three_logits(), frame=frame).plot()
    only_one = finished_logits(three_logits(), Config(classes=(1,)), frame=frame).plot()
    corner = (slice(0, 100), slice(0, 20))
    for index in range(3):
        assert (all_three[corner] == colour_of(index)).all(axis=2).any()
    assert [(only_one[corner] == colour_of(index)).all(axis=2).any() for index in range(3)] == [
        False,
        True,
        False,
    ]
    blend = [(90 * 127 + colour * 129 + 128) >> 8 for colour in colour_of(1)]
    assert only_one[250, 250].tolist() == blend
    assert only_one[250, 50].tolist() == [90, 90, 90]


def test_a_picture_too_low_for_a_legend_is_drawn_without_it() -> None:
    frame = Frame((np.zeros((3, 50, 3), np.uint8),))
    assert finished_logits(three_logits(), frame=frame).plot().any()


def test_a_mask_of_one_channel_is_drawn_as_ever() -> None:
    result = finished(left_half())
    image = result.plot()
    assert not image[:, 25:].any()
    assert len(np.unique(image[3:-3, 3:15].reshape(-1, 3), axis=0)) == 1  # no legend over it
