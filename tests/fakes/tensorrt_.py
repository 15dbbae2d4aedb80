"""`tensorrt` over a FakeGpu, as version 8.6 is and as 10 and later are: only names that the real ones have.

    with installed(FakeGpu()) as gpu, tensorrt_installed(gpu, version="8.6.1"):
        engine_file = plan(onnx_bytes, version="8.6.1", profiles=[{"images": (least, typical, most)}])

An engine file holds the ONNX graph; running it queues ONNX Runtime's answer, on the CPU, on the fake's stream, over what
then lies at the addresses that were bound when it was enqueued.  Next: gpu.py.
"""

import ctypes
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum, IntEnum
from functools import cache, cached_property
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any
from weakref import ref

import numpy as np
import pytest
from numpy.typing import NDArray

from fakes.gpu import FakeGpu, Owned, Work

Array = NDArray[Any]
Shape = tuple[int, ...]
Profile = Mapping[str, tuple[Shape, Shape, Shape]]  # least, typical, most of each dynamic input
MAGIC = b"fake engine\n"
VERSION = "10.13.3.9"
SCRATCH = 1 << 20  # bytes of device memory that a context needs


def plan(
    model: bytes,
    *,
    capability: tuple[int, int] = (8, 9),
    version: str = VERSION,
    profiles: Sequence[Profile] = (),
    shared_profiles: bool = True,
) -> bytes:
    """An engine file. Without `shared_profiles` two contexts of 8.6 may not use the same profile, as is its default."""
    facts = {
        "capability": capability,
        "version": version,
        "profiles": list(profiles),
        "shared_profiles": shared_profiles,
    }
    return MAGIC + json.dumps(facts).encode() + b"\n" + model


@contextmanager
def tensorrt_installed(
    gpu: FakeGpu, *, version: str = VERSION, name: str = "tensorrt"
) -> Iterator[ModuleType]:
    """This version is what `import tensorrt`, or another name, gives."""
    with pytest.MonkeyPatch.context() as patch:
        made = bindings(gpu, version=version, name=name)
        patch.setitem(sys.modules, name, made)
        yield made


def bindings(gpu: FakeGpu, *, version: str = VERSION, name: str = "tensorrt") -> ModuleType:
    """The module."""
    made = ModuleType(name)
    made.__spec__ = ModuleSpec(name, None)
    old = version.startswith("8.")
    runtime = type("Runtime", (Runtime,), {"_gpu": gpu, "_version": version})
    names: list[type] = [ILogger, DataType8 if old else DataType10, TensorIOMode, Dims]
    names += (
        [ICudaEngine8, IExecutionContext8, IOutputAllocator8] if old else [ICudaEngine10, IExecutionContext10]
    )
    names += [] if old else [IOutputAllocator10, ExecutionContextAllocationStrategy]
    vars(made).update({item.__name__.rstrip("018"): item for item in names})
    logger = type("Logger", (Logger,), {"_gpu": gpu})
    vars(made).update(Runtime=runtime, Logger=logger, nptype=nptype, __version__=version)
    return made


# ---- the small types


class Severity(IntEnum):
    INTERNAL_ERROR, ERROR, WARNING, INFO, VERBOSE = range(5)


class ILogger:
    INTERNAL_ERROR, ERROR, WARNING, INFO, VERBOSE = Severity

    def __init__(self) -> None:
        self._made = True

    def log(self, severity: Severity, msg: str) -> None:
        raise NotImplementedError


class Logger(ILogger):
    """TensorRT's own, which writes to stderr; here to gpu.log."""

    _gpu: FakeGpu

    def __init__(self, min_severity: Severity = Severity.WARNING) -> None:
        super().__init__()
        self.min_severity = min_severity

    def log(self, severity: Severity, msg: str) -> None:
        if severity <= self.min_severity:
            self._gpu.log.append(msg)


class TensorIOMode(Enum):
    NONE, INPUT, OUTPUT = range(3)


class DataType8(Enum):
    FLOAT, HALF, INT8, INT32, BOOL, UINT8 = range(6)


class DataType10(Enum):
    FLOAT, HALF, INT8, INT32, BOOL, UINT8 = range(6)
    INT64 = 8


class ExecutionContextAllocationStrategy(Enum):
    STATIC, ON_PROFILE_CHANGE, USER_MANAGED = range(3)


_TYPES = {
    "FLOAT": np.float32, "HALF": np.float16, "INT8": np.int8, "INT32": np.int32, "BOOL": np.bool_,
    "UINT8": np.uint8, "INT64": np.int64,
}  # fmt: skip


def nptype(trt_type: Enum) -> type[np.generic]:
    found: type[np.generic] = _TYPES[trt_type.name]
    return found


class Dims:
    """A shape; it compares with tuples and lists, and is neither."""

    def __init__(self, shape: Sequence[int]) -> None:
        self._shape = tuple(map(int, shape))

    def __len__(self) -> int:
        return len(self._shape)

    def __getitem__(self, axis: int) -> int:
        return self._shape[axis]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, (tuple, list)):
            raise TypeError("__eq__(): incompatible function arguments")
        return self._shape == tuple(other)

    __hash__ = None  # type: ignore[assignment]


class IOutputAllocator8:
    """For outputs whose shape depends on data; derive from it."""

    def __init__(self) -> None:
        self._made = True

    def reallocate_output(self, tensor_name: str, memory: int, size: int, alignment: int) -> int:
        raise NotImplementedError

    def notify_shape(self, tensor_name: str, shape: Dims) -> None:
        raise NotImplementedError


class IOutputAllocator10(IOutputAllocator8):
    def reallocate_output_async(
        self, tensor_name: str, memory: int, size: int, alignment: int, stream: int
    ) -> int:
        return self.reallocate_output(tensor_name, memory, size, alignment)


# ---- the graph inside an engine file


@dataclass(frozen=True)
class _Tensor:
    name: str
    is_input: bool
    dtype: str  # a name of DataType
    declared: tuple[int | str, ...]  # a name where the axis is dynamic

    @property
    def shape(self) -> Shape:
        return tuple(side if isinstance(side, int) else -1 for side in self.declared)

    def bytes_of(self, shape: Shape) -> int:
        return int(np.prod(shape)) * np.dtype(_TYPES[self.dtype]).itemsize


class _Graph:
    """The ONNX graph, its tensors as an engine of this version has them, and ONNX Runtime."""

    def __init__(self, model: bytes, *, old: bool) -> None:
        import onnx

        self._bytes, self._model = model, onnx.load_from_string(model)
        graph = self._model.graph
        weights = {item.name for item in graph.initializer}
        inputs = [_tensor(item, is_input=True, old=old) for item in graph.input if item.name not in weights]
        outputs = [_tensor(item, is_input=False, old=old) for item in graph.output]
        self.tensors = {tensor.name: tensor for tensor in (*inputs, *outputs)}
        self._resolved: dict[tuple[tuple[str, Shape], ...], dict[str, Shape]] = {}

    def shapes(self, inputs: Mapping[str, Shape]) -> dict[str, Shape]:
        """Of the outputs; -1 where it depends on data."""
        key = tuple(sorted(inputs.items()))
        if key not in self._resolved:
            named = {
                name: side
                for tensor, shape in inputs.items()
                for name, side in zip(self.tensors[tensor].declared, shape, strict=True)
            }
            outputs = [tensor for tensor in self.tensors.values() if not tensor.is_input]
            found = {tensor.name: tuple(_side(side, named) for side in tensor.declared) for tensor in outputs}
            unknown = any(-1 in shape for shape in found.values())
            self._resolved[key] = self._inferred(inputs) if unknown else found
        return self._resolved[key]

    def _inferred(self, inputs: Mapping[str, Shape]) -> dict[str, Shape]:
        import onnx

        model = onnx.ModelProto.FromString(self._bytes)
        for item in model.graph.input:
            for dimension, side in zip(
                item.type.tensor_type.shape.dim, inputs.get(item.name, ()), strict=False
            ):
                dimension.dim_value = side
        outputs = onnx.shape_inference.infer_shapes(model, data_prop=True).graph.output
        return {item.name: _tensor(item, is_input=False, old=False).shape for item in outputs}

    @cached_property
    def session(self) -> Any:
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = 1, 4
        return ort.InferenceSession(self._bytes, options, providers=["CPUExecutionProvider"])

    def __call__(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        wanted = {item.name: _NUMPY[item.type] for item in self.session.get_inputs()}
        names = [item.name for item in self.session.get_outputs()]
        found = self.session.run(names, {name: array.astype(wanted[name]) for name, array in feeds.items()})
        return {
            name: np.ascontiguousarray(array, _TYPES[self.tensors[name].dtype])
            for name, array in zip(names, found, strict=True)
        }


_NUMPY = {
    "tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(int8)": np.int8, "tensor(int32)": np.int32,
    "tensor(bool)": np.bool_, "tensor(uint8)": np.uint8, "tensor(int64)": np.int64,
}  # fmt: skip


def _tensor(item: Any, *, is_input: bool, old: bool) -> _Tensor:
    from onnx import helper

    kind = np.dtype(helper.tensor_dtype_to_np_dtype(item.type.tensor_type.elem_type)).type
    dtype = next(name for name, known in _TYPES.items() if known is kind)
    sides = [
        side.dim_value if side.HasField("dim_value") else side.dim_param or "?"
        for side in item.type.tensor_type.shape.dim
    ]
    return _Tensor(item.name, is_input, "INT32" if old and dtype == "INT64" else dtype, tuple(sides))


def _side(side: int | str, named: Mapping[int | str, int]) -> int:
    return side if isinstance(side, int) else named.get(side, -1)


@cache
def _graph(model: bytes, *, old: bool) -> _Graph:
    return _Graph(model, old=old)


# ---- runtime and engine


class Runtime(Owned):
    _gpu: FakeGpu
    _version: str

    def __init__(self, logger: ILogger) -> None:
        if not getattr(logger, "_made", False):
            raise TypeError("ILogger.__init__() must be called when overriding __init__")
        self._gpu.require("Runtime", in_capture=False)
        super().__init__(self._gpu)
        self._logger = logger

    def deserialize_cuda_engine(self, serialized_engine: bytes) -> "ICudaEngine | None":
        self._gpu.require("deserialize_cuda_engine", in_capture=False)
        head, _, model = serialized_engine.removeprefix(MAGIC).partition(b"\n")
        facts = json.loads(head) if serialized_engine.startswith(MAGIC) else {}
        if why := self._why_not(facts):
            self._logger.log(Severity.ERROR, why)
            return None
        kind = ICudaEngine8 if self._version.startswith("8.") else ICudaEngine10
        return kind(self._gpu, self._logger, facts, model)

    def _why_not(self, facts: Mapping[str, Any]) -> str:
        """As TensorRT words it."""
        if not facts:
            return "Serialization assertion magicTagRead == kMAGIC_TAG failed. Magic tag does not match"
        if facts["version"] != self._version:
            return (
                "The engine plan file is not compatible with this version of TensorRT, expecting library version "
                f"{self._version} got {facts['version']}, please rebuild."
            )
        built, here = (".".join(map(str, pair)) for pair in (facts["capability"], self._gpu.capability))
        return (
            ""
            if built == here
            else (
                "The engine plan file is generated on an incompatible device, "
                f"expecting compute {here} got compute {built}, please rebuild."
            )
        )


class ICudaEngine(Owned):
    _types: type[Enum]
    _shares: bool

    def __init__(self, gpu: FakeGpu, logger: ILogger, facts: Mapping[str, Any], model: bytes) -> None:
        super().__init__(gpu)
        self._logger = logger
        self._graph = _graph(model, old=self._types is DataType8)
        self._profiles = [_read(profile) for profile in facts["profiles"]] or [{}]
        self._exclusive = self._types is DataType8 and not facts["shared_profiles"]
        self._contexts: list[ref[IExecutionContext]] = []

    @property
    def num_io_tensors(self) -> int:
        return len(self._graph.tensors)

    @property
    def num_optimization_profiles(self) -> int:
        return len(self._profiles)

    def get_tensor_name(self, index: int) -> str:
        return [*self._graph.tensors][index]

    def get_tensor_mode(self, name: str) -> TensorIOMode:
        return TensorIOMode.INPUT if self._graph.tensors[name].is_input else TensorIOMode.OUTPUT

    def get_tensor_dtype(self, name: str) -> Enum:
        return self._types[self._graph.tensors[name].dtype]

    def get_tensor_shape(self, name: str) -> Dims:
        return Dims(self._graph.tensors[name].shape)

    def get_tensor_profile_shape(self, name: str, profile_index: int) -> list[Dims]:
        shape = self._graph.tensors[name].shape
        return [Dims(bound) for bound in self._profiles[profile_index].get(name, (shape,) * 3)]

    def _alive(self) -> "list[IExecutionContext]":
        return [context for context in (known() for known in self._contexts) if context is not None]

    def _context(self, kind: "type[IExecutionContext]", *, managed: bool) -> Any:
        self._gpu.require("create_execution_context", in_capture=False)
        made = kind(self, managed=managed)
        self._contexts.append(ref(made))
        return made


def _read(profile: Mapping[str, Sequence[Sequence[int]]]) -> dict[str, tuple[Shape, ...]]:
    return {name: tuple(tuple(bound) for bound in bounds) for name, bounds in profile.items()}


class ICudaEngine8(ICudaEngine):
    _types = DataType8

    @property
    def device_memory_size(self) -> int:
        return SCRATCH

    def create_execution_context(self) -> "IExecutionContext8":
        made: IExecutionContext8 = self._context(IExecutionContext8, managed=False)
        return made

    def create_execution_context_without_device_memory(self) -> "IExecutionContext8":
        made: IExecutionContext8 = self._context(IExecutionContext8, managed=True)
        return made


class ICudaEngine10(ICudaEngine):
    _types = DataType10

    @property
    def device_memory_size_v2(self) -> int:
        return SCRATCH

    def create_execution_context(
        self, strategy: ExecutionContextAllocationStrategy = ExecutionContextAllocationStrategy.STATIC
    ) -> "IExecutionContext10":
        managed = strategy is ExecutionContextAllocationStrategy.USER_MANAGED
        made: IExecutionContext10 = self._context(IExecutionContext10, managed=managed)
        return made


# ---- the context


class IExecutionContext(Owned):
    """Shapes and addresses are of the moment of the enqueueing; the work looks at memory when it is done."""

    def __init__(self, engine: ICudaEngine, *, managed: bool) -> None:
        super().__init__(engine._gpu)
        self._engine_ref, self._graph, self._logger = ref(engine), engine._graph, engine._logger
        dynamic = any(-1 in tensor.shape for tensor in self._inputs())
        first = isinstance(engine, ICudaEngine10) or not engine._alive()
        self._profile: int | None = 0 if first or not dynamic else None
        self._managed, self._memory = managed, (0, 0)  # address, size
        self._shapes: dict[str, Shape] = {}
        self._addresses: dict[str, int] = {}
        self._allocators: dict[str, IOutputAllocator8] = {}
        self._warm: dict[str, Shape] | None = None  # the shapes of the last run
        self._stream = 0

    def set_optimization_profile_async(self, profile_index: int, stream_handle: int) -> bool:
        engine = self._engine("set_optimization_profile_async")
        self._check_stream(stream_handle)
        if not 0 <= profile_index < len(engine._profiles):
            return self._refused(f"profile {profile_index} is not in 0..{len(engine._profiles) - 1}")
        others = [context for context in engine._alive() if context is not self]
        if engine._exclusive and any(other._profile == profile_index for other in others):
            return self._refused(f"Profile {profile_index} has been chosen by another IExecutionContext.")
        self._profile, self._shapes, self._warm = profile_index, {}, None
        return True

    def set_input_shape(self, name: str, shape: Sequence[int]) -> bool:
        engine = self._engine("set_input_shape")
        tensor, sides = self._graph.tensors.get(name), tuple(map(int, shape))
        if tensor is None or not tensor.is_input:
            return self._refused(f"{name} is not an input")
        least, _, most = engine._profiles[self._profile or 0].get(name, (tensor.shape,) * 3)
        if len(sides) != len(least) or not all(
            a <= b <= c for a, b, c in zip(least, sides, most, strict=True)
        ):
            return self._refused(
                f"3: [executionContext.cpp::setInputShape] Error Code 3: API Usage Error: {name} is {sides}, "
                f"its profile has {least} to {most}"
            )
        if self._shapes.get(name) != sides:
            self._warm = None
        self._shapes[name] = sides
        return True

    def infer_shapes(self) -> list[str]:
        """The inputs whose shapes are missing."""
        self._engine("infer_shapes")
        return [tensor.name for tensor in self._inputs() if self._shape(tensor) is None]

    def get_tensor_shape(self, name: str) -> Dims:
        self._engine("get_tensor_shape")
        tensor = self._graph.tensors[name]
        if tensor.is_input:
            return Dims(self._shape(tensor) or tensor.shape)
        return Dims(tensor.shape if self._missing() else self._output_shapes()[name])

    def set_tensor_address(self, name: str, memory: int) -> bool:
        self._engine("set_tensor_address")
        self._addresses[name] = int(memory)
        return name in self._graph.tensors or self._refused(f"{name} is not a tensor")

    def set_output_allocator(self, name: str, output_allocator: IOutputAllocator8) -> bool:
        self._engine("set_output_allocator")
        if not getattr(output_allocator, "_made", False):
            raise TypeError("IOutputAllocator.__init__() must be called when overriding __init__")
        self._allocators[name] = output_allocator
        return True

    def execute_async_v3(self, stream_handle: int) -> bool:
        self._engine("execute_async_v3")
        self._check_stream(stream_handle)
        self._check_shapes()
        if self._managed:
            self._check_scratch()
        shapes = {tensor.name: self._shape(tensor) or () for tensor in self._inputs()} | self._output_shapes()
        later = [name for name, shape in shapes.items() if -1 in shape]
        at = {name: self._checked_address(name, shape) for name, shape in shapes.items() if name not in later}
        if later:
            self._run_now(stream_handle, at, shapes, later)
        else:
            self._gpu.begin(stream_handle, Work("inferences", self._work(at, shapes)))
        self._warm = dict(self._shapes)
        return True

    # ---- checks

    def _engine(self, call: str) -> ICudaEngine:
        capturable = call in ("execute_async_v3", "set_tensor_address", "get_tensor_shape", "infer_shapes")
        self._gpu.require(call, in_capture=capturable)
        engine = self._engine_ref()
        if engine is None:
            self._gpu.refuse(f"{call} on a context whose engine is gone")
        return engine

    def _refused(self, why: str) -> bool:
        """How TensorRT says no: False, and why in the log."""
        self._logger.log(Severity.ERROR, why)
        return False

    def _check_stream(self, handle: int) -> None:
        if handle not in self._gpu.streams or self._stream not in (0, handle):
            self._gpu.refuse(f"a TensorRT context on another stream ({handle:#x}) than {self._stream:#x}")
        self._stream = handle

    def _check_shapes(self) -> None:
        if self._profile is None:
            self._gpu.refuse("a second context of TensorRT 8.6 runs before it chose an optimisation profile")
        if missing := self._missing():
            self._gpu.refuse(f"execute_async_v3 before the shape of {missing[0]} was set")
        if self._gpu.capturing is not None and self._warm != self._shapes:
            self._gpu.refuse("execute_async_v3 is captured before it ran once with these shapes")

    def _check_scratch(self) -> None:
        address, size = self._memory
        if not address or address % 256 or size < SCRATCH:
            self._gpu.refuse(
                f"device memory of a context: {size} bytes at {address:#x}; {SCRATCH} are needed"
            )
        self._gpu.span(address, SCRATCH, of="device", what="device memory of a context")

    def _checked_address(self, name: str, shape: Shape) -> int:
        address = self._addresses.get(name, 0)
        if not address:
            self._gpu.refuse(f"execute_async_v3 before the address of {name} was set")
        self._gpu.span(address, self._graph.tensors[name].bytes_of(shape), of="device", what=f"tensor {name}")
        return address

    def _inputs(self) -> list[_Tensor]:
        return [tensor for tensor in self._graph.tensors.values() if tensor.is_input]

    def _shape(self, tensor: _Tensor) -> Shape | None:
        return tensor.shape if -1 not in tensor.shape else self._shapes.get(tensor.name)

    def _missing(self) -> list[str]:
        return [tensor.name for tensor in self._inputs() if self._shape(tensor) is None]

    def _output_shapes(self) -> dict[str, Shape]:
        return self._graph.shapes({tensor.name: self._shape(tensor) or () for tensor in self._inputs()})

    # ---- running

    def _work(self, at: Mapping[str, int], shapes: Mapping[str, Shape]) -> Callable[[], None]:
        """Reads and writes these addresses, whatever the context is told later."""
        graph, gpu, context = self._graph, self._gpu, ref(self)

        def run() -> None:
            if context() is None:
                gpu.refuse("a TensorRT context was destroyed before its work was done")
            for name, array in graph(_read_inputs(gpu, graph, at, shapes)).items():
                _write(gpu, at[name], array)

        return run

    def _run_now(
        self, handle: int, at: Mapping[str, int], shapes: Mapping[str, Shape], later: Sequence[str]
    ) -> None:
        """Shapes that depend on data: TensorRT waits for the data while enqueueing."""
        if self._gpu.capturing is not None:
            self._gpu.refuse(f"the shape of {later[0]} depends on data, which a graph cannot hold")
        self._gpu.drain(handle)
        self._gpu.counts.inferences += 1
        for name, array in self._graph(_read_inputs(self._gpu, self._graph, at, shapes)).items():
            _write(self._gpu, at[name] if name in at else self._allocated(name, array, handle), array)

    def _allocated(self, name: str, array: Array, handle: int) -> int:
        if name not in self._allocators:
            self._gpu.refuse(f"the shape of {name} depends on data: it needs an output allocator")
        allocator, memory = self._allocators[name], self._addresses.get(name, 0)
        if isinstance(allocator, IOutputAllocator10):
            address = allocator.reallocate_output_async(name, memory, max(1, array.nbytes), 256, handle)
        else:
            address = allocator.reallocate_output(name, memory, max(1, array.nbytes), 256)
        allocator.notify_shape(name, Dims(array.shape))
        return address


class IExecutionContext8(IExecutionContext):
    def _set_memory(self, memory: int) -> None:
        self._memory = int(memory), SCRATCH

    device_memory = property(None, _set_memory)


class IExecutionContext10(IExecutionContext):
    def set_device_memory(self, memory: int, size: int) -> None:
        self._memory = int(memory), int(size)


def _read_inputs(
    gpu: FakeGpu, graph: _Graph, at: Mapping[str, int], shapes: Mapping[str, Shape]
) -> dict[str, Array]:
    """What lies there now."""
    found: dict[str, Array] = {}
    for tensor in graph.tensors.values():
        if tensor.is_input:
            size = tensor.bytes_of(shapes[tensor.name])
            gpu.span(at[tensor.name], size, of="device", what=f"tensor {tensor.name}, when it is read")
            raw = ctypes.string_at(at[tensor.name], size)
            found[tensor.name] = np.frombuffer(raw, _TYPES[tensor.dtype]).reshape(shapes[tensor.name])
    return found


def _write(gpu: FakeGpu, address: int, array: Array) -> None:
    if array.size:
        gpu.span(address, array.nbytes, of="device", what="an output, when it is written")
        ctypes.memmove(address, array.ctypes.data, array.nbytes)
