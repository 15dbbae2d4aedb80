"""ONNX Runtime: the CPU by default, CUDA where its provider is present and really used."""

from collections.abc import Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from vedette.runtime.backends._ort_weights import Weights, weights_of
from vedette.runtime.engine import HostBuffers, OnDevice, Tensor, cpu_threads
from vedette.runtime.errors import DeviceError, ModelError, device_errors
from vedette.runtime.frame import Array
from vedette.runtime.manifest import Manifest

if TYPE_CHECKING:
    from vedette.kernels.device import Device
    from vedette.kernels.launches import Fields

SUFFIXES = (".onnx",)
DTYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(uint8)": "uint8",
    "tensor(int32)": "int32",
    "tensor(int64)": "int64",
    "tensor(bool)": "bool",
}


def why_not() -> str:
    """Why it cannot be used here, or nothing."""
    return "" if find_spec("onnxruntime") else "onnxruntime is not installed"


def open_engine(manifest: Manifest, files: Mapping[str, bytes]) -> "OrtEngine":
    """Open a graph from its bytes; weights beside it come only from files that the manifest vouches for.

    Raises:
        ModelError: ONNX Runtime refuses it.
    """
    model = next(name for name in files if name.endswith(".onnx"))
    return OrtEngine(files[model], {name: data for name, data in files.items() if name != model}, name=model)


def open_sparing(manifest: Manifest, files: Mapping[str, bytes]) -> "OrtEngine":
    """The same with its weights once in memory, where they were read to; slower, for they are not packed for the processor.

    Raises:
        ModelError: ONNX Runtime refuses it.
    """
    model = next(name for name in files if name.endswith(".onnx"))
    weights = {name: data for name, data in files.items() if name != model}
    return OrtEngine(files[model], weights, name=model, sparing=True)


class OrtEngine:
    """One inference session. Outputs are fresh arrays."""

    def __init__(
        self,
        model: bytes,
        weights: Mapping[str, bytes] | None = None,
        *,
        name: str = "model",
        sparing: bool = False,
    ) -> None:
        gpu = _gpu()
        sparing = sparing and gpu is None  # there, copies are on the GPU
        self._weights = weights_of(model, weights or {}, in_place=sparing)
        self._session = _session(model, self._weights, name, gpu)
        self.on_device: OnDevice | None = _Bindings(self._session, gpu) if gpu else None
        self.inputs = tuple(_tensor(value) for value in self._session.get_inputs())
        self.outputs = tuple(_tensor(value) for value in self._session.get_outputs())
        self._names = [tensor.name for tensor in self.outputs]
        self.buffers = HostBuffers(self.inputs)
        self.backend = f"onnxruntime on {_device(self._session)}" + ", sparing memory" * sparing

    def __call__(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        try:
            return dict(zip(self._names, self._session.run(self._names, dict(feeds)), strict=True))
        except Exception as error:  # noqa: BLE001  (its errors share no base class)
            raise _refused({name: array.shape for name, array in feeds.items()}, error) from None

    def close(self) -> None:
        self.on_device = None
        del self._session, self._weights


class _Bindings:
    """The session as device memory in, device memory out."""

    capturable = False  # the provider allocates as it runs
    place = "cuda"

    def __init__(self, session: Any, gpu: "Device") -> None:
        self._session, self.device = session, gpu

    def session(self, shapes: Mapping[str, tuple[int, ...]]) -> "_Binding":
        return _Binding(self, self._session, shapes)


class _Binding:
    """A Session. The shapes of its outputs are learnt from a run on zeros."""

    def __init__(self, owner: _Bindings, session: Any, shapes: Mapping[str, tuple[int, ...]]) -> None:
        import onnxruntime as ort

        self._owner, self._session = owner, session
        types = {value.name: np.dtype(DTYPES[value.type]) for value in session.get_inputs()}
        self._inputs: Fields = {name: (tuple(shape), types[name]) for name, shape in shapes.items()}
        names = [value.name for value in session.get_outputs()]
        try:
            first = session.run(names, {name: np.zeros(*field) for name, field in self._inputs.items()})
        except Exception as error:  # noqa: BLE001  (its errors share no base class)
            raise _refused(shapes, error) from None
        self.outputs: Fields = {n: (array.shape, array.dtype) for n, array in zip(names, first, strict=True)}
        self._binding = session.io_binding()
        self._options = ort.RunOptions()
        self._options.add_run_config_entry("disable_synchronize_execution_providers", "1")

    def bind(self, at: Mapping[str, int]) -> None:
        place = self._owner.place
        for name, (shape, dtype) in self._inputs.items():
            self._binding.bind_input(name, place, 0, dtype.type, shape, at[name])
        for name, (shape, dtype) in self.outputs.items():
            self._binding.bind_output(name, place, 0, dtype.type, shape, at[name])

    def enqueue(self) -> None:
        try:
            self._session.run_with_iobinding(self._binding, self._options)
        except Exception as error:  # noqa: BLE001  (its errors share no base class)
            raise DeviceError(
                "ONNX Runtime failed on the GPU", why=_first_line(error), cure="vedette doctor"
            ) from None

    def close(self) -> None:
        del self._binding


def _refused(shapes: Mapping[str, tuple[int, ...]], error: Exception) -> ModelError:
    told = ", ".join(f"{key} {list(shape)}" for key, shape in shapes.items())
    return ModelError(
        f"ONNX Runtime refused the inputs {told}", why=_first_line(error), cure="leave --imgsz out"
    )


def _gpu() -> "Device | None":
    """Where the CUDA provider is to run: the device of the kernels, on their stream; None on a CPU build."""
    import onnxruntime as ort

    if "CUDAExecutionProvider" not in ort.get_available_providers():
        return None
    from vedette.kernels.device import device

    with device_errors():
        return device()


def _session(model: bytes, weights: Weights, name: str, gpu: "Device | None") -> Any:
    import onnxruntime as ort

    ort.set_default_logger_severity(4)  # its errors come as exceptions; fallbacks are checked below
    options = ort.SessionOptions()
    options.intra_op_num_threads = cpu_threads()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # costs 2x on a busy machine
    stream = {"user_compute_stream": str(gpu.call(lambda: gpu.stream))} if gpu else {}
    wanted = [("CUDAExecutionProvider", stream)] if gpu else []
    try:
        with weights.told(options):
            session = ort.InferenceSession(model, options, providers=[*wanted, "CPUExecutionProvider"])
    except Exception as error:  # noqa: BLE001  (its errors share no base class)
        raise _refusal(name, error) from None
    if gpu and "CUDAExecutionProvider" not in session.get_providers():
        raise DeviceError(
            "ONNX Runtime fell back to the CPU",
            why="CUDAExecutionProvider is built in but did not start",
            cure="run vedette doctor; or install onnxruntime instead of onnxruntime-gpu",
        )
    return session


def _refusal(name: str, error: Exception) -> ModelError:
    return ModelError(
        f"{name} is not a graph that ONNX Runtime can run",
        why=_first_line(error),
        cure="copy or export the file again",
    )


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:300] if str(error).strip() else type(error).__name__


def _tensor(value: Any) -> Tensor:
    shape = tuple(side if isinstance(side, int) else -1 for side in value.shape)
    return Tensor(value.name, DTYPES.get(value.type, value.type), shape)


def _device(session: Any) -> str:
    provider = session.get_providers()[0].removesuffix("ExecutionProvider")
    return provider if provider != "CPU" else f"CPU ({cpu_threads()} threads)"
