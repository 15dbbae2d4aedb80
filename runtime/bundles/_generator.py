"""What all generators have in common: parts as callables, values of pixels, and what is refused.

In: bundle.Loaded and an Engine a role.  Out: Graphs; pictures between a network's values and bytes.
Used by vae.py, gan.py, ddpm.py, stable_diffusion.py, which runtime/generation.py drives.

Each of those has, in place of a Runner, which only pictures go through: `PARTS`, a Wanted, or what makes one of Parameters;
`settled(name, parameters, request, images) -> Request`, which refuses what it has no use for and fills in its own choice;
and `generate(graphs, parameters, request, images, places, progress) -> Array`, float32 [n, C, H, W] in the network's values
for some places of the whole, `progress` being called as it goes. One that reads a prompt has besides
`notes(files, parameters, request) -> list[str]`, what to tell the user before it draws.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from vedette.runtime.bundle import CURE, Loaded
from vedette.runtime.engine import Engine
from vedette.runtime.errors import ManifestError, ModelError, UsageError
from vedette.runtime.frame import Array
from vedette.runtime.intake import check_shapes
from vedette.runtime.manifest import LARGEST, STRICT, Manifest
from vedette.runtime.preprocess import Size
from vedette.runtime.request import Request

Axes = Mapping[str, int]  # name of an input or role of an output -> how many axes it has
Wanted = Mapping[str, tuple[Axes, Axes]]  # inputs and outputs of each part, by role
Open = Callable[[str], Engine]  # of a part, by role
PROMPTED = "prompt", "negative", "guidance", "rescale"
LATENT = "mask", "noise"  # what only Stable Diffusion has a use for


# float32 [n, C, H, W] in the network's values as far as pictures can be seen, or what makes that
Seen = Array | Callable[[], Array] | None


class Progress(Protocol):
    """Called as it goes."""

    def __call__(self, done: int, total: int, denoised: Seen = None, /) -> None:
        """So many steps are done, of so many."""


@dataclass(frozen=True, slots=True)
class Pixels:
    """What the values of pictures mean."""

    channels: int
    size: Size
    black: float
    white: float

    @classmethod
    def of(cls, channels: int, size: Size, black: float, white: float) -> "Pixels":
        """Checked.

        Raises:
            ValueError: no such pictures.
        """
        if channels not in (1, 3) or not all(1 <= side <= LARGEST for side in size):
            raise ValueError(f"pictures have 1 or 3 channels and 1 to {LARGEST} pixels a side")
        if not black < white:
            raise ValueError("black is less than white")
        return cls(channels, size, black, white)

    def to_values(self, image: Array) -> Array:
        """float32 [C, H, W] of a picture uint8 [H, W, 3] BGR of any size."""
        import cv2

        shrinks = image.shape[1] > self.size[0] or image.shape[0] > self.size[1]
        fitted = cv2.resize(image, self.size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
        if self.channels == 1:
            fitted = cv2.cvtColor(fitted, cv2.COLOR_BGR2GRAY)[..., None]
        share = fitted[..., ::-1].transpose(2, 0, 1).astype(np.float32) / np.float32(255)
        return np.float32(self.black) + share * np.float32(self.white - self.black)

    def to_bytes(self, values: Array) -> Array:
        """uint8 [n, H, W] or [n, H, W, 3] BGR of float32 [n, C, H, W]."""
        share = (values - np.float32(self.black)) * np.float32(255 / (self.white - self.black))
        levels = share.clip(0, 255).round().astype(np.uint8)
        return (
            levels[:, 0]
            if self.channels == 1
            else np.ascontiguousarray(levels[:, ::-1].transpose(0, 2, 3, 1))
        )


@dataclass(frozen=True, slots=True)
class Drawn:
    """What a bundle.json says that draws each picture from one point of a normal distribution."""

    __pydantic_config__ = STRICT
    latents: int
    channels: int
    size: Size
    black: float = -1.0
    white: float = 1.0

    def __post_init__(self) -> None:
        self.pixels()
        if not 1 <= self.latents <= 65536:
            raise ValueError("latents are 1 to 65536")

    def pixels(self) -> Pixels:
        return Pixels.of(self.channels, self.size, self.black, self.white)


class Graph:
    """One part: arrays by name in, float32 arrays by role out, which hold until the next call.

    Args:
        role: of it.
        manifest: of it.
        engine: gives the engine, which may be opened for that.
        rows: of a batch that go through it together at most; None: as many as it takes.
    """

    def __init__(self, role: str, manifest: Manifest, engine: Open, *, rows: int | None = None) -> None:
        self.role, self.manifest, self._engine = role, manifest, engine
        self.max_batch = min(spec.bounds()[2][0] for spec in manifest.inputs)
        self._rows = rows or self.max_batch
        self._types = {spec.name: spec.dtype for spec in manifest.inputs}
        self._right: tuple[int, dict[str, tuple[int, ...]]] | None = (
            None  # a batch, and shapes of its outputs
        )

    def __call__(self, **feeds: Array) -> dict[str, Array]:
        """Run it, more than once for a batch that is too large.

        Raises:
            ModelError: it refuses these inputs, or its outputs are not what its manifest says.
        """
        batch = len(next(iter(feeds.values())))
        if batch <= self._rows:
            return self._run(feeds, batch)
        starts = range(0, batch, self._rows)
        runs = [
            self._own({name: array[at : at + self._rows] for name, array in feeds.items()}) for at in starts
        ]
        return {role: np.concatenate([run[role] for run in runs]) for role in runs[0]}

    def _own(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Copies, which hold for ever."""
        return {role: values.copy() for role, values in self(**feeds).items()}

    def _run(self, feeds: Mapping[str, Array], batch: int) -> dict[str, Array]:
        typed = {name: np.ascontiguousarray(array, self._types[name]) for name, array in feeds.items()}
        outputs = self._engine(self.role)(typed)
        shapes = {name: array.shape for name, array in outputs.items()}
        if (batch, shapes) != self._right:  # they are as a rule those of the call before
            check_shapes(self.manifest, shapes, batch)
            self._right = batch, shapes
        return {spec.role: np.asarray(outputs[spec.name], np.float32) for spec in self.manifest.outputs}

    def finite(self, **feeds: Array) -> dict[str, Array]:
        """The same as arrays of our own, of numbers alone."""
        found = self._own(feeds)
        for role, values in found.items():
            if not np.isfinite(values).all():
                raise ModelError(
                    f"the {self.role} of {self.manifest.name} gives {role} that are no numbers",
                    why="its output has NaN or infinite values, as float16 does where it overflows",
                    cure="export it with --precision fp32",
                )
        return found


class Graphs(dict[str, Graph]):
    """The parts by role, and the other files of their bundle."""

    files: Mapping[str, bytes]

    @property
    def most(self) -> int:
        """Images that every part takes together; the parts that read a prompt see no image."""
        return min(
            graph.max_batch
            for graph in self.values()
            if any(len(spec.shape) != 2 or spec.dtype != "int64" for spec in graph.manifest.inputs)
        )


def graphs_of(loaded: Loaded, engine: Open, wanted: Wanted, *, rows: int | None = None) -> Graphs:
    """The parts, which have inputs and outputs of so many axes.

    Args:
        loaded: a bundle.
        engine: opens one of its parts.
        wanted: what they are to be.
        rows: see Graph.

    Raises:
        ManifestError: they have not.
    """
    if loaded.parts.keys() != wanted.keys():
        told = ", ".join(loaded.parts)
        raise _misfit(f"it has the parts {told}, not {', '.join(wanted)}")
    for role, (inputs, outputs) in wanted.items():
        card = loaded.parts[role].manifest
        takes = {spec.name: len(spec.shape) for spec in card.inputs}
        gives = {spec.role: len(spec.shape) for spec in card.outputs}
        if takes != inputs or gives != outputs:
            raise _misfit(
                f"{role} goes from {_told(takes)} to {_told(gives)}, not from {_told(inputs)} to {_told(outputs)}"
            )
    graphs = Graphs(
        {role: Graph(role, part.manifest, engine, rows=rows) for role, part in loaded.parts.items()}
    )
    graphs.files = loaded.files
    return graphs


def _told(axes: Axes) -> str:
    return ", ".join(f"{name} of {count} axes" for name, count in axes.items()) or "nothing"


def _misfit(why: str) -> ManifestError:
    return ManifestError("the parts of the bundle do not fit together", why=why, cure=CURE)


def seeds_of(request: Request, places: Sequence[int]) -> list[int]:
    """Of the images at some places of the whole."""
    return [request.seed + place for place in places]


def only_size(name: str, size: Size, request: Request) -> None:
    """Refuse another size than the network's.

    Raises:
        UsageError: it was asked for.
    """
    if request.size is not None and request.size != size:
        raise UsageError(
            f"--size {request.size[0]}x{request.size[1]} does not fit {name}",
            why=f"it draws pictures of {size[0]}x{size[1]}",
            cure="leave --size out",
        )
