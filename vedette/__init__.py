"""Vedette: trained networks to engines, camera streams through engines. The public names.

Importing this loads nothing but the standard library; everything else is imported where it is used.
"""

from importlib import import_module as _import_module
from pathlib import Path as _Path
from typing import TYPE_CHECKING
from typing import Any as _Any

__version__ = "0.1.0"

for _name in ("export", "runtime", "kernels"):
    if not (_Path(__file__).parent / _name).is_dir():
        raise ImportError(
            f"vedette/{_name} should be a symbolic link to ../{_name}: this copy was made without symbolic links.\n"
            "  why: git on Windows, or a .zip unpacked by a tool that drops links\n"
            "  cure: git config core.symlinks true && git checkout -f -- vedette   (or install the wheel)"
        )

if TYPE_CHECKING:
    from vedette.runtime.errors import VedetteError
    from vedette.runtime.frame import Frame
    from vedette.runtime.model import Model
    from vedette.runtime.results import Result

__all__ = ["Frame", "Model", "Result", "VedetteError", "__version__"]
_HOMES = {"Frame": "frame", "Model": "model", "Result": "results", "VedetteError": "errors"}


def __getattr__(name: str) -> _Any:
    """A public name is imported when it is first used, so that the command line can take signals from the start."""
    if name not in _HOMES:
        raise AttributeError(f"module 'vedette' has no attribute {name!r}")
    return getattr(_import_module(f"vedette.runtime.{_HOMES[name]}"), name)
