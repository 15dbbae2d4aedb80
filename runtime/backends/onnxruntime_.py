"""ONNX Runtime: the CPU by default, CUDA where its provider is present and really used."""

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

from vedette.runtime.engine import HostBuffers, Tensor, cpu_threads
from vedette.runtime.errors import DeviceError, ModelError
from vedette.runtime.frame import Array
from vedette.runtime.manifest import Manifest

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


class OrtEngine:
    """One inference session. Outputs are fresh arrays."""

    def __init__(
        self, model: bytes, weights: Mapping[str, bytes] | None = None, *, name: str = "model"
    ) -> None:
        self._session = _session(model, weights or {}, name)
        self.inputs = tuple(_tensor(value) for value in self._session.get_inputs())
        self.outputs = tuple(_tensor(value) for value in self._session.get_outputs())
        self.buffers = HostBuffers(self.inputs)
        self.backend = f"onnxruntime on {_device(self._session)}"

    def __call__(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        names = [tensor.name for tensor in self.outputs]
        try:
            return dict(zip(names, self._session.run(names, dict(feeds)), strict=True))
        except Exception as error:  # noqa: BLE001  (its errors share no base class)
            shapes = ", ".join(f"{key} {list(value.shape)}" for key, value in feeds.items())
            raise ModelError(
                f"ONNX Runtime refused the inputs {shapes}", why=_first_line(error), cure="leave --imgsz out"
            ) from None

    def close(self) -> None:
        del self._session


def _session(model: bytes, weights: Mapping[str, bytes], name: str) -> Any:
    import onnxruntime as ort

    ort.set_default_logger_severity(4)  # its errors come as exceptions; fallbacks are checked below
    options = ort.SessionOptions()
    options.intra_op_num_threads = cpu_threads()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # costs 2x on a busy machine
    if weights:
        sizes = [len(data) for data in weights.values()]
        options.add_external_initializers_from_files_in_memory(list(weights), list(weights.values()), sizes)
    wanted = [p for p in ("CUDAExecutionProvider",) if p in ort.get_available_providers()]
    try:
        session = ort.InferenceSession(model, options, providers=[*wanted, "CPUExecutionProvider"])
    except Exception as error:  # noqa: BLE001  (its errors share no base class)
        raise _refusal(name, error) from None
    if wanted and not set(wanted) & set(session.get_providers()):
        raise DeviceError(
            "ONNX Runtime fell back to the CPU",
            why=f"{wanted[0]} is built in but did not start",
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
