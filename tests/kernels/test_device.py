"""The device layer on a fake driver, which keeps the real call order, runs the kernels and refuses misuse."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from fakes.driver import FATBIN, FakeGpu, installed, without_driver, without_pycuda
from gpp import needs_gpp
from numpy.typing import NDArray

from vedette.kernels import device as device_py
from vedette.kernels import launches
from vedette.kernels._letterbox_cases import CASES, Case
from vedette.kernels.device import Block, CudaError, Device, Graph
from vedette.kernels.fatbin import BuildError
from vedette.kernels.letterbox import letterbox_reference

Array = NDArray[Any]


@pytest.fixture
def gpu() -> Iterator[FakeGpu]:
    with installed(FakeGpu()) as gpu:
        yield gpu


@pytest.fixture
def device(gpu: FakeGpu) -> Iterator[Device]:
    made = Device()
    yield made
    made.close()


# ---- memory


def test_a_released_block_is_taken_again(device: Device, gpu: FakeGpu) -> None:
    def work() -> None:
        for kind in (device.allocate, device.pinned):
            first, second = kind(100_000), kind(100_000)
            memory = first.memory
            first.release()
            with pytest.raises(AssertionError, match="released twice"):
                first.release()
            assert kind(90_000).memory is memory
            assert kind(90_000).memory is not second.memory

    device.call(work)
    assert gpu.counts.allocations == 6


def test_sizes_are_rounded_to_powers_of_two(device: Device, gpu: FakeGpu) -> None:
    def work() -> None:
        for size in (0, 1, 65_536):
            device.allocate(size).release()

    device.call(work)
    assert [memory.size for memory in gpu.live] == [65_536]


def test_bytes_come_back_as_they_went(device: Device, gpu: FakeGpu) -> None:
    def work() -> Array:
        memory, out, back = device.allocate(10), device.pinned(10), device.pinned(10)
        out.memory[:10] = np.arange(10)
        device.upload(int(memory), out.memory[:10])
        device.download(back.memory[2:9], int(memory) + 2)
        assert back.memory[5] == 0xCD, "nothing waited yet"
        device.synchronize()
        back_bytes: Array = back.memory[2:9].copy()
        return back_bytes

    assert device.call(work).tolist() == [2, 3, 4, 5, 6, 7, 8]
    gpu.counted(allocations=3, uploads=1, downloads=1, synchronisations=1)


def test_an_event_waits_for_what_came_before_it_only(device: Device) -> None:
    def work() -> None:
        memory, host, event = device.allocate(4), device.pinned(8), device.event()
        host.memory[:4] = 1
        device.upload(int(memory), host.memory[:4])
        device.mark(event)
        device.download(host.memory[4:8], int(memory))
        device.wait(event)
        assert host.memory[4] == 0xCD
        host.memory[:4] = 2  # the copy was made
        device.synchronize()
        assert host.memory[4] == 1

    device.call(work)


def test_events_measure_time(device: Device) -> None:
    def work() -> float:
        start, end = device.event(timing=True), device.event(timing=True)
        for event in (start, end):
            device.mark(event)
        device.wait(end)
        return float(start.time_till(end))

    assert device.call(work) > 0


def test_memory_that_both_share_is_read_in_place() -> None:
    with installed(FakeGpu(integrated=True)):
        device = Device()
        block = device.call(device.pinned, 10)
        assert device.call(device.mapped, block) == block.memory.ctypes.data
        device.close()


# ---- kernels and graphs


class Letterbox:
    """One case on the device: its picture is uploaded, its image downloaded."""

    def __init__(self, device: Device, case: Case) -> None:
        self.device, (self.planes, picture, self.size, self.layout) = device, case
        source = self.planes[0].shape[1], self.planes[0].shape[0]
        fields = launches.picture_fields(source, picture, self.layout, exact_cv2=False)
        self.picture, self.at = (
            picture,
            {name: self._block(shape, dtype) for name, (shape, dtype) in fields.items()},
        )
        tables = launches.picture_tables(source, self.layout, exact_cv2=False)
        for name, table in tables.items():
            self.upload(name, table)
        block = np.zeros(1, launches.PICTURE)
        launches.set_picture(block[0], self.at, source, picture, self.layout, exact_cv2=False)
        self.at["pictures"] = self._block(block.shape, block.dtype)
        self.upload("pictures", block)
        self.at["input"] = self._block((3, self.size[1], self.size[0]), np.dtype(np.float32))
        self.result = device.pinned(3 * self.size[0] * self.size[1] * 4)

    def _block(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> int:
        return int(self.device.allocate(int(np.prod(shape)) * dtype.itemsize))

    def upload(self, name: str, array: Array) -> Block:
        staging = self.device.pinned(array.nbytes)
        staging.memory[: array.nbytes] = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        self.device.upload(self.at[name], staging.memory[: array.nbytes])
        return staging

    def run(self) -> None:
        for number, plane in enumerate(self.planes):
            self.staging = self.upload(f"plane{number}", plane)
        self.launch_and_download()

    def launch_and_download(self) -> None:
        launches.launch_letterbox(self.device.launch, self.at, batch=1, size=self.size, half_precision=False)
        self.device.download(self.host_bytes(), self.at["input"])

    def host_bytes(self) -> Array:
        bytes_: Array = self.result.memory[: 3 * self.size[0] * self.size[1] * 4]
        return bytes_

    def image(self) -> Array:
        self.device.synchronize()
        return self.host_bytes().view(np.float32).reshape(3, self.size[1], self.size[0]).copy()

    def reference(self, *planes: Array) -> Array:
        expected: Array = np.empty((3, self.size[1], self.size[0]), np.float32)
        letterbox_reference(expected, planes or self.planes, self.layout, self.picture)
        return expected


@needs_gpp
def test_a_kernel_runs_on_what_was_uploaded(device: Device) -> None:
    letterbox = device.call(Letterbox, device, CASES["identity nv12"]())
    device.call(letterbox.run)
    np.testing.assert_allclose(device.call(letterbox.image), letterbox.reference(), atol=1e-4)


@needs_gpp
def test_a_graph_reads_memory_when_it_is_launched(device: Device, gpu: FakeGpu) -> None:
    letterbox = device.call(Letterbox, device, CASES["a third"]())
    device.call(device.synchronize)
    staging = device.call(device.pinned, letterbox.planes[0].nbytes)
    picture = staging.memory[: letterbox.planes[0].nbytes]

    def record() -> None:
        device.upload(letterbox.at["plane0"], picture)
        letterbox.launch_and_download()

    graph = device.call(device.graph, record)
    device.call(device.synchronize)
    assert gpu.counts.launches == 0, "captured, not done"
    for value in (0, 200):
        picture[:] = value
        gpu.reset()
        device.call(graph.launch)
        image = device.call(letterbox.image)
        gpu.counted(uploads=1, launches=1, downloads=1, graph_launches=1)
        plane = np.full_like(letterbox.planes[0], value)
        np.testing.assert_allclose(image, letterbox.reference(plane), atol=1e-4)
    device.call(graph.free)


def test_a_capture_that_fails_leaves_the_stream_usable(device: Device) -> None:
    def work() -> None:
        with pytest.raises(ZeroDivisionError):
            device.graph(lambda: 1 // 0)  # type: ignore[arg-type]
        memory, host = device.allocate(4), device.pinned(4)
        device.upload(int(memory), host.memory[:4])
        device.synchronize()

    device.call(work)


# ---- misuse


def _kernel(device: Device, *arguments: Any, grid: tuple[int, ...] = (1,), block: int = 256) -> None:
    device.launch("letterbox", grid, block, *arguments)


def _freed(device: Device) -> int:
    block = device.allocate(10)
    address = int(block)
    block.memory.free()
    device._memory._all.clear()
    return address


def _pinned(device: Device, size: int = 10) -> Array:
    bytes_: Array = device.pinned(size).memory[:size]
    return bytes_


def _in_capture(device: Device, work: Callable[[], Any]) -> None:
    device.graph(lambda: (work(), None)[1])


def _launch_after_free(device: Device) -> None:
    graph = device.graph(lambda: None)
    graph.free()
    graph.launch()


def _free_twice(device: Device) -> None:
    block = device.allocate(10)
    block.memory.free()
    device._memory._all.clear()
    block.memory.free()


SIZES = (np.int32(1),) * 3
MISUSES: dict[str, tuple[str, Callable[[Device], Any]]] = {
    "upload from memory that is not pinned": (
        "is not pinned memory",
        lambda device: device.upload(int(device.allocate(10)), np.zeros(10, np.uint8)),
    ),
    "download to memory that is not pinned": (
        "is not pinned memory",
        lambda device: device.download(np.zeros(10, np.uint8), int(device.allocate(10))),
    ),
    "upload beyond the end": (
        "do not fit",
        lambda device: device.upload(int(device.allocate(10)), _pinned(device, 100_000)),
    ),
    "upload to nobody's memory": (
        "is not device memory",
        lambda device: device.upload(12345, _pinned(device)),
    ),
    "upload to freed memory": ("was freed", lambda device: device.upload(_freed(device), _pinned(device))),
    "upload of rows that are apart": (
        "not contiguous",
        lambda device: device.upload(int(device.allocate(10)), _pinned(device)[::2]),
    ),
    "kernel on freed memory": (
        "was freed",
        lambda device: _kernel(device, _freed(device), *SIZES, int(device.allocate(10))),
    ),
    "kernel on host memory": (
        "is not device memory but pinned",
        lambda device: _kernel(device, _pinned(device).ctypes.data, *SIZES, 0),
    ),
    "kernel with an argument missing": ("letterbox takes LiiiL", lambda device: _kernel(device, 0, *SIZES)),
    "kernel with a wrong type": (
        "letterbox takes LiiiL, got LiifL",
        lambda device: _kernel(device, 0, *SIZES[:2], np.float32(1), 0),
    ),
    "block too large": ("a block of", lambda device: _kernel(device, 0, *SIZES, 0, block=1025)),
    "empty grid": ("a grid of", lambda device: _kernel(device, 0, *SIZES, 0, grid=(1, 0))),
    "allocation in capture": (
        "mem_alloc during capture",
        lambda device: _in_capture(device, lambda: device.allocate(10)),
    ),
    "pinned allocation in capture": (
        "pagelocked_empty during capture",
        lambda device: _in_capture(device, lambda: device.pinned(10)),
    ),
    "wait in capture": ("during capture", lambda device: _in_capture(device, device.synchronize)),
    "capture in capture": (
        "begins during capture",
        lambda device: _in_capture(device, lambda: device.graph(lambda: None)),
    ),
    "graph after free": ("graph that was destroyed", _launch_after_free),
    "memory freed twice": ("freed twice", _free_twice),
}


@pytest.mark.parametrize("name", MISUSES)
def test_misuse_is_refused(device: Device, gpu: FakeGpu, name: str) -> None:
    what, work = MISUSES[name]
    with gpu.refusing(what):
        device.call(work, device)


def test_another_thread_is_refused(device: Device, gpu: FakeGpu) -> None:
    for work in (lambda: device.allocate(1), lambda: device.pinned(1), device.synchronize, device.event):
        with gpu.refusing("on another thread"):
            work()


def test_use_after_close_is_refused(gpu: FakeGpu) -> None:
    device = Device()
    device.close()
    device.close()
    with gpu.refusing("without a context"):
        device.allocate(10)
    with pytest.raises(RuntimeError, match="after shutdown"):
        device.submit(lambda: None)


def test_a_graph_left_behind_is_told(gpu: FakeGpu) -> None:
    device = Device()
    graph: Graph = device.call(device.graph, lambda: None)
    with gpu.refusing("left behind when the context is detached: a graph"):
        device.close()
    del graph


def test_what_a_thread_swallowed_fails_the_test() -> None:
    gpu = FakeGpu()
    with pytest.raises(AssertionError, match="on another thread"), installed(gpu):
        _swallow()
    assert gpu.owner is None


def _swallow() -> None:
    device = Device()
    with contextlib.suppress(AssertionError):
        device.allocate(10)
    device.close()


# ---- closing


@needs_gpp
def test_close_frees_everything(gpu: FakeGpu) -> None:
    device = Device()
    letterbox = device.call(Letterbox, device, CASES["half"]())
    device.call(letterbox.run)
    assert gpu.live
    device.close()
    assert not gpu.live
    assert gpu.owner is None


def test_the_process_has_one_device(gpu: FakeGpu) -> None:
    assert device_py.device() is device_py.device()


# ---- what fails


def refused(gpu: FakeGpu) -> CudaError:
    with installed(gpu), pytest.raises(CudaError) as caught:
        Device()
    return caught.value


def test_no_pycuda() -> None:
    with without_pycuda(), pytest.raises(CudaError, match="pycuda: it is not installed") as caught:
        Device()
    assert caught.value.cure == "pip install 'vedette[gpu]'"


def test_no_driver() -> None:
    with without_driver(), pytest.raises(CudaError, match="no NVIDIA driver: libcuda") as caught:
        Device()
    assert "--backend onnxruntime" in caught.value.cure


def test_a_driver_that_is_too_old() -> None:
    error = refused(FakeGpu(driver_version=11080))
    assert "it is of CUDA 11.8; the kernels need 12.0" in error.why
    assert error.cure == "update the driver to 525 or newer"


def test_a_machine_without_gpus() -> None:
    assert "no CUDA-capable device" in refused(FakeGpu(count=0)).why


def test_no_such_gpu() -> None:
    with installed(FakeGpu(count=2)), pytest.raises(CudaError, match="no GPU 2: the driver sees 2"):
        Device(2)


def test_out_of_memory_has_a_cure() -> None:
    with installed(FakeGpu(memory_bytes=1 << 20)):
        device = Device()
        with pytest.raises(
            CudaError, match="no 2 MB of GPU memory: cuMemAlloc failed: out of memory"
        ) as caught:
            device.call(device.allocate, 2_000_000)
        assert "--imgsz" in caught.value.cure
        device.close()


def test_kernels_that_the_gpu_refuses_are_compiled_here(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def compiled(sm: int) -> bytes:
        asked.append(sm)
        return b"cubin"

    monkeypatch.setattr(device_py, "compiled_here", compiled)
    with installed(FakeGpu(refuses_fatbin=True, capability=(12, 1))):
        Device().close()
    assert asked == [121]


def test_kernels_that_nobody_compiles_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(sm: int) -> bytes:
        raise BuildError("there is neither nvcc nor libnvrtc here")

    monkeypatch.setattr(device_py, "compiled_here", fails)
    error = refused(FakeGpu(refuses_fatbin=True, capability=(12, 1), name="Foreign"))
    assert "the kernels do not run on Foreign, compute capability 12.1" in error.what
    assert "neither nvcc" in error.why


def test_kernels_that_were_never_built_are_compiled_here(monkeypatch: pytest.MonkeyPatch) -> None:
    with installed(FakeGpu()) as gpu:
        monkeypatch.setattr(device_py, "fatbin", lambda: None)
        monkeypatch.setattr(device_py, "compiled_here", lambda sm: FATBIN)
        Device().close()
        assert gpu.owner is None


@needs_gpp
def test_a_failure_is_told_where_it_is_waited_for_and_ever_after() -> None:
    with installed(FakeGpu(fail_with="an illegal memory access was encountered")):
        device = Device()
        memory = int(device.call(device.allocate, 10))
        device.call(device.launch, "nms_rank", (1,), 256, memory, memory, np.int32(0), memory)
        with pytest.raises(
            CudaError, match="the GPU failed: cuStreamSynchronize failed: an illegal"
        ) as caught:
            device.call(device.synchronize)
        assert "CUDA_LAUNCH_BLOCKING" in caught.value.cure
        for work in (
            lambda: device.allocate(1 << 20),
            lambda: _kernel(device),
            lambda: device.graph(lambda: None),
        ):
            with pytest.raises(CudaError, match=r"illegal memory|ILLEGAL_ADDRESS"):
                device.call(work)
        with pytest.raises(CudaError, match="the GPU failed"):
            device.close()
