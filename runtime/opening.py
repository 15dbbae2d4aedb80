"""Opens what a reference to a model led to: one graph, or a bundle of several.

In: the path of a file, or of a bundle's folder.  Out: Opened, which gives Runners.  Next: engine.py, runner.py; bundle.py.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vedette.runtime import manifest as manifests
from vedette.runtime.engine import Engine, open_engine
from vedette.runtime.errors import ModelError
from vedette.runtime.find import KINDS, NAME, is_bundle
from vedette.runtime.manifest import Manifest
from vedette.runtime.plugins import load
from vedette.runtime.preprocess import Size
from vedette.runtime.runner import Recipe, Runner, runner_of
from vedette.runtime.tasks import Config


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
    return _bundle(path, backend) if is_bundle(path) else _graph(path, backend)


def card_of(path: Path) -> tuple[Manifest, int]:
    """The manifest of a model, of a bundle as of one graph, after checking every hash; and its bytes.

    Raises:
        ModelError: missing, malformed, or not what its manifest says.
    """
    if is_bundle(path):
        from vedette.runtime import bundle as bundles

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
        from vedette.runtime.tiles import OwnSize

        recipe = Recipe(card, config, own_size=True)
        return OwnSize(recipe.input, runner_of(recipe, engine))

    return Opened(card, {"": engine}, Config(), runner)


def _adopted(path: Path) -> tuple[Manifest, dict[str, bytes]]:
    """By what its exporter says; no other model pays for that."""
    from vedette.runtime.adoption import in_memory

    return in_memory(path)


def _bundle(folder: Path, backend: str) -> Opened:
    """By its kind; who opens a single graph imports nothing of bundles."""
    from vedette.runtime import bundle as bundles
    from vedette.runtime.parts import open_parts

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
