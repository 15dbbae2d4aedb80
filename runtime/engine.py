"""An Engine runs one graph: named arrays in, named arrays out. Backends (a file each) make them.

In: the bytes a manifest vouches for.  Out: output arrays by name.  Next: runner.py, backends/.

Each file of backends/ has SUFFIXES (what it opens), `why_not() -> str` ("" when it works on this machine) and
`open_engine(manifest, files) -> Engine`; it may have `open_sparing`, the same with less memory.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from vedette.runtime.errors import DeviceError, ModelError, UsageError
from vedette.runtime.frame import Array
from vedette.runtime.manifest import Manifest
from vedette.runtime.plugins import load, names

if TYPE_CHECKING:  # of a GPU's side: long to import, and not there on most machines
    from vedette.kernels.device import Device
    from vedette.kernels.launches import Fields

# The first that opens a file is taken, and those behind it are not imported; only the first two open the same files.
PREFERENCE = ("onnxruntime", "openvino", "tensorrt", "replay")
BACKENDS = "vedette.runtime.backends"
THREADS = "VEDETTE_THREADS"  # of a CPU backend, in the environment


@dataclass(frozen=True, slots=True)
class Tensor:
    """One input or output of a graph; -1 marks a dynamic axis."""

    name: str
    dtype: str
    shape: tuple[int, ...]


class Engine(Protocol):
    """One graph, opened. Not safe to call from two threads at once."""

    backend: str  # what runs it, in words: "onnxruntime 1.32 on CPU, 2 threads"
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    on_device: "OnDevice | None"  # its other side, for a CudaRunner; None: it takes host arrays only

    def buffers(self, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Array]:
        """Input arrays of these shapes to write into, the same ones again for the same shapes."""

    def __call__(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Run the graph. The outputs may live in the engine's memory: they hold until the next call.

        Raises:
            ModelError: the graph refuses these inputs.
            DeviceError: the device failed.
        """

    def close(self) -> None:
        """Free it; calling it again is an error."""


class Session(Protocol):
    """A graph for inputs of fixed shapes, on the device thread."""

    outputs: "Fields"  # of these inputs

    def bind(self, at: Mapping[str, int]) -> None:
        """Say where inputs and outputs are, once, before the first run."""

    def enqueue(self) -> None:
        """Begin to run on the device's stream.

        Raises:
            DeviceError: it does not begin.
        """

    def close(self) -> None:
        """Free it."""


class OnDevice(Protocol):
    """An engine as device memory in, device memory out. `session` belongs to the device thread."""

    device: "Device"
    capturable: bool  # whether a run may be part of a CUDA graph

    def session(self, shapes: Mapping[str, tuple[int, ...]]) -> Session:
        """For inputs of these shapes.

        Raises:
            ModelError: the graph refuses them, or the size of an output depends on their values.
        """


def open_engine(
    model: Path,
    manifest: Manifest,
    files: Mapping[str, bytes],
    *,
    backend: str = "auto",
    low_memory: bool = False,
) -> Engine:
    """Open a checked model on a backend; `auto` takes the best that works here.

    Args:
        model: its path.
        manifest: of it.
        files: what the manifest vouches for.
        backend: auto, or a name.
        low_memory: by the backend's `open_sparing` where it has one, slower and smaller.

    Raises:
        UsageError: no such backend.
        DeviceError: the backend does not work on this machine.
        ModelError: the backend refuses the model.
    """
    plugin = load(BACKENDS, choose_backend(model, backend))
    opened = getattr(plugin, "open_sparing", plugin.open_engine) if low_memory else plugin.open_engine
    engine: Engine = opened(manifest, files)
    check_contract(engine, manifest)
    return engine


def choose_backend(model: Path, backend: str) -> str:
    """The backend's name, checked to work on this machine and to open files of this kind."""
    known = names(BACKENDS)
    if backend != "auto":
        if backend not in known:
            raise UsageError(
                f"no backend {backend!r}", why=f"there are auto, {', '.join(known)}", cure="name one of them"
            )
        _require(backend, model)
        return backend
    reasons = []
    for name in sorted(
        known, key=lambda name: PREFERENCE.index(name) if name in PREFERENCE else len(PREFERENCE)
    ):
        plugin = load(BACKENDS, name)
        if model.suffix in plugin.SUFFIXES:
            reason = plugin.why_not()
            if not reason:
                return name
            reasons.append(f"{name}: {reason}")
    if model.suffix == ".engine":
        raise _no_device("tensorrt", "; ".join(reasons))
    raise ModelError(
        f"nothing here opens {model.name}",
        why="; ".join(reasons) or f"no backend takes {model.suffix or 'a file without suffix'}",
        cure="pip install 'vedette[cpu]'" if reasons else "give an .onnx, an .engine or a zoo name",
    )


def _require(backend: str, model: Path) -> None:
    plugin = load(BACKENDS, backend)
    reason = plugin.why_not()
    if reason:
        raise _no_device(backend, reason)
    if model.suffix not in plugin.SUFFIXES:
        raise ModelError(
            f"backend {backend} does not open {model.suffix} files",
            why=f"it opens {', '.join(plugin.SUFFIXES)}",
            cure=f"vedette build {model.name} -o {model.stem}.engine"
            if backend == "tensorrt"
            else "use --backend auto",
        )


def _no_device(backend: str, reason: str) -> DeviceError:
    cures = {
        "tensorrt": "run vedette doctor; without a GPU, run the .onnx with --backend onnxruntime",
        "openvino": "pip install 'vedette[openvino]'",
    }
    return DeviceError(
        f"backend {backend} does not work on this machine",
        why=reason,
        cure=cures.get(backend, "pip install 'vedette[cpu]'"),
    )


def check_contract(engine: Engine, manifest: Manifest) -> None:
    """Check once that the graph has the tensors that its manifest promises.

    Raises:
        ModelError: a name or dtype differs.
    """
    for kind, promised, found in (
        ("input", manifest.inputs, engine.inputs),
        ("output", manifest.outputs, engine.outputs),
    ):
        actual = {tensor.name: tensor.dtype for tensor in found}
        for spec in promised:
            if actual.get(spec.name) != spec.dtype:
                raise ModelError(
                    f"{kind} {spec.name!r} of {manifest.name} is {actual.get(spec.name, 'missing')}",
                    why=f"its manifest says {spec.dtype}; the graph has {', '.join(actual)}",
                    cure="export the model again: manifest and graph belong to different versions",
                )


def cpu_threads() -> int:
    """Threads for a CPU backend: what VEDETTE_THREADS says, else the cores this process may use, 8 at most."""
    asked = os.environ.get(THREADS, "")
    if asked.isdecimal() and int(asked) > 0:
        return int(asked)
    return max(
        1, min(8, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    )


class HostBuffers:
    """Input arrays by shape, made once each; what host backends share.

    Attributes:
        padding: for who fills them: what surrounds the picture in an image of an array.
    """

    def __init__(self, inputs: tuple[Tensor, ...]) -> None:
        self._dtypes = {tensor.name: tensor.dtype for tensor in inputs}
        self._arrays: dict[tuple[str, tuple[int, ...]], Array] = {}
        self.padding: dict[object, Any] = {}

    def __call__(self, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Array]:
        import numpy as np

        for key in shapes.items():
            if key not in self._arrays:
                if len(self._arrays) >= 16:  # pictures of many sizes: keep the newest shapes only
                    self._arrays.pop(next(iter(self._arrays)))
                    self.padding.clear()
                self._arrays[key] = np.empty(key[1], self._dtypes[key[0]])
        return {name: self._arrays[name, shape] for name, shape in shapes.items()}
