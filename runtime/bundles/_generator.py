"""What all generators have in common: parts as callables, values of pixels, and what is refused.

In: bundle.Loaded and an Engine a role.  Out: Graphs; pictures between a network's values and bytes.
Used by vae.py, gan.py, ddpm.py, which runtime/generation.py drives.

Each of those has, in place of a Runner, which only pictures go through: `PARTS`, a Wanted;
`settled(name, parameters, request, images) -> Request`, which refuses what it has no use for and fills in its own choice;
and `generate(graphs, parameters, request, images, places, progress) -> Array`, float32 [n, C, H, W] in the network's values
for some places of the whole, `progress(done, total)` being called as it goes.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vedette.runtime.bundle import CURE, Loaded
from vedette.runtime.engine import Engine
from vedette.runtime.errors import ManifestError, ModelError, UsageError
from vedette.runtime.frame import Array
from vedette.runtime.intake import check_shapes
from vedette.runtime.manifest import LARGEST, STRICT, Manifest
from vedette.runtime.preprocess import Size
from vedette.runtime.request import Request

Progress = Callable[[int, int], None]
Axes = Mapping[str, int]  # name of an input or role of an output -> how many axes it has
Wanted = Mapping[str, tuple[Axes, Axes]]  # inputs and outputs of each part, by role


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
    """One part: float32 arrays by name in, float32 arrays of our own by role out."""

    def __init__(self, role: str, manifest: Manifest, engine: Engine) -> None:
        self.role, self.manifest, self._engine = role, manifest, engine
        self.max_batch = min(spec.bounds()[2][0] for spec in manifest.inputs)

    def __call__(self, **feeds: Array) -> dict[str, Array]:
        """Run it.

        Raises:
            ModelError: it refuses these inputs, or its outputs are not what its manifest says, or not finite.
        """
        types = {spec.name: spec.dtype for spec in self.manifest.inputs}
        typed = {name: np.ascontiguousarray(array, types[name]) for name, array in feeds.items()}
        outputs = self._engine(typed)
        batch = len(next(iter(feeds.values())))
        check_shapes(self.manifest, {name: array.shape for name, array in outputs.items()}, batch)
        return {spec.role: np.array(outputs[spec.name], np.float32) for spec in self.manifest.outputs}

    def finite(self, **feeds: Array) -> dict[str, Array]:
        """The same, of numbers alone."""
        found = self(**feeds)
        for role, values in found.items():
            if not np.isfinite(values).all():
                raise ModelError(
                    f"the {self.role} of {self.manifest.name} gives {role} that are no numbers",
                    why="its output has NaN or infinite values, as float16 does where it overflows",
                    cure="export it with --precision fp32",
                )
        return found


def graphs_of(loaded: Loaded, engines: Mapping[str, Engine], wanted: Wanted) -> dict[str, Graph]:
    """The parts by role, which have inputs and outputs of so many axes.

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
    return {role: Graph(role, part.manifest, engines[role]) for role, part in loaded.parts.items()}


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
