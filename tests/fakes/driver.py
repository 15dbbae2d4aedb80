"""`pycuda.driver` and `cuda.bindings.driver` over a FakeGpu: only the names that kernels/device.py uses, as they really are.

    with installed(FakeGpu()) as gpu:
        device = Device()
        ...
        gpu.counted(uploads=1, graph_launches=1, downloads=1)
        device.close()

On leaving, what was misused meanwhile, on whatever thread, fails the test.  Next: tensorrt_.py.
"""

import ctypes
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import IntEnum
from importlib.machinery import ModuleSpec
from itertools import count
from time import perf_counter_ns
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fakes.gpu import FATBIN, FakeGpu, Memory, Misuse, Owned, Work, kernels
from vedette.kernels import device as device_py

__all__ = ["FATBIN", "FakeGpu", "Misuse", "installed", "modules", "without_driver", "without_pycuda"]
Array = NDArray[Any]


@contextmanager
def installed(gpu: FakeGpu) -> Iterator[FakeGpu]:
    """This GPU is the machine's; afterwards nothing was misused and the context was given back."""
    with pytest.MonkeyPatch.context() as patch:
        for name, module in modules(gpu).items():
            patch.setitem(sys.modules, name, module)
        patch.setattr(device_py, "fatbin", lambda: FATBIN)
        device_py.device.cache_clear()
        try:
            yield gpu
            if device_py.device.cache_info().currsize:
                device_py.device().close()
        finally:
            device_py.device.cache_clear()
    gpu.finish()


@contextmanager
def without_pycuda() -> Iterator[None]:
    """It is not installed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "pycuda", None)
        patch.setitem(sys.modules, "pycuda.driver", None)
        yield


@contextmanager
def without_driver() -> Iterator[None]:
    """It is installed, and does not find libcuda."""
    with pytest.MonkeyPatch.context() as patch:
        package = _module("pycuda", {"__path__": []})
        patch.setitem(sys.modules, "pycuda", package)
        patch.delitem(sys.modules, "pycuda.driver", raising=False)
        patch.setattr(sys, "meta_path", [_NoLibcuda(), *sys.meta_path])
        yield


class _NoLibcuda:
    def find_spec(self, name: str, *_: Any) -> None:
        if name == "pycuda.driver":
            raise ImportError("libcuda.so.1: cannot open shared object file: No such file or directory")


def modules(gpu: FakeGpu) -> dict[str, ModuleType]:
    """By the names under which they are imported."""
    driver = _module("pycuda.driver", _Pycuda(gpu).names())
    package = _module("pycuda", {"driver": driver, "__path__": []})
    bindings = _module("cuda.bindings.driver", _Bindings(gpu).names())
    return {"pycuda": package, "pycuda.driver": driver, "cuda.bindings.driver": bindings}


def _module(name: str, names: dict[str, Any]) -> ModuleType:
    made = ModuleType(name)
    made.__spec__ = ModuleSpec(name, None)
    vars(made).update(names)
    return made


# ---- pycuda


class Error(Exception):
    """pycuda's own; the others derive from it."""


class LogicError(Error):
    """A wrong call, or one after a failure."""


class RuntimeError(Error):  # noqa: A001  (pycuda's name)
    """No device, no code for it."""


class MemoryError(Error):  # noqa: A001  (pycuda's name)
    """There is not so much."""


class _Names:
    """A namespace with the names of the real one that are used, and no others."""

    def __init__(self, gpu: FakeGpu) -> None:
        self._gpu = gpu

    def names(self) -> dict[str, Any]:
        return {
            name: getattr(self, name) for name in dir(self) if name != "names" and not name.startswith("_")
        }


class _Pycuda(_Names):
    """What `pycuda.driver` has."""

    Error, LogicError, RuntimeError, MemoryError = Error, LogicError, RuntimeError, MemoryError
    device_attribute = SimpleNamespace(INTEGRATED=18)
    event_flags = SimpleNamespace(BLOCKING_SYNC=1, DISABLE_TIMING=2)
    host_alloc_flags = SimpleNamespace(DEVICEMAP=2)

    def __init__(self, gpu: FakeGpu) -> None:
        super().__init__(gpu)
        for kind in (Device, Context, Stream, Event):
            setattr(self, kind.__name__, type(kind.__name__, (kind,), {"_gpu": gpu}))

    def init(self, flags: int = 0) -> None:
        if self._gpu.count == 0:
            raise RuntimeError("cuInit failed: no CUDA-capable device is detected")
        self._gpu.started = True

    def get_driver_version(self) -> int:
        return self._gpu.driver_version

    def mem_alloc(self, size: int) -> "DeviceAllocation":
        self._gpu.require("mem_alloc", in_capture=False)
        _healthy(self._gpu, "cuMemAlloc")
        if not self._gpu.has_room(size):
            raise MemoryError("cuMemAlloc failed: out of memory")
        return DeviceAllocation(self._gpu, self._gpu.allocate(size, "device"))

    def pagelocked_empty(self, shape: int, dtype: Any, order: str = "C", mem_flags: int = 0) -> Array:
        self._gpu.require("pagelocked_empty", in_capture=False)
        _healthy(self._gpu, "cuMemHostAlloc")
        memory = self._gpu.allocate(
            int(np.prod(shape)) * np.dtype(dtype).itemsize,
            "pinned",
            mapped=self._gpu.integrated and bool(mem_flags & self.host_alloc_flags.DEVICEMAP),
        )
        return np.asarray(PagelockedHostAllocation(self._gpu, memory, np.empty(shape, dtype)))

    def memcpy_htod_async(self, dest: Any, src: Array, stream: Any = None) -> None:
        self._copy("memcpy_htod_async", dest, src, stream, upload=True)

    def memcpy_dtoh_async(self, dest: Array, src: Any, stream: Any = None) -> None:
        self._copy("memcpy_dtoh_async", src, dest, stream, upload=False)

    def _copy(self, call: str, device: Any, host: Array, stream: Any, *, upload: bool) -> None:
        gpu, address, size = self._gpu, _address(device), host.nbytes
        gpu.require(call)
        _healthy(gpu, "cuMemcpyHtoDAsync" if upload else "cuMemcpyDtoHAsync")
        if not host.flags.c_contiguous:
            gpu.refuse(f"{call}: the array is not contiguous")
        at = host.ctypes.data
        _check_copy(gpu, call, address, at, size)
        target, source = (address, at) if upload else (at, address)

        def run() -> None:
            _check_copy(gpu, call, address, at, size)
            ctypes.memmove(target, source, size)

        gpu.begin(_handle(gpu, call, stream), Work("uploads" if upload else "downloads", run))

    def module_from_buffer(
        self, buffer: bytes, options: Sequence[Any] = (), message_handler: Any = None
    ) -> "Module":
        self._gpu.require("module_from_buffer", in_capture=False)
        if self._gpu.refuses_fatbin and buffer == FATBIN:
            raise RuntimeError(
                "cuModuleLoadDataEx failed: no kernel image is available for execution on the device - "
            )
        return Module(self._gpu)


def _check_copy(gpu: FakeGpu, call: str, address: int, at: int, size: int) -> None:
    gpu.span(at, size, of="pinned", what=f"{call}, host")
    gpu.span(address, size, of="device", what=f"{call}, device")


def _address(device: Any) -> int:
    """pycuda takes nothing else: no NumPy scalar, no object with __int__."""
    if not isinstance(device, (int, DeviceAllocation)):
        raise TypeError(f"Python argument types did not match C++ signature: {type(device).__name__}")
    return int(device)


def _handle(gpu: FakeGpu, call: str, stream: Any) -> int:
    if not isinstance(stream, Stream):
        gpu.refuse(f"{call} on the default stream")
    return stream.handle


def _healthy(gpu: FakeGpu, routine: str) -> None:
    if gpu.failure:
        raise LogicError(f"{routine} failed: {gpu.failure}")


class Device:
    _gpu: FakeGpu

    def __init__(self, ordinal: int) -> None:
        self._gpu.require_start("Device")
        if not 0 <= ordinal < self._gpu.count:
            raise LogicError("cuDeviceGet failed: invalid device ordinal")

    @classmethod
    def count(cls) -> int:
        cls._gpu.require_start("Device.count")
        return cls._gpu.count

    def name(self) -> str:
        return self._gpu.name

    def compute_capability(self) -> tuple[int, int]:
        return self._gpu.capability

    def get_attribute(self, attribute: int) -> int:
        assert attribute == _Pycuda.device_attribute.INTEGRATED
        return int(self._gpu.integrated)

    def retain_primary_context(self) -> "Context":
        self._gpu.retain()
        made = Context()
        made._gpu = self._gpu
        return made


class Context:
    _gpu: FakeGpu

    def push(self) -> None:
        self._gpu.push()

    @classmethod
    def pop(cls) -> None:
        cls._gpu.pop()

    def detach(self) -> None:
        self._gpu.detach()


class Stream(Owned):
    _gpu: FakeGpu

    def __init__(self, flags: int = 0) -> None:
        self._gpu.require("Stream", in_capture=False)
        super().__init__(self._gpu)
        self.handle = self._gpu.new_stream()

    def synchronize(self) -> None:
        self._gpu.require("Stream.synchronize", in_capture=False)
        self._gpu.counts.synchronisations += 1
        self._gpu.drain(self.handle)
        _healthy(self._gpu, "cuStreamSynchronize")


class Event(Owned):
    _gpu: FakeGpu

    def __init__(self, flags: int = 0) -> None:
        self._gpu.require("Event", in_capture=False)
        super().__init__(self._gpu)
        self._timing = not flags & _Pycuda.event_flags.DISABLE_TIMING
        self._mark: Work | None = None
        self._stream = 0
        self._happened_ns: list[int] = []

    def record(self, stream: Any = None) -> "Event":
        self._gpu.require("Event.record", in_capture=False)
        self._stream = _handle(self._gpu, "Event.record", stream)
        self._happened_ns = happened = []  # its own: the work must not keep the event alive
        self._mark = Work("event", lambda: happened.append(perf_counter_ns()))
        self._gpu.begin(self._stream, self._mark)
        return self

    def synchronize(self) -> "Event":
        self._gpu.require("Event.synchronize", in_capture=False)
        self._gpu.counts.synchronisations += 1
        if self._mark is not None:
            self._gpu.drain(self._stream, until=self._mark)
        _healthy(self._gpu, "cuEventSynchronize")
        return self

    def query(self) -> bool:
        """Asking also makes a step, as time does on a GPU."""
        self._gpu.require("Event.query", in_capture=False)
        if self._waits():
            self._gpu.step(self._stream)
        _healthy(self._gpu, "cuEventQuery")
        return not self._waits()

    def _waits(self) -> bool:
        return self._mark is not None and self._mark in self._gpu.streams[self._stream]

    def time_till(self, end: "Event") -> float:
        """Milliseconds."""
        self._gpu.require("Event.time_till", in_capture=False)
        if not (self._timing and end._timing):
            raise LogicError("cuEventElapsedTime failed: invalid resource handle")
        if not (self._happened_ns and end._happened_ns):
            raise LogicError("cuEventElapsedTime failed: device not ready")
        return (end._happened_ns[0] - self._happened_ns[0]) / 1e6


class DeviceAllocation:
    def __init__(self, gpu: FakeGpu, memory: Memory) -> None:
        self._gpu, self._memory = gpu, memory

    def __int__(self) -> int:
        if self._memory not in self._gpu.live:
            self._gpu.refuse("the address of device memory that was freed")
        return self._memory.address

    def free(self) -> None:
        self._gpu.require("DeviceAllocation.free", in_capture=False)
        self._gpu.free(self._memory)


class PagelockedHostAllocation:
    """The `base` of what pagelocked_empty returns."""

    def __init__(self, gpu: FakeGpu, memory: Memory, like: Array) -> None:
        self._gpu, self._memory = gpu, memory
        # what makes this object the array's base
        self.__array_interface__ = like.__array_interface__ | {"data": (memory.address, False)}

    def free(self) -> None:
        self._gpu.require("PagelockedHostAllocation.free", in_capture=False)
        self._gpu.free(self._memory)

    def get_device_pointer(self) -> int:
        self._gpu.require("PagelockedHostAllocation.get_device_pointer")
        if not self._memory.mapped:
            raise LogicError("cuMemHostGetDevicePointer failed: invalid argument")
        return self._memory.address


class Module(Owned):
    def get_function(self, name: str) -> "Function":
        if name not in kernels():
            raise LogicError("cuModuleGetFunction failed: named symbol not found")
        return Function(self, name)


class Function:
    def __init__(self, module: Module, name: str) -> None:
        self._module, self._name = module, name

    def __call__(
        self,
        *arguments: Any,
        grid: Sequence[int] = (1, 1),
        block: Sequence[int] | None = None,
        stream: Any = None,
    ) -> None:
        gpu = self._module._gpu
        gpu.require(f"launch of {self._name}")
        _healthy(gpu, "cuLaunchKernel")
        if block is None:
            raise ValueError("must specify block size")
        for number, argument in enumerate(arguments):
            if not isinstance(argument, np.number):
                raise TypeError(f"invalid type on parameter #{number} (0-based)")
        gpu.launch(_handle(gpu, "launch", stream), self._name, grid, block, arguments)


# ---- cuda.bindings


class CUresult(IntEnum):
    CUDA_SUCCESS = 0
    CUDA_ERROR_ILLEGAL_ADDRESS = 700


class CUstreamCaptureMode(IntEnum):
    CU_STREAM_CAPTURE_MODE_THREAD_LOCAL = 1


Status = tuple[CUresult]
_OK: Status = (CUresult.CUDA_SUCCESS,)


class _Graph:
    """A captured graph, or an executable one."""

    def __init__(self, number: int, work: Sequence[Work]) -> None:
        self._number, self._work = number, tuple(work)


class _Bindings(_Names):
    """What `cuda.bindings.driver` has; every call answers with a status and then its values."""

    def __init__(self, gpu: FakeGpu) -> None:
        super().__init__(gpu)
        self._numbers = count(0x6EA0000)

    def names(self) -> dict[str, Any]:
        return super().names() | {"CUresult": CUresult, "CUstreamCaptureMode": CUstreamCaptureMode}

    def cuGetErrorName(self, status: CUresult) -> tuple[CUresult, bytes]:  # noqa: N802
        return *_OK, CUresult(status).name.encode()

    def cuStreamBeginCapture(self, stream: int, mode: CUstreamCaptureMode) -> Status:  # noqa: N802
        assert isinstance(mode, CUstreamCaptureMode)
        if not self._gpu.failure:
            self._gpu.begin_capture(int(stream))
        return self._status()

    def cuStreamEndCapture(self, stream: int) -> tuple[CUresult, _Graph]:  # noqa: N802
        return *_OK, self._new(self._gpu.end_capture(int(stream)))

    def cuGraphInstantiate(self, graph: _Graph, flags: int) -> tuple[CUresult, _Graph]:  # noqa: N802
        self._live("cuGraphInstantiate", graph)
        return *_OK, self._new(graph._work)

    def cuGraphLaunch(self, graph: _Graph, stream: int) -> Status:  # noqa: N802
        self._live("cuGraphLaunch", graph)
        if self._gpu.failure:
            return self._status()
        self._gpu.counts.graph_launches += 1
        for work in graph._work:
            self._gpu.begin(int(stream), work)
        return _OK

    def cuGraphExecDestroy(self, graph: _Graph) -> Status:  # noqa: N802
        return self._destroy("cuGraphExecDestroy", graph)

    def cuGraphDestroy(self, graph: _Graph) -> Status:  # noqa: N802
        return self._destroy("cuGraphDestroy", graph)

    def _destroy(self, call: str, graph: _Graph) -> Status:
        self._live(call, graph)
        self._gpu.graphs.remove(graph._number)
        return _OK

    def _new(self, work: Sequence[Work]) -> _Graph:
        made = _Graph(next(self._numbers), work)
        self._gpu.graphs.add(made._number)
        return made

    def _live(self, call: str, graph: _Graph) -> None:
        self._gpu.require(call, in_capture=False)
        if graph._number not in self._gpu.graphs:
            self._gpu.refuse(f"{call} of a graph that was destroyed")

    def _status(self) -> Status:
        return (CUresult.CUDA_ERROR_ILLEGAL_ADDRESS,) if self._gpu.failure else _OK
