"""Draws: opens a bundle that generates, and runs it batch by batch.

In: a bundle's folder and a Request.  Out: pictures, uint8 [H, W] or [H, W, 3] BGR.
Next: bundles/vae.py, gan.py, ddpm.py; diffusion/; vedette/commands/generate.py, which drives it.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from vedette.runtime import bundle as bundles
from vedette.runtime import manifest as manifests
from vedette.runtime.bundle import KINDS, NAME, is_bundle
from vedette.runtime.bundles._generator import graphs_of
from vedette.runtime.errors import ModelError, UsageError
from vedette.runtime.find import find_model
from vedette.runtime.frame import Array
from vedette.runtime.opening import card_of, open_parts
from vedette.runtime.plugins import load
from vedette.runtime.recipe import Recipe, versions
from vedette.runtime.request import Images, Request

BATCH = 16  # images that go through the network together: larger ones were no faster on a CPU

Progress = Callable[[int, int], None]  # steps done, of so many
NOTHING = Images()


class Generator:
    """An opened model that draws.

    Args:
        model: a zoo name, or the path of a bundle's folder.
        backend: auto, or one of vedette.runtime.backends.

    Raises:
        ModelError: missing, malformed, or one that does not draw.
        DeviceError: the backend does not work here.
    """

    def __init__(self, model: str, *, backend: str = "auto") -> None:
        path = find_model(model)
        self._kind = _kind_of(path)
        self._loaded, self._engines = open_parts(path, backend=backend)
        try:
            self.name, self.sha256 = self._loaded.bundle.name, manifests.sha256(manifests.read(path / NAME))
            self._parameters: Any = bundles.parameters_of(self._loaded.bundle)
            self._graphs = graphs_of(self._loaded, self._engines, self._kind.PARTS)
        except BaseException:
            self.close()
            raise
        self.backend = next(iter(self._engines.values())).backend
        self._most = min(graph.max_batch for graph in self._graphs.values())
        self.batch = min(BATCH, self._most)

    def settled(self, request: Request, images: Images = NOTHING) -> Request:
        """What is drawn for a request: with the model's own choice where there is none.

        Raises:
            UsageError: the model has no use for it, or it cannot be meant.
        """
        settled: Request = self._kind.settled(self.name, self._parameters, request, images)
        return settled

    def recipe(self, settled: Request) -> Recipe:
        """Of a grid, without --init and --to."""
        kind = self._loaded.bundle.kind
        return Recipe(self.name, kind, self.sha256, settled, self.batch, self.backend, versions=versions())

    def draw(
        self,
        settled: Request,
        images: Images = NOTHING,
        *,
        only: int | None = None,
        batch: int | None = None,
        progress: Progress = lambda *_: None,
    ) -> Iterator[Array]:
        """The pictures in their order, or only one of them; in the same batches either way, so that each is the same.

        Args:
            settled: a request that `settled` gave.
            images: what they are made from.
            only: the place of one.
            batch: how many go through the network together, as the recipe says.
            progress: called with the steps of the network that are done, and of how many.

        Raises:
            ModelError: the network gives what is no number.
        """
        count, batch = settled.count or 1, batch or self.batch
        starts = range(0, count, batch) if only is None else range(only - only % batch, only + 1, batch)
        pixels = self._parameters.pixels()
        for turn, start in enumerate(starts):
            places = range(start, min(start + batch, count))

            def told(done: int, total: int, turn: int = turn) -> None:
                progress(turn * total + done, len(starts) * total)

            drawn = self._kind.generate(self._graphs, self._parameters, settled, images, places, told)
            pictures = pixels.to_bytes(drawn)
            yield from pictures if only is None else pictures[only - start : only - start + 1]

    def check(self, recipe: Recipe) -> Request:
        """The request of a recipe of this model.

        Raises:
            UsageError: it is of another, or of batches that this one does not take.
        """
        if (recipe.kind, recipe.model_sha256) != (self._loaded.bundle.kind, self.sha256):
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
        for engine in self._engines.values():
            engine.close()


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
