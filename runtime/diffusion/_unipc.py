"""What UniPC's predictor and corrector weigh, of first or second order.

In: the visits, and which one.  Out: weights of samples and pictures.  Used by samplers.py.

Source: Zhao et al., UniPC, 2023, algorithms 5 to 8 with B(h) = e^h - 1, for pictures in place of noise; h is negative there.
"""

import math
from collections.abc import Sequence

from vedette.runtime.diffusion.levels import Visits


def predicted(visits: Visits, index: int, order: int) -> tuple[float, float, float]:
    """The sample at the end of a step: what the corrected sample, the picture of now and of the step before count."""
    start, end = visits[index].start, visits[index].end
    h = end.log_snr - start.log_snr
    gain = -end.alpha * math.expm1(-h)
    share = 0.5 / _before(visits, index, h) if order == 2 else 0.0
    return end.sigma / start.sigma, gain * (1 - share), gain * share


def corrected(
    visits: Visits, index: int, made: Sequence[tuple[float, float, float]]
) -> tuple[float, float, float, float]:
    """The sample where a step begins, corrected: what it counts as predicted, and the pictures of now, 1 and 2 steps before.

    The corrector begins where the predictor before it did, with the same weight of that sample: so it is the prediction, less
    what the predictor added, and with what the corrector adds.
    """
    start, here = visits[index - 1].start, visits[index].start
    _, added, added_before = made[index - 1]
    h = here.log_snr - start.log_snr
    gain = -here.alpha * math.expm1(-h)
    second = index >= 2
    ratio = _before(visits, index - 1, h) if second else 1.0
    slope, now = _weights(ratio, h) if second else (0.0, 0.5)
    slope /= ratio
    return 1.0, gain * now, gain * (1 - now - slope) - added, gain * slope - added_before


def _before(visits: Visits, index: int, h: float) -> float:
    """How far back the step before began, by the step; negative."""
    return (visits[index - 1].start.log_snr - visits[index].start.log_snr) / h


def _weights(ratio: float, h: float) -> tuple[float, float]:
    """The two rho of the corrector of second order: of the difference to the step before, and to the end."""
    phi = math.expm1(-h)
    one = (phi / -h - 1) / phi
    two = ((phi / -h - 1) / -h - 0.5) * 2 / phi
    slope = (two - one) / (ratio - 1)
    return slope, one - slope
