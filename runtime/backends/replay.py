"""Recorded outputs, played back in turn: the shipped fake for engines. Needs nothing but NumPy.

A recording is an .npz with one array a call and output, named `0/scores`, `1/scores`, …; `record` writes one.
"""

from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path

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
            arrays = dict(archive)
    except (OSError, ValueError, EOFError) as error:
        raise ModelError(
            f"{manifest.name} is not a recording", why=str(error), cure="record it again"
        ) from None
    return ReplayEngine(manifest, arrays)


def record(path: Path, calls: Sequence[Mapping[str, Array]]) -> None:
    """Write the outputs of several calls as a recording."""
    arrays = {
        f"{index}/{name}": value for index, outputs in enumerate(calls) for name, value in outputs.items()
    }
    with path.open("wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]


class ReplayEngine:
    """Answers call after call with what was recorded, and begins again after the last."""

    backend = "replay of recorded outputs"

    def __init__(self, manifest: Manifest, arrays: Mapping[str, Array]) -> None:
        names = [output.name for output in manifest.outputs]
        count = 1 + max((int(key.partition("/")[0]) for key in arrays), default=-1)
        try:
            self._calls = [{name: arrays[f"{index}/{name}"] for name in names} for index in range(count)]
            first = self._calls[0]
        except (KeyError, IndexError) as error:
            raise ModelError(
                f"the recording of {manifest.name} lacks {error}", why="it needs every output of every call"
            ) from None
        self.inputs = tuple(Tensor(item.name, item.dtype, item.shape) for item in manifest.inputs)
        self.outputs = tuple(Tensor(name, first[name].dtype.name, first[name].shape) for name in names)
        self.buffers = HostBuffers(self.inputs)
        self._next = 0

    def __call__(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        outputs = self._calls[self._next]
        self._next = (self._next + 1) % len(self._calls)
        return dict(outputs)

    def close(self) -> None:
        self._calls = []
