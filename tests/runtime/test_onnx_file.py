"""What an ONNX file would read is found before anything can read it."""

import os
from pathlib import Path

import numpy as np
import pytest
import toy
from hypothesis import given, settings
from hypothesis import strategies as st

from vedette.runtime.errors import ModelError
from vedette.runtime.onnx_file import Value, external_files, graph_of

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
        graph_of(data)
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


DATA = Path(__file__).parents[3] / "shared" / "data"


@pytest.mark.parametrize(
    "path", sorted(DATA.glob("*/*.onnx")) or [pytest.param(DATA, marks=pytest.mark.skip("SKIPPED: no models"))]
)  # fmt: skip
def test_a_real_model_says_of_itself_what_onnx_reads(path: Path) -> None:
    model, found = onnx.load(str(path)), graph_of(path.read_bytes())
    for mine, other in ((found.inputs, model.graph.input), (found.outputs, model.graph.output)):
        sides = [[side.dim_value or -1 for side in value.type.tensor_type.shape.dim] for value in other]
        assert [(value.name, list(value.shape), value.dtype) for value in mine] == [
            (value.name, shape, "float32") for value, shape in zip(other, sides, strict=True)
        ]
    assert found.metadata == {entry.key: entry.value for entry in model.metadata_props}
    assert found.producer == model.producer_name


def test_weights_are_no_inputs() -> None:
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT16
    values = [helper.make_tensor_value_info(name, kind, ["n", 3]) for name in ("x", "w")]
    weights = onnx.numpy_helper.from_array(np.zeros((2, 3), np.float16), "w")
    graph = helper.make_graph([], "g", values, values[:1], [weights])
    found = graph_of(helper.make_model(graph).SerializeToString())
    assert found.inputs == (Value("x", "float16", (-1, 3)),)
