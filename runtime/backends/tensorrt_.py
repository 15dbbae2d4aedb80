"""TensorRT engines: one file over the modules `tensorrt` (8.6, 10, 11) and `tensorrt_rtx`.

The manifest says which lane and version built the engine; only runtime calls that exist on every lane are used.
An engine is executable code: its manifest is checked before these bytes are deserialised.
"""

from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np

from vedette.runtime.backends._driver import why_no_driver
from vedette.runtime.engine import HostBuffers, Tensor
from vedette.runtime.errors import DeviceError, ModelError
from vedette.runtime.frame import Array
from vedette.runtime.manifest import Manifest

SUFFIXES = (".engine",)
LANES = {"tensorrt": "tensorrt", "tensorrt-rtx": "tensorrt_rtx"}


def why_not() -> str:
    """Why it cannot be used here, or nothing."""
    if reason := why_no_driver():
        return reason
    if not any(find_spec(module) for module in LANES.values()):
        return "neither tensorrt nor tensorrt-rtx is installed"
    return "" if find_spec("cuda") else "cuda-bindings is not installed"


def open_engine(manifest: Manifest, files: Mapping[str, bytes]) -> "TensorRtEngine":
    """Deserialise a checked engine on the lane that built it.

    Raises:
        DeviceError: the lane is not installed or the GPU refuses the engine.
        ModelError: the engine does not deserialise.
    """
    lane = manifest.build.get("lane", "")
    if lane not in LANES or not find_spec(LANES[lane]):
        raise DeviceError(
            f"{manifest.name} was built with {lane or 'an unknown lane'}, which is not installed here",
            why=f"installed: {', '.join(name for name, module in LANES.items() if find_spec(module)) or 'none'}",
            cure="build the engine again on this machine with vedette build",
        )
    return TensorRtEngine(import_module(LANES[lane]), manifest, next(iter(files.values())))


class TensorRtEngine:
    """One engine, context and stream; host arrays in and out. Outputs hold until the next call."""

    def __init__(self, trt: Any, manifest: Manifest, plan: bytes) -> None:
        self._trt = trt
        self._cuda = import_module("cuda.bindings.runtime")
        self._engine = _deserialise(trt, manifest, plan)
        self._context = self._engine.create_execution_context()
        self._stream = self._check(self._cuda.cudaStreamCreate())
        self._device: dict[str, tuple[int, int]] = {}  # name -> (address, bytes)
        tensors = [self._tensor(self._engine.get_tensor_name(i)) for i in range(self._engine.num_io_tensors)]
        self.inputs = tuple(tensor for tensor in tensors if self._is_input(tensor.name))
        self.outputs = tuple(tensor for tensor in tensors if not self._is_input(tensor.name))
        self.buffers = HostBuffers(self.inputs)
        self.backend = f"{trt.__name__.replace('_', '-')} {trt.__version__}"

    def __call__(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        for name, array in feeds.items():
            if not self._context.set_input_shape(name, array.shape):
                raise ModelError(
                    f"the engine refuses {name} of shape {list(array.shape)}",
                    why="it lies outside the optimisation profile it was built with",
                    cure="leave --imgsz out, or export with wider bounds and build again",
                )
            self._copy(self._address(name, array.nbytes), array.ctypes.data, array.nbytes, to_device=True)
        results = {tensor.name: self._bind_output(tensor) for tensor in self.outputs}
        if not self._context.execute_async_v3(int(self._stream)):
            raise DeviceError(
                "the engine did not run", why="TensorRT says why in its log above", cure="vedette doctor"
            )
        for name, array in results.items():
            self._copy(array.ctypes.data, self._device[name][0], array.nbytes, to_device=False)
        self._check(self._cuda.cudaStreamSynchronize(self._stream))
        return results

    def close(self) -> None:
        for address, _ in self._device.values():
            self._check(self._cuda.cudaFree(address))
        self._check(self._cuda.cudaStreamDestroy(self._stream))
        del self._context, self._engine

    def _bind_output(self, tensor: Tensor) -> Array:
        array = np.empty(tuple(self._context.get_tensor_shape(tensor.name)), tensor.dtype)
        self._address(tensor.name, array.nbytes)
        return array

    def _address(self, name: str, size: int) -> int:
        """Device memory of at least this size for a tensor, bound to the context."""
        address, room = self._device.get(name, (0, 0))
        if room < size:
            if address:
                self._check(self._cuda.cudaFree(address))
            address = int(self._check(self._cuda.cudaMalloc(size)))
            self._device[name] = (address, size)
        self._context.set_tensor_address(name, address)
        return address

    def _copy(self, target: int, source: int, size: int, *, to_device: bool) -> None:
        kinds = self._cuda.cudaMemcpyKind
        kind = kinds.cudaMemcpyHostToDevice if to_device else kinds.cudaMemcpyDeviceToHost
        self._check(self._cuda.cudaMemcpyAsync(target, source, size, kind, self._stream))

    def _check(self, answer: tuple[Any, ...]) -> Any:
        """Every CUDA call's status goes through here; its value comes back."""
        status, *values = answer
        if int(status) != 0:
            raise DeviceError(
                "a CUDA call failed", why=str(status), cure="vedette doctor; then look at nvidia-smi"
            )
        return values[0] if values else None

    def _is_input(self, name: str) -> bool:
        return bool(self._engine.get_tensor_mode(name) == self._trt.TensorIOMode.INPUT)

    def _tensor(self, name: str) -> Tensor:
        dtype = np.dtype(self._trt.nptype(self._engine.get_tensor_dtype(name))).name
        return Tensor(name, dtype, tuple(self._engine.get_tensor_shape(name)))


def _deserialise(trt: Any, manifest: Manifest, plan: bytes) -> Any:
    engine = trt.Runtime(trt.Logger(trt.Logger.WARNING)).deserialize_cuda_engine(plan)
    if engine is None:
        built = ", ".join(f"{key} {value}" for key, value in manifest.build.items())
        raise ModelError(
            f"{trt.__name__} {trt.__version__} does not load the engine of {manifest.name}",
            why=f"it was built with {built}",
            cure="build it again on this machine: vedette build MODEL.onnx -o MODEL.engine",
        )
    return engine
