"""The weights that lie beside a graph, as an ONNX Runtime session is told of them: copied, or used where they lie.

In: the bytes that a manifest vouches for.  Out: Weights.  Used by onnxruntime_.py.
"""

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vedette.runtime.errors import ModelError
from vedette.runtime.frame import Array

if TYPE_CHECKING:
    from vedette.runtime.onnx_file import External


class Copied:
    """Weights beside a graph, which a session makes its own copies of."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self._files = files

    @contextlib.contextmanager
    def told(self, options: Any) -> Iterator[None]:
        """While the session is made."""
        if self._files:
            sizes = [len(data) for data in self._files.values()]
            options.add_external_initializers_from_files_in_memory(
                list(self._files), list(self._files.values()), sizes
            )
        yield
        self._files = {}


class InPlace:
    """Weights that a session uses where they lie, and without copies; they must outlive it.

    Packed weights and convolutions' layouts are copies. Without a priority, weights of 16 bits would all be widened before the
    first of them is used; and the arena would keep what it gave out for that.

    Args:
        tensors: of a graph, all of known types.
        files: that they lie in, by name.

    Raises:
        ModelError: a file ends before a weight does.
    """

    def __init__(self, tensors: "Sequence[External]", files: Mapping[str, bytes]) -> None:
        import onnxruntime as ort

        self._files = files
        self._values = {
            tensor.name: ort.OrtValue.ortvalue_from_numpy(_array(tensor, files)) for tensor in tensors
        }

    @contextlib.contextmanager
    def told(self, options: Any) -> Iterator[None]:
        """While the session is made, which wants to see the files, and reads none of them."""
        from tempfile import TemporaryDirectory

        import onnxruntime as ort

        options.add_session_config_entry("session.disable_prepacking", "1")
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
        options.execution_order = ort.ExecutionOrder.PRIORITY_BASED
        options.enable_cpu_mem_arena = False
        for name, value in self._values.items():
            options.add_initializer(name, value)
        with TemporaryDirectory(prefix="vedette-") as empty:
            for file in self._files:
                (Path(empty) / file).touch()
            options.add_session_config_entry("session.model_external_initializers_file_folder_path", empty)
            yield


def _array(tensor: "External", files: Mapping[str, bytes]) -> Array:
    try:
        flat = np.frombuffer(files[tensor.file], tensor.dtype, math.prod(tensor.shape), tensor.offset)
    except (ValueError, KeyError) as error:
        raise ModelError(
            f"the weight {tensor.name} does not lie in {tensor.file}",
            why=str(error)[:200],
            cure="export the model again",
        ) from None
    return flat.reshape(tensor.shape)


Weights = Copied | InPlace


def weights_of(model: bytes, files: Mapping[str, bytes], *, in_place: bool = False) -> Weights:
    """Those of a graph; in place where all have types that NumPy has.

    Raises:
        ModelError: a file ends before a weight does.
    """
    if not in_place:
        return Copied(files)
    from vedette.runtime.onnx_file import externals_of

    tensors = externals_of(model)
    return InPlace(tensors, files) if all(tensor.dtype for tensor in tensors) else Copied(files)
