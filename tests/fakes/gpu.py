"""A GPU that is not there: its memory is the host's, its streams are queues, and what a real one would not survive it refuses.

In: what driver.py and tensorrt_.py are asked for.  Out: results in its memory, counts of what was done, Misuse.
Work waits until somebody waits for it, so that a missing wait shows, and looks at pinned memory only then.
The kernels are kernels/*.cu, compiled for the CPU by cuda_host.  Next: driver.py.
"""

import re
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from functools import cache
from threading import get_ident
from typing import Any, NoReturn
from weakref import WeakSet

import numpy as np
import pytest
from cuda_host.shim import KERNEL, KERNELS, LaunchError, Library, build
from numpy.typing import NDArray

FATBIN = b"fatbin"  # what the fake takes for the packaged kernels
_ALIGNMENT = {"device": 256, "pinned": 4096}


class Misuse(AssertionError):  # noqa: N818  (not an error of the code that runs)
    """Something that a real driver or TensorRT punishes, at once or some day."""


@dataclass
class Counts:
    """What was done; the copies, launches and inferences of a graph count whenever it is launched."""

    uploads: int = 0
    downloads: int = 0
    launches: int = 0
    inferences: int = 0
    graph_launches: int = 0
    allocations: int = 0  # of device memory and of pinned
    synchronisations: int = 0  # waits for a stream or an event


@dataclass(eq=False)
class Memory:
    """An allocation. After `free` its bytes stay, so that nobody else gets the address."""

    kind: str  # device, pinned
    address: int
    size: int
    bytes_: NDArray[np.uint8]
    mapped: bool = False  # pinned, and the GPU reads it in place

    def has(self, address: int, size: int) -> bool:
        return self.address <= address and address + size <= self.address + self.size


@dataclass(frozen=True)
class Work:
    """Something that waits in a stream, or was captured."""

    kind: str  # the name of a count, or "event"
    run: Callable[[], None]


@dataclass
class FakeGpu:
    """One machine with `count` GPUs of a kind."""

    name: str = "Fake GPU"
    capability: tuple[int, int] = (8, 9)
    memory_bytes: int = 1 << 32
    driver_version: int = 12060
    integrated: bool = False  # CPU and GPU share memory
    count: int = 1
    refuses_fatbin: bool = False
    fill: int = 0xCD  # each byte of new memory; of 0xFF every float is no number
    fail_with: str = ""  # how the next kernel fails, as the wait after it says

    counts: Counts = field(default_factory=Counts)
    misuses: list[str] = field(default_factory=list)  # those too that a thread swallowed
    log: list[str] = field(default_factory=list)  # what TensorRT's own logger wrote
    started: bool = False
    owner: int | None = None  # the thread that retained the context
    current: int | None = None  # the thread on which it is current
    failure: str = ""  # once a kernel failed, all that follows does
    live: list[Memory] = field(default_factory=list)
    freed: list[Memory] = field(default_factory=list)
    streams: dict[int, deque[Work]] = field(default_factory=dict)
    capturing: int | None = None  # the stream
    captured: list[Work] = field(default_factory=list)
    graphs: set[int] = field(default_factory=set)  # captured or executable, not destroyed
    objects: "WeakSet[Owned]" = field(default_factory=WeakSet)

    # ---- what a test asks

    def reset(self) -> None:
        """Count from nothing."""
        self.counts = Counts()

    def counted(self, **expected: int) -> bool:
        """Was this done since reset, and nothing else? Waits are not compared unless named."""
        names = [
            item.name for item in fields(Counts) if item.name != "synchronisations" or item.name in expected
        ]
        found = {name: getattr(self.counts, name) for name in names}
        assert found == dict.fromkeys(names, 0) | expected
        return True

    @contextmanager
    def refusing(self, what: str) -> Iterator[None]:
        """A test of misuse: it is refused with this message, and forgiven."""
        with pytest.raises(Misuse, match=what):
            yield
        self.misuses.clear()

    def finish(self) -> None:
        """Nothing was misused, and the context was given back."""
        assert not self.misuses, self.misuses
        assert self.owner is None, "the context was not given back: Device.close was not called"

    # ---- the rules

    def refuse(self, why: str) -> NoReturn:
        self.misuses.append(why)
        raise Misuse(why)

    def require_start(self, call: str) -> None:
        if not self.started:
            self.refuse(f"{call} before init")

    def require(self, call: str, *, in_capture: bool = True) -> None:
        """The context is current here, and `call` allowed now."""
        self.require_start(call)
        if self.owner is None:
            self.refuse(f"{call} without a context: it was not retained, or is detached")
        if self.current != get_ident():
            self.refuse(f"{call} on another thread than that of the context")
        if not in_capture and self.capturing is not None:
            self.refuse(f"{call} during capture")

    def span(self, address: int, size: int, *, of: str, what: str) -> Memory:
        """The live memory in which these bytes lie."""
        found = self._around(address, size)
        if found is None or not (found.kind == of or (of == "device" and found.mapped)):
            self.refuse(f"{what}: {self._explained(address, size, of)}")
        return found

    def _around(self, address: int, size: int) -> Memory | None:
        return next((memory for memory in self.live if memory.has(address, size)), None)

    def _explained(self, address: int, size: int, of: str) -> str:
        around = self._around(address, 1)
        if any(memory.has(address, 1) for memory in self.freed):
            return "the memory was freed"
        if around is None or around.kind != of:
            return f"{address:#x} is not {of} memory{'' if around is None else f' but {around.kind}'}"
        return f"{size} bytes do not fit into the {around.address + around.size - address} that are left"

    # ---- memory

    def has_room(self, size: int) -> bool:
        return sum(memory.size for memory in self.live if memory.kind == "device") + size <= self.memory_bytes

    def allocate(self, size: int, kind: str, *, mapped: bool = False) -> Memory:
        alignment = _ALIGNMENT[kind]
        raw = np.full(size + alignment, self.fill, np.uint8)
        start = -raw.ctypes.data % alignment
        made = Memory(kind, raw.ctypes.data + start, size, raw[start : start + size], mapped)
        self.live.append(made)
        self.counts.allocations += 1
        return made

    def free(self, memory: Memory) -> None:
        if memory not in self.live:
            self.refuse(f"{memory.kind} memory is freed twice")
        self.live.remove(memory)
        self.freed.append(memory)

    # ---- the context

    def push(self) -> None:
        if self.current is not None:
            self.refuse("the context is pushed twice")
        self.current = get_ident()

    def pop(self) -> None:
        self.require("Context.pop", in_capture=False)
        self.current = None

    def retain(self) -> None:
        self.require_start("retain_primary_context")
        if self.owner is not None:
            self.refuse("the context is retained twice")
        self.owner = get_ident()

    def detach(self) -> None:
        if self.owner != get_ident():
            self.refuse("Context.detach on another thread than that of the context, or twice")
        self.owner = None
        left = [f"{memory.size} bytes of {memory.kind} memory" for memory in self.live]
        left += [f"a graph ({graph:#x})" for graph in self.graphs]
        if not self.failure:  # whose traceback may hold them
            left += [f"a {type(thing).__name__}" for thing in self.objects]
        if left:
            self.refuse(f"left behind when the context is detached: {', '.join(sorted(left))}")

    # ---- streams

    def new_stream(self) -> int:
        handle = 0x5EA0000 + len(self.streams)
        self.streams[handle] = deque()
        return handle

    def begin(self, handle: int, work: Work) -> None:
        """Queue it, or while this stream is captured, record it."""
        if handle not in self.streams:
            self.refuse(
                f"work for {handle:#x}, which is no stream" if handle else "work for the default stream"
            )
        if self.capturing is not None and self.capturing != handle:
            self.refuse("work for another stream than the one that is captured")
        (self.streams[handle] if self.capturing is None else self.captured).append(work)

    def drain(self, handle: int, *, until: Work | None = None) -> None:
        """Do what was queued, up to `until`."""
        queue = self.streams[handle]
        while queue and (until is None or until in queue):
            self.step(handle)

    def step(self, handle: int) -> None:
        """Do the next that was queued."""
        work = self.streams[handle].popleft()
        if self.failure:
            return
        if work.kind != "event":
            setattr(self.counts, work.kind, getattr(self.counts, work.kind) + 1)
        work.run()
        if work.kind == "launches" and self.fail_with:
            self.failure = self.fail_with

    def begin_capture(self, handle: int) -> None:
        self.require("cuStreamBeginCapture")
        if self.capturing is not None:
            self.refuse("a capture begins during capture")
        if handle not in self.streams:
            self.refuse(f"capture of {handle:#x}, which is no stream")
        self.capturing, self.captured = handle, []

    def end_capture(self, handle: int) -> list[Work]:
        self.require("cuStreamEndCapture")
        if self.capturing != handle:
            self.refuse("a capture ends that did not begin")
        self.capturing = None
        return self.captured

    # ---- kernels

    def launch(
        self, handle: int, name: str, grid: Sequence[int], block: Sequence[int], values: Sequence[Any]
    ) -> None:
        """Check a launch and queue it; its arguments are those of now."""
        self._check_shape(name, grid, block)
        library, parameters = kernels()[name]
        frozen = self._checked_arguments(name, parameters, values)
        sizes = tuple(map(int, grid))

        def run() -> None:
            try:
                library().launch(name, sizes, int(block[0]), *frozen)
            except LaunchError as error:
                self.refuse(str(error))

        self.begin(handle, Work("launches", run))

    def _check_shape(self, name: str, grid: Sequence[int], block: Sequence[int]) -> None:
        if not all(1 <= side <= most for side, most in zip(grid, (2**31 - 1, 65535, 65535), strict=False)):
            self.refuse(f"{name}: a grid of {tuple(grid)}")
        if not 1 <= int(np.prod(block)) <= 1024 or tuple(block[1:]) != (1, 1):
            self.refuse(f"{name}: a block of {tuple(block)}")

    def _checked_arguments(self, name: str, parameters: Sequence[str], values: Sequence[Any]) -> list[Any]:
        found = "".join(value.dtype.char for value in values)
        if len(found) != len(parameters) or any(
            one != two != "?" for one, two in zip(found, parameters, strict=True)
        ):
            self.refuse(
                f"{name} takes {''.join(parameters)}, got {found} (L: an address; i, l, f, d: numbers)"
            )
        for number, value in enumerate(values):
            if value.dtype.char == "L" and value:
                self.span(int(value), 1, of="device", what=f"argument {number} of {name}")
        return [int(value) if value.dtype.char == "L" else value for value in values]


class Owned:
    """What the GPU's objects have in common: the device thread must free them, before the context goes."""

    _made = False

    def __init__(self, gpu: FakeGpu) -> None:
        self._gpu, self._made = gpu, True
        gpu.objects.add(self)

    def __del__(self) -> None:
        gpu = self._gpu
        if self._made and not gpu.failure and gpu.owner not in (None, get_ident()):
            gpu.misuses.append(f"a {type(self).__name__} is freed on another thread than that of the context")


_TYPES = {"int": "i", "int32_t": "i", "int64_t": "l", "float": "f", "double": "d"}


@cache
def kernels() -> dict[str, tuple[Callable[[], Library], list[str]]]:
    """By name: its library, compiled when first asked for, and what it takes."""
    found: dict[str, tuple[Callable[[], Library], list[str]]] = {}
    for path in sorted(KERNELS.glob("*.cu")):
        text = path.read_text()
        for match in KERNEL.finditer(text):
            parameters = (
                text[match.end() : text.index("{", match.end())].rstrip().removesuffix(")").split(",")
            )
            found[match[1]] = _opener(path.stem), [_kind(parameter) for parameter in parameters]
    return found


def _opener(stem: str) -> Callable[[], Library]:
    return lambda: _library(stem)


@cache
def _library(stem: str) -> Library:
    return Library(build(stem))


def _kind(parameter: str) -> str:
    """L for an address, the letter of a number's dtype, ? for a type that is not known."""
    if "*" in parameter:
        return "L"
    words = re.findall(r"\w+", parameter.replace("const ", ""))
    return _TYPES.get(words[0], "?")
