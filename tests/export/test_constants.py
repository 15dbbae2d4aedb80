"""Style networks as their authors export them: told a style by a second input, or taking and giving values of bytes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vedette import Model
from vedette.export._constants import with_constants
from vedette.export.adopt import adopt
from vedette.runtime.errors import ModelError, SourceError, UsageError

onnx = pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")
Array = np.ndarray[Any, Any]
STYLES, CODE = 4, (1, 1, 1, 6)


def graph(
    path: Path, nodes: list[Any], inputs: dict[str, Any], outputs: dict[str, Any], **given: Array
) -> Path:
    """A model of float tensors."""
    helper, numpy_helper, kinds = onnx.helper, onnx.numpy_helper, onnx.TensorProto
    values = [
        [helper.make_tensor_value_info(name, kinds.FLOAT, shape) for name, shape in side.items()]
        for side in (inputs, outputs)
    ]
    weights = [numpy_helper.from_array(array, name) for name, array in given.items()]
    made = helper.make_graph(nodes, "g", *values, weights)
    onnx.save(helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def styled(path: Path, told: tuple[int, ...] = (STYLES,)) -> Path:
    """A picture [1, 3, h, w], 0 to 1, and what says how it is drawn: each of its numbers brings forth other colours."""
    node = onnx.helper.make_node
    colours = np.random.default_rng(0).normal(0, 3, (int(np.prod(told)), 9)).astype(np.float32)
    nodes = [
        node("Reshape", ["style", "row"], ["asked"]),
        node("MatMul", ["asked", "colours"], ["mixed"]),
        node("Reshape", ["mixed", "square"], ["mixing"]),
        node("Conv", ["images", "mixing"], ["moved"]),
        node("Sigmoid", ["moved"], ["picture"]),
    ]
    return graph(
        path, nodes, {"images": [1, 3, "h", "w"], "style": list(told)}, {"picture": ["n", 3, "h", "w"]},
        colours=colours, row=np.array([1, -1]), square=np.array([3, 3, 1, 1]),
    )  # fmt: skip


def drawn(path: Path, picture: Array, style: Array) -> Array:
    """What ONNX Runtime makes of it, as bytes: the oracle."""
    session = ort.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    feed = picture[None, ..., ::-1].transpose(0, 3, 1, 2).astype(np.float32) / np.float32(255)
    (made,) = session.run(None, {"images": feed, "style": style.astype(np.float32)})
    pixels: Array = np.rint(255 * made[0].transpose(1, 2, 0)[..., ::-1]).astype(np.uint8)
    return pixels


def photo(height: int = 64, width: int = 96) -> Array:
    return np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8)


@pytest.mark.parametrize(
    ("said", "style"),
    [
        ((), [1, 0, 0, 0]),
        (("style=2:1",), [0, 0, 1, 0]),
        (("style=0:0.5,3:0.5",), [0.5, 0, 0, 0.5]),
        (("style=.1,.2,.3,.4",), [0.1, 0.2, 0.3, 0.4]),
    ],
)
def test_a_style_is_a_constant_of_the_adopted_model(
    tmp_path: Path, said: tuple[str, ...], style: list[float]
) -> None:
    path, picture = styled(tmp_path / "m.onnx"), photo()
    tried = adopt(path, tmp_path / "out.onnx", constants=said)
    assert "style [4]" in tried.proposal.reasons[0]
    result = Model(tmp_path / "out.onnx", backend="onnxruntime")(picture)[0]
    assert result.image is not None
    assert np.abs(result.image.astype(int) - drawn(path, picture, np.array(style))).max() <= 1


def test_a_code_comes_from_a_file(tmp_path: Path) -> None:
    path, code = styled(tmp_path / "m.onnx", CODE), np.arange(6, dtype=np.float32) - 3
    np.save(tmp_path / "code.npy", code)
    adopt(path, tmp_path / "out.onnx", constants=[f"style={tmp_path / 'code.npy'}"])
    result = Model(tmp_path / "out.onnx", backend="onnxruntime")(photo())[0]
    assert result.image is not None
    assert np.abs(result.image.astype(int) - drawn(path, photo(), code.reshape(CODE))).max() <= 1


@pytest.mark.parametrize("last", [False, True])
def test_a_code_is_made_of_a_painting(tmp_path: Path, last: bool) -> None:
    """By the middle of it, at the size that the other graph takes: here, its mean and its brightest, RGB."""
    import cv2

    node, shape = onnx.helper.make_node, [1, 8, 8, 3] if last else [1, 3, 8, 8]
    axes = [1, 2] if last else [2, 3]
    nodes = [
        node("ReduceMean", ["painting"], ["mean"], axes=axes, keepdims=0),
        node("ReduceMax", ["painting"], ["most"], axes=axes, keepdims=0),
        node("Concat", ["mean", "most"], ["code"], axis=1),
    ]
    graph(tmp_path / "code.onnx", nodes, {"painting": shape}, {"code": [1, 6]})
    painting = np.zeros((16, 40, 3), np.uint8)
    painting[:, 12:28] = 10, 100, 200  # the square in the middle; what is beside it is not looked at
    cv2.imwrite(str(tmp_path / "p.png"), painting)
    path = styled(tmp_path / "m.onnx", CODE)
    adopt(path, tmp_path / "out.onnx", constants=[f"style={tmp_path / 'p.png'}@{tmp_path / 'code.onnx'}"])
    result = Model(tmp_path / "out.onnx", backend="onnxruntime")(photo())[0]
    code = np.array([200, 100, 10] * 2).reshape(CODE) / 255
    assert result.image is not None
    assert np.abs(result.image.astype(int) - drawn(path, photo(), code)).max() <= 1
    with pytest.raises(SourceError, match=r"cannot read .*none\.png"):
        adopt(
            path, tmp_path / "out.onnx", constants=[f"style={tmp_path / 'none.png'}@{tmp_path / 'code.onnx'}"]
        )


@pytest.mark.parametrize(
    "said",
    [
        "style=1,2,3",
        "style=4:1",
        "style=-1:1",
        "style=red",
        "style=",
        "style=none.npy",
        "images=1",
        "other=1",
        "style",
    ],
)
def test_what_does_not_fit_is_refused(tmp_path: Path, said: str) -> None:
    with pytest.raises(UsageError, match=r"does not fit|sets nothing"):
        with_constants(styled(tmp_path / "m.onnx").read_bytes(), [said])


def test_a_code_that_nobody_sets_is_not_guessed(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="besides the picture: style") as caught:
        adopt(styled(tmp_path / "m.onnx", CODE), tmp_path / "out.onnx")
    assert "--set 'style=VALUE'" in caught.value.cure
    assert not (tmp_path / "out.onnx").exists()


def test_a_model_of_one_input_is_left_as_it_is(tmp_path: Path) -> None:
    nodes = [onnx.helper.make_node("Sigmoid", ["images"], ["picture"])]
    model = graph(
        tmp_path / "m.onnx", nodes, {"images": [1, 3, 8, 8]}, {"picture": [1, 3, 8, 8]}
    ).read_bytes()
    assert with_constants(model) == (model, ())
    with pytest.raises(UsageError, match="sets nothing"):
        with_constants(model, ["style=1"])


def test_who_gives_bytes_whatever_it_is_given_takes_bytes(tmp_path: Path) -> None:
    """As Johnson's networks do, whose instance norms hide that 0 to 1 is too dark."""
    nodes = [
        onnx.helper.make_node("InstanceNormalization", ["images", "gain", "bias"], ["picture"], epsilon=1e-4)
    ]
    gain, bias = np.full(3, 60, np.float32), np.full(3, 120, np.float32)
    sides = [1, 3, "h", "w"]
    path = graph(tmp_path / "m.onnx", nodes, {"images": sides}, {"picture": sides}, gain=gain, bias=bias)
    card = adopt(path, tmp_path / "out.onnx").proposal.card
    assert (card.decoder.parameters["white"], card.inputs[0].scale) == (255.0, 1.0)


def test_who_gives_bytes_only_for_shares_takes_shares(tmp_path: Path) -> None:
    nodes = [
        onnx.helper.make_node("Mul", ["images", "full"], ["large"]),
        onnx.helper.make_node("Clip", ["large", "none", "full"], ["picture"]),
    ]
    full, sides = np.array(255, np.float32), [1, 3, "h", "w"]
    path = graph(
        tmp_path / "m.onnx",
        nodes,
        {"images": sides},
        {"picture": sides},
        full=full,
        none=np.zeros((), np.float32),
    )
    card = adopt(path, tmp_path / "out.onnx").proposal.card
    assert (card.decoder.parameters["white"], card.inputs[0].scale) == (255.0, 1 / 255)
    result = Model(tmp_path / "out.onnx", backend="onnxruntime")(photo())[0]
    assert result.image is not None
    assert np.abs(result.image.astype(int) - photo()).max() <= 1
