"""How pictures were drawn: all that draws them again, written into each PNG.

In: what was drawn.  Out: Recipe, and its JSON.  Next: png.py, generation.py.
The same recipe gives the same bytes on the same machine, with the same engine; another may round otherwise.
"""

import contextlib
import json
import platform
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

import numpy as np

import vedette
from vedette.runtime import png, strict
from vedette.runtime.errors import UsageError
from vedette.runtime.request import Request

KEY = "vedette"  # of the text
ENGINES = "onnxruntime", "onnxruntime-gpu", "openvino", "tensorrt", "tensorrt-rtx"


@dataclass(frozen=True, slots=True)
class Given:
    """A file that images were made from."""

    file: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Recipe:
    """What was drawn, by what, on what."""

    model: str
    kind: str
    model_sha256: str  # of its bundle.json, which vouches for the rest
    request: Request
    batch: int  # images that went through the network together
    backend: str
    schema_version: Literal[1] = 1
    index: int | None = None  # of the one image of all that this file is; None: a grid of all
    init: Given | None = None
    to: Given | None = None
    mask: Given | None = None
    noise: Given | None = None
    versions: dict[str, str] = field(default_factory=dict)


def versions() -> dict[str, str]:
    """Of what has a part in the values, as far as it is installed."""
    found = {"vedette": vedette.__version__, "numpy": np.__version__, "python": platform.python_version()}
    for name in ENGINES:
        with contextlib.suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def dumps(recipe: Recipe) -> str:
    """Its JSON, in ASCII."""
    return json.dumps(asdict(recipe), allow_nan=False)


def read(path: Path) -> Recipe:
    """The recipe in a PNG.

    Raises:
        SourceError: it is no whole PNG.
        UsageError: there is no recipe in it, or a malformed one.
    """
    text = png.text_of(path, KEY)
    if text is None:
        raise UsageError(
            f"there is no recipe in {path}",
            why="it was not written by vedette generate, or a program that saved it again dropped its text",
            cure="give the .png as it was written",
        )
    try:
        return strict.loads(Recipe, text)
    except strict.RefusedError as error:
        raise UsageError(
            f"the recipe in {path} is not of schema 1", why=str(error), cure="give the .png as it was written"
        ) from None
