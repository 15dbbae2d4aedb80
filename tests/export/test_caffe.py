"""The reader of .caffemodel files, on files that protobuf itself writes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("google.protobuf")

from caffemodel import written
from numpy.typing import NDArray

from vedette.export._caffe import read_caffemodel
from vedette.runtime.errors import ModelError

Arrays = Mapping[str, list[NDArray[Any]]]


def arrays() -> dict[str, list[NDArray[Any]]]:
    random = np.random.default_rng(0)
    return {
        "conv1_1": [random.normal(size=(4, 3, 3, 3)).astype(np.float32), np.arange(4, dtype=np.float32)],
        "prelu": [np.full(4, 0.25, np.float32)],
        "relu": [],
        "scalar": [np.array([2.5], np.float32)],
    }


@pytest.mark.parametrize("form", ["layer", "layers"])
@pytest.mark.parametrize("shape", ["shape", "four numbers"])
@pytest.mark.parametrize("numbers", ["packed", "apart", "double"])
def test_what_protobuf_writes_comes_back(tmp_path: Path, form: str, shape: str, numbers: str) -> None:
    path = tmp_path / "net.caffemodel"
    path.write_bytes(written(arrays(), form=form, shape=shape, numbers=numbers))
    found = read_caffemodel(path)
    assert list(found) == ["conv1_1.weight", "conv1_1.bias", "prelu.weight", "scalar.weight"]
    for name, tensor in found.items():
        layer, part = name.split(".")
        expected = arrays()[layer][("weight", "bias").index(part)]
        np.testing.assert_array_equal(tensor.numpy().squeeze(), expected.squeeze())
        if shape == "shape":
            assert tensor.shape == expected.shape


@pytest.mark.parametrize("cut", [1, 5, 40, 200])
def test_a_file_that_ends_early_is_refused(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "net.caffemodel"
    path.write_bytes(written(arrays())[:-cut])
    with pytest.raises(ModelError, match=r"is not a \.caffemodel"):
        read_caffemodel(path)


@pytest.mark.parametrize("data", [b"", b"\x07", b"\xff" * 20, b"PK\x03\x04 a zip file", b"\x80", bytes(100)])
def test_another_file_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "net.caffemodel"
    path.write_bytes(data)
    with pytest.raises(ModelError, match=r"is not a \.caffemodel"):
        read_caffemodel(path)


def test_random_bytes_never_crash_it(tmp_path: Path) -> None:
    random, path, good = np.random.default_rng(1), tmp_path / "net.caffemodel", written(arrays())
    for _ in range(300):
        data = bytearray(good)
        for place in random.integers(0, len(data), 3):
            data[place] = random.integers(256)
        path.write_bytes(data)
        try:
            read_caffemodel(path)
        except ModelError:
            continue


def test_a_blob_of_another_size_than_its_shape_is_named(tmp_path: Path) -> None:
    path = tmp_path / "net.caffemodel"
    path.write_bytes(written(arrays(), wrong="prelu"))
    with pytest.raises(ModelError) as refused:
        read_caffemodel(path)
    assert "prelu.weight has 4 numbers, but its shape is [5]" in str(refused.value.why)


def test_no_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot read"):
        read_caffemodel(tmp_path / "none.caffemodel")
