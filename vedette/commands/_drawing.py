"""What `generate` tells while it draws, and where its pictures go: a grid in one file, or a file an image."""

import math
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from vedette.runtime import png
from vedette.runtime.draw import write_picture
from vedette.runtime.errors import UsageError
from vedette.runtime.frame import Array
from vedette.runtime.recipe import KEY, Recipe, dumps
from vedette.runtime.request import Request

LOG_EVERY_S = 5.0
GAP, GREY = 2, 128  # pixels between the images of a grid, and their level


class StepsBar:
    """A bar on a terminal, a line every few seconds in a log; on standard error."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._bar: Any = None
        self.began = self._told = time.monotonic()

    def __enter__(self) -> "StepsBar":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()

    def __call__(self, done: int, total: int) -> None:
        """So many steps are done."""
        if sys.stderr.isatty():
            self._move(done, total)
        elif time.monotonic() - self._told >= LOG_EVERY_S:
            self._told = time.monotonic()
            print(f"{self._name}: {done}/{total} steps", file=sys.stderr, flush=True)

    def _move(self, done: int, total: int) -> None:
        if not self._bar:
            self._bar = _bar()
            self._bar.start()
            self._task = self._bar.add_task(self._name, total=total)
        self._bar.update(self._task, completed=done, total=total)


def _bar() -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    return Progress(*columns, console=Console(stderr=True))


class Target:
    """Where pictures go: one .png, or a folder.

    Raises:
        UsageError: a file of another kind, which could not hold the recipe.
    """

    def __init__(self, out: str) -> None:
        self.path = Path(out)
        self.is_folder = not self.path.suffix or out.endswith("/") or self.path.is_dir()
        if not self.is_folder and self.path.suffix.lower() != ".png":
            raise UsageError(
                f"-o {out}: {self.path.suffix} is not .png",
                why="how a picture was drawn is written into the PNG",
                cure=f"use -o {self.path.with_suffix('.png')}, or a folder",
            )

    def write(self, images: Iterator[Array], recipe: Recipe, only: int | None) -> int:
        """Write all images as they come, or the grid at the end; how many there were.

        Raises:
            DiskError: they cannot be written.
        """
        if not self.is_folder:
            drawn = list(images)
            picture = drawn[0] if only is not None else grid(drawn)
            png.save(self.path, picture, KEY, dumps(replace(recipe, index=only)))
            return len(drawn)
        count = 0
        for count, image in enumerate(images, 1):
            index = count - 1 if only is None else only
            self._save(image, replace(recipe, index=index))
        return count

    def _save(self, image: Array, recipe: Recipe) -> None:
        """NAME-SEED.png, by the seed of that image alone."""
        name = f"{recipe.model}-{recipe.request.seed + (recipe.index or 0)}.png"
        png.save(self.path / name, image, KEY, dumps(recipe))


class Previews:
    """Where pictures go as they are seen after each step: one .png, drawn over, or a folder with a file a step.

    Raises:
        UsageError: a file of another kind, or a model without steps.
    """

    def __init__(self, where: str, name: str, settled: Request) -> None:
        self._path = Path(where)
        self._is_folder = not self._path.suffix or where.endswith("/") or self._path.is_dir()
        if not self._is_folder and self._path.suffix.lower() != ".png":
            raise UsageError(
                f"--preview {where}: {self._path.suffix} is not .png",
                why="previews are pictures without loss",
                cure=f"use --preview {self._path.with_suffix('.png')}, or a folder",
            )
        if settled.steps is None:
            raise UsageError(
                f"{name} has no use for --preview", why="it draws in one step", cure="leave --preview out"
            )

    def __call__(self, first: int, step: int, images: Array) -> None:
        """What can be seen of a batch after a step; FIRST-STEP.png, by the place of its first image.

        Raises:
            DiskError: it cannot be written.
        """
        path = self._path / f"{first:05}-{step:04}.png" if self._is_folder else self._path
        write_picture(path, grid(list(images)))


def grid(images: Sequence[Array]) -> Array:
    """One picture of images of one size, in rows as long as columns or one longer, grey between them."""
    columns = math.ceil(math.sqrt(len(images)))
    rows = math.ceil(len(images) / columns)
    height, width = images[0].shape[:2]
    shape = rows * (height + GAP) - GAP, columns * (width + GAP) - GAP, *images[0].shape[2:]
    whole = np.full(shape, GREY if len(images) > 1 else 0, np.uint8)
    for index, image in enumerate(images):
        top, left = index // columns * (height + GAP), index % columns * (width + GAP)
        whole[top : top + height, left : left + width] = image
    return whole
