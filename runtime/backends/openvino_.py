"""OpenVINO on the CPU, in float32 unless told otherwise: its own default on new CPUs is bfloat16, which moves boxes."""

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

import numpy as np

from vedette.runtime.engine import HostBuffers, Tensor, cpu_threads
from vedette.runtime.errors import ModelError
from vedette.runtime.frame import Array
from vedette.runtime.manifest import Manifest

SUFFIXES = (".onnx",)


def why_not() -> str:
    """Why it cannot be used here, or nothing."""
    return "" if find_spec("openvino") else "openvino is not installed"


def open_engine(manifest: Manifest, files: Mapping[str, bytes]) -> "OpenVinoEngine":
    """Compile a graph from its bytes.

    Raises:
        ModelError: OpenVINO refuses it, or its weights lie in another file.
    """
    if len(files) > 1:
        raise ModelError(
            f"{manifest.name} keeps weights in another file",
            why="the openvino backend reads single-file models",
            cure="use --backend onnxruntime",
        )
    return OpenVinoEngine(next(iter(files.values())), manifest)


class OpenVinoEngine:
    """One compiled model and one request. Outputs hold until the next call."""

    on_device = None

    def __init__(self, model: bytes, manifest: Manifest) -> None:
        import openvino

        core = openvino.Core()
        settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": cpu_threads()}
        try:
            graph = core.read_model(model, b"")
            self._keep_output_names(graph, manifest)
            self._compiled = core.compile_model(graph, "CPU", settings)
        except RuntimeError as error:
            raise ModelError(
                f"OpenVINO refuses {manifest.name}",
                why=str(error).strip().splitlines()[-1][:300],
                cure="use --backend onnxruntime",
            ) from None
        self._request = self._compiled.create_infer_request()
        self.inputs = tuple(_tensor(port) for port in self._compiled.inputs)
        self.outputs = tuple(_tensor(port) for port in self._compiled.outputs)
        self.buffers = HostBuffers(self.inputs)
        self.backend = f"openvino {openvino.__version__.split('-')[0]} on CPU, f32 ({cpu_threads()} threads)"

    @staticmethod
    def _keep_output_names(graph: Any, manifest: Manifest) -> None:
        """A port may carry several names; the manifest says which one is meant."""
        wanted = {output.name for output in manifest.outputs}
        for port in graph.outputs:
            for name in port.get_names() & wanted:
                port.set_names({name})

    def __call__(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        self._request.infer(dict(feeds), share_inputs=True, share_outputs=True)
        return {
            tensor.name: self._request.get_output_tensor(index).data
            for index, tensor in enumerate(self.outputs)
        }

    def close(self) -> None:
        del self._request, self._compiled


def _tensor(port: Any) -> Tensor:
    shape = tuple(side.get_length() if side.is_static else -1 for side in port.get_partial_shape())
    return Tensor(port.get_any_name(), np.dtype(port.get_element_type().to_dtype()).name, shape)
