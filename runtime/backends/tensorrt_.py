"""TensorRT engines: one file over the modules `tensorrt` (8.6, 10, 11) and `tensorrt_rtx`.

The manifest says which lane and version built the engine. Next: _tensorrt_contexts.py, where the lanes differ.
An engine is executable code: its manifest is checked before these bytes are deserialised.
"""

from collections import OrderedDict
from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np

from vedette.kernels.arena import Arena
from vedette.kernels.device import Device, device
from vedette.kernels.launches import Fields
from vedette.runtime.backends._driver import why_no_driver
from vedette.runtime.backends._tensorrt_contexts import Contexts
from vedette.runtime.engine import OnDevice
from vedette.runtime.errors import DeviceError, ModelError, device_errors
from vedette.runtime.frame import Array
from vedette.runtime.manifest import Manifest

SUFFIXES = (".engine",)
LANES = {"tensorrt": "tensorrt", "tensorrt-rtx": "tensorrt_rtx"}
_SHAPES = 4  # that host arrays may alternate between


def why_not() -> str:
    """Why it cannot be used here, or nothing."""
    if reason := why_no_driver():
        return reason
    if not any(find_spec(module) for module in LANES.values()):
        return "neither tensorrt nor tensorrt-rtx is installed"
    missing = [
        name for name, module in (("pycuda", "pycuda"), ("cuda-bindings", "cuda")) if not find_spec(module)
    ]
    return f"{' and '.join(missing)} not installed" if missing else ""


def open_engine(manifest: Manifest, files: Mapping[str, bytes]) -> "TensorRtEngine":
    """Deserialise a checked engine on the lane that built it.

    Raises:
        DeviceError: the lane is not installed, or the GPU or its driver does not work.
        ModelError: the lane or the GPU refuses the engine.
    """
    lane = manifest.build.get("lane", "")
    if lane not in LANES or not find_spec(LANES[lane]):
        raise DeviceError(
            f"{manifest.name} was built with {lane or 'an unknown lane'}, which is not installed here",
            why=f"installed: {', '.join(name for name, module in LANES.items() if find_spec(module)) or 'none'}",
            cure="build the engine again on this machine with vedette build",
        )
    with device_errors():
        return TensorRtEngine(import_module(LANES[lane]), manifest, next(iter(files.values())), device())


class TensorRtEngine:
    """One engine. Called with host arrays, its outputs are pinned memory that holds until the next call."""

    def __init__(self, trt: Any, manifest: Manifest, plan: bytes, gpu: Device) -> None:
        self._device, self._host = gpu, OrderedDict[tuple[Any, ...], _HostSession]()
        self._contexts = gpu.call(Contexts, trt, manifest, plan, gpu)
        self.on_device: OnDevice | None = None if self._contexts.data_dependent else self._contexts
        self.inputs, self.outputs = self._contexts.inputs, self._contexts.outputs
        self.backend = f"{trt.__name__.replace('_', '-')} {trt.__version__} on {gpu.name}"

    def buffers(self, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Array]:
        """Pinned memory, which needs no copy on its way."""
        with device_errors():
            return self._device.call(self._session, shapes).feeds

    def __call__(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        with device_errors():
            return self._device.call(self._run, feeds)

    def close(self) -> None:
        with device_errors():
            self._device.call(self._free)

    def _run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        return self._session({name: array.shape for name, array in feeds.items()}).run(feeds)

    def _session(self, shapes: Mapping[str, tuple[int, ...]]) -> "_HostSession":
        key = tuple(sorted(shapes.items()))
        if key not in self._host:
            if len(self._host) == _SHAPES:
                self._host.popitem(last=False)[1].close()
            self._host[key] = _HostSession(self._contexts, shapes)
        self._host.move_to_end(key)
        return self._host[key]

    def _free(self) -> None:
        while self._host:
            self._host.popitem()[1].close()
        self._contexts.close()


class _HostSession:
    """A session with memory of its own, mirrored on the host."""

    def __init__(self, contexts: "Contexts", shapes: Mapping[str, tuple[int, ...]]) -> None:
        self._session = contexts.session(shapes)
        tensors = (*contexts.inputs, *contexts.outputs)
        self._dtypes = {tensor.name: np.dtype(tensor.dtype) for tensor in tensors}
        inputs: Fields = {name: (tuple(shape), self._dtypes[name]) for name, shape in shapes.items()}
        self._device = contexts.device
        self._in = Arena(self._device, inputs, mirrored=True)
        self._out = Arena(self._device, self._session.outputs, mirrored=True)
        self._session.bind({**self._in.at, **self._out.at})
        self.feeds = self._in.host

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        for name, array in feeds.items():
            if array.dtype != self.feeds[name].dtype:
                raise ModelError(
                    f"input {name} is {self.feeds[name].dtype}, not {array.dtype}",
                    why="an engine converts nothing",
                    cure="cast it, or build the engine from a graph with such an input",
                )
            if array is not self.feeds[name]:
                np.copyto(self.feeds[name], array)
        self._in.upload()
        self._session.enqueue()
        self._out.download()
        self._device.synchronize()
        return {**self._out.host, **{name: self._read(name) for name in self._session.growing}}

    def _read(self, name: str) -> Array:
        """An output that has its size only now."""
        growing = self._session.growing[name]
        array = np.empty(growing.shape, self._dtypes[name])
        if array.size:
            block = self._device.pinned(array.nbytes)
            self._device.download(block.memory[: array.nbytes], int(growing.block))
            self._device.synchronize()
            array.reshape(-1).view(np.uint8)[:] = block.memory[: array.nbytes]
            block.release()
        return array

    def close(self) -> None:
        self._session.close()
        self._in.release()
        self._out.release()
