"""What every backend promises; walks the folder."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import toy

from vedette.runtime import manifest as manifests
from vedette.runtime.backends import replay
from vedette.runtime.backends._driver import why_no_driver
from vedette.runtime.engine import BACKENDS, Engine, choose_backend, open_engine
from vedette.runtime.errors import DeviceError, ModelError, UsageError
from vedette.runtime.frame import Array
from vedette.runtime.plugins import load, names

IMAGES = np.random.default_rng(0).random((2, 3, 32, 32), np.float32)


@contextmanager
def opened(folder: Path, backend: str) -> Iterator[Engine]:
    plugin = load(BACKENDS, backend)
    if plugin.why_not():
        pytest.skip(f"{backend}: {plugin.why_not()}")
    path = toy.recording(folder) if ".npz" in plugin.SUFFIXES else toy.onnx_model(folder)
    card, files = manifests.load(path)
    engine = open_engine(path, card, files, backend=backend)
    yield engine
    engine.close()


def expected(images: Array) -> Array:
    """The toy network by hand: 8 x 8 means, then a third of their sum where it has weights."""
    cells = images.reshape(len(images), 3, 4, 8, 4, 8).mean(axis=(3, 5))
    grid = np.zeros((len(images), 7, 4, 4), np.float32)
    grid[:, 0] = grid[:, 6] = cells.mean(axis=1)
    return grid


@pytest.mark.parametrize("backend", names(BACKENDS))
def test_every_backend_says_what_it_opens_and_why_not(backend: str) -> None:
    plugin = load(BACKENDS, backend)
    assert all(suffix.startswith(".") for suffix in plugin.SUFFIXES)
    assert isinstance(plugin.why_not(), str)


@pytest.mark.parametrize("backend", [name for name in names(BACKENDS) if name != "tensorrt"])
def test_tensors_have_the_names_and_types_of_the_manifest(tmp_path: Path, backend: str) -> None:
    with opened(tmp_path, backend) as engine:
        assert [(t.name, t.dtype) for t in engine.inputs] == [("images", "float32")]
        assert [(t.name, t.dtype) for t in engine.outputs] == [("grid", "float32")]
        assert engine.inputs[0].shape == (-1, 3, 32, 32)
        assert engine.backend


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("batch", [1, 2])
def test_a_graph_computes_what_a_hand_does(tmp_path: Path, backend: str, batch: int) -> None:
    with opened(tmp_path, backend) as engine:
        feeds = engine.buffers({"images": (batch, 3, 32, 32)})
        feeds["images"][...] = IMAGES[:batch]
        np.testing.assert_allclose(engine(feeds)["grid"], expected(IMAGES[:batch]), atol=1e-6)
        assert engine.buffers({"images": (batch, 3, 32, 32)})["images"] is feeds["images"]


@pytest.mark.parametrize("backend", ["onnxruntime"])
def test_inputs_of_a_wrong_shape_are_our_error(tmp_path: Path, backend: str) -> None:
    with opened(tmp_path, backend) as engine, pytest.raises(ModelError, match="refused the inputs"):
        engine({"images": np.zeros((1, 4, 32, 32), np.float32)})


def test_a_recording_plays_its_frames_in_turn_and_again(tmp_path: Path) -> None:
    path = tmp_path / "three.npz"
    replay.record(path, {"grid": np.arange(3, dtype=np.float32).reshape(3, 1, 1, 1) + toy.grid()})
    card, files = manifests.load(toy.with_manifest(path))
    engine = replay.open_engine(card, files)
    firsts = [engine({"images": IMAGES})["grid"][:, 1, 0, 0].tolist() for _ in range(3)]
    assert firsts == [[0, 1], [2, 0], [1, 2]]


@pytest.mark.parametrize("arrays", [{}, {"other": np.zeros(3)}, {"grid": np.zeros((0, 7, 4, 4))}])
def test_a_recording_without_its_outputs_is_refused(tmp_path: Path, arrays: dict[str, Array]) -> None:
    path = tmp_path / "bad.npz"
    replay.record(path, arrays)
    card, files = manifests.load(toy.with_manifest(path))
    with pytest.raises(ModelError):
        replay.open_engine(card, files)


def test_a_file_that_is_no_recording_is_refused() -> None:
    for content in (b"", b"nonsense", b"PK\x05\x06" + bytes(18)):
        with pytest.raises(ModelError, match="not a recording"):
            replay.open_engine(toy.CARD, {"x.npz": content})


def test_a_graph_that_lacks_what_its_manifest_promises_is_refused(tmp_path: Path) -> None:
    path = toy.onnx_model(tmp_path)
    card, files = manifests.load(path)
    renamed = manifests.parse(manifests.dumps(card).replace('"grid"', '"lattice"'))
    with pytest.raises(ModelError, match="lattice"):
        open_engine(path, renamed, files)


def test_auto_takes_onnxruntime_for_onnx_on_a_machine_without_gpu() -> None:
    assert choose_backend(Path("m.onnx"), "auto") == "onnxruntime"


def test_an_unknown_backend_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="abacus"):
        choose_backend(Path("m.onnx"), "abacus")


def test_an_engine_without_a_driver_is_a_device_error() -> None:
    if not why_no_driver():
        pytest.skip("this machine has a driver")
    for asked in ("auto", "tensorrt"):
        with pytest.raises(DeviceError) as caught:
            choose_backend(Path("m.engine"), asked)
        assert "libcuda" in caught.value.why


def test_a_file_of_no_known_kind_is_refused() -> None:
    with pytest.raises(ModelError, match="nothing here opens"):
        choose_backend(Path("m.tflite"), "auto")
