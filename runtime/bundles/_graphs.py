"""The parts of a generator as callables, and the loop of sampling on a GPU where a part's engine has one.

In: bundle.Loaded and an Engine a role.  Out: Graphs.  Next: _generator.py; runtime/diffusion/device_sampling.py.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from vedette.runtime.bundle import CURE, Loaded
from vedette.runtime.bundles._generator import Progress
from vedette.runtime.diffusion.sampling import OnDevice
from vedette.runtime.engine import Engine
from vedette.runtime.errors import ManifestError, ModelError
from vedette.runtime.frame import Array
from vedette.runtime.intake import check_shapes
from vedette.runtime.manifest import Manifest

if TYPE_CHECKING:
    from vedette.runtime.diffusion.device_sampling import DeviceSampling

Axes = Mapping[str, int]  # name of an input or role of an output -> how many axes it has
Wanted = Mapping[str, tuple[Axes, Axes]]  # inputs and outputs of each part, by role
Open = Callable[[str], Engine]  # of a part, by role
NOTHING: Mapping[str, Array] = {}


class Graph:
    """One part: arrays by name in, float32 arrays by role out, which hold until the next call.

    Args:
        role: of it.
        manifest: of it.
        engine: gives the engine, which may be opened for that.
        rows: of a batch that go through it together at most; None: as many as it takes.
    """

    def __init__(self, role: str, manifest: Manifest, engine: Open, *, rows: int | None = None) -> None:
        self.role, self.manifest, self._engine = role, manifest, engine
        self.max_batch = min(spec.bounds()[2][0] for spec in manifest.inputs)
        self._rows, self._in_parts = rows or self.max_batch, rows is not None
        self._sampling: DeviceSampling | None = None
        self._types = {spec.name: spec.dtype for spec in manifest.inputs}
        self._right: tuple[int, dict[str, tuple[int, ...]]] | None = (
            None  # a batch, and shapes of its outputs
        )

    def __call__(self, **feeds: Array) -> dict[str, Array]:
        """Run it, more than once for a batch that is too large.

        Raises:
            ModelError: it refuses these inputs, or its outputs are not what its manifest says.
        """
        batch = len(next(iter(feeds.values())))
        if batch <= self._rows:
            return self._run(feeds, batch)
        starts = range(0, batch, self._rows)
        runs = [
            self._own({name: array[at : at + self._rows] for name, array in feeds.items()}) for at in starts
        ]
        return {role: np.concatenate([run[role] for run in runs]) for role in runs[0]}

    def sampling(
        self, shape: tuple[int, ...], progress: Progress, told: Mapping[str, Array] = NOTHING, halves: int = 1
    ) -> OnDevice | None:
        """The sampling loop on a GPU, for samples of this shape; None where the host is needed, or no GPU is there.

        The host makes what is looked at on the way, runs a large batch part by part, and has parts opened and closed in turn.
        `told` are the inputs besides sample and timestep; of two halves, the first has no prompt.
        """
        if progress.looks or self._in_parts or shape[0] * halves > self._rows:
            return None
        engine = self._engine(self.role).on_device
        if engine is None:
            return None
        from vedette.runtime.diffusion.device_sampling import DeviceSampling, fits

        if not fits(self.manifest, shape, halves):
            return None
        self._sampling = self._sampling or DeviceSampling(engine, self.manifest)
        return partial(self._sampling, told=told, halves=halves, progress=progress)

    def close(self) -> None:
        """Free what the loop keeps on a GPU, while the engine is open."""
        if self._sampling:
            self._sampling.close()
        self._sampling = None

    def _own(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Copies, which hold for ever."""
        return {role: values.copy() for role, values in self(**feeds).items()}

    def _run(self, feeds: Mapping[str, Array], batch: int) -> dict[str, Array]:
        typed = {name: np.ascontiguousarray(array, self._types[name]) for name, array in feeds.items()}
        outputs = self._engine(self.role)(typed)
        shapes = {name: array.shape for name, array in outputs.items()}
        if (batch, shapes) != self._right:  # they are as a rule those of the call before
            check_shapes(self.manifest, shapes, batch)
            self._right = batch, shapes
        return {spec.role: np.asarray(outputs[spec.name], np.float32) for spec in self.manifest.outputs}

    def finite(self, **feeds: Array) -> dict[str, Array]:
        """The same as arrays of our own, of numbers alone."""
        found = self._own(feeds)
        for role, values in found.items():
            if not np.isfinite(values).all():
                raise ModelError(
                    f"the {self.role} of {self.manifest.name} gives {role} that are no numbers",
                    why="its output has NaN or infinite values, as float16 does where it overflows",
                    cure="export it with --precision fp32",
                )
        return found


class Graphs(dict[str, Graph]):
    """The parts by role, and the other files of their bundle."""

    files: Mapping[str, bytes]

    def close(self) -> None:
        """Free what they keep besides their engines."""
        for graph in self.values():
            graph.close()

    @property
    def most(self) -> int:
        """Images that every part takes together; the parts that read a prompt see no image."""
        return min(
            graph.max_batch
            for graph in self.values()
            if any(len(spec.shape) != 2 or spec.dtype != "int64" for spec in graph.manifest.inputs)
        )


def graphs_of(loaded: Loaded, engine: Open, wanted: Wanted, *, rows: int | None = None) -> Graphs:
    """The parts, which have inputs and outputs of so many axes.

    Args:
        loaded: a bundle.
        engine: opens one of its parts.
        wanted: what they are to be.
        rows: see Graph.

    Raises:
        ManifestError: they have not.
    """
    if loaded.parts.keys() != wanted.keys():
        told = ", ".join(loaded.parts)
        raise _misfit(f"it has the parts {told}, not {', '.join(wanted)}")
    for role, (inputs, outputs) in wanted.items():
        card = loaded.parts[role].manifest
        takes = {spec.name: len(spec.shape) for spec in card.inputs}
        gives = {spec.role: len(spec.shape) for spec in card.outputs}
        if takes != inputs or gives != outputs:
            raise _misfit(
                f"{role} goes from {_told(takes)} to {_told(gives)}, not from {_told(inputs)} to {_told(outputs)}"
            )
    graphs = Graphs(
        {role: Graph(role, part.manifest, engine, rows=rows) for role, part in loaded.parts.items()}
    )
    graphs.files = loaded.files
    return graphs


def _told(axes: Axes) -> str:
    return ", ".join(f"{name} of {count} axes" for name, count in axes.items()) or "nothing"


def _misfit(why: str) -> ManifestError:
    return ManifestError("the parts of the bundle do not fit together", why=why, cure=CURE)
