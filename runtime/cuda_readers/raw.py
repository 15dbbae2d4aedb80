"""The engine's outputs as they are: what no other reader reads.

In: any outputs.  Out: Raw, and the Results that the host decodes from it.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from vedette.kernels.device import Device
from vedette.kernels.launches import Fields
from vedette.runtime.cuda_readers.reader import Job, Room
from vedette.runtime.frame import Array, Frame
from vedette.runtime.preprocess import Placement
from vedette.runtime.results import Result


class Raw(NamedTuple):
    """The engine's outputs."""

    outputs: Mapping[str, Array]
    needed: Room = Room()


class RawReader:
    """The outputs come down, and are decoded on the host."""

    def __init__(self, job: Job) -> None:
        self._recipe, self.down = job.recipe, job.outputs
        self.constants: Fields = {}
        self.work: Fields = {}

    def set_constants(self, host: Mapping[str, Array], at: Mapping[str, int]) -> None:
        """There are none."""

    def launch(self, device: Device, at: Mapping[str, int]) -> None:
        """Nothing more."""

    def take(self, host: Mapping[str, Array]) -> Raw:
        return Raw({name: array.copy() for name, array in host.items()})

    def finish(self, found: Raw, frames: Sequence[Frame], placements: Sequence[Placement]) -> list[Result]:
        return self._recipe.finish(found.outputs, frames, placements)
