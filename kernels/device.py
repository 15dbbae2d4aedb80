"""The GPU: one thread owns its context, its stream, its memory and its graphs; everybody else asks that thread.

In: work, given to `call` or `submit`.  Out: addresses, launches, copies and graphs, all on one stream.
pycuda on the primary context, which TensorRT, ONNX Runtime and PyTorch share; graphs through cuda-bindings on the same
stream. Nothing is imported or started before a Device is made.  Next: launches.py; runtime/cuda_runner.py, which uses it.
"""

import contextlib
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache, partial
from importlib import import_module
from threading import get_ident
from typing import Any, ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

from vedette.kernels.fatbin import BuildError, compiled_here, fatbin

Array = NDArray[Any]
P = ParamSpec("P")
T = TypeVar("T")
OLDEST_DRIVER = 12000  # CUDA 12.0, which loads what CUDA 12.6's compiler makes
_SMALLEST = 1 << 16  # bytes of a block
_CURES = {
    "out of memory": "use a smaller --imgsz or batch, or stop what else runs on this GPU (nvidia-smi)",
    "illegal memory access": "run again with CUDA_LAUNCH_BLOCKING=1 and report it: it is our fault",
}


class CudaError(Exception):
    """What the GPU or its driver refused, why, and what to do about it."""

    def __init__(self, what: str, *, why: str, cure: str) -> None:
        self.what, self.why, self.cure = what, why, cure
        super().__init__(f"{what}: {why}")


class Device:
    """A GPU and its stream.

    Only `call`, `submit` and `close` may be used from any thread; everything else, and the freeing of it, belongs
    to the device thread.

    Raises:
        CudaError: pycuda or the driver is missing, the driver is too old, or there is no such GPU.
    """

    def __init__(self, ordinal: int = 0) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="device")
        self._ident = 0
        try:
            self._thread.submit(self._start, ordinal).result()
        except BaseException:
            self._thread.shutdown()
            raise

    def submit(self, work: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> "Future[T]":
        """Do it on the device thread, after all that was submitted before."""
        return self._thread.submit(_leaving_nothing, partial(work, *arguments, **named))

    def call(self, work: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
        """Do it on the device thread, and wait."""
        if get_ident() == self._ident:
            return work(*arguments, **named)
        return self.submit(work, *arguments, **named).result()

    def close(self) -> None:
        """Free everything and end the thread; the second time does nothing.

        Raises:
            CudaError: some of what was begun failed; everything is freed all the same.
        """
        try:
            finished = self._thread.submit(self._finish)
        except RuntimeError:  # shut down already
            return
        self._thread.shutdown()
        finished.result()

    # ---- on the device thread

    def _start(self, ordinal: int) -> None:
        self._ident = get_ident()
        self._cuda, self._graphs = _pycuda(), _cuda_bindings()
        with told("CUDA does not start"):
            self._cuda.init()
            self.driver: int = self._cuda.get_driver_version()
            _check_driver(self.driver)
            self._device = _gpu(self._cuda, ordinal)
        attributes = self._cuda.device_attribute
        self.name: str = self._device.name()
        self.capability: tuple[int, int] = self._device.compute_capability()
        self.integrated = bool(self._device.get_attribute(attributes.INTEGRATED))  # CPU and GPU share memory
        with told("the GPU cannot be used"):
            self._context = self._device.retain_primary_context()
            self._context.push()
            self._stream = self._cuda.Stream()
        self._memory = Pool(self._cuda.mem_alloc, lambda block: block.free())
        self._pinned = Pool(self._new_pinned, lambda block: block.base.free())
        self._kernels: dict[str, Any] = {}
        try:
            self._module = self._load()
        except BaseException:
            self._finish()
            raise

    def _load(self) -> Any:
        """The packaged kernels or, where GPU or driver refuse them, ones that are compiled here."""
        packaged = fatbin()
        if packaged:
            with contextlib.suppress(self._cuda.Error):
                return self._cuda.module_from_buffer(packaged)
        major, minor = self.capability
        try:
            cubin = compiled_here(major * 10 + minor)
        except BuildError as error:
            raise CudaError(
                f"the kernels do not run on {self.name}, compute capability {major}.{minor}",
                why=f"the driver, of CUDA {_version(self.driver)}, refuses the compiled ones; and: {error}",
                cure="install the CUDA toolkit (nvcc), which compiles them here",
            ) from None
        with told("the kernels do not load"):
            return self._cuda.module_from_buffer(cubin)

    def _finish(self) -> None:
        try:
            self.synchronize()
        finally:
            self._give_back()

    def _give_back(self) -> None:
        self._kernels.clear()
        self._module = None
        self._memory.close()
        self._pinned.close()
        del self._stream
        self._cuda.Context.pop()
        self._context.detach()

    @property
    def stream(self) -> int:
        """The stream's handle, as other libraries take it."""
        return int(self._stream.handle)

    def allocate(self, size: int) -> "Block":
        """Device memory, not cleared. Release it here.

        Raises:
            CudaError: there is not so much.
        """
        with told(f"no {size / 1e6:.0f} MB of GPU memory"):
            return Block(self._memory, size)

    def pinned(self, size: int) -> "Block":
        """Host memory that the GPU copies from and to, or, where both share it, reads and writes in place."""
        with told(f"no {size / 1e6:.0f} MB of pinned memory"):
            return Block(self._pinned, size)

    def mapped(self, block: "Block") -> int:
        """A pinned block's address on the device."""
        return int(block.memory.base.get_device_pointer())

    def _new_pinned(self, size: int) -> Array:
        flags = self._cuda.host_alloc_flags.DEVICEMAP if self.integrated else 0
        made: Array = self._cuda.pagelocked_empty(size, np.uint8, mem_flags=flags)
        return made

    def upload(self, address: int, host: Array) -> None:
        """Begin to copy pinned bytes to the device."""
        with told("the GPU failed"):
            self._cuda.memcpy_htod_async(address, host, self._stream)

    def download(self, host: Array, address: int) -> None:
        """Begin to copy from the device to pinned bytes."""
        with told("the GPU failed"):
            self._cuda.memcpy_dtoh_async(host, address, self._stream)

    def launch(self, kernel: str, grid: Sequence[int], block: int, *arguments: Any) -> None:
        """Begin a kernel: ints are addresses, NumPy scalars go by value."""
        values = [np.uint64(value) if isinstance(value, int) else value for value in arguments]
        shape = (*map(int, grid), 1, 1)[:3]
        with told(f"the kernel {kernel} does not start"):
            if kernel not in self._kernels:
                self._kernels[kernel] = self._module.get_function(kernel)
            self._kernels[kernel](*values, grid=shape, block=(block, 1, 1), stream=self._stream)

    def event(self, *, timing: bool = False) -> Any:
        """One that waits without spinning; has record(stream), synchronize() and time_till()."""
        flags = self._cuda.event_flags
        waits: int = flags.BLOCKING_SYNC if timing else flags.BLOCKING_SYNC | flags.DISABLE_TIMING
        return self._cuda.Event(waits)

    def mark(self, event: Any) -> None:
        """Record an event: it has happened once all that was begun before is done."""
        event.record(self._stream)

    def wait(self, event: Any) -> None:
        """Until it has happened, or all before it failed.

        Raises:
            CudaError: it failed.
        """
        with told("the GPU failed"):
            event.synchronize()

    def synchronize(self) -> None:
        """Wait for all that was begun.

        Raises:
            CudaError: some of it failed.
        """
        with told("the GPU failed"):
            self._stream.synchronize()

    def graph(self, record: Callable[[], None]) -> "Graph":
        """Capture what `record` begins; it is not done now.

        Raises:
            CudaError: something in it cannot be captured.
        """
        driver, mode = self._graphs, self._graphs.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL
        self._checked(driver.cuStreamBeginCapture(self.stream, mode))
        try:
            record()
        except BaseException:
            with contextlib.suppress(CudaError):
                self._checked(driver.cuGraphDestroy(self._checked(driver.cuStreamEndCapture(self.stream))))
            raise
        recorded = self._checked(driver.cuStreamEndCapture(self.stream))
        try:
            executable = self._checked(driver.cuGraphInstantiate(recorded, 0))
        finally:
            self._checked(driver.cuGraphDestroy(recorded))
        return Graph(
            launch=lambda: self._checked(driver.cuGraphLaunch(executable, self.stream)),
            free=lambda: self._checked(driver.cuGraphExecDestroy(executable)),
        )

    def _checked(self, answer: Sequence[Any]) -> Any:
        """The value of a driver call, whose status comes first."""
        status, *values = answer
        if int(status) != 0:
            name = self._graphs.cuGetErrorName(status)[1]
            raise CudaError("a CUDA call failed", why=name.decode(), cure="vedette doctor")
        return values[0] if values else None


def _leaving_nothing(work: Callable[[], T]) -> T:
    """What fails keeps no object of the driver alive in its traceback, to be freed by whoever reads that."""
    try:
        return work()
    except BaseException as error:
        traceback.clear_frames(error.__traceback__)
        raise


class Graph:
    """What was captured; `launch` begins all of it at once, `free` forgets it."""

    def __init__(self, launch: Callable[[], None], free: Callable[[], None]) -> None:
        self.launch, self.free = launch, free


class Pool:
    """Blocks of one kind, kept for the next who needs that size: a power of two, 64 KiB at least."""

    def __init__(self, make: Callable[[int], Any], free: Callable[[Any], None]) -> None:
        self._make, self._free = make, free
        self._idle: dict[int, list[Any]] = {}
        self._all: list[Any] = []

    def take(self, size: int) -> Any:
        """A block of this rounded size."""
        idle = self._idle.setdefault(size, [])
        if not idle:
            self._all.append(self._make(size))
            return self._all[-1]
        return idle.pop()

    def give(self, size: int, memory: Any) -> None:
        """Back."""
        self._idle[size].append(memory)

    def close(self) -> None:
        """Free all, whoever has them."""
        while self._all:
            self._free(self._all.pop())
        self._idle.clear()


class Block:
    """Memory from a pool: its address, or for pinned memory its bytes."""

    def __init__(self, pool: Pool, size: int) -> None:
        self._pool, self._size = pool, max(_SMALLEST, 1 << (size - 1).bit_length())
        self.memory: Any = pool.take(self._size)

    def __int__(self) -> int:
        return int(self.memory)

    def release(self) -> None:
        """Give it back; once."""
        memory, self.memory = self.memory, None
        assert memory is not None, "released twice"
        self._pool.give(self._size, memory)


@contextlib.contextmanager
def told(what: str) -> Iterator[None]:
    """What pycuda raises becomes a CudaError."""
    cuda = _pycuda()
    try:
        yield
    except cuda.Error as error:
        why = str(error)
        cure = next((cure for part, cure in _CURES.items() if part in why), "vedette doctor")
        raise CudaError(what, why=why, cure=cure) from None


@cache
def device() -> Device:
    """The one Device of this process; CUDA_VISIBLE_DEVICES says which."""
    return Device()


def _pycuda() -> Any:
    try:
        return import_module("pycuda.driver")
    except ModuleNotFoundError:
        raise CudaError(
            "the GPU path needs pycuda", why="it is not installed", cure="pip install 'vedette[gpu]'"
        ) from None
    except ImportError as error:
        raise CudaError(
            "there is no NVIDIA driver",
            why=str(error),
            cure="install the driver; without a GPU, use --backend onnxruntime",
        ) from None


def _cuda_bindings() -> Any:
    try:
        return import_module("cuda.bindings.driver")
    except ImportError:
        raise CudaError(
            "the GPU path needs cuda-bindings", why="it is not installed", cure="pip install 'vedette[gpu]'"
        ) from None


def _check_driver(version: int) -> None:
    if version < OLDEST_DRIVER:
        raise CudaError(
            "the NVIDIA driver is too old",
            why=f"it is of CUDA {_version(version)}; the kernels need {_version(OLDEST_DRIVER)}",
            cure="update the driver to 525 or newer",
        )


def _gpu(cuda: Any, ordinal: int) -> Any:
    count = cuda.Device.count()
    if ordinal >= count:
        raise CudaError(
            f"there is no GPU {ordinal}", why=f"the driver sees {count}", cure="look at CUDA_VISIBLE_DEVICES"
        )
    return cuda.Device(ordinal)


def _version(number: int) -> str:
    return f"{number // 1000}.{number % 1000 // 10}"
