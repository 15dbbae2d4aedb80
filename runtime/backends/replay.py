"""Recorded outputs, played back frame by frame: the shipped fake for engines. Needs nothing but NumPy.

A recording is an .npz with one array an output, [frames, …]; `record` writes one.
"""

from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from vedette.runtime.engine import HostBuffers, Tensor
from vedette.runtime.errors import ModelError
from vedette.runtime.frame import Array
from vedette.runtime.manifest import Manifest

SUFFIXES = (".npz",)


def why_not() -> str:
    """It works everywhere."""
    return ""


def open_engine(manifest: Manifest, files: Mapping[str, bytes]) -> "ReplayEngine":
    """Open a recording.

    Raises:
        ModelError: it is not one, or lacks an output that the manifest names.
    """
    try:
        with np.load(BytesIO(next(iter(files.values()))), allow_pickle=False) as archive:
            return ReplayEngine(manifest, {output.name: archive[output.name] for output in manifest.outputs})
    except (OSError, ValueError, EOFError, KeyError, AttributeError, BadZipFile) as error:
        raise ModelError(
            f"{manifest.name} is not a recording of its outputs", why=str(error), cure="record it again"
        ) from None


def record(path: Path, outputs: Mapping[str, Array]) -> None:
    """Write output arrays, each [frames, …], as a recording."""
    with path.open("wb") as file:
        np.savez_compressed(file, **outputs)  # type: ignore[arg-type]


class ReplayEngine:
    """Answers every frame of every batch with the next one recorded, and begins again after the last."""

    on_device = None

    backend = "replay of recorded outputs"

    def __init__(self, manifest: Manifest, frames: Mapping[str, Array]) -> None:
        counts = {len(array) for array in frames.values()}
        if len(counts) != 1 or 0 in counts:
            raise ModelError(
                f"the recording of {manifest.name} is uneven", why=f"its outputs hold {sorted(counts)} frames"
            )
        self._frames, self._count, self._next = dict(frames), counts.pop(), 0
        self.inputs = tuple(Tensor(item.name, item.dtype, item.shape) for item in manifest.inputs)
        self.outputs = tuple(
            Tensor(name, array.dtype.name, (-1, *array.shape[1:])) for name, array in frames.items()
        )
        self.buffers = HostBuffers(self.inputs)

    def __call__(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        batch = len(next(iter(feeds.values())))
        chosen = np.arange(self._next, self._next + batch) % self._count
        self._next = int(chosen[-1] + 1) % self._count
        return {name: array[chosen] for name, array in self._frames.items()}

    def close(self) -> None:
        self._frames = {}
