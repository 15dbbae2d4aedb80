"""Inputs of a foreign graph beside its picture, made constants: the weights of its styles, the code of a painting.

In: the bytes of an ONNX model, and NAME=VALUE.  Out: the model with one input, and what was done.
VALUE is as many numbers as the input holds, 3:0.5,12:0.5 (all others zero), FILE.npy, or PICTURE@MODEL.onnx: what that
graph makes of that picture, which is how the networks of Ghiasi et al., BMVC 2017, are told a style.
Next: adopt.py; _channels_first.py, which wants one input.
"""

from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from vedette.runtime import manifest as manifests
from vedette.runtime.backends.onnxruntime_ import OrtEngine
from vedette.runtime.errors import ModelError, SourceError, UsageError
from vedette.runtime.frame import Array
from vedette.runtime.onnx_file import Graph, Value, graph_of
from vedette.runtime.runner import SIZES

CHANNELS = 3
FLOATS = ("float32", "float16")


def with_constants(model: bytes, said: Sequence[str] = ()) -> tuple[bytes, tuple[str, ...]]:
    """The same network of a picture alone. Of styles' weights that nobody sets, the first is 1.

    Args:
        model: the bytes of an ONNX model.
        said: NAME=VALUE of inputs.

    Returns:
        The model, and a line for every input that was made a constant.

    Raises:
        UsageError: no such input, or a value that does not fit it.
        ModelError: an input that no picture fills, and nothing is set for.
    """
    graph = graph_of(model)
    others = _others(graph)
    texts = dict(_parted(text, others) for text in said)
    values = {name: _value(others[name], text) for name, text in texts.items()}
    values |= {name: _first(other) for name, other in others.items() if name not in values}
    told = tuple(
        f"its input {name} {list(others[name].shape)} is {_told(value)}" for name, value in values.items()
    )
    return (_with(model, values) if values else model), told


def _others(graph: Graph) -> dict[str, Value]:
    """Inputs besides the one picture; none where several may be pictures, or none is."""
    inputs = [value for value in graph.inputs if value.name != SIZES]
    pictures = [
        value
        for value in inputs
        if len(value.shape) in (3, 4) and CHANNELS in (value.shape[-3], value.shape[-1])
    ]
    return {value.name: value for value in inputs if value not in pictures} if len(pictures) == 1 else {}


def _parted(text: str, others: Mapping[str, Value]) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or name not in others:
        there = (
            ", ".join(f"{one.name} {list(one.shape)}" for one in others.values()) or "no input but a picture"
        )
        raise UsageError(
            f"--set {text} sets nothing", why=f"this model has {there}", cure="--set NAME=NUMBERS"
        )
    return name, value


def _value(spec: Value, text: str) -> Array:
    """What a text says, in the shape of its input; an axis of no fixed length is 1."""
    shape = tuple(side if side > 0 else 1 for side in spec.shape)
    try:
        found = _numbers(text, int(np.prod(shape)))
        value: Array = found.reshape(shape).astype(spec.dtype)
    except (ValueError, IndexError, OSError) as error:
        raise UsageError(
            f"--set {spec.name}={text} does not fit",
            why=f"the input is {spec.dtype} {list(spec.shape)}; {error}",
            cure="give its numbers, INDEX:NUMBER, a file.npy, or PICTURE@MODEL.onnx",
        ) from None
    return value


def _numbers(text: str, count: int) -> Array:
    picture, at, model = text.rpartition("@")
    if at:
        return _made_of(Path(picture), Path(model))
    if text.endswith(".npy"):
        return np.asarray(np.load(text, allow_pickle=False))
    if ":" not in text:
        return np.array([float(part) for part in text.split(",")])
    values = np.zeros(count)
    for pair in text.split(","):
        index, _, number = pair.partition(":")
        values[_index(int(index), count)] = float(number)
    return values


def _index(index: int, count: int) -> int:
    if not 0 <= index < count:
        raise IndexError(f"{index} is not in 0..{count - 1}")
    return index


def _made_of(picture: Path, model: Path) -> Array:
    """The first output of a graph for a picture: its middle, at the graph's size, RGB from 0 to 1."""
    import cv2

    image = cv2.imread(str(picture), cv2.IMREAD_COLOR)
    if image is None:
        raise SourceError(
            f"cannot read {picture}", why="it is no picture that OpenCV reads", cure="give a .jpg or .png"
        )
    with closing(OrtEngine(manifests.read(model), name=model.stem)) as engine:
        spec = engine.inputs[0]
        last = len(spec.shape) == 4 and spec.shape[-1] == CHANNELS
        height, width = (side if side > 0 else 256 for side in (spec.shape[1:3] if last else spec.shape[2:]))
        side = min(image.shape[:2])
        top, left = ((length - side) // 2 for length in image.shape[:2])
        square = cv2.resize(
            image[top : top + side, left : left + side], (width, height), interpolation=cv2.INTER_AREA
        )
        values: Any = square[None, ..., ::-1].astype(np.float32) / np.float32(255)
        feed = np.ascontiguousarray(values if last else values.transpose(0, 3, 1, 2))
        outputs = engine({spec.name: feed})
    return next(iter(outputs.values()))


def _first(spec: Value) -> Array:
    """1 for the first of a row of weights."""
    if len(spec.shape) != 1 or spec.shape[0] < 1 or spec.dtype not in FLOATS:
        raise ModelError(
            f"it has an input besides the picture: {spec.name} {list(spec.shape)}",
            why="a stream has pictures, and nothing else to give",
            cure=f"make it a constant with --set '{spec.name}=VALUE': numbers, a file.npy, or PICTURE@MODEL.onnx",
        )
    value = np.zeros(spec.shape, spec.dtype)
    value[0] = 1
    return value


def _told(value: Array) -> str:
    """'1 at 0, else 0', or its range."""
    places = np.flatnonzero(value)
    if len(places) <= 3 < value.size:
        return ", ".join(f"{value.ravel()[place]:g} at {place}" for place in places) + ", else 0"
    return f"set, {value.min():.3g} to {value.max():.3g}"


def _with(model: bytes, values: Mapping[str, Array]) -> bytes:
    import onnx

    proto = onnx.load_model_from_string(model)
    for value in [value for value in proto.graph.input if value.name in values]:
        proto.graph.input.remove(value)
    proto.graph.initializer.extend(
        onnx.numpy_helper.from_array(array, name) for name, array in values.items()
    )
    serialised: bytes = proto.SerializeToString()
    return serialised
