"""A TensorRT engine on the device thread, whatever its version: what differs between lanes is asked of the module, here only.

In: a plan whose manifest has been checked.  Out: sessions, which read and write device memory.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vedette.kernels.device import Block, Device
from vedette.kernels.launches import Fields
from vedette.runtime.engine import Tensor
from vedette.runtime.errors import DeviceError, ModelError
from vedette.runtime.manifest import Manifest


class Contexts:
    """The engine on the device thread: a context a session, all in the same activation memory, since one stream runs them."""

    def __init__(self, trt: Any, manifest: Manifest, plan: bytes, gpu: Device) -> None:
        self._trt, self.device, self._name = trt, gpu, manifest.name
        self._engine = _deserialise(trt, manifest, plan, gpu)
        names = [self._engine.get_tensor_name(index) for index in range(self._engine.num_io_tensors)]
        tensors = [self._tensor(name) for name in names]
        is_input = {name: self._engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT for name in names}
        self.inputs = tuple(tensor for tensor in tensors if is_input[tensor.name])
        self.outputs = tuple(tensor for tensor in tensors if not is_input[tensor.name])
        size = int(
            getattr(self._engine, "device_memory_size_v2", 0)
            or getattr(self._engine, "device_memory_size", 0)
        )
        self._activations = gpu.allocate(max(size, 1))
        self._activation_size = size
        self.capturable = True
        self.data_dependent = self._is_data_dependent()

    def session(self, shapes: Mapping[str, tuple[int, ...]]) -> "_Context":
        """A context for inputs of these shapes."""
        context = self._create()
        if -1 in (side for tensor in self.inputs for side in tensor.shape):
            context.set_optimization_profile_async(self._profile(shapes), self.device.stream)
        for name, shape in shapes.items():
            if not context.set_input_shape(name, tuple(shape)):
                raise ModelError(
                    f"the engine of {self._name} refuses {name} of shape {list(shape)}",
                    why="it lies outside the optimisation profile it was built with",
                    cure="leave --imgsz out, or export with wider bounds and build again",
                )
        missing = context.infer_shapes()
        if missing:
            raise ModelError(f"the engine of {self._name} lacks inputs", why=", ".join(missing))
        return _Context(self._trt, context, self.outputs, self.device)

    def _is_data_dependent(self) -> bool:
        """Whether the size of an output is known only after the run, as after NonMaxSuppression."""
        fixed = {tensor.name: tensor.shape for tensor in self.inputs if -1 not in tensor.shape}
        dynamic = [tensor.name for tensor in self.inputs if -1 in tensor.shape]
        typical = {name: tuple(self._engine.get_tensor_profile_shape(name, 0)[1]) for name in dynamic}
        session = self.session(fixed | typical)
        session.close()
        return bool(session.growing)

    def close(self) -> None:
        """Free the engine; its sessions are closed already."""
        self._activations.release()
        del self._engine

    def _create(self) -> Any:
        """A context in the shared memory: the call changed with TensorRT 10."""
        strategy = getattr(self._trt, "ExecutionContextAllocationStrategy", None)
        address = int(self._activations)
        if strategy is None:
            context = self._engine.create_execution_context_without_device_memory()
            context.device_memory = address
        else:
            context = self._engine.create_execution_context(strategy.USER_MANAGED)
            context.set_device_memory(address, self._activation_size)
        return context

    def _profile(self, shapes: Mapping[str, tuple[int, ...]]) -> int:
        """The first profile that holds these shapes; else 0, which then says what it refuses."""
        for index in range(self._engine.num_optimization_profiles):
            bounds = {name: self._engine.get_tensor_profile_shape(name, index) for name in shapes}
            if all(
                low <= side <= high
                for name, shape in shapes.items()
                for low, side, high in zip(bounds[name][0], shape, bounds[name][2], strict=True)
            ):
                return index
        return 0

    def _tensor(self, name: str) -> Tensor:
        dtype = np.dtype(self._trt.nptype(self._engine.get_tensor_dtype(name))).name
        return Tensor(name, dtype, tuple(self._engine.get_tensor_shape(name)))


class _Context:
    """A Session; outputs whose size is not known before the run are `growing`, not among `outputs`."""

    def __init__(self, trt: Any, context: Any, outputs: Sequence[Tensor], gpu: Device) -> None:
        self._context, self._device = context, gpu
        shapes = {tensor.name: tuple(context.get_tensor_shape(tensor.name)) for tensor in outputs}
        known = [tensor for tensor in outputs if min(shapes[tensor.name], default=0) >= 0]
        self.outputs: Fields = {
            tensor.name: (shapes[tensor.name], np.dtype(tensor.dtype)) for tensor in known
        }
        self.growing = {tensor.name: _growing(trt, gpu) for tensor in outputs if tensor not in known}
        for name, allocator in self.growing.items():
            context.set_output_allocator(name, allocator)

    def bind(self, at: Mapping[str, int]) -> None:
        for name, address in at.items():
            if not self._context.set_tensor_address(name, address):
                raise ModelError(
                    f"the engine takes no memory for {name}", why="TensorRT says why in its log above"
                )

    def enqueue(self) -> None:
        if not self._context.execute_async_v3(self._device.stream):
            raise DeviceError(
                "the engine did not run", why="TensorRT says why in its log above", cure="vedette doctor"
            )

    def close(self) -> None:
        for allocator in self.growing.values():
            allocator.release()
        del self._context


def _growing(trt: Any, gpu: Device) -> Any:
    """TensorRT asks it for memory during the run, and tells it the shape at the end."""

    class Growing(trt.IOutputAllocator):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.block: Block | None = None
            self.shape: tuple[int, ...] = ()

        def reallocate_output(self, name: str, memory: int, size: int, alignment: int) -> int:
            self.release()
            self.block = gpu.allocate(max(size, 1))
            return int(self.block)

        def reallocate_output_async(
            self, name: str, memory: int, size: int, alignment: int, stream: int
        ) -> int:
            return self.reallocate_output(name, memory, size, alignment)

        def notify_shape(self, name: str, shape: Any) -> None:
            self.shape = tuple(shape)

        def release(self) -> None:
            if self.block:
                self.block.release()
            self.block = None

    return Growing()


def _deserialise(trt: Any, manifest: Manifest, plan: bytes, gpu: Device) -> Any:
    engine = trt.Runtime(trt.Logger(trt.Logger.WARNING)).deserialize_cuda_engine(plan)
    if engine is None:
        raise ModelError(
            f"{trt.__name__} {trt.__version__} does not load the engine of {manifest.name}",
            why=_difference(manifest.build, trt, gpu),
            cure="build it again on this machine: vedette build MODEL.onnx -o MODEL.engine",
        )
    return engine


def _difference(build: Mapping[str, str], trt: Any, gpu: Device) -> str:
    """What the manifest says of its build that this machine is not."""
    here = {
        "version": trt.__version__,
        "compute_capability": ".".join(map(str, gpu.capability)),
        "driver": str(gpu.driver),
    }
    differing = [
        f"{key} {build[key]}, here {value}" for key, value in here.items() if build.get(key, value) != value
    ]
    known = ", ".join(f"{key} {value}" for key, value in build.items())
    return "it was built with " + ("; ".join(differing) or f"{known}; this is {gpu.name}")
