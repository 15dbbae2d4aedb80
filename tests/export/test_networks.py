"""Our networks against the graphs that their weights come from."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")
cv2 = pytest.importorskip("cv2")
safetensors = pytest.importorskip("safetensors")
safetensors_torch = pytest.importorskip("safetensors.torch")

from vedette.export.networks import _original, fastestdet  # noqa: E402
from vedette.export.zoo import convert  # noqa: E402

Floats = NDArray[np.float32]

ROOT = Path(__file__).parents[2]
DATA = ROOT.parent / "shared/data"
ZOO = ROOT / "export/zoo"
ORIGINALS = {
    "nanodet": DATA / "nanodet/nanodet_416.onnx",
    "openpose_thin": DATA / "openpose_thin/mobilenet_thin_nchw.onnx",
    "selfie_segmentation": DATA / "selfie_segmentation/selfie_256.onnx",
}
SIZES = {"nanodet": (416, 416), "openpose_thin": (368, 432), "selfie_segmentation": (256, 256)}
PHOTOS = ("1.jpg", "2.jpg", "3.jpg", "4.jpg")

each_network = pytest.mark.parametrize("name", ORIGINALS)
each_photo = pytest.mark.parametrize("photo", PHOTOS)


def present(path: Path) -> Path:
    if not path.exists():
        pytest.skip(f"no ../shared/data/{path.relative_to(DATA)}")
    return path


def photo_bgr(photo: str, size: tuple[int, int]) -> Floats:
    """Return a photo of height and width, float32 [1, 3, H, W], BGR, 0..255."""
    pixels = cv2.imread(str(present(DATA / "photos" / photo)))
    resized = cv2.resize(pixels, size[::-1], interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(resized.transpose(2, 0, 1)[np.newaxis], np.float32)


def model_input(name: str, photo: str) -> Floats:
    bgr = photo_bgr(photo, SIZES[name])
    if name == "openpose_thin":
        return bgr
    if name == "selfie_segmentation":
        return np.ascontiguousarray(bgr[:, ::-1] / np.float32(255))
    mean = np.array([103.53, 116.28, 123.675], np.float32).reshape(3, 1, 1)
    return (bgr - mean) / np.array([57.375, 57.12, 58.395], np.float32).reshape(3, 1, 1)


def original_outputs(name: str, images: Floats) -> list[Floats]:
    """Run the original graph and put its outputs into our order and layout."""
    session = ort.InferenceSession(present(ORIGINALS[name]), providers=["CPUExecutionProvider"])
    if name == "selfie_segmentation":
        images = np.ascontiguousarray(images.transpose(0, 2, 3, 1))
    outputs: list[Floats] = session.run(None, {session.get_inputs()[0].name: images})
    if name == "selfie_segmentation":
        return [outputs[0].transpose(0, 3, 1, 2)]
    if name == "openpose_thin":
        return [outputs[0][:, :19], outputs[0][:, 19:]]
    return sorted(outputs, key=lambda output: (-output.shape[2], -output.shape[1]))


def our_outputs(module: Any, images: Floats) -> list[Floats]:
    with torch.inference_mode():
        outputs = module.eval()(torch.from_numpy(images))
    return [output.numpy() for output in (outputs if isinstance(outputs, tuple) else (outputs,))]


def assert_close(ours: list[Floats], theirs: list[Floats], tolerance: float) -> None:
    for our, their in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(our, their, rtol=0, atol=tolerance)


def from_zoo(name: str) -> Any:
    state = safetensors_torch.load_file(ZOO / f"{name}.safetensors")
    module = import_module(f"vedette.export.networks.{name}").network()
    module.load_state_dict({key: tensor.float() for key, tensor in state.items()}, strict=True)
    return module


@each_network
def test_the_zoo_weighs_under_8_mb_and_names_its_origin(name: str) -> None:
    path = ZOO / f"{name}.safetensors"
    with safetensors.safe_open(path, "np") as file:
        metadata = file.metadata()
    parameters = sum(parameter.numel() for parameter in from_zoo(name).parameters())
    notes = path.with_suffix(".md").read_text(encoding="utf-8")
    assert path.stat().st_size < 8e6
    assert metadata["parameters"] == str(parameters)
    assert metadata["licence"] == "Apache-2.0"
    assert metadata["original_sha256"] in notes
    assert f"{parameters:,}" in notes


@each_network
def test_converting_the_original_again_gives_the_zoo(name: str, tmp_path: Path) -> None:
    path = convert.convert(name, present(ORIGINALS[name]), folder=tmp_path)
    again, shipped = (safetensors_torch.load_file(file) for file in (path, ZOO / path.name))
    assert again.keys() == shipped.keys()
    assert all(torch.equal(again[key], shipped[key]) for key in again)


@each_network
@each_photo
def test_the_original_weights_give_the_original_outputs(name: str, photo: str) -> None:
    network_file = import_module(f"vedette.export.networks.{name}")
    module = network_file.network()
    module.load_state_dict(network_file.state_dict_from_original(present(ORIGINALS[name])), strict=True)
    images = model_input(name, photo)
    assert_close(our_outputs(module, images), original_outputs(name, images), 1e-3)


@each_network
@each_photo
def test_the_zoo_gives_the_original_outputs(name: str, photo: str) -> None:
    images = model_input(name, photo)
    assert_close(our_outputs(from_zoo(name), images), original_outputs(name, images), 1e-3)


@each_photo
def test_fastestdet_takes_the_author_s_checkpoint_and_gives_its_outputs(photo: str) -> None:
    folder = DATA / "fastestdet"
    checkpoint = present(folder / "weight_AP05_0.253207_280-epoch.pth")
    module = fastestdet.network()
    module.load_state_dict(torch.load(checkpoint, weights_only=True, map_location="cpu"), strict=True)
    images = photo_bgr(photo, (352, 352)) / np.float32(255)
    session = ort.InferenceSession(present(folder / "FastestDet.onnx"), providers=["CPUExecutionProvider"])
    assert_close(our_outputs(module, images), session.run(None, {"input.1": images}), 1e-4)


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("nanodet", (64, 96)),
        ("openpose_thin", (40, 56)),
        ("selfie_segmentation", (256, 256)),
        ("fastestdet", (352, 352)),
    ],
)
def test_a_batch_of_two_equals_two_batches_of_one(name: str, size: tuple[int, int]) -> None:
    module = fastestdet.network() if name == "fastestdet" else from_zoo(name)
    images = np.random.default_rng(0).random((2, 3, *size), np.float32)
    first, second = (our_outputs(module, images[index : index + 1]) for index in (0, 1))
    both = [np.concatenate(pair) for pair in zip(first, second, strict=True)]
    assert_close(our_outputs(module, images), both, 1e-5)


@pytest.mark.parametrize("size", [(32, 32), (32, 416), (352, 96)])
def test_nanodet_takes_every_multiple_of_32(size: tuple[int, int]) -> None:
    outputs = our_outputs(from_zoo("nanodet"), np.zeros((1, 3, *size), np.float32))
    cells = [size[0] // stride * (size[1] // stride) for stride in (8, 16, 32)]
    shapes = [(1, count, width) for width in (80, 44) for count in cells]
    assert [output.shape for output in outputs] == shapes


@pytest.mark.parametrize("size", [(8, 8), (8, 72), (184, 200)])
def test_openpose_agrees_at_every_multiple_of_8(size: tuple[int, int]) -> None:
    images = photo_bgr("2.jpg", size)
    ours = our_outputs(from_zoo("openpose_thin"), images)
    assert ours[0].shape == (1, 19, size[0] // 8, size[1] // 8)
    assert_close(ours, original_outputs("openpose_thin", images), 1e-3)


def graph_file(path: Path, weights: Floats, *, added: Floats | None = None) -> Path:
    """Write x -> Conv without a bias -> + x -> + added."""
    helper, numpy_helper = onnx.helper, onnx.numpy_helper
    initializers = [numpy_helper.from_array(weights, "weights")]
    nodes = [
        helper.make_node("Conv", ["x", "weights"], ["filtered"], "filter"),
        helper.make_node("Add", ["filtered", "x"], ["sum"]),
    ]
    if added is not None:
        initializers.append(numpy_helper.from_array(added, "added"))
        nodes.append(helper.make_node("Add", ["added", "sum"], ["biased"]))
    ends = [helper.make_tensor_value_info(name, 1, [1, 2, 4, 4]) for name in ("x", nodes[-1].output[0])]
    onnx.save(helper.make_model(helper.make_graph(nodes, "g", ends[:1], ends[1:], initializers)), path)
    return path


def test_a_bias_added_after_a_residual_is_found(tmp_path: Path) -> None:
    bias = np.array([3, 4], np.float32)
    weights = np.ones((2, 2, 1, 1), np.float32)
    path = graph_file(tmp_path / "late.onnx", weights, added=bias.reshape(1, 2, 1, 1))
    layer = torch.nn.Sequential(torch.nn.Conv2d(2, 2, 1))
    state = _original.state_dict_from_convolutions(layer, layer, _original.convolutions_from_onnx(path))
    assert state["0.bias"].tolist() == [3, 4]
    assert state["0.weight"].tolist() == weights.tolist()


@each_network
def test_another_network_s_file_is_refused(name: str, tmp_path: Path) -> None:
    other = graph_file(tmp_path / "other.onnx", np.ones((2, 2, 1, 1), np.float32))
    module = import_module(f"vedette.export.networks.{name}")
    with pytest.raises(ValueError, match="the graph has 1 convolutions; "):
        module.state_dict_from_original(other)


def test_a_file_that_is_no_graph_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "photo.onnx"
    path.write_bytes(b"\xff\xd8\xff\xe0 not a graph")
    with pytest.raises(ValueError, match=r"photo\.onnx is not an ONNX model"):
        _original.convolutions_from_onnx(path)


@pytest.mark.parametrize(
    ("width", "message"),
    [(3, r"0\.weight: 'filter' has \[2, 2, 1, 1\]; expected \[3, 2, 1, 1\]"), (2, r"0\.bias: .* missing")],
)
def test_a_weight_of_another_shape_or_no_bias_is_refused(width: int, message: str, tmp_path: Path) -> None:
    path = graph_file(tmp_path / "unbiased.onnx", np.ones((2, 2, 1, 1), np.float32))
    layer = torch.nn.Sequential(torch.nn.Conv2d(2, width, 1))
    with pytest.raises(ValueError, match=message):
        _original.state_dict_from_convolutions(layer, layer, _original.convolutions_from_onnx(path))
