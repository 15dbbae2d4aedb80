"""Steps of samplers: what the tests and the benchmark of guided_step.py share."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from vedette.kernels.picture import Array

OTHERS = ("unconditional", "before", "earlier", "noise")


@dataclass(frozen=True, slots=True)
class Weights:
    """What each array counts.

    Attributes:
        guidance: of the difference between the two predictions.
        from_sample: of the denoised value, as from_prediction.
        low: where it is clipped, as high.
        sample: of the next sample, as all that follow.
    """

    guidance: float = 1.0
    from_sample: float = 0.0
    from_prediction: float = 0.0
    low: float = -np.inf
    high: float = np.inf
    sample: float = 0.0
    prediction: float = 0.0
    denoised: float = 0.0
    before: float = 0.0
    earlier: float = 0.0
    noise: float = 0.0

    def array(self) -> Array:
        """float32 [11]: struct StepWeights of guided_step.h; not to be written to."""
        return _array(self)


@lru_cache(maxsize=1024)  # a run of many steps asks for each again for every image
def _array(weights: Weights) -> Array:
    return np.array([getattr(weights, name) for name in weights.__slots__], np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """Arguments of guided_step."""

    sample: Array
    prediction: Array
    weights: Weights
    others: Mapping[str, Array]


def drawn(
    count: int, others: tuple[str, ...] = (), *, seed: int = 0, dtype: type = np.float32, clip: bool = False
) -> Case:
    """Seeded normal values and weights."""
    random = np.random.default_rng((count, seed, len(others)))
    arrays: dict[str, Array] = {
        name: random.standard_normal(count).astype(dtype) for name in ("sample", "prediction", *others)
    }
    numbers = random.standard_normal(11)
    numbers[0] = 7.5
    numbers[3:5] = (-1, 1) if clip else (-np.inf, np.inf)
    sample, prediction = arrays.pop("sample"), arrays.pop("prediction")
    return Case(sample, prediction, Weights(*numbers.tolist()), arrays)


def _not_finite() -> Case:
    """Infinities, what is no number, and sums too large for the type."""
    case = drawn(37, OTHERS, clip=True)
    for number, array in enumerate((case.sample, case.prediction, *case.others.values())):
        array[number::11] = [np.nan, np.inf, -np.inf, 3e38][: len(array[number::11])]
    return case


CASES: Mapping[str, Callable[[], Case]] = {
    "none": lambda: drawn(0, OTHERS),
    "one": lambda: drawn(1),
    "three": lambda: drawn(3, OTHERS),
    "four": lambda: drawn(4, ("noise",)),
    "clipped": lambda: drawn(1023, ("before",), clip=True),
    "guided": lambda: drawn(1025, ("unconditional",)),
    "everything": lambda: drawn(3 * 32 * 32 + 5, OTHERS, clip=True),
    "half precision": lambda: drawn(777, OTHERS, dtype=np.float16, clip=True),
    "half precision, plain": lambda: drawn(512, dtype=np.float16),
    "not finite": _not_finite,
}
