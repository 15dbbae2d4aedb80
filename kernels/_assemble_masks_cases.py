"""Masks to assemble: what the tests and the benchmark of assemble_masks.py share."""

from collections.abc import Callable, Mapping

import numpy as np

from vedette.kernels.packed_masks import Array, Axis, Size, axis, windows_of

Case = tuple[Array, Array, Array, Axis, Axis, float]  # the arguments of assemble_masks, and the threshold


def _people(objects: int, size: Size) -> Case:
    """So many objects over 32 prototypes of 160 x 160, a quarter of an input of 640 x 640."""
    random = np.random.default_rng(objects)
    numbers = random.standard_normal((objects, 32)), random.standard_normal((32, 160, 160))
    coefficients, prototypes = (array.astype(np.float32) for array in numbers)
    extent = random.uniform(0.05, 0.3, (objects, 2)) * size
    low = random.uniform(0, 1, (objects, 2)) * (size - extent)
    windows = windows_of(np.concatenate([low, low + extent], axis=1), size)
    ratio = min(640 / size[0], 640 / size[1])
    axes = [axis(side, 160, gain=ratio / 4, start=(640 - side * ratio) / 8) for side in size]
    return coefficients, prototypes, windows, axes[0], axes[1], 0.0


CASES: Mapping[str, Callable[[], Case]] = {
    "none": lambda: _people(0, (64, 64)),
    "one": lambda: _people(1, (640, 480)),
    "ten": lambda: _people(10, (1280, 720)),
    "hundred": lambda: _people(100, (1920, 1080)),
}
