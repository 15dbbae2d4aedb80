"""The two that are compared: a reference and what is judged, each a model that runs on host arrays and is looked into.

In: a manifest and an engine, or a checked bundle and engines.  Out: a Side: Results of frames, and what went through.
Next: rounded.py (what stands in for an engine), verify.py.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from vedette.export._overflow import LARGEST
from vedette.export.gate.rounded import ENDS, rounded
from vedette.runtime import bundle as bundles
from vedette.runtime import manifest as manifests
from vedette.runtime.backends.onnxruntime_ import DTYPES
from vedette.runtime.bundle import KINDS, Loaded
from vedette.runtime.engine import Engine, HostBuffers, OnDevice, Tensor, check_contract, cpu_threads
from vedette.runtime.errors import ModelError
from vedette.runtime.frame import Array, Frame
from vedette.runtime.manifest import Manifest
from vedette.runtime.plugins import load
from vedette.runtime.results import Result
from vedette.runtime.runner import HostRunner, Recipe, Runner
from vedette.runtime.tasks import Config
from vedette.runtime.tiles import OwnSize

LOW = 0.05  # conf that both sides run with: what is just below the threshold of decisions must be seen too


class CpuGraph:
    """A graph on ONNX Runtime's CPU, whatever else is here: an Engine. A GPU would take TF32 for float32.

    Attributes:
        peaks: of each watched tensor, by the node that makes it, the largest absolute value so far.
    """

    on_device: OnDevice | None = None

    def __init__(self, model: bytes, watched: Mapping[str, str] = {}, *, name: str = "model") -> None:
        import onnxruntime as ort

        ort.set_default_logger_severity(4)  # its errors come as exceptions
        options = ort.SessionOptions()
        options.intra_op_num_threads = cpu_threads()
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as error:
            why = next(iter(str(error).splitlines()), type(error).__name__)[:300]
            raise ModelError(
                f"{name} cannot run on the CPU", why=why, cure="verify it on a machine with its GPU"
            ) from error
        self._ends = [f"{tensor}{end}" for tensor in watched for end in ENDS.values()]
        self.inputs = tuple(_tensor(value) for value in self._session.get_inputs())
        self.outputs = tuple(_tensor(v) for v in self._session.get_outputs() if v.name not in self._ends)
        self.buffers = HostBuffers(self.inputs)
        self.backend = f"onnxruntime {ort.__version__} on the CPU"
        self._nodes = list(watched.values())
        self.peaks = dict.fromkeys(self._nodes, 0.0)

    def __call__(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        names = [tensor.name for tensor in self.outputs]
        values = self._session.run([*names, *self._ends], dict(feeds))
        ends = np.abs(np.array(values[len(names) :], np.float64)).reshape(-1, len(ENDS)).max(axis=1)
        for node, peak in zip(self._nodes, ends, strict=True):
            self.peaks[node] = float(np.maximum(self.peaks[node], peak))
        return dict(zip(names, values, strict=False))

    def close(self) -> None:
        del self._session


class Observed:
    """An Engine on host arrays that keeps what went through it last, and says which outputs were no numbers."""

    on_device: OnDevice | None = None

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.inputs, self.outputs, self.buffers = engine.inputs, engine.outputs, engine.buffers
        self.backend = engine.backend
        self.fed: Mapping[str, Array] = {}
        self.gave: Mapping[str, Array] = {}
        self.broken: dict[str, None] = {}  # names of outputs, in order

    @property
    def peaks(self) -> Mapping[str, float]:
        """Of a CpuGraph, its own."""
        return self._engine.peaks if isinstance(self._engine, CpuGraph) else {}

    def __call__(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        outputs = self._engine(feeds)
        self.fed, self.gave = feeds, outputs
        for name, values in outputs.items():
            if values.dtype.kind == "f" and not np.isfinite(values).all():
                self.broken[name] = None
        return outputs

    def close(self) -> None:
        self._engine.close()


class Side:
    """A model that runs, frame by frame."""

    def __init__(self, card: Manifest, engines: Mapping[str, Observed], runner: Runner) -> None:
        self.card, self.engines, self._runner = card, engines, runner

    @property
    def backend(self) -> str:
        """What runs it, in words."""
        return next(iter(self.engines.values())).backend

    @property
    def overflow(self) -> str:
        """The first node whose values float16 does not hold, or nothing."""
        for engine in self.engines.values():
            for node, peak in engine.peaks.items():
                if not peak <= LARGEST:
                    return f"{node} reaches {peak:.3g}, and float16 ends at {LARGEST:,.0f}"
        return ""

    @property
    def largest(self) -> float | None:
        """The largest absolute value in float16, where it was watched."""
        return max((p for engine in self.engines.values() for p in engine.peaks.values()), default=None)

    def result(self, frame: Frame) -> Result:
        """What it finds in a frame.

        Raises:
            ModelError: its outputs cannot be read.
            DeviceError: the device failed.
        """
        with np.errstate(all="ignore"):  # values that are no numbers are told as that
            return self._runner.submit([frame]).results()[0]

    def close(self) -> None:
        """Free the engines."""
        self._runner.close()
        for engine in self.engines.values():
            engine.close()


def side_of_graph(card: Manifest, engine: Engine) -> Side:
    """A model of one graph, in an engine that it closes.

    Raises:
        ModelError: the graph is not what its manifest says, or takes no pictures.
    """
    check_contract(engine, card)
    observed = Observed(engine)
    config = Config(conf=LOW if card.task in ("detection", "instances") else None)
    own = card.task == "image"
    recipe = Recipe(card, config, own_size=own)
    runner: Runner = HostRunner(recipe, observed)
    return Side(card, {"": observed}, OwnSize(recipe.input, runner) if own else runner)


def side_of_bundle(loaded: Loaded, engines: Mapping[str, Engine]) -> Side:
    """A model of several graphs, in engines that it closes.

    Raises:
        ManifestError: its parts do not fit together.
        ModelError: a graph is not what its manifest says.
    """
    for role, part in loaded.parts.items():
        check_contract(engines[role], part.manifest)
    kind: Any = load(KINDS, loaded.bundle.kind)
    observed = {role: Observed(engine) for role, engine in engines.items()}
    config = replace(kind.defaults(bundles.parameters_of(loaded.bundle)), conf=LOW)
    return Side(loaded.card, observed, kind.runner_of(loaded, observed, config))


def on_cpu(path: Path, like: Manifest | None = None) -> Side:
    """A float32 model as it is; of a graph that has no manifest, by that of another model.

    Raises:
        ModelError: missing, malformed, or not what its manifest says.
    """
    if bundles.is_bundle(path):
        loaded = bundles.load(path)
        return side_of_bundle(loaded, {role: _plain(part.files) for role, part in loaded.parts.items()})
    if like is None or manifests.path_beside(path).exists():
        card, files = manifests.load(path)
        return side_of_graph(card, _plain(files))
    engine = _plain({path.name: manifests.read(path)})
    return side_of_graph(with_types_of(like, engine), engine)


def stand_in(path: Path) -> Side:
    """The graphs that an engine is built from, with every float16 value rounded and watched.

    Raises:
        ModelError: missing, malformed, or not what its manifest says.
    """
    if bundles.is_bundle(path):
        loaded = bundles.load(path)
        return side_of_bundle(loaded, {role: _watched(part.files) for role, part in loaded.parts.items()})
    card, files = manifests.load(path)
    return side_of_graph(card, _watched(files))


def with_types_of(card: Manifest, engine: Engine) -> Manifest:
    """The manifest with the types of a graph's own doors: float16 where a copy of it in float32 has float32."""
    types = {tensor.name: tensor.dtype for tensor in (*engine.inputs, *engine.outputs)}

    def typed(specs: Any) -> Any:
        return tuple(replace(spec, dtype=types.get(spec.name, spec.dtype)) for spec in specs)

    return replace(card, inputs=typed(card.inputs), outputs=typed(card.outputs))


def _plain(files: Mapping[str, bytes]) -> Engine:
    name, model = _only(files)
    return CpuGraph(model, name=name)


def _watched(files: Mapping[str, bytes]) -> Engine:
    name, model = _only(files)
    graph = rounded(model, name)
    return CpuGraph(graph.model, graph.watched, name=name)


def _only(files: Mapping[str, bytes]) -> tuple[str, bytes]:
    if len(files) > 1:
        raise ModelError(
            f"{next(iter(files))} keeps weights in other files", why="models are compared as one file each"
        )
    return next(iter(files.items()))


def _tensor(value: Any) -> Tensor:
    shape = tuple(side if isinstance(side, int) else -1 for side in value.shape)
    return Tensor(value.name, DTYPES.get(value.type, value.type), shape)
