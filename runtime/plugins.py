"""A plug-in is a file; its name is its file name. Folders with plug-ins: backends, decoders, tasks, sources, sinks, networks."""

from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType

from vedette.runtime.errors import ModelError


@cache
def names(package: str) -> tuple[str, ...]:
    """The plug-ins of a package, sorted; a trailing underscore (onnxruntime_.py) is no part of the name."""
    return tuple(sorted(_modules(package)))


@cache
def _modules(package: str) -> dict[str, str]:
    """The modules of a package by the names of the plug-ins that they are."""
    folders = [Path(folder) for folder in import_module(package).__path__]
    found = [file.stem for folder in folders for file in folder.glob("[!_]*.py")]
    return {name.rstrip("_"): name for name in found}


def load(package: str, name: str) -> ModuleType:
    """Import one plug-in by name.

    Raises:
        ModelError: there is no such file.
    """
    modules = _modules(package)
    if name not in modules:
        kind = package.rpartition(".")[2].removesuffix("s")
        raise ModelError(
            f"there is no {kind} named {name!r}",
            why=f"this version has {', '.join(names(package))}",
            cure=f"name one of them, or update vedette if the {kind} is newer",
        )
    return import_module(f"{package}.{modules[name]}")
