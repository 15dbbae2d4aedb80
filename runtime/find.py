"""Which file or folder a reference to a model means: a path, or the name of a network in the zoo, which is made where absent.

In: a word.  Out: the path of a file, or of a bundle's folder.  Next: opening.py.
"""

import os
import sys
from importlib.util import find_spec
from pathlib import Path

import vedette
from vedette.runtime.errors import ModelError
from vedette.runtime.plugins import names

PACKAGE = Path(vedette.__file__).parent
SUFFIXES = (".onnx", ".engine", ".npz")
NAME = "bundle.json"
KINDS = "vedette.runtime.bundles"


def is_bundle(folder: Path) -> bool:
    """Whether a path is a folder with a bundle in it."""
    return (folder / NAME).is_file()


def zoo_folder() -> Path:
    """Where the wheel keeps its models."""
    return PACKAGE / "runtime" / "zoo"


def zoo_names() -> tuple[str, ...]:
    """The networks in the box, made or not."""
    weights = PACKAGE / "export" / "zoo"
    bundles = (path for path in zoo_folder().iterdir() if is_bundle(path)) if zoo_folder().is_dir() else ()
    found = [*zoo_folder().glob("*.onnx"), *bundles, *weights.glob("*.safetensors")]
    return tuple(sorted({path.stem for path in found}))


def made_in(folder: Path, name: str) -> Path | None:
    """A zoo model that a folder has: a file, or the folder of a bundle."""
    found = (path for path in (folder / f"{name}.onnx", folder / name) if path.is_file() or is_bundle(path))
    return next(found, None)


def is_model(reference: str) -> bool:
    """Whether a word on a command line is a model: by its suffix, as a bundle, or as a zoo name that no file has."""
    path = Path(reference)
    return (
        path.suffix in SUFFIXES
        or is_bundle(path)
        or (_zoo_name(reference) in zoo_names() and not path.exists())
    )


def _zoo_name(reference: str) -> str:
    """Hyphens and underscores alike."""
    return reference.replace("-", "_")


def find_model(reference: str) -> Path:
    """The file, or the folder of a bundle, that a reference means: a path, or a zoo name.

    Raises:
        ModelError: neither.
    """
    path, name = Path(reference), _zoo_name(reference)
    if path.suffix in SUFFIXES or path.is_file() or is_bundle(path):
        return path
    if name not in zoo_names():
        raise ModelError(
            f"no model {reference!r}",
            why=f"there is no such file or bundle, and the zoo has {', '.join(zoo_names()) or 'nothing in it'}",
            cure="vedette zoo lists the models in the box",
        )
    made = made_in(zoo_folder(), name) or made_in(_cache(), name)
    return made or _export_to_cache(name)


def _cache() -> Path:
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "vedette" / f"zoo-{vedette.__version__}"


def _export_to_cache(name: str) -> Path:
    """Make a zoo model once, by our own command, so that the runtime itself never imports PyTorch."""
    whole = any(
        name.startswith(kind) for kind in names(KINDS)
    )  # a network that is a bundle begins with its kind
    target = _cache() / (name if whole else f"{name}.onnx")
    if find_spec("torch") is None:
        raise ModelError(
            f"the zoo model {name} has not been made",
            why="this is a checkout without make zoo, and PyTorch is not here to export it",
            cure="make zoo (or pip install 'vedette[export]'), or install the wheel, which has it inside",
        )
    import subprocess

    command = [sys.executable, "-m", "vedette", "export", name, "-o", str(target)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        why = (done.stderr.strip().splitlines() or ["no reason given"])[0]
        raise ModelError(
            f"exporting {name} into the cache failed", why=why, cure=f"vedette export {name} -o {target.name}"
        )
    return target
