"""Opens what a reference to a model led to: one graph, or a bundle of several.

In: the path of a file, or of a bundle's folder.  Out: Opened, which gives Runners.  Next: engine.py, bundle.py, runner.py.
"""

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vedette.runtime import bundle as bundles
from vedette.runtime import manifest as manifests
from vedette.runtime.bundle import KINDS, NAME, Loaded
from vedette.runtime.engine import Engine, open_engine
from vedette.runtime.errors import ModelError
from vedette.runtime.manifest import Manifest
from vedette.runtime.plugins import load
from vedette.runtime.preprocess import Size
from vedette.runtime.runner import Recipe, Runner, runner_of
from vedette.runtime.tasks import Config
from vedette.runtime.tiles import OwnSize


@dataclass(frozen=True, slots=True, eq=False)
class Opened:
    """A model whose graphs are ready to run."""

    manifest: Manifest  # of a bundle, of the whole
    engines: Mapping[str, Engine]  # by role; the only one of a single graph has none
    defaults: Config  # what holds where the user asks for nothing else
    runner: Callable[[Config, Size | None], Runner]

    def close(self) -> None:
        """Free the engines."""
        for engine in self.engines.values():
            engine.close()


def open_model(path: Path, *, backend: str = "auto") -> Opened:
    """Check a model, then open its engines.

    Raises:
        ModelError: missing, malformed, or not what its manifest says.
        DeviceError: the backend does not work here.
    """
    return _bundle(path, backend) if bundles.is_bundle(path) else _graph(path, backend)


def card_of(path: Path) -> tuple[Manifest, int]:
    """The manifest of a model, of a bundle as of one graph, after checking every hash; and its bytes.

    Raises:
        ModelError: missing, malformed, or not what its manifest says.
    """
    if bundles.is_bundle(path):
        loaded = bundles.load(path)
        return loaded.card, loaded.size
    card, files = manifests.load(path)
    return card, sum(len(data) for data in files.values())


def _graph(path: Path, backend: str) -> Opened:
    adopted = path.suffix == ".onnx" and path.is_file() and not manifests.path_beside(path).exists()
    card, data = _adopted(path) if adopted else manifests.load(path)
    engine = open_engine(path, card, data, backend=backend)
    if adopted:
        from vedette.runtime.settling import settled

        card = settled(card, engine)

    def runner(config: Config, imgsz: Size | None) -> Runner:
        if card.task != "image" or imgsz:
            return runner_of(Recipe(card, config, imgsz=imgsz), engine)
        recipe = Recipe(card, config, own_size=True)
        return OwnSize(recipe.input, runner_of(recipe, engine))

    return Opened(card, {"": engine}, Config(), runner)


def _adopted(path: Path) -> tuple[Manifest, dict[str, bytes]]:
    """By what its exporter says; no other model pays for that."""
    from vedette.runtime.adoption import in_memory

    return in_memory(path)


def open_parts(folder: Path, *, backend: str = "auto") -> tuple[Loaded, dict[str, Engine]]:
    """Check a bundle, then open the engines of its parts, by role.

    Raises:
        ModelError: missing, malformed, or not what its manifests say.
        DeviceError: the backend does not work here.
    """
    loaded = bundles.load(folder)
    with contextlib.ExitStack() as closing:  # a part that does not open closes those before it
        engines: dict[str, Engine] = {}
        for role, part in loaded.parts.items():
            engines[role] = open_engine(part.path, part.manifest, part.files, backend=backend)
            closing.callback(engines[role].close)
        closing.pop_all()
    return loaded, engines


class Together:
    """Engines of a bundle that are all open."""

    def __init__(self, engines: Mapping[str, Engine]) -> None:
        self._engines = engines
        self.backend = next(iter(engines.values())).backend

    def __call__(self, role: str) -> Engine:
        """The engine of a part."""
        return self._engines[role]

    def close(self) -> None:
        """Free them."""
        for engine in self._engines.values():
            engine.close()


class InTurn:
    """The engines of an outlined bundle, of which one is open at a time: another is freed, with its weights, before.

    Args:
        loaded: what bundle.outline gave.
        backend: see open_engine.

    Raises:
        ModelError: the first part is missing, malformed, or not what its manifest says.
        DeviceError: the backend does not work here.
    """

    def __init__(self, loaded: Loaded, *, backend: str = "auto") -> None:
        self._parts, self._choice = loaded.parts, backend
        self._open: tuple[str, Engine] | None = None
        self.backend = self(next(iter(loaded.parts))).backend

    def __call__(self, role: str) -> Engine:
        """The engine of a part, until another is asked for.

        Raises:
            ModelError: as for the first.
        """
        if self._open is None or self._open[0] != role:
            self.close()
            part = bundles.filled(self._parts[role])
            self._open = (
                role,
                open_engine(part.path, part.manifest, part.files, backend=self._choice, low_memory=True),
            )
        return self._open[1]

    def close(self) -> None:
        """Free the one that is open."""
        if self._open:
            self._open[1].close()
        self._open = None


def open_drawing(
    folder: Path, *, backend: str = "auto", low_memory: bool = False
) -> tuple[Loaded, Together | InTurn]:
    """Check a bundle, and open the engines of its parts: all of them, or one when it is needed.

    Raises:
        ModelError: missing, malformed, or not what its manifests say.
        DeviceError: the backend does not work here.
    """
    if low_memory:
        outlined = bundles.outline(folder)
        return outlined, InTurn(outlined, backend=backend)
    loaded, engines = open_parts(folder, backend=backend)
    return loaded, Together(engines)


def _bundle(folder: Path, backend: str) -> Opened:
    bundle = bundles.parse(manifests.read(folder / NAME), origin=f"{folder.name}/{NAME}")
    kind: Any = load(KINDS, bundle.kind)
    if not hasattr(kind, "runner_of"):
        raise ModelError(
            f"{bundle.name} draws pictures, and finds nothing in them",
            why="run is for models that take a picture",
            cure=f"vedette generate {bundle.name} -o out.png",
        )
    loaded, engines = open_parts(folder, backend=backend)

    def runner(config: Config, imgsz: Size | None) -> Runner:
        made: Runner = kind.runner_of(loaded, engines, config, imgsz=imgsz)
        return made

    return Opened(loaded.card, engines, kind.defaults(bundles.parameters_of(loaded.bundle)), runner)
