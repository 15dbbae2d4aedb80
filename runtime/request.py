"""What is to be drawn: what a user asks for, and what a kind of bundle makes of it.

In: flags, or a recipe.  Out: Request, Images.  Next: bundles/_generator.py and the kinds beside it, generation.py.
"""

from dataclasses import dataclass, replace
from typing import Any

from vedette.runtime.errors import UsageError
from vedette.runtime.frame import Array
from vedette.runtime.manifest import STRICT
from vedette.runtime.preprocess import Size

MOST_IMAGES = 100_000
MOST_SEED = 2**63 - 1
COUNT = 16  # images, where nobody says how many


@dataclass(frozen=True, slots=True)
class Request:
    """None: the model's own choice, or nothing that it has a use for."""

    __pydantic_config__ = STRICT
    seed: int  # of the first image; the others follow by one
    count: int | None = None
    prompt: str | None = None
    steps: int | None = None
    sampler: str | None = None
    guidance: float | None = None
    size: Size | None = None
    strength: float | None = None

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
    """What images are made from, uint8 [H, W, 3] BGR."""

    init: Array | None = None
    to: Array | None = None


FLAGS = {"prompt": "a prompt", "init": "--init", "to": "--to"}


def refuse(name: str, request: Request, images: Images, unused: tuple[str, ...], why: str) -> None:
    """Refuse what was asked for and has no use.

    Raises:
        UsageError: any of it was.
    """
    for asked in unused:
        value = getattr(images if asked in {"init", "to"} else request, asked)
        if value is not None:
            flag = FLAGS.get(asked, f"--{asked}")
            raise UsageError(f"{name} has no use for {flag}", why=why, cure=f"leave {flag} out")
