"""What kernel_timings.py times: a shape, and one set of its memory.  Next: operations.py, object_operations.py."""

from collections.abc import Callable
from dataclasses import dataclass

from vedette.kernels.device import Device


@dataclass(frozen=True, slots=True)
class Operation:
    """One set of memory: `launch` begins its kernels, `equal` compares with the reference after a download."""

    launch: Callable[[], None]
    equal: Callable[[], bool]
    bytes_moved: int
    release: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Row:
    """A shape to time: `make` gives one set of memory, seeded."""

    make: Callable[[Device, int], Operation]
    set_bytes: int  # of one set, about: how many it takes to be larger than the cache
    target: str  # what it should reach
