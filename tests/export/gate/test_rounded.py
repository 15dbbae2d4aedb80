"""A float16 graph on a CPU: its values are those of torch, rounded to half after every operator."""

from typing import Any

import numpy as np
import pytest

for needed in ("torch", "onnx", "onnxruntime"):
    pytest.importorskip(needed)

import torch  # noqa: E402
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from vedette.export.gate.rounded import rounded  # noqa: E402
from vedette.export.gate.sides import CpuGraph  # noqa: E402
from vedette.runtime.errors import ModelError  # noqa: E402

Array = np.ndarray[Any, Any]
RNG = np.random.default_rng(0)
IMAGE = RNG.standard_normal((1, 4, 8, 8)).astype(np.float32)
WEIGHTS = [RNG.standard_normal((4, 4, 3, 3)).astype(np.float16) for _ in range(3)]


def graph(nodes: Any, weights: dict[str, Array], *, door: int = TensorProto.FLOAT) -> bytes:
    """A model from `x` to `y`, of which both are float32 or float16."""
    values = [helper.make_tensor_value_info(name, door, ["n", 4, 8, 8]) for name in "xy"]
    tensors = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    made = helper.make_graph(nodes, "g", values[:1], values[1:], tensors)
    data: bytes = helper.make_model(
        made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8
    ).SerializeToString()
    return data


def chain(*, door: int = TensorProto.FLOAT) -> bytes:
    """Three convolutions with their activations, in float16."""
    nodes, last = [], "x"
    if door == TensorProto.FLOAT:
        nodes.append(helper.make_node("Cast", ["x"], ["h"], to=TensorProto.FLOAT16))
        last = "h"
    for index in range(3):
        nodes.append(
            helper.make_node("Conv", [last, f"w{index}"], [f"c{index}"], pads=[1] * 4, name=f"conv{index}")
        )
        nodes.append(helper.make_node("Sigmoid", [f"c{index}"], [f"s{index}"]))
        nodes.append(helper.make_node("Mul", [f"c{index}", f"s{index}"], [f"r{index}"]))
        last = f"r{index}"
    if door == TensorProto.FLOAT:
        nodes.append(helper.make_node("Cast", [last], ["y"], to=TensorProto.FLOAT))
    else:
        nodes[-1].output[0] = "y"
    return graph(nodes, {f"w{index}": weight for index, weight in enumerate(WEIGHTS)}, door=door)


def by_torch() -> tuple[Array, list[float]]:
    """What it gives, and the largest value of each convolution before it is rounded."""
    values, peaks = torch.from_numpy(IMAGE).half().float(), []
    for weight in WEIGHTS:
        wide = torch.nn.functional.conv2d(values, torch.from_numpy(weight).float(), padding=1)
        peaks.append(float(wide.abs().max()))
        made = wide.half().float()
        values = (made * torch.sigmoid(made).half().float()).half().float()
    return values.numpy(), peaks


@pytest.mark.parametrize("door", [TensorProto.FLOAT, TensorProto.FLOAT16])
def test_values_are_rounded_where_they_are_made_and_the_doors_stay(door: int) -> None:
    made = rounded(chain(door=door))
    engine = CpuGraph(made.model, made.watched)
    kind = helper.tensor_dtype_to_np_dtype(door)
    assert [(tensor.name, tensor.dtype) for tensor in (*engine.inputs, *engine.outputs)] == [
        ("x", kind.name), ("y", kind.name),
    ]  # fmt: skip
    expected, peaks = by_torch()
    found = engine({"x": IMAGE.astype(kind)})["y"]
    np.testing.assert_allclose(found.astype(np.float32), expected, rtol=2e-3, atol=2e-3)
    assert np.array_equal(found.astype(np.float16).astype(np.float32), found.astype(np.float32))
    assert [engine.peaks[f"conv{index} (Conv)"] for index in range(3)] == pytest.approx(peaks, rel=1e-3)
    engine.close()


def test_what_float16_does_not_hold_is_infinite_behind_and_a_number_in_what_is_watched() -> None:
    nodes = [
        helper.make_node("Cast", ["x"], ["h"], to=TensorProto.FLOAT16),
        helper.make_node("Mul", ["h", "large"], ["beyond"], name="grow"),
        helper.make_node("Div", ["beyond", "large"], ["back"], name="shrink"),
        helper.make_node("Cast", ["back"], ["y"], to=TensorProto.FLOAT),
    ]
    made = rounded(graph(nodes, {"large": np.array(50_000, np.float16)}))
    engine = CpuGraph(made.model, made.watched)
    found = engine({"x": np.full((1, 4, 8, 8), 2, np.float32)})["y"]
    assert np.isinf(found).all()
    # the nearest float16 to 50,000 is 50,016, and twice that is too much
    assert engine.peaks["grow (Mul)"] == pytest.approx(100_000, rel=1e-3)
    assert engine.peaks["shrink (Div)"] == np.inf
    engine.close()


def test_what_only_moves_values_is_neither_rounded_nor_watched() -> None:
    nodes = [
        helper.make_node("Cast", ["x"], ["h"], to=TensorProto.FLOAT16, name="enter"),
        helper.make_node("Transpose", ["h"], ["t"], perm=[0, 1, 3, 2], name="turn"),
        helper.make_node("Relu", ["t"], ["r"], name="cut"),
        helper.make_node("Cast", ["r"], ["y"], to=TensorProto.FLOAT),
    ]
    made = rounded(graph(nodes, {}))
    assert list(made.watched.values()) == ["enter (Cast)"]
    engine = CpuGraph(made.model, made.watched)
    expected = np.maximum(IMAGE.astype(np.float16).astype(np.float32).transpose(0, 1, 3, 2), 0)
    np.testing.assert_array_equal(engine({"x": IMAGE})["y"], expected)
    engine.close()


def test_a_float32_graph_stays_as_it_is_and_bytes_that_are_none_are_refused() -> None:
    model = graph([helper.make_node("Abs", ["x"], ["y"])], {})
    assert rounded(model).model is model
    assert not rounded(model).watched
    with pytest.raises(ModelError, match=r"m\.onnx is not a graph"):
        rounded(b"\xff\xff no graph", "m.onnx")
