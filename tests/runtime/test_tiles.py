"""A frame in tiles is the frame as a whole, which is the oracle; and with a norm over the picture, no seam shows."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vedette import Model
from vedette.runtime import manifest as manifests
from vedette.runtime import tiles
from vedette.runtime.frame import Array, Frame
from vedette.runtime.manifest import Decoder, Input, Manifest, Output, Resize
from vedette.runtime.results import Result
from vedette.runtime.runner import Done, Pending, Recipe, runner_of

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
SMALL = 96  # of a tile in these tests
NEAR = 4  # pixels that the network below sees around one, beside its cell of 8 x 8, if tiles begin at such a cell


@pytest.fixture(autouse=True)
def _small_tiles(monkeypatch: pytest.MonkeyPatch) -> Any:
    tiles.grid_of.cache_clear()
    monkeypatch.setattr(tiles, "SIDE", SMALL)
    monkeypatch.setattr(tiles, "OVERLAP", 8 * NEAR)
    monkeypatch.setattr(tiles, "SHARE", 2)
    yield
    tiles.grid_of.cache_clear()


def network(folder: Path, *, side: int = -1, largest: int = 4096, normed: bool = False) -> Path:
    """A picture to a picture: what its cells of 8 x 8 differ from a blur by, four times; and a norm."""
    helper, kinds = onnx.helper, onnx.TensorProto
    blur = np.zeros((3, 3, 9, 9), np.float32)
    for channel in range(3):
        blur[channel, channel] = 1 / 81
    given = [
        onnx.numpy_helper.from_array(blur, "blur"),
        onnx.numpy_helper.from_array(np.array([1, 1, 8, 8], np.float32), "eight"),
        onnx.numpy_helper.from_array(np.array([0, 0, 4, 4, 0, 0, 4, 4]), "around"),
        onnx.numpy_helper.from_array(np.array(4, np.float32), "four"),
        onnx.numpy_helper.from_array(np.full(3, 60, np.float32), "gain"),
        onnx.numpy_helper.from_array(np.full(3, 128, np.float32), "bias"),
    ]
    last = "made" if normed else "picture"
    nodes = [
        helper.make_node("AveragePool", ["images"], ["cells"], kernel_shape=[8, 8], strides=[8, 8]),
        helper.make_node("Resize", ["cells", "", "eight"], ["flat"], mode="nearest"),
        helper.make_node("Pad", ["images", "around"], ["wide"], mode="reflect" if normed else "constant"),
        helper.make_node("Conv", ["wide", "blur"], ["soft"]),
        helper.make_node("Sub", ["flat", "soft"], ["lines"]),
        helper.make_node("Mul", ["lines", "four"], ["strong"]),
        helper.make_node("Add", ["strong", "images"], [last]),
    ]
    if normed:
        nodes.append(helper.make_node("InstanceNormalization", ["made", "gain", "bias"], ["picture"]))
    shape = ["n", 3, "h", "w"] if side < 0 else ["n", 3, side, side]
    one, other = (helper.make_tensor_value_info(name, kinds.FLOAT, shape) for name in ("images", "picture"))
    graph = helper.make_graph(nodes, "g", [one], [other], given)
    path = folder / "m.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    bounds = {} if side > 0 else {
        "minimum": (1, 3, 16, 16), "typical": (1, 3, 64, 64), "maximum": (4, 3, largest, largest),
        "multiple_of": (1, 1, 8, 8),
    }  # fmt: skip
    spec = Input("images", (-1, 3, side, side), pixel_format="rgb", resize=Resize("stretch"), **bounds)  # type: ignore[arg-type]
    output = Output("picture", (-1, 3, side, side), role="picture")
    card = Manifest(
        "m", "image", (spec,), (output,), Decoder("image", {"black": 0.0, "white": 255.0}),
        files={"m.onnx": manifests.sha256(path.read_bytes())},
    )  # fmt: skip
    manifests.save(card, path)
    return path


def photo(width: int, height: int) -> Array:
    """Soft shapes in colour, brighter to the right, with grain."""
    random, x, y = np.random.default_rng(0), np.arange(width), np.arange(height)[:, None]
    light = 90 + 60 * x / width + 25 * np.sin(x / 17) * np.cos(y / 23)
    pixels = light[..., None] + np.array([10, 0, -10]) + random.normal(0, 6, (height, width, 3))
    made: Array = pixels.clip(0, 255).astype(np.uint8)
    return made


def drawn(model: Path, picture: Array) -> Array:
    result: Result = Model(model, backend="onnxruntime")(picture)[0]
    assert result.image is not None
    return result.image


def whole(model: Path, picture: Array, monkeypatch: pytest.MonkeyPatch) -> Array:
    """The same with no limit."""
    with monkeypatch.context() as patch:
        patch.setattr(tiles, "SIDE", 4096)
        tiles.grid_of.cache_clear()
        made = drawn(model, picture)
    tiles.grid_of.cache_clear()
    return made


def count(size: tuple[int, int], model: Path) -> int:
    return len(tiles.grid_of(size, manifests.load(model)[0].inputs[0]))


@pytest.mark.parametrize(
    "size", [(200, 160), (97, 96), (301, 203), (500, 33), (33, 500), (104, 104), (640, 17)]
)
def test_tiles_are_the_whole_picture_to_the_rounding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]
) -> None:
    model, picture = network(tmp_path), photo(*size)
    assert count(size, model) > 1
    found, expected = drawn(model, picture), whole(model, picture, monkeypatch)
    assert found.shape == picture.shape
    assert np.abs(found.astype(int) - expected).max() <= 1
    assert np.abs(expected.astype(int) - picture).max() > 20  # the network does something


@pytest.mark.parametrize("size", [(1, 1), (3, 2), (15, 40), (96, 96), (64, 95)])
def test_a_small_frame_is_run_as_it_is(tmp_path: Path, size: tuple[int, int]) -> None:
    model, picture = network(tmp_path), photo(*size)
    assert count(size, model) == 1
    assert drawn(model, picture).shape == picture.shape


def test_the_networks_largest_input_bounds_the_tiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiles, "SIDE", 4096)
    model, picture = network(tmp_path, largest=64), photo(200, 60)
    grid = tiles.grid_of((200, 60), manifests.load(model)[0].inputs[0])
    assert (grid.columns.tile, grid.rows.tile) <= (64, 64)
    assert len(grid.columns.starts) > 1 == len(grid.rows.starts)
    larger = network(tmp_path, largest=512)
    expected = drawn(larger, picture)
    assert np.abs(drawn(network(tmp_path, largest=64), picture).astype(int) - expected)[:, 16:-16].max() <= 1


def test_a_network_of_one_size_takes_any_frame(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = photo(203, 150)
    expected = drawn(network(tmp_path), picture)
    fixed = network(tmp_path, side=64)
    assert count((203, 150), fixed) > 1
    found = drawn(fixed, picture)
    inside = np.s_[NEAR:140, NEAR:190]  # beyond, mirrored edges differ
    assert np.abs(found.astype(int) - expected)[inside].max() <= 1


def test_imgsz_fits_the_frame_into_that_size_instead(tmp_path: Path) -> None:
    model, picture = network(tmp_path), photo(300, 200)
    small = Model(model, backend="onnxruntime", imgsz=(64, 64))(picture)[0].image
    assert small is not None
    assert small.shape == picture.shape
    assert (
        np.abs(np.diff(small.astype(int), axis=1)).mean()
        < np.abs(np.diff(picture.astype(int), axis=1)).mean() / 2
    )


def test_no_seam_shows_where_tiles_are_normed_each_for_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What tiles add to the whole picture is a slow change of contrast: nowhere a step."""
    model, picture = network(tmp_path, normed=True), photo(400, 90)
    off = drawn(model, picture).astype(float) - whole(model, picture, monkeypatch)
    profile = off.mean(axis=(0, 2))  # [W]: contrast cancels out over a column, a seam does not
    assert np.ptp(profile) > 30  # tiles do differ
    fade = tiles.OVERLAP / 2
    assert np.abs(np.diff(profile)).max() < 2 * np.ptp(profile) / fade


@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("size", [(97, 1), (500, 97), (130, 260)])
def test_every_pixel_counts_once(size: tuple[int, int], times: int) -> None:
    spec = Input("x", (1, 3, 64, 64))
    for axis in (tiles.grid_of(size, spec).columns, tiles.grid_of(size, spec).rows):
        total = np.zeros(axis.padded * times)
        for start, weights in zip(axis.starts, axis.weights(times), strict=True):
            assert weights.min() >= 0
            total[start * times :][: len(weights)] += weights
        np.testing.assert_allclose(total, 1, atol=1e-6)
        assert axis.padded >= axis.length


class Enlarging:
    """A Runner that repeats every pixel twice, three frames at most, and remembers what it was given."""

    name, max_batch, in_flight = "twice", 3, 2

    def __init__(self) -> None:
        self.given: list[int] = []

    def submit(self, frames: Sequence[Frame]) -> Pending:
        self.given.append(len(frames))
        made = [
            Result(
                frame,
                "twice",
                "image",
                {},
                image=frame.bgr().repeat(2, 0).repeat(2, 1),
                latency_ms={"a": 1.0},
            )
            for frame in frames
        ]
        return Done(lambda: made)

    def close(self) -> None:
        self.given.append(-1)


def test_tiles_of_what_enlarges_are_joined_enlarged() -> None:
    inner, frames = Enlarging(), [Frame((photo(150, 70),)), Frame((photo(40, 40),), index=5)]
    runner = tiles.OwnSize(Input("x", (1, 3, 64, 64)), inner)
    results = runner.submit(frames).results()
    for frame, result in zip(frames, results, strict=True):
        assert result.frame is frame
        assert result.image is not None
        np.testing.assert_array_equal(result.image, frame.bgr().repeat(2, 0).repeat(2, 1))
    assert results[0].latency_ms == {"a": len(tiles.grid_of((150, 70), Input("x", (1, 3, 64, 64))))}
    assert max(inner.given) <= SMALL * SMALL // (64 * 64)  # no more at a time than memory is meant for
    runner.close()
    assert inner.given[-1] == -1


def test_a_yuv_frame_that_fits_keeps_its_planes() -> None:
    planes = np.full((64, 64), 90, np.uint8), *(np.full((32, 32), 128, np.uint8) for _ in range(2))
    frame = Frame(planes, "yuv420p")
    grid = tiles.grid_of((64, 64), Input("x", (1, 3, 64, 64)))
    assert next(grid.cut(frame)) is frame
    cut = next(tiles.grid_of((64, 64), Input("x", (1, 3, 32, 32))).cut(frame))
    np.testing.assert_array_equal(cut.bgr(), frame.bgr()[:32, :32])


@pytest.mark.parametrize("size", [(64, 48), (200, 160)])
def test_the_gpu_draws_the_same_tiles(tmp_path: Path, size: tuple[int, int]) -> None:
    from fakes import runners as fake

    model, frames = network(tmp_path), [Frame((photo(*size),)), Frame((photo(40, 24),))]
    with fake.machine():
        card, _, engine = fake.opened(model)
        recipe = Recipe(card, own_size=True)
        runner = tiles.OwnSize(recipe.input, runner_of(recipe, engine))
        assert runner.in_flight == 2  # it is the GPU's
        begun = [runner.submit(frames), runner.submit(frames[:1])]
        found = [result for pending in begun for result in pending.results()]
        runner.close()
        engine.close()
    for frame, result in zip([*frames, frames[0]], found, strict=True):
        np.testing.assert_array_equal(result.image, drawn(model, frame.bgr()))
