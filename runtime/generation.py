"""Draws: opens a bundle that generates, and runs it batch by batch.

In: a bundle's folder and a Request.  Out: pictures, uint8 [H, W] or [H, W, 3] BGR.
Next: bundles/vae.py, gan.py, ddpm.py, stable_diffusion.py; diffusion/; vedette/commands/generate.py, which drives it.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from vedette.runtime import bundle as bundles
from vedette.runtime import manifest as manifests
from vedette.runtime.bundle import KINDS, NAME, is_bundle
from vedette.runtime.bundles._generator import Progress as Watched
from vedette.runtime.bundles._generator import Seen
from vedette.runtime.bundles._graphs import Graphs, graphs_of
from vedette.runtime.errors import ModelError, UsageError
from vedette.runtime.find import find_model
from vedette.runtime.frame import Array
from vedette.runtime.opening import card_of
from vedette.runtime.parts import open_drawing
from vedette.runtime.plugins import load
from vedette.runtime.recipe import Recipe, versions
from vedette.runtime.request import Images, Request
from vedette.runtime.runner import Runner

BATCH = 16  # images that go through the network together: larger ones were no faster on a CPU

Progress = Callable[[int, int], None]  # steps done, of so many
Preview = Callable[
    [int, int, Array], None
]  # the place of the first picture, the step, and uint8 pictures [n, …] as `draw` gives
NOTHING = Images()


class Generator:
    """An opened model that draws.

    Args:
        model: a zoo name, or the path of a bundle's folder.
        backend: auto, or one of vedette.runtime.backends.
        low_memory: parts are read when they are needed and freed in turn, their weights are kept once, and images go through
            them one by one.

    Raises:
        ModelError: missing, malformed, or one that does not draw.
        DeviceError: the backend does not work here.
    """

    def __init__(self, model: str, *, backend: str = "auto", low_memory: bool = False) -> None:
        path = find_model(model)
        self._kind = _kind_of(path)
        self._graphs = Graphs()
        loaded, self._engines = open_drawing(path, backend=backend, low_memory=low_memory)
        try:
            self._bundle, self.sha256 = loaded.bundle, manifests.sha256(manifests.read(path / NAME))
            self._parameters: Any = bundles.parameters_of(self._bundle)
            wanted = self._kind.PARTS(self._parameters) if callable(self._kind.PARTS) else self._kind.PARTS
            self._graphs = graphs_of(loaded, self._engines, wanted, rows=1 if low_memory else None)
        except BaseException:
            self.close()
            raise
        self.name, self.backend = self._bundle.name, self._engines.backend
        self._most = self._graphs.most
        self.batch = min(BATCH, self._most)

    def settled(self, request: Request, images: Images = NOTHING) -> Request:
        """What is drawn for a request: with the model's own choice where there is none.

        Raises:
            UsageError: the model has no use for it, or it cannot be meant.
        """
        settled: Request = self._kind.settled(self.name, self._parameters, request, images)
        return settled

    def notes(self, settled: Request) -> list[str]:
        """What the user is to know of a request before it is drawn: words of a prompt that do not fit.

        Raises:
            ModelError: the library that reads prompts is not installed.
        """
        if not hasattr(self._kind, "notes"):
            return []
        found: list[str] = self._kind.notes(self._graphs.files, self._parameters, settled)
        return found

    def stream(self, request: Request) -> Runner:
        """A Runner that makes a picture of each frame, as of --init.

        Raises:
            UsageError: the model has none, or the request cannot be meant.
        """
        if not hasattr(self._kind, "stream_of"):
            raise UsageError(
                f"{self.name} has no use for --stream",
                why="frames are changed by Stable Diffusion, or by models of the task image",
                cure=f"vedette generate {self.name} without it, or vedette run cyclegan SOURCE",
            )
        runner: Runner = self._kind.stream_of(self.name, self._graphs, self._parameters, request)
        return runner

    def recipe(self, settled: Request) -> Recipe:
        """Of a grid, without the files that it is made from."""
        kind = self._bundle.kind
        return Recipe(self.name, kind, self.sha256, settled, self.batch, self.backend, versions=versions())

    def draw(
        self,
        settled: Request,
        images: Images = NOTHING,
        *,
        only: int | None = None,
        batch: int | None = None,
        progress: Progress = lambda *_: None,
        preview: Preview | None = None,
    ) -> Iterator[Array]:
        """The pictures in their order, or only one of them; in the same batches either way, so that each is the same.

        Args:
            settled: a request that `settled` gave.
            images: what they are made from.
            only: the place of one.
            batch: how many go through the network together, as the recipe says.
            progress: called with the steps of the network that are done, and of how many.
            preview: called after every step with what can be seen by then.

        Raises:
            ModelError: the network gives what is no number.
        """
        count, batch = settled.count or 1, batch or self.batch
        starts = range(0, count, batch) if only is None else range(only - only % batch, only + 1, batch)
        pixels = self._parameters.pixels()
        for turn, start in enumerate(starts):
            places = range(start, min(start + batch, count))

            chosen = slice(None) if only is None else slice(only - start, only - start + 1)

            def told(
                done: int, total: int, seen: Seen = None, turn: int = turn, chosen: slice = chosen
            ) -> None:
                progress(turn * total + done, len(starts) * total)
                if preview and seen is not None:
                    values = seen() if callable(seen) else seen
                    preview((starts[turn] if only is None else only), done, pixels.to_bytes(values[chosen]))

            watched = Watched(told, looks=preview is not None)
            drawn = self._kind.generate(self._graphs, self._parameters, settled, images, places, watched)
            yield from pixels.to_bytes(drawn)[chosen]

    def check(self, recipe: Recipe) -> Request:
        """The request of a recipe of this model.

        Raises:
            UsageError: it is of another, or of batches that this one does not take.
        """
        if (recipe.kind, recipe.model_sha256) != (self._bundle.kind, self.sha256):
            raise UsageError(
                f"the recipe is of {recipe.model} {recipe.model_sha256[:12]}…",
                why=f"this model is {self.name} {self.sha256[:12]}…, which would draw something else",
                cure=f"give the {recipe.model} that drew it, or leave --recipe out",
            )
        count = recipe.request.count or 0
        if not (1 <= recipe.batch <= self._most and 0 <= (recipe.index or 0) < count):
            raise UsageError(
                "the recipe was not written by this program",
                why="its numbers do not fit together",
                cure="give the .png as it was written",
            )
        return recipe.request

    def close(self) -> None:
        """Free the engines."""
        self._graphs.close()
        self._engines.close()


def _kind_of(path: Path) -> Any:
    """The kind's file, before any engine is opened."""
    if is_bundle(path):
        bundle = bundles.parse(manifests.read(path / NAME), origin=f"{path.name}/{NAME}")
        kind = load(KINDS, bundle.kind)
        if hasattr(kind, "generate"):
            return kind
    card, _ = card_of(path)
    raise ModelError(
        f"{card.name} does not draw", why=f"it is for {card.task}", cure=f"vedette run {path} SOURCE"
    )
