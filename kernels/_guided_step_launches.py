"""How guided_step.cu is launched: its memory and its grid, as its head says. See launches.py.

In: device addresses by name; 0 for an array that there is none of.  Out: a launch.
"""

import numpy as np

from vedette.kernels._guided_step_cases import OTHERS
from vedette.kernels.launches import Addresses, Launch

VALUES = 1024  # of a block


def launch_guided_step(launch: Launch, at: Addresses, *, count: int, half_precision: bool) -> None:
    """Reads `sample`, `prediction`, `weights` and those of OTHERS that there are; writes `next` and, where wanted, `denoised`."""
    if count == 0:  # a grid of nothing is refused
        return
    arrays = at["sample"], at["prediction"], *(at.get(name, 0) for name in OTHERS), at["weights"]
    results = at["next"], at.get("denoised", 0)
    launch(
        "guided_step", (-(-count // VALUES),), 256, *arrays, np.int64(count), np.int32(half_precision), *results
    )  # fmt: skip
