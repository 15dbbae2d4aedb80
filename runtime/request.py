"""What is to be drawn: what a user asks for, and what a kind of bundle makes of it.

In: flags, or a recipe.  Out: Request, Images.  Next: bundles/_generator.py and the kinds beside it, generation.py.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from vedette.runtime.errors import SourceError, UsageError
from vedette.runtime.frame import Array
from vedette.runtime.preprocess import Size

MOST_IMAGES = 100_000
MOST_SEED = 2**63 - 1
MAKE_NOISE = "write it with numpy.save"
COUNT = 16  # images, where nobody says how many


@dataclass(frozen=True, slots=True)
class Request:
    """None: the model's own choice, or nothing that it has a use for."""

    seed: int  # of the first image; the others follow by one
    count: int | None = None
    prompt: str | None = None
    steps: int | None = None
    sampler: str | None = None
    guidance: float | None = None
    size: Size | None = None
    strength: float | None = None
    negative: str | None = None  # what the picture is to be led away from
    rescale: float | None = None  # of guidance: see diffusion/guidance.py
    eta: float | None = None  # of DDIM: the share of noise that is drawn anew

    def __post_init__(self) -> None:
        if self.count is not None and not 1 <= self.count <= MOST_IMAGES:
            raise UsageError(
                f"-n {self.count} is out of range", why=f"it is a number of images, 1 to {MOST_IMAGES}", cure="use -n 16, say"
            )  # fmt: skip
        if not 0 <= self.seed <= MOST_SEED - MOST_IMAGES:
            raise UsageError(
                f"--seed {self.seed} is out of range", why="it is a whole number from 0", cure="use --seed 1, say"
            )  # fmt: skip

    def filled(self, **defaults: Any) -> "Request":
        """With a value where there is none."""
        missing = {name: value for name, value in defaults.items() if getattr(self, name) is None}
        return replace(self, **missing)


@dataclass(frozen=True, slots=True, eq=False)
class Images:
    """What images are made from, uint8 [H, W, 3] BGR but for the last."""

    init: Array | None = None
    to: Array | None = None
    mask: Array | None = None  # white where init is drawn anew
    noise: Array | None = None  # float32 [n, c, h, w], normal: where the images begin


def read_noise(path: Path) -> Array:
    """Numbers of a .npy.

    Raises:
        SourceError: it holds none, or not float32 on four axes.
    """
    try:
        noise = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise SourceError(f"cannot read the noise {path}", why=str(error)[:200], cure=MAKE_NOISE) from None
    if not isinstance(noise, np.ndarray) or noise.dtype != np.float32 or noise.ndim != 4:
        found = f"{noise.dtype} {list(noise.shape)}" if isinstance(noise, np.ndarray) else "several arrays"
        raise SourceError(
            f"cannot use the noise {path}", why=f"it is {found}, not float32 [n, c, h, w]", cure=MAKE_NOISE
        )
    return noise


IMAGES = tuple(Images.__slots__)
FLAGS = {"prompt": "a prompt", "count": "-n"}


def refuse(name: str, request: Request, images: Images, unused: tuple[str, ...], why: str) -> None:
    """Refuse what was asked for and has no use.

    Raises:
        UsageError: any of it was.
    """
    for asked in unused:
        value = getattr(images if asked in IMAGES else request, asked)
        if value is not None:
            flag = FLAGS.get(asked, f"--{asked}")
            raise UsageError(f"{name} has no use for {flag}", why=why, cure=f"leave {flag} out")
