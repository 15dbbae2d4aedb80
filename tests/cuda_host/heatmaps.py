"""heatmap_keypoints.cu under the shim: its launch on NumPy arrays, and the check against its reference."""

import numpy as np

from cuda_host.shim import Library
from vedette.kernels._heatmap_keypoints_cases import Case
from vedette.kernels._heatmap_keypoints_launches import keypoint_fields, launch_heatmap_keypoints
from vedette.kernels.heatmap_keypoints import CASES, heatmap_keypoints_reference
from vedette.kernels.picture import Array


def launch(library: Library, heatmaps: Array, rois: Array) -> tuple[Array, Array]:
    fields = keypoint_fields(*heatmaps.shape[:2])
    arrays = {name: library.array(shape, dtype) for name, (shape, dtype) in fields.items()}
    arrays["heatmaps"] = library.array(heatmaps.shape, np.float32, heatmaps)
    arrays["rois"] = library.array(rois.shape, np.float32, rois)
    at = {name: array.ctypes.data for name, array in arrays.items()}
    count, joints, height, width = heatmaps.shape
    launch_heatmap_keypoints(library.launch, at, (count, joints, height, width))
    return arrays["xy"], arrays["logits"]


def check(library: Library, case: Case) -> None:
    """Bit for bit."""
    found, expected = launch(library, *case), heatmap_keypoints_reference(*case)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def drawn_case(random: np.random.Generator) -> Case:
    """Maps of any size, half of few values, so that ties are common; some of it is not finite; regions of any size."""
    count, joints, height, width = (int(side) for side in random.integers(1, [4, 4, 30, 40]))
    maps = random.standard_normal((count, joints, height, width)).astype(np.float32)
    if random.random() < 0.5:
        maps = np.round(maps)
    if random.random() < 0.2:
        maps[random.random(maps.shape) < 0.05] = random.choice([np.nan, np.inf, -np.inf, 3e38])
    low = random.uniform(-30, 60, (count, 2))
    sides = random.uniform(-1, random.choice([3, 40, 160]), (count, 2))
    return maps, np.concatenate([low, low + sides], axis=1).astype(np.float32)


def cases(library: Library) -> None:
    for make in CASES.values():
        check(library, make())


def drawn(library: Library, random: np.random.Generator) -> None:
    check(library, drawn_case(random))
