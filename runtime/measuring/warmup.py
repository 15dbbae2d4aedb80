"""Where the steady state of a run begins: detected, not guessed.

The rule is MSER-5 (White 1997; White, Cobb and Spratt 2000): cut off so many of the first values that the standard error of
the mean of the rest is least. Values are taken in fives, as there, but by their median, so that one pause of the machine is
no event. As usual for it, a cut beyond the middle means that no steady state was reached (Hoad, Robinson and Davies 2010).
In: the time of every frame's work, in order.  Out: WarmUp.  Next: rounds.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vedette.runtime.frame import Array

FIVE = 5
GROUPS = 20  # at least; of a short run each group is smaller, down to a frame
LAST = 5  # groups at the end that are never the beginning: their variance says nothing


@dataclass(frozen=True, slots=True)
class WarmUp:
    """What was found.

    Attributes:
        seconds: from the first result to the steady state; of a run without one, what is left out of its numbers.
        frames: that this took.
        steady: whether the steady state was reached; None where there were too few frames to tell.
    """

    seconds: float
    frames: int
    steady: bool | None


def warm_up(work_ms: Sequence[float], ends_s: Sequence[float]) -> WarmUp:
    """Find it.

    Args:
        work_ms: of each frame, in order.
        ends_s: when each was done, since the first result.
    """
    if len(work_ms) < GROUPS:
        return _until(min(FIVE, len(work_ms) // 2), ends_s, steady=None)
    cut = truncation(np.asarray(work_ms, np.float64))
    if cut is None:
        return _until(FIVE, ends_s, steady=False)
    return _until(cut, ends_s, steady=True)


def _until(frames: int, ends_s: Sequence[float], *, steady: bool | None) -> WarmUp:
    seconds = ends_s[frames - 1] if frames else 0.0
    return WarmUp(round(seconds, 4), frames, steady)


def truncation(values: Array) -> int | None:
    """How many values MSER-5 cuts off; None where it finds no steady state.

    Args:
        values: float64 [N], N at least GROUPS.
    """
    size = min(FIVE, len(values) // GROUPS)
    groups = np.median(values[: len(values) // size * size].reshape(-1, size), axis=1)
    groups = groups - groups.mean()  # the same result, and no small difference of large squares
    left = np.arange(len(groups), 0, -1)  # how many remain if d are cut off
    sums, squares = (np.cumsum(part[::-1])[::-1] for part in (groups, groups**2))
    error = (squares - sums**2 / left) / left**2
    cut = int(np.argmin(error[:-LAST]))
    return None if cut > len(groups) / 2 else cut * size
