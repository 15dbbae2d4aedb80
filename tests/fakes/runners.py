"""Runners on the fake GPU beside a HostRunner, and models that answer each picture of a batch in its own way.

In: a model file.  Out: a CudaRunner over a FakeGpu, a HostRunner over ONNX Runtime; frames to give both.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import toy

from fakes.driver import installed
from fakes.gpu import FakeGpu
from fakes.tensorrt_ import VERSION, plan, tensorrt_installed
from vedette.runtime import manifest as manifests
from vedette.runtime.backends import onnxruntime_, tensorrt_
from vedette.runtime.cuda_program import Key, Program
from vedette.runtime.cuda_readers.reader import Room
from vedette.runtime.frame import Array, Frame
from vedette.runtime.manifest import Manifest
from vedette.runtime.objects import ObjectMasks
from vedette.runtime.results import Result
from vedette.runtime.runner import HostRunner, Recipe, Runner, runner_of
from vedette.runtime.tasks import Config


def opened(model: Path, version: str = VERSION) -> tuple[Manifest, bytes, tensorrt_.TensorRtEngine]:
    """A model as a fake engine: its card, its ONNX bytes, and the engine on the fake GPU."""
    card, files = manifests.load(model)
    onnx = next(iter(files.values()))
    profiles = [{spec.name: spec.bounds() for spec in card.inputs if -1 in spec.shape}]
    card = replace(card, build={"lane": "tensorrt", "version": version, "compute_capability": "8.9"})
    engine_file = plan(onnx, version=version, profiles=profiles)
    return card, onnx, tensorrt_.open_engine(card, {"m.engine": engine_file})


@contextmanager
def machine(gpu: FakeGpu | None = None, version: str = VERSION) -> Iterator[FakeGpu]:
    gpu = gpu or FakeGpu()
    with installed(gpu), tensorrt_installed(gpu, version=version):
        yield gpu


def run(runner: Runner, frames: Sequence[Frame]) -> list[Result]:
    return runner.submit(frames).results()


def pictures(count: int, size: tuple[int, int] = (97, 65), *, seed: int = 0) -> list[Frame]:
    made = []
    for index in range(count):
        random = np.random.default_rng(seed + index)
        picture = random.integers(0, 64, (size[1], size[0], 3), np.uint8)
        picture[10 : 20 + index, 30:60] = 250
        made.append(Frame((picture,), index=index))
    return made


def runners(model: Path, config: Config = Config()) -> tuple[Runner, HostRunner, tensorrt_.TensorRtEngine]:
    card, onnx, engine = opened(model)
    host = HostRunner(Recipe(card, config), onnxruntime_.OrtEngine(onnx))
    return runner_of(Recipe(card, config), engine), host, engine


def assert_equal(found: Sequence[Result], expected: Sequence[Result]) -> None:
    """The same boxes, masks and keypoints, to the bit."""
    for mine, other in zip(found, expected, strict=True):
        assert mine.boxes is not None
        assert other.boxes is not None
        for field in ("xyxy", "conf", "cls"):
            np.testing.assert_array_equal(getattr(mine.boxes, field), getattr(other.boxes, field))
        assert (mine.keypoints is None, mine.masks is None) == (other.keypoints is None, other.masks is None)
        if mine.keypoints is not None and other.keypoints is not None:
            np.testing.assert_array_equal(mine.keypoints.xy, other.keypoints.xy)
            np.testing.assert_array_equal(mine.keypoints.conf, other.keypoints.conf)
        if isinstance(mine.masks, ObjectMasks) and isinstance(other.masks, ObjectMasks):
            assert mine.masks.packed.size == other.masks.packed.size
            np.testing.assert_array_equal(mine.masks.packed.windows, other.masks.packed.windows)
            for one, two in zip(mine.masks.packed.words, other.masks.packed.words, strict=True):
                np.testing.assert_array_equal(one, two)


def reader_kind(model: Path, frames: Sequence[Frame], config: Config = Config()) -> type:
    """The class that reads what a model leaves on the GPU for these frames."""
    card, _, engine = opened(model)
    recipe = Recipe(card, config)
    ((_, placements),) = recipe.batches(frames)
    on_device, key = engine.on_device, Key.of(frames, placements, Room(16, 1))
    assert on_device is not None
    program = on_device.device.call(Program, recipe, on_device, key)
    kind = type(program.reader)
    on_device.device.call(program.release)
    del program
    engine.close()
    return kind


def told_frames(numbers: Sequence[int], size: tuple[int, int] = (97, 65)) -> list[Frame]:
    """Pictures for which a telling model gives its answers of these numbers."""
    return [Frame((np.full((size[1], size[0], 3), 10 * number + 5, np.uint8),)) for number in numbers]


def telling_model(folder: Path, card: Manifest, answers: Sequence[Mapping[str, Array]]) -> Path:
    """A graph that answers a picture, of values 0 to 255, by how bright it is, less than its padding: see told_frames."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    weights = [numpy_helper.from_array(np.array(10, np.float32), "step")]
    nodes = [
        helper.make_node("ReduceMin", ["images"], ["brightness"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Div", ["brightness", "step"], ["steps"]),
        helper.make_node("Cast", ["steps"], ["number"], to=TensorProto.INT64),
    ]
    infos = []
    for name in answers[0]:
        values = np.stack([answer[name] for answer in answers]).astype(np.float32)
        weights.append(numpy_helper.from_array(values, f"{name}_answers"))
        nodes.append(helper.make_node("Gather", [f"{name}_answers", "number"], [name]))
        infos.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *values.shape[1:]]))
    pictures = helper.make_tensor_value_info(
        "images", TensorProto.FLOAT, ["batch", *card.inputs[0].shape[1:]]
    )
    graph = helper.make_graph(nodes, "telling", [pictures], infos, weights)
    path = folder / "telling.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))
    return toy.with_manifest(path, card)
