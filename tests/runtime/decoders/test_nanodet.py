import numpy as np
import pytest

from vedette.runtime.decoders import Candidates
from vedette.runtime.decoders.nanodet import Parameters, claims, decode
from vedette.runtime.frame import Array
from vedette.runtime.manifest import Decoder, Manifest, Output

ROLES = [f"{kind}_{stride}" for kind in ("scores", "distances") for stride in (8, 16, 32)]
MANIFEST = Manifest(
    "m", "detection", (), tuple(Output(f"out {r}", (-1, -1, -1), role=r) for r in ROLES), Decoder("nanodet")
)
WIDTH, HEIGHT = 96, 32  # 12 x 4, 6 x 2 and 3 x 1 cells


def blank(images: int = 1) -> dict[str, Array]:
    """No object anywhere: three classes, distances of equal logits."""
    outputs: dict[str, Array] = {}
    for stride in (8, 16, 32):
        cells = (WIDTH // stride) * (HEIGHT // stride)
        outputs[f"out scores_{stride}"] = np.zeros((images, cells, 3), np.float32)
        outputs[f"out distances_{stride}"] = np.zeros((images, cells, 44), np.float32)
    return outputs


def certain(*bins: int) -> Array:
    """Logits of four sides, each sure of one bin."""
    logits = np.full((4, 11), -1e4, np.float32)
    logits[range(4), bins] = 0
    return logits.ravel()


def found(outputs: dict[str, Array], conf: float = 0.25, *, multi_label: bool = True) -> list[Candidates]:
    return decode(outputs, MANIFEST, Parameters(multi_label=multi_label), conf, input_size=(WIDTH, HEIGHT))


def test_sides_are_distances_from_the_centre_of_the_cell() -> None:
    outputs = blank()
    outputs["out scores_8"][0, 12 * 2 + 7] = [0.1, 0.9, 0.0]  # row 2, column 7: centre (60, 20)
    outputs["out distances_8"][0, 12 * 2 + 7] = certain(1, 0, 2, 10)
    (image,) = found(outputs)
    assert image.boxes_xyxy.tolist() == [[60 - 8, 20, 60 + 16, 20 + 80]]
    assert image.scores.tolist() == [np.float32(0.9)]
    assert image.class_ids.tolist() == [1]


def test_a_side_is_the_mean_of_its_distribution() -> None:
    outputs = blank()
    outputs["out scores_32"][0, 1] = [0.5, 0.0, 0.0]  # centre (48, 16)
    sides = np.full((4, 11), -1e4, np.float32)
    sides[:, [1, 2]] = np.log([0.25, 0.75])  # 1.75 strides
    outputs["out distances_32"][0, 1] = sides.ravel()
    (image,) = found(outputs)
    np.testing.assert_allclose(image.boxes_xyxy, [[48 - 56, 16 - 56, 48 + 56, 16 + 56]], rtol=1e-6)


def test_every_stride_and_image_keeps_its_own() -> None:
    outputs = blank(images=2)
    for index, stride in enumerate((8, 16, 32)):
        outputs[f"out scores_{stride}"][1, 0, index] = 0.3 + index / 10
        outputs[f"out distances_{stride}"][1, 0] = certain(0, 0, 1, 1)
    first, second = found(outputs)
    assert len(first.scores) == 0
    assert first.boxes_xyxy.shape == (0, 4)
    assert second.class_ids.tolist() == [0, 1, 2]
    assert second.boxes_xyxy.tolist() == [[4, 4, 12, 12], [8, 8, 24, 24], [16, 16, 48, 48]]


def test_a_score_equal_to_conf_is_dropped() -> None:
    outputs = blank()
    outputs["out scores_16"][0, 3, 2] = 0.25
    assert len(found(outputs)[0].scores) == 0


def test_a_cell_of_two_classes_gives_both_unless_told_not_to() -> None:
    outputs = blank()
    outputs["out scores_16"][0, 3] = [0.4, 0.0, 0.6]
    assert found(outputs)[0].class_ids.tolist() == [0, 2]
    assert found(outputs, multi_label=False)[0].class_ids.tolist() == [2]


def test_half_precision_is_decoded_in_single() -> None:
    outputs = blank()
    outputs["out scores_8"][0, 5] = [0.75, 0.0, 0.0]
    outputs["out distances_8"][0, 5] = np.linspace(-3, 3, 44)
    (exact,), (half,) = found(outputs), found({k: v.astype(np.float16) for k, v in outputs.items()})
    np.testing.assert_allclose(half.boxes_xyxy, exact.boxes_xyxy, atol=0.05)


@pytest.mark.parametrize("classes", [1, 20, 80])
def test_any_number_of_classes_is_claimed_but_that_of_the_distances(classes: int) -> None:
    def layout(columns: int) -> list[Output]:
        return [Output(f"{n} {c}", (1, n, c)) for n in (1000, 250, 4000) for c in (columns, 44)]

    assert claims(layout(classes)) == Parameters()
    assert claims(layout(44)) is None


def test_its_own_names_are_claimed_at_any_size() -> None:
    assert claims([Output(role, (-1, -1, -1)) for role in ROLES]) == Parameters()
