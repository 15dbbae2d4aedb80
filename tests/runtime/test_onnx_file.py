"""What an ONNX file would read is found before anything can read it."""

import os
from pathlib import Path

import numpy as np
import pytest
import toy
from hypothesis import given, settings
from hypothesis import strategies as st

from vedette.runtime.errors import ModelError
from vedette.runtime.onnx_file import external_files

pytest.importorskip("onnx")
import onnx


def outside(tensor: onnx.TensorProto, location: str) -> onnx.TensorProto:
    """The same tensor, its data said to lie elsewhere."""
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    tensor.external_data.add(key="offset", value="0")
    return tensor


def tensor(location: str) -> onnx.TensorProto:
    return outside(onnx.numpy_helper.from_array(np.zeros(3, np.float32), "t"), location)


def test_weights_inside_are_no_other_file(tmp_path: Path) -> None:
    assert external_files(toy.onnx_model(tmp_path).read_bytes()) == set()


def test_every_place_that_can_hold_a_tensor_is_searched() -> None:
    helper = onnx.helper
    inner = helper.make_graph([], "inner", [], [], [tensor("in-subgraph")])
    sparse = onnx.SparseTensorProto(values=tensor("sparse-values"), indices=tensor("sparse-indices"))
    nodes = [
        helper.make_node("Constant", [], ["a"], value=tensor("in-attribute")),
        helper.make_node("If", ["c"], ["b"], then_branch=inner, else_branch=inner),
        helper.make_node("X", [], ["d"], many=[tensor("in-list")], sparse=sparse),
    ]
    graph = helper.make_graph(nodes, "g", [], [], [tensor("initializer")])
    graph.sparse_initializer.append(sparse)
    function = helper.make_function(
        "d", "f", [], ["a"], [helper.make_node("Constant", [], ["a"], value=tensor("in-function"))],
        [helper.make_opsetid("", 17)],
    )  # fmt: skip
    model = helper.make_model(graph, functions=[function])
    assert external_files(model.SerializeToString()) == {
        "in-subgraph", "sparse-values", "sparse-indices", "in-attribute", "in-list", "initializer", "in-function",
    }  # fmt: skip


@pytest.mark.parametrize("data", [b"\xff" * 40, b"\x3a\xff\x01", b"\x0b", b"not an onnx file"])
def test_what_is_no_protocol_buffer_is_refused(data: bytes) -> None:
    with pytest.raises(ModelError, match="not an ONNX file"):
        external_files(data)


@settings(derandomize=True, max_examples=300, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        found = external_files(data)
    except ModelError:
        return
    assert all(isinstance(name, str) for name in found)


def test_deep_nesting_is_refused_not_followed() -> None:
    message = b""
    for _ in range(200):  # graph -> node -> attribute -> graph …
        for tag in (0x32, 0x2A, 0x0A):
            message = bytes([tag]) + _length(len(message)) + message
    with pytest.raises(ModelError):
        external_files(b"\x3a" + _length(len(message)) + message)


def _length(value: int) -> bytes:
    out = b""
    while value > 127:
        out, value = out + bytes([value & 127 | 128]), value >> 7
    return out + bytes([value])


def test_a_large_model_costs_little(tmp_path: Path) -> None:
    big = onnx.numpy_helper.from_array(np.frombuffer(os.urandom(8 << 20), np.uint8), "big")
    graph = onnx.helper.make_graph([], "g", [], [], [big])
    assert external_files(onnx.helper.make_model(graph).SerializeToString()) == set()
