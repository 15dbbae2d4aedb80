"""guided_step.cu under the shim: its launch on NumPy arrays, and the check against its reference."""

import numpy as np

from cuda_host.shim import Library
from vedette.kernels._guided_step_cases import CASES, OTHERS, Case, Weights
from vedette.kernels._guided_step_launches import launch_guided_step
from vedette.kernels.guided_step import guided_step_reference
from vedette.kernels.picture import Array


def launch(library: Library, case: Case, *, in_place: bool = False) -> tuple[Array, Array]:
    dtype = case.sample.dtype
    arrays = {"sample": case.sample, "prediction": case.prediction, **case.others}
    memory = {name: library.array(array.shape, dtype, array) for name, array in arrays.items()}
    memory["weights"] = library.array((11,), np.float32, case.weights.array())
    memory["denoised"] = library.array(case.sample.shape, dtype)
    memory["next"] = memory["sample"] if in_place else library.array(case.sample.shape, dtype)
    at = {name: array.ctypes.data for name, array in memory.items()}
    half = dtype == np.float16
    launch_guided_step(library.launch, at, count=case.sample.size, half_precision=half)
    return memory["next"], memory["denoised"]


def check(library: Library, case: Case, *, in_place: bool = False) -> None:
    """Bit for bit."""
    expected = guided_step_reference(case.sample, case.prediction, case.weights, case.others)
    for one, other in zip(launch(library, case, in_place=in_place), expected, strict=True):
        np.testing.assert_array_equal(one, other)


def drawn_case(random: np.random.Generator) -> Case:
    """Any number of values of either type, any of the other arrays; some values are not finite."""
    count, dtype = int(random.integers(1, 2200)), np.float16 if random.random() < 0.4 else np.float32
    names = [name for name in OTHERS if random.random() < 0.5]
    arrays = {name: 3 * random.standard_normal(count) for name in ("sample", "prediction", *names)}
    if random.random() < 0.3:
        for array in arrays.values():
            array[random.random(count) < 0.05] = random.choice([np.nan, np.inf, -np.inf, 6e4])
    numbers = random.standard_normal(11)
    numbers[3:5] = (-1, 1) if random.random() < 0.5 else (-np.inf, np.inf)
    typed = {name: array.astype(dtype) for name, array in arrays.items()}
    sample, prediction = typed.pop("sample"), typed.pop("prediction")
    return Case(sample, prediction, Weights(*numbers.tolist()), typed)


def cases(library: Library) -> None:
    for make in CASES.values():
        check(library, make())
        check(library, make(), in_place=True)


def drawn(library: Library, random: np.random.Generator) -> None:
    check(library, drawn_case(random), in_place=bool(random.random() < 0.3))
