"""The engines of a bundle's parts: all open together, or one at a time where memory is short.

In: the folder of a bundle.  Out: its engines by role.  Next: bundle.py, engine.py.  Used by opening.py and generation.py.
"""

import contextlib
from collections.abc import Mapping
from pathlib import Path

from vedette.runtime import bundle as bundles
from vedette.runtime.bundle import Loaded
from vedette.runtime.engine import Engine, open_engine


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
