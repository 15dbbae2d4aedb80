"""The steps of a run on the GPU: their memory, their launches, and the graph that they become.

In: an engine's other side, where a run begins, the weights of each step.  Out: the samples at the end.
Used by device_sampling.py.

A captured graph has fixed addresses, so arrays change in place. The sample is where the engine reads it: once, or once a half
where it runs with and without the prompt. guided_step is launched for each half, and each launch renews its own; the last launch,
of the first half, puts its denoised picture where that of the step before was. `earlier` takes copies: guided_step with a weight
of one. An array that a run weighs in some step is read in all, with no weight where it does not count: all steps are one graph.

The GPU may be many steps behind the host, so each step has pinned memory of its own. A run of more steps waits once a lap of it.
"""

import math
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple

import numpy as np

from vedette.kernels._guided_step_launches import launch_guided_step
from vedette.kernels.arena import Arena
from vedette.kernels.device import told as failing
from vedette.kernels.guided_step import Weights
from vedette.kernels.launches import Fields
from vedette.runtime.cuda_program import Replay
from vedette.runtime.diffusion.sampling import Noise
from vedette.runtime.diffusion.updates import Update
from vedette.runtime.engine import OnDevice
from vedette.runtime.frame import Array
from vedette.runtime.intake import check_shapes
from vedette.runtime.manifest import Manifest

Shape = tuple[int, ...]
Told = Mapping[str, Array]  # inputs of the denoiser besides sample and timestep, [halves * N, …]
RING = 16 << 20  # bytes of pinned memory for the steps of a program
MOST_STEPS = 128  # in it
FLOAT = np.dtype(np.float32)
WEIGHTS = (len(Weights.__slots__),), FLOAT
COPY = Weights(sample=1.0)


class Key(NamedTuple):
    """What the memory and the graph of a program depend on."""

    shape: Shape  # of the samples
    halves: int
    told: tuple[tuple[str, Shape], ...]
    others: frozenset[str]  # arrays of guided_step besides sample and predictions
    last: bool  # whether `earlier` is the sample that the update before began with

    @classmethod
    def of(cls, shape: Shape, halves: int, told: Told, updates: Sequence[Update]) -> "Key":
        """Of a run."""
        last = any(update.last_sample for update in updates)
        earlier = last or any(update.denoised[2] for update in updates)
        before = (earlier and not last) or any(update.denoised[1] for update in updates)
        used = {"before": before, "earlier": earlier, "noise": any(update.noise for update in updates)}
        others = frozenset(name for name, is_used in used.items() if is_used)
        return cls(shape, halves, tuple((name, array.shape) for name, array in told.items()), others, last)


class Program:
    """The steps of runs of one shape; all of it belongs to the device thread."""

    def __init__(self, engine: OnDevice, manifest: Manifest, key: Key) -> None:
        self._key, self._device, self._replay = key, engine.device, Replay(engine)
        self._rows, self._bytes = key.halves * key.shape[0], FLOAT.itemsize * math.prod(key.shape)
        sample = self._rows, *key.shape[1:]
        shapes = {"sample": sample, "timestep": (self._rows,), **dict(key.told)}
        types = {spec.name: np.dtype(spec.dtype) for spec in manifest.inputs}
        told: Fields = {name: (shape, types[name]) for name, shape in key.told}
        step: Fields = {"weights": WEIGHTS, "timestep": ((self._rows,), FLOAT), **self._used("noise")}
        (output,) = (spec.name for spec in manifest.outputs if spec.role == "prediction")
        with ExitStack() as owned:
            session = engine.session(shapes)
            owned.callback(session.close)
            check_shapes(manifest, {name: shape for name, (shape, _) in session.outputs.items()}, self._rows)
            self.samples, self._fixed, self._step, work = (
                self._arena(owned, fields, mirrored=mirrored)
                for fields, mirrored in (
                    ({"sample": (sample, FLOAT)}, True),
                    (told | self._used("before", "earlier") | {"copy": WEIGHTS}, True),
                    (step, False),
                    ({"prediction": session.outputs[output], "kept": (key.shape, FLOAT)}, False),
                )
            )
            self._at = {**self.samples.at, **self._fixed.at, **self._step.at, **work.at}
            session.bind({name: self._at[name] for name in shapes} | {output: self._at["prediction"]})
            self._slots = self._ring(owned, step)
            self._session, self._owned = session, owned.pop_all()
        self._done = self._device.event()

    def begin(self, samples: Array, told: Told) -> None:
        """Upload what a run begins with."""
        host = self._fixed.host
        self.samples.host["sample"].reshape(self._key.halves, *samples.shape)[:] = samples
        for name, array in told.items():
            host[name][:] = array
        for name in self._key.others & host.keys():
            host[name][:] = 0  # memory may hold what is no number, which no weight takes away
        host["copy"][:] = COPY.array()
        self.samples.upload()
        self._fixed.upload()

    def step(self, done: int, update: Update, weights: Weights, noise: Noise) -> None:
        """Begin a step; those before it, `done` of the run, may not have begun on the GPU."""
        if done and done % len(self._slots) == 0:
            self.wait()
        whole, values = self._slots[done % len(self._slots)]
        values["weights"][:], values["timestep"][:] = weights.array(), update.timestep
        size = self._step.size
        if update.noise:
            values["noise"][:] = noise(self._key.shape[1:])
        elif "noise" in values and done:  # what was drawn before counts nothing, and is a number
            size = self._step.at["noise"] - self._step.base
        elif "noise" in values:
            values["noise"][:] = 0
        self._device.upload(self._step.base, whole[:size])
        self._replay.launch(self._record)

    def wait(self) -> None:
        """Until all that was begun is done."""
        with failing("the GPU failed"):
            self._device.mark(self._done)
        self._device.wait(self._done)

    def release(self) -> None:
        """Free the graph, the session and the memory."""
        self._replay.release()
        del self._done
        self._owned.close()

    def _record(self) -> None:
        self._session.enqueue()
        earlier = "earlier" in self._key.others
        if earlier:
            self._copy("sample" if self._key.last else "before", "kept")
        for half in reversed(range(self._key.halves)):
            self._update(half)
        if earlier:
            self._copy("kept", "earlier")

    def _update(self, half: int) -> None:
        """Renew the sample that one half of the rows reads; the first half's launch, the last, renews `before` as well."""
        at, with_prompt = self._at, self._bytes * (self._key.halves - 1)
        sample = at["sample"] + half * self._bytes
        arrays = {name: at[name] for name in self._key.others} | {"weights": at["weights"]}
        arrays |= {"sample": sample, "next": sample, "prediction": at["prediction"] + with_prompt}
        arrays["unconditional"] = at["prediction"] if with_prompt else 0
        arrays["denoised"] = arrays.get("before", 0) if half == 0 else 0
        self._launch(arrays)

    def _copy(self, source: str, target: str) -> None:
        at = self._at[source]
        self._launch({"sample": at, "prediction": at, "weights": self._at["copy"], "next": self._at[target]})

    def _launch(self, at: Mapping[str, int]) -> None:
        launch_guided_step(self._device.launch, at, count=self._bytes // FLOAT.itemsize, half_precision=False)

    def _used(self, *names: str) -> Fields:
        return {name: (self._key.shape, FLOAT) for name in names if name in self._key.others}

    def _arena(self, owned: ExitStack, fields: Fields, *, mirrored: bool) -> Arena:
        arena = Arena(self._device, fields, mirrored=mirrored)
        owned.callback(arena.release)
        return arena

    def _ring(self, owned: ExitStack, step: Fields) -> list[tuple[Array, dict[str, Array]]]:
        """Pinned memory for so many steps: all of a step, and its arrays."""
        size = self._step.size
        count = max(2, min(MOST_STEPS, RING // size))
        block = self._device.pinned(count * size)
        owned.callback(block.release)
        wholes = block.memory[: count * size].reshape(count, size)
        return [
            (whole, {name: self._view(whole, name, *field) for name, field in step.items()})
            for whole in wholes
        ]

    def _view(self, whole: Array, name: str, shape: Shape, dtype: "np.dtype[Any]") -> Array:
        start = self._step.at[name] - self._step.base
        view: Array = whole[start : start + math.prod(shape) * dtype.itemsize].view(dtype).reshape(shape)
        return view
