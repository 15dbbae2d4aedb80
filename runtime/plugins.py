"""A plug-in is a file; its name is its file name. Folders with plug-ins: backends, decoders, tasks, sources, sinks, networks."""

from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType

from vedette.runtime.errors import ModelError


@cache
def names(package: str) -> tuple[str, ...]:
    """The plug-ins of a package, sorted; a trailing underscore (onnxruntime_.py) is no part of the name."""
    paths = import_module(package).__path__
    found = (module.name for module in iter_modules(paths))
    return tuple(sorted(name.rstrip("_") for name in found if not name.startswith("_")))


def load(package: str, name: str) -> ModuleType:
    """Import one plug-in by name.

    Raises:
        ModelError: there is no such file.
    """
    if name not in names(package):
        kind = package.rpartition(".")[2].removesuffix("s")
        raise ModelError(
            f"there is no {kind} named {name!r}",
            why=f"this version has {', '.join(names(package))}",
            cure=f"name one of them, or update vedette if the {kind} is newer",
        )
    available = {
        module.name.rstrip("_"): module.name for module in iter_modules(import_module(package).__path__)
    }
    return import_module(f"{package}.{available[name]}")
