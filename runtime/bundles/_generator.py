"""What all generators have in common: values of pixels, progress, and what is refused.

In: what bundle.json says.  Out: pictures between a network's values and bytes.  Next: _graphs.py, their parts as callables.
Used by vae.py, gan.py, ddpm.py, stable_diffusion.py, which runtime/generation.py drives.

Each of those has, in place of a Runner, which only pictures go through: `PARTS`, a Wanted, or what makes one of Parameters;
`settled(name, parameters, request, images) -> Request`, which refuses what it has no use for and fills in its own choice;
and `generate(graphs, parameters, request, images, places, progress) -> Array`, float32 [n, C, H, W] in the network's values
for some places of the whole, `progress` being called as it goes. One that reads a prompt has besides
`notes(files, parameters, request) -> list[str]`, what to tell the user before it draws.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from vedette.runtime.errors import UsageError
from vedette.runtime.frame import Array
from vedette.runtime.manifest import LARGEST
from vedette.runtime.preprocess import Size
from vedette.runtime.request import Request

PROMPTED = "prompt", "negative", "guidance", "rescale"
LATENT = "mask", "noise"  # what only Stable Diffusion has a use for


# float32 [n, C, H, W] in the network's values as far as pictures can be seen, or what makes that
Seen = Array | Callable[[], Array] | None


@dataclass(frozen=True, slots=True)
class Progress:
    """Called as it goes: so many steps are done, of so many, and what can be seen by then."""

    told: Callable[[int, int, Seen], None]
    looks: bool = True  # whether anybody looks at what can be seen

    def __call__(self, done: int, total: int, denoised: Seen = None, /) -> None:
        self.told(done, total, denoised)


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
