"""The fake TensorRT, of either personality, answers as the real one does and refuses misuse."""

from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
import toy
from numpy.typing import NDArray

from fakes.driver import FakeGpu, installed
from fakes.tensorrt_ import SCRATCH, bindings, plan
from vedette.kernels.device import Device

Array = NDArray[Any]
VERSIONS = ["8.6.1", "10.13.3.9"]
PROFILE = {"images": ((1, 3, 32, 32), (1, 3, 32, 32), (4, 3, 32, 32))}
OUTPUT_BYTES = 7 * 4 * 4 * 4  # of one picture


class Rig:
    """An engine and a context on the device thread, with memory for two pictures; freed in the right order."""

    def __init__(self, device: Device, trt: ModuleType, engine_file: bytes) -> None:
        self.device, self.trt = device, trt
        self.engine = trt.Runtime(trt.Logger(trt.Logger.WARNING)).deserialize_cuda_engine(engine_file)
        self.scratch = int(device.allocate(SCRATCH))
        self.input, self.output = device.allocate(1 << 16), device.allocate(1 << 16)
        self.host = device.pinned(1 << 16)
        self.context = self.new_context()

    def new_context(self) -> Any:
        """Without memory of its own, as its version says that."""
        if hasattr(self.trt, "ExecutionContextAllocationStrategy"):
            strategy = self.trt.ExecutionContextAllocationStrategy.USER_MANAGED
            context = self.engine.create_execution_context(strategy)
            context.set_device_memory(self.scratch, SCRATCH)
        else:
            context = self.engine.create_execution_context_without_device_memory()
            context.device_memory = self.scratch
        return context

    def bind(self, batch: int) -> None:
        assert self.context.set_input_shape("images", (batch, 3, 32, 32))
        assert self.context.set_tensor_address("images", int(self.input))
        assert self.context.set_tensor_address("grid", int(self.output))

    def execute(self) -> None:
        assert self.context.execute_async_v3(self.device.stream)

    def run(self, images: Array) -> Array:
        self.bind(len(images))
        self.host.memory[: images.nbytes] = images.reshape(-1).view(np.uint8)
        self.device.upload(int(self.input), self.host.memory[: images.nbytes])
        self.execute()
        self.device.download(self.host.memory[: len(images) * OUTPUT_BYTES], int(self.output))
        self.device.synchronize()
        found: Array = self.host.memory[: len(images) * OUTPUT_BYTES].view(np.float32)
        return found.reshape(-1, 7, 4, 4).copy()

    def close(self) -> None:
        self.context = self.engine = None


@pytest.fixture
def gpu() -> Iterator[FakeGpu]:
    with installed(FakeGpu()) as gpu:
        yield gpu


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return toy.onnx_model(tmp_path_factory.mktemp("toy")).read_bytes()


@pytest.fixture(params=VERSIONS)
def rig(request: pytest.FixtureRequest, gpu: FakeGpu, model: bytes) -> Iterator[Rig]:
    device = Device()
    engine_file = plan(model, version=request.param, profiles=[PROFILE, PROFILE])
    made = device.call(Rig, device, bindings(gpu, version=request.param), engine_file)
    yield made
    device.call(made.close)
    device.close()


@pytest.mark.parametrize("batch", [1, 2])
def test_it_computes_what_onnx_runtime_does(rig: Rig, model: bytes, batch: int) -> None:
    images = np.random.default_rng(0).random((batch, 3, 32, 32), np.float32)
    session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    np.testing.assert_array_equal(rig.device.call(rig.run, images), session.run(None, {"images": images})[0])


def test_it_tells_the_tensors(rig: Rig) -> None:
    engine, trt = rig.engine, rig.trt
    assert [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)] == ["images", "grid"]
    assert engine.get_tensor_mode("images") is trt.TensorIOMode.INPUT
    assert trt.nptype(engine.get_tensor_dtype("grid")) is np.float32
    assert tuple(engine.get_tensor_shape("grid")) == (-1, 7, 4, 4)
    assert [shape[0] for shape in engine.get_tensor_profile_shape("images", 0)] == [1, 1, 4]
    assert rig.device.call(rig.context.infer_shapes) == ["images"]
    rig.device.call(rig.bind, 2)
    assert rig.device.call(rig.context.infer_shapes) == []
    assert rig.device.call(rig.context.get_tensor_shape, "grid") == (2, 7, 4, 4)


def test_a_shape_outside_the_profile_is_false(rig: Rig, gpu: FakeGpu) -> None:
    for shape in ((5, 3, 32, 32), (1, 3, 32, 33), (1, 3, 32)):
        assert not rig.device.call(rig.context.set_input_shape, "images", shape)
    assert "its profile has (1, 3, 32, 32) to (4, 3, 32, 32)" in gpu.log[0]


@pytest.mark.parametrize("version", VERSIONS)
def test_engines_of_other_machines_are_none(gpu: FakeGpu, model: bytes, version: str) -> None:
    device, trt = Device(), bindings(gpu, version=version)

    def opened(engine_file: bytes) -> bool:
        return trt.Runtime(trt.Logger()).deserialize_cuda_engine(engine_file) is not None

    other = plan(model, version="10.0.0"), plan(model, version=version, capability=(8, 6)), b"not an engine"
    assert [device.call(opened, engine_file) for engine_file in other] == [False] * 3
    said = "expecting library version", "expecting compute 8.9 got compute 8.6", "Magic tag"
    assert all(words in line for words, line in zip(said, gpu.log, strict=True))
    device.close()


def _too_small(rig: Rig) -> None:
    rig.bind(2)
    rig.context.set_tensor_address("grid", int(rig.output) + (1 << 16) - OUTPUT_BYTES)
    rig.execute()


def _freed(rig: Rig) -> None:
    rig.bind(1)
    rig.input.memory.free()
    rig.device._memory._all.remove(rig.input.memory)
    rig.execute()


def _without_address(rig: Rig) -> None:
    rig.context.set_input_shape("images", (1, 3, 32, 32))
    rig.context.set_tensor_address("images", int(rig.input))
    rig.execute()


def _without_scratch(rig: Rig) -> None:
    rig.context._memory = 0, 0
    rig.bind(1)
    rig.execute()


def _engine_gone(rig: Rig) -> None:
    rig.engine = None
    rig.bind(1)


def _context_gone(rig: Rig) -> None:
    rig.bind(1)
    rig.execute()
    rig.context = None
    rig.device.synchronize()


def _address_of_nobody(rig: Rig) -> None:
    rig.bind(1)
    rig.context.set_tensor_address("images", 7)
    rig.execute()


def _default_stream(rig: Rig) -> None:
    rig.bind(1)
    rig.context.execute_async_v3(0)


def _captured_cold(rig: Rig) -> None:
    rig.bind(1)
    rig.device.graph(rig.execute)


def _bound_in_capture(rig: Rig) -> None:
    rig.device.graph(lambda: rig.bind(1))


MISUSES: dict[str, tuple[str, Callable[[Rig], None]]] = {
    "shape unset": ("before the shape of images", Rig.execute),
    "address unset": ("before the address of grid", _without_address),
    "address of nobody": ("tensor images: 0x7 is not device", _address_of_nobody),
    "too little room": ("tensor grid: 896 bytes do not fit", _too_small),
    "freed": ("tensor images: the memory was freed", _freed),
    "no device memory": ("device memory of a context: 0 bytes", _without_scratch),
    "default stream": ("another stream", _default_stream),
    "engine gone": ("whose engine is gone", _engine_gone),
    "context gone before its work": ("destroyed before its work was done", _context_gone),
    "captured cold": ("before it ran once", _captured_cold),
    "shape set in capture": ("set_input_shape during capture", _bound_in_capture),
}


@pytest.mark.parametrize("name", MISUSES)
def test_misuse_is_refused(rig: Rig, gpu: FakeGpu, name: str) -> None:
    what, work = MISUSES[name]
    with gpu.refusing(what):
        rig.device.call(work, rig)


def test_another_thread_is_refused(rig: Rig, gpu: FakeGpu) -> None:
    with gpu.refusing("on another thread"):
        rig.execute()
    with gpu.refusing("on another thread"):
        rig.new_context()


def test_a_context_of_a_dead_device_is_told(gpu: FakeGpu, model: bytes) -> None:
    device = Device()
    rig = device.call(Rig, device, bindings(gpu), plan(model, profiles=[PROFILE]))
    with gpu.refusing("left behind when the context is detached: .*IExecutionContext10"):
        device.close()
    rig.close()


def test_a_graph_keeps_shapes_and_addresses(rig: Rig, gpu: FakeGpu) -> None:
    images = np.ones((1, 3, 32, 32), np.float32)

    def work() -> None:
        expected = rig.run(images)
        graph = rig.device.graph(rig.execute)
        other = rig.device.allocate(1 << 16)
        rig.context.set_tensor_address("grid", int(other))
        gpu.reset()
        graph.launch()
        rig.device.download(rig.host.memory[:OUTPUT_BYTES], int(rig.output))
        rig.device.synchronize()
        assert (rig.host.memory[:OUTPUT_BYTES].view(np.float32) == expected.reshape(-1)).all()
        gpu.counted(graph_launches=1, inferences=1, downloads=1)
        graph.free()

    rig.device.call(work)


def test_a_second_context_of_version_8_needs_a_profile(rig: Rig, gpu: FakeGpu) -> None:
    def work() -> None:
        first, rig.context = rig.context, rig.new_context()
        try:
            rig.bind(1)
            if hasattr(rig.engine, "device_memory_size"):
                with gpu.refusing("before it chose an optimisation profile"):
                    rig.execute()
                assert rig.context.set_optimization_profile_async(1, rig.device.stream)
                rig.bind(1)
            rig.execute()
            rig.device.synchronize()
        finally:
            del first

    rig.device.call(work)


def test_version_8_shares_a_profile_only_if_built_so(gpu: FakeGpu, model: bytes) -> None:
    device = Device()
    engine_file = plan(model, version="8.6.1", profiles=[PROFILE, PROFILE], shared_profiles=False)
    rig = device.call(Rig, device, bindings(gpu, version="8.6.1"), engine_file)

    def work() -> list[bool]:
        second = rig.new_context()
        return [second.set_optimization_profile_async(profile, device.stream) for profile in range(3)]

    assert device.call(work) == [False, True, False]
    device.call(rig.close)
    device.close()


# ---- shapes that depend on data


def nonzero_model() -> bytes:
    """Where a vector is not zero: int64 [1, found]."""
    from onnx import TensorProto, helper

    graph = helper.make_graph(
        [helper.make_node("NonZero", ["values"], ["places"])],
        "nonzero",
        [helper.make_tensor_value_info("values", TensorProto.FLOAT, [5])],
        [helper.make_tensor_value_info("places", TensorProto.INT64, [1, "found"])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


@pytest.mark.parametrize(("version", "dtype"), [("8.6.1", np.int32), ("10.13.3.9", np.int64)])
def test_an_allocator_gives_the_memory_and_learns_the_shape(gpu: FakeGpu, version: str, dtype: Any) -> None:
    device, trt = Device(), bindings(gpu, version=version)

    class Allocator(trt.IOutputAllocator):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.told: list[Any] = []

        def reallocate_output(self, name: str, memory: int, size: int, alignment: int) -> int:
            self.told.append((name, size))
            return int(rig.output)

        def notify_shape(self, name: str, shape: Any) -> None:
            self.told.append(tuple(shape))

    def work() -> list[Any]:
        rig.host.memory[:20] = np.array([0, 3, 0, 1, 0], np.float32).view(np.uint8)
        device.upload(int(rig.input), rig.host.memory[:20])
        rig.context.set_tensor_address("values", int(rig.input))
        assert rig.context.get_tensor_shape("places") == (1, -1)
        with gpu.refusing("needs an output allocator"):
            rig.execute()
        allocator = Allocator()
        rig.context.set_output_allocator("places", allocator)
        rig.execute()
        with gpu.refusing("depends on data, which a graph cannot hold"):
            device.graph(rig.execute)
        size = 2 * np.dtype(dtype).itemsize
        device.download(rig.host.memory[:size], int(rig.output))
        device.synchronize()
        assert rig.host.memory[:size].view(dtype).tolist() == [1, 3]
        return allocator.told

    rig = device.call(Rig, device, trt, plan(nonzero_model(), version=version))
    assert device.call(work) == [("places", 2 * np.dtype(dtype).itemsize), (1, 2)]
    device.call(rig.close)
    device.close()
