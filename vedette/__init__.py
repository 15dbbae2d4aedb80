"""Vedette: trained networks to engines, camera streams through engines. The public names.

Importing this loads the standard library and numpy only; everything heavy is imported where it is used.
"""

from pathlib import Path as _Path

__version__ = "0.1.0"

for _name in ("export", "runtime", "kernels"):
    if not (_Path(__file__).parent / _name).is_dir():
        raise ImportError(
            f"vedette/{_name} should be a symbolic link to ../{_name}: this copy was made without symbolic links.\n"
            "  why: git on Windows, or a .zip unpacked by a tool that drops links\n"
            "  cure: git config core.symlinks true && git checkout -f -- vedette   (or install the wheel)"
        )

from vedette.runtime.errors import VedetteError
from vedette.runtime.frame import Frame
from vedette.runtime.model import Model
from vedette.runtime.results import Result

__all__ = ["Frame", "Model", "Result", "VedetteError", "__version__"]
