"""What every reader is made for, and what it must do.

A reader says what memory it needs (down: comes down after each batch; constants: goes up once; work), launches what
follows the engine, and takes what came down.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from vedette.kernels.device import Device
from vedette.kernels.launches import Fields
from vedette.kernels.picture import Size
from vedette.runtime.frame import Array, Frame
from vedette.runtime.preprocess import Placement
from vedette.runtime.results import Result
from vedette.runtime.runner import Recipe


class Room(NamedTuple):
    """How much what a picture holds may take; a batch that needs more is noticed, and run again with room for it."""

    candidates: int = 0  # an image
    masks: int = 0  # of an image together, in areas of the largest picture

    def holds(self, needed: "Room") -> bool:
        return all(own >= other for own, other in zip(self, needed, strict=True))

    def grown(self, needed: "Room") -> "Room":
        """Room for both, in powers of two where it grows."""
        pairs = zip(self, needed, strict=True)
        return Room(*(own if own >= other else 1 << (other - 1).bit_length() for own, other in pairs))


@dataclass(frozen=True, slots=True)
class Job:
    """What a reader is to read."""

    recipe: Recipe
    outputs: Fields  # of the engine, for this batch
    placements: Sequence[Placement]  # an image each
    room: Room

    @property
    def batch(self) -> int:
        return len(self.placements)

    @property
    def input_size(self) -> Size:
        """(width, height) of the network's input, the same for all."""
        return self.placements[0].input_size


class Found(Protocol):
    """What a reader took."""

    @property
    def needed(self) -> Room:
        """What there was room for, and what not."""


class Reader(Protocol):
    """Reads batches of one shape. It belongs to the device thread, but for `finish`."""

    down: Fields
    constants: Fields
    work: Fields

    def set_constants(self, host: Mapping[str, Array], at: Mapping[str, int]) -> None:
        """Fill what no frame changes; `at` has every array of the program."""

    def launch(self, device: Device, at: Mapping[str, int]) -> None:
        """Begin what follows the engine."""

    def take(self, host: Mapping[str, Array]) -> Any:
        """Copies of what came down: a Found."""

    def finish(self, found: Any, frames: Sequence[Frame], placements: Sequence[Placement]) -> list[Result]:
        """What it means."""
