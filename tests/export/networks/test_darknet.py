"""Darknet's blocks and .weights files, against OpenCV's reading of the same files."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from vedette.export.networks import _darknet, yolov2_darknet, yolov2_tiny_darknet
from vedette.export.networks._darknet import Convolution, Reorg, SamePooling, load_darknet, save_darknet
from vedette.runtime.errors import ModelError
from vedette.runtime.frame import Array

FILTER = "[convolutional]\nbatch_normalize=1\nfilters={}\nsize={}\nstride=1\npad=1\nactivation=leaky\n"
CFG = "\n".join([
    "[net]\nwidth=16\nheight=24\nchannels=3\n",
    FILTER.format(8, 3), "[maxpool]\nsize=2\nstride=2\n", FILTER.format(8, 3), "[maxpool]\nsize=2\nstride=2\n",
    FILTER.format(12, 3), "[maxpool]\nsize=2\nstride=1\n", "[route]\nlayers=-4\n", FILTER.format(4, 1),
    "[reorg]\nstride=2\n", "[route]\nlayers=-1,-4\n",
    "[convolutional]\nfilters=14\nsize=1\nstride=1\npad=1\nactivation=linear\n",
])  # fmt: skip
# channels 3 and 10 of what OpenCV 4.14.0 (cv2.dnn.readNetFromDarknet) computes from CFG, weights() and images()
OPENCV = [
    [
        [-0.4175, -0.4656, -0.4513, -0.8163],
        [-1.8764, -2.0, -2.0114, -1.6876],
        [-0.4952, -0.527, -0.5419, -0.5209],
        [-1.0761, -0.3624, -0.2077, -0.1924],
        [-0.4492, -0.08, -0.034, -0.0836],
        [1.236, 0.7828, 0.3461, -0.1408],
    ],
    [
        [-1.7746, -1.8776, -1.9013, -1.9692],
        [-2.6471, -2.7868, -2.7887, -2.3684],
        [-1.1199, -1.1225, -1.127, -1.1238],
        [-1.9914, -1.4113, -1.1877, -1.0051],
        [-1.7793, -1.5851, -1.6197, -1.3623],
        [0.0873, -0.3019, -0.7983, -0.9862],
    ],
]


class Small(torch.nn.Module):
    """The network of CFG, of our blocks."""

    def __init__(self) -> None:
        super().__init__()
        pool = torch.nn.MaxPool2d(2)
        self.fine = torch.nn.Sequential(Convolution(3, 8, 3), pool, Convolution(8, 8, 3))
        self.coarse = torch.nn.Sequential(pool, Convolution(8, 12, 3), SamePooling())
        self.passthrough = torch.nn.Sequential(Convolution(8, 4, 1), Reorg())
        self.region = torch.nn.Conv2d(28, 14, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        fine = self.fine(images)
        output: torch.Tensor = self.region(torch.cat((self.passthrough(fine), self.coarse(fine)), dim=1))
        return output


def fill(module: torch.nn.Module) -> None:
    """Weights that no generator can change: sines, variances above 0."""
    phase = 0
    for name, tensor in module.state_dict().items():
        values = torch.from_numpy(np.sin(0.7 * np.arange(phase, phase + tensor.numel())).astype(np.float32))
        if tensor.is_floating_point():
            tensor.copy_((1 + values / 2 if name.endswith("var") else values / 2).reshape(tensor.shape))
        phase += tensor.numel()


def images() -> Array:
    values: Array = np.cos(0.37 * np.arange(3 * 24 * 16)).reshape(1, 3, 24, 16).astype(np.float32)
    return values


def small() -> Small:
    module = Small()
    fill(module)
    module.eval()
    return module


def output_of(module: torch.nn.Module) -> Array:
    with torch.inference_mode():
        values: Array = module(torch.from_numpy(images())).numpy()
    return values


def test_our_blocks_compute_what_opencv_computed_from_the_same_file() -> None:
    np.testing.assert_allclose(output_of(small())[0, [3, 10]], OPENCV, atol=2e-4)


def test_our_blocks_compute_what_opencv_computes_from_the_same_file(tmp_path: Path) -> None:
    cv2 = pytest.importorskip("cv2")
    if not hasattr(cv2.dnn, "readNetFromDarknet"):
        pytest.skip(f"OpenCV {cv2.__version__} does not read darknet's files; 4.x does")
    (tmp_path / "n.cfg").write_text(CFG)
    save_darknet(small(), tmp_path / "n.weights")
    net = cv2.dnn.readNetFromDarknet(str(tmp_path / "n.cfg"), str(tmp_path / "n.weights"))
    net.setInput(images())
    np.testing.assert_allclose(output_of(small()), net.forward(), atol=2e-4)


def test_reorg_follows_darknet_s_index_arithmetic() -> None:
    channels, height, width = 8, 6, 4
    source = np.arange(channels * height * width, dtype=np.float32)
    expected = np.empty_like(source)
    groups = channels // 4
    for k, j, i in np.ndindex(channels, height, width):  # src/blas.c, reorg_cpu, forward = 0
        offset = k // groups
        column, row = 2 * i + offset % 2, 2 * j + offset // 2
        expected[i + width * (j + height * k)] = source[
            column + 2 * width * (row + 2 * height * (k % groups))
        ]
    ours = Reorg()(torch.from_numpy(source).reshape(1, channels, height, width))
    assert ours.shape == (1, 4 * channels, height // 2, width // 2)
    assert np.array_equal(ours.numpy().ravel(), expected)


def test_same_pooling_ends_where_the_picture_does() -> None:
    pixels = torch.tensor([[[[-5.0, -7.0], [-6.0, -8.0]]]])
    assert SamePooling()(pixels).tolist() == [[[[-5, -7], [-6, -8]]]]


def test_a_file_is_read_back_exactly(tmp_path: Path) -> None:
    save_darknet(small(), tmp_path / "n.weights", seen=7)
    other = Small()
    load_darknet(other, tmp_path / "n.weights")
    for name, tensor in small().state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name]), name
    save_darknet(other, tmp_path / "again.weights", seen=7)
    assert (tmp_path / "again.weights").read_bytes() == (tmp_path / "n.weights").read_bytes()


def test_the_shorter_header_of_version_0_1_is_read(tmp_path: Path) -> None:
    save_darknet(small(), tmp_path / "n.weights")
    data = (tmp_path / "n.weights").read_bytes()
    (tmp_path / "old.weights").write_bytes(np.array([0, 1, 0, 32013312], "<i4").tobytes() + data[20:])
    other = Small()
    load_darknet(other, tmp_path / "old.weights")
    assert torch.equal(other.region.weight, small().region.weight)


def test_numbers_come_in_darknet_s_order(tmp_path: Path) -> None:
    layer = Convolution(1, 2, 1).eval()
    header = np.array([0, 2, 5, 0, 0], "<i4").tobytes()
    (tmp_path / "n.weights").write_bytes(header + np.arange(1, 11, dtype="<f4").tobytes())
    load_darknet(layer, tmp_path / "n.weights")
    state = {name: value.flatten().tolist() for name, value in layer.state_dict().items()}
    assert state["1.bias"] == [1, 2]
    assert state["1.weight"] == [3, 4]  # darknet's scales
    assert state["1.running_mean"] == [5, 6]
    assert state["1.running_var"] == [7, 8]
    assert state["0.weight"] == [9, 10]


@pytest.mark.parametrize(
    ("extra", "named"),
    [
        (-4, r"ends in convolution 4 \(region, 28 to 14 channels, 1x1\)"),
        (-4 * (14 + 28 * 14 + 1), r"ends in convolution 3 \(passthrough\.0\.0, 8 to 4 channels, 1x1\)"),
        (8, r"goes on after convolution 4 \(region"),
    ],
)
def test_a_file_of_a_wrong_size_is_refused_with_the_layer(tmp_path: Path, extra: int, named: str) -> None:
    save_darknet(small(), tmp_path / "n.weights")
    data = (tmp_path / "n.weights").read_bytes()
    (tmp_path / "n.weights").write_bytes(data[:extra] if extra < 0 else data + bytes(extra))
    untouched = small()
    with pytest.raises(ModelError) as caught:
        load_darknet(untouched, tmp_path / "n.weights")
    assert caught.match(r"n\.weights does not hold the weights of this network")
    assert caught.match(named)
    assert "yolov2-tiny-darknet" in caught.value.cure
    assert torch.equal(untouched.region.weight, small().region.weight)


def test_a_file_that_ends_within_a_number_is_refused(tmp_path: Path) -> None:
    save_darknet(small(), tmp_path / "n.weights")
    (tmp_path / "n.weights").write_bytes((tmp_path / "n.weights").read_bytes() + b"\0")
    with pytest.raises(ModelError, match="damaged"):
        load_darknet(small(), tmp_path / "n.weights")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", np.array([2000, 1, 0, 0, 0], "<i4").tobytes()])
def test_a_file_that_is_none_of_darknet_s_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "n.weights").write_bytes(content)
    with pytest.raises(ModelError, match="not a darknet"):
        load_darknet(small(), tmp_path / "n.weights")
    with pytest.raises(ModelError, match="cannot read"):
        load_darknet(small(), tmp_path / "absent.weights")


@pytest.mark.parametrize(
    ("network", "size"),
    [
        (yolov2_darknet.network, 203_934_260),  # of the published file, whose header has 16 bytes
        (yolov2_tiny_darknet.network, 44_948_596),
    ],
)
def test_the_networks_are_of_the_published_files_size(
    network: Callable[[], torch.nn.Module], size: int
) -> None:
    with torch.device("meta"):
        state = network().state_dict()
    numbers = sum(tensor.numel() for name, tensor in state.items() if not name.endswith("tracked"))
    assert 16 + 4 * numbers == size


def test_the_tiny_network_makes_a_region_of_every_size_and_batch() -> None:
    module = yolov2_tiny_darknet.network().eval()
    with torch.inference_mode():
        assert module(torch.zeros(2, 3, 64, 96)).shape == (2, 425, 2, 3)


def test_the_version_and_the_number_of_pictures_are_written(tmp_path: Path) -> None:
    save_darknet(small(), tmp_path / "n.weights", seen=2**33)
    data = (tmp_path / "n.weights").read_bytes()
    assert np.frombuffer(data, "<i4", 3).tolist() == _darknet.HEADER.tolist()
    assert np.frombuffer(data[12:20], "<i8").tolist() == [2**33]


@pytest.mark.slow
def test_an_export_takes_darknets_own_file(tmp_path: Path) -> None:
    from vedette.export.build import export

    weights = tmp_path / "yolov2-tiny.weights"
    save_darknet(yolov2_tiny_darknet.network(), weights)
    card = export("yolov2_tiny_darknet", tmp_path / "tiny.onnx", weights=weights)
    assert card.decoder.family == "yolov2"
    assert len(card.labels) == 80
    for other in ("yolov2", "nanodet"):
        with pytest.raises(ModelError):
            export(other, tmp_path / "other.onnx", weights=weights)
