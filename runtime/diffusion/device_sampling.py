"""The sampling loop on the GPU: samples and predictions stay there; a step is one small upload and one graph.

In: an engine's other side, what the denoiser is told besides, the weights of each step.  Out: the samples at the end.
Made by bundles/_graphs.py where nothing of a run needs the host; sampling.py has the same loop there, bit for bit.
Next: _device_steps.py.
"""

import contextlib
import math
from collections import OrderedDict
from collections.abc import Callable, Sequence

from vedette.kernels.device import CudaError
from vedette.kernels.guided_step import Weights
from vedette.runtime.diffusion._device_steps import FLOAT, Key, Program, Shape, Told
from vedette.runtime.diffusion.sampling import Noise
from vedette.runtime.diffusion.updates import Update
from vedette.runtime.engine import OnDevice
from vedette.runtime.errors import device_errors
from vedette.runtime.frame import Array
from vedette.runtime.manifest import Manifest

PROGRAMS = 4  # kept: the last batch of a run is often smaller than the others
OURS = {"sample", "timestep", "prediction"}


def fits(manifest: Manifest, shape: Shape, halves: int) -> bool:
    """Whether guided_step reads and writes these samples where the engine does: float32, each half aligned."""
    ours = [spec.dtype for spec in manifest.inputs if spec.name in OURS]
    ours += [spec.dtype for spec in manifest.outputs if spec.role in OURS]
    return set(ours) == {FLOAT.name} and (halves == 1 or math.prod(shape) % 4 == 0)


class DeviceSampling:
    """The loop of one denoiser. Its memory and graphs are kept for the next run of the same shapes.

    Args:
        engine: of it.
        manifest: of it.
    """

    def __init__(self, engine: OnDevice, manifest: Manifest) -> None:
        self._engine, self._manifest, self._device = engine, manifest, engine.device
        self._programs: OrderedDict[Key, Program] = OrderedDict()

    def __call__(
        self,
        samples: Array,
        updates: Sequence[Update],
        weights: Sequence[Weights],
        noise: Noise,
        *,
        told: Told,
        halves: int,
        progress: Callable[[int, int], None],
    ) -> Array:
        """Run the denoiser once an update.

        Args:
            samples: float32 [N, …], at the level of the first update.
            updates: of a sampler, none of which blends predictions.
            weights: of each.
            noise: asked once an update that draws.
            told: the same in every step, as the engine takes it.
            halves: 2: rows without the prompt come before those with it.
            progress: called on the device thread when a step is begun, not when it is done.

        Returns:
            float32 [N, …], not checked for what is no number.

        Raises:
            DeviceError: the GPU failed.
            ModelError: the engine refuses these shapes.
        """

        def run() -> Array:
            program = self._program(Key.of(samples.shape, halves, told, updates))
            program.begin(samples, told)
            try:
                for done, (update, its) in enumerate(zip(updates, weights, strict=True)):
                    program.step(done, update, its, noise)
                    progress(done + 1, len(updates))
                program.samples.download()
            finally:  # nothing is in flight afterwards, whatever happened
                program.wait()
            return program.samples.host["sample"][: len(samples)].copy()

        with device_errors():
            return self._device.call(run)

    def close(self) -> None:
        """Free all; the engine is still open."""
        with contextlib.suppress(CudaError):  # a GPU that failed has told so already
            self._device.call(self._free)

    def _program(self, key: Key) -> "Program":
        if key not in self._programs:
            if len(self._programs) == PROGRAMS:
                self._programs.popitem(last=False)[1].release()
            self._programs[key] = Program(self._engine, self._manifest, key)
        self._programs.move_to_end(key)
        return self._programs[key]

    def _free(self) -> None:
        while self._programs:
            self._programs.popitem()[1].release()
