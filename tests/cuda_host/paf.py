"""paf.cu under the shim: its launches on NumPy arrays, and the check against its reference."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cuda_host.shim import Library
from vedette.kernels._paf_cases import CASE_CHANNELS, CASE_PAIRS, RING_CHANNELS, RING_PAIRS, draw_maps
from vedette.kernels._paf_launches import Sizes, launch_paf, paf_fields, set_rules
from vedette.kernels.paf import CASES, MAX_PEAKS, Rules, Skeletons, paf_reference

Array = NDArray[Any]
Maps = tuple[Array, Array]
RULES = (
    Rules(CASE_PAIRS, CASE_CHANNELS),
    Rules(CASE_PAIRS, CASE_CHANNELS, cell=1.0, window=7),
    Rules(RING_PAIRS, RING_CHANNELS, window=3, share=0.4, min_parts=1, min_score=-1),
    Rules(CASE_PAIRS, CASE_CHANNELS, window=5, samples=7, sample_threshold=0.1),
)


def launch(
    library: Library, images: Sequence[Maps], rules: Rules, *, max_people: int | None = None
) -> list[tuple[Skeletons, int]]:
    """The people of each image, and how many there are."""
    (joints, height, width), channels = images[0][0].shape, len(images[0][1])
    most = max_people or joints * MAX_PEAKS
    gap = height * width  # as of a background
    strides = (joints + 1) * gap, channels * gap
    sizes = Sizes(len(images), joints, len(rules.pairs), height, width, most, *strides)
    arrays = {name: library.array(shape, dtype) for name, (shape, dtype) in paf_fields(sizes).items()}
    arrays["heatmaps"] = library.array((len(images), joints + 1, height, width), np.float32, 1)
    arrays["heatmaps"][:, :joints] = [heatmaps for heatmaps, _ in images]
    arrays["pafs"] = library.array(
        (len(images), channels, height, width), np.float32, [pafs for _, pafs in images]
    )
    set_rules(arrays["rules"], arrays["limbs"], rules, sizes)
    launch_paf(library.launch, {name: array.ctypes.data for name, array in arrays.items()}, sizes)
    counts = arrays["people_counts"].tolist()
    outputs = [arrays[name] for name in ("xy", "joint_scores", "scores")]
    return [
        (Skeletons(*(output[image, : min(count, most)].copy() for output in outputs)), count)
        for image, count in enumerate(counts)
    ]


def check(library: Library, images: Sequence[Maps], rules: Rules, *, max_people: int | None = None) -> None:
    """Bit for bit; all images in one batch."""
    found = launch(library, images, rules, max_people=max_people)
    for maps, (people, count) in zip(images, found, strict=True):
        expected = paf_reference(*maps, rules)
        assert count == len(expected.scores)
        for field in ("scores", "xy", "joint_scores"):
            np.testing.assert_array_equal(
                getattr(people, field), getattr(expected, field)[:max_people], err_msg=field
            )


def drawn_maps(random: np.random.Generator, size: tuple[int, int]) -> Maps:
    """People or noise of few values, so that ties are common; some of it is not finite."""
    height, width = size
    if random.random() < 0.5:
        people = random.uniform(0, (width, height), (random.integers(0, 6), 5, 2))
        heatmaps, pafs = draw_maps(people, size=size, pairs=CASE_PAIRS, channels=CASE_CHANNELS)
    else:
        steps = int(random.choice([4, 1000]))
        heatmaps, pafs = (
            (random.integers(-steps, steps + 1, (channels, height, width)) / steps).astype(np.float32)
            for channels in (5, 8)
        )
    for array in (heatmaps, pafs):
        if random.random() < 0.2:
            array[random.random(array.shape) < 0.03] = random.choice([np.nan, np.inf, -np.inf, 3e38])
    return heatmaps, pafs


def cases(library: Library) -> None:
    for name, make in CASES.items():
        for rules in RULES[: 1 if name in ("crowd", "worst") else 2]:
            check(library, [make()], rules)


def drawn(library: Library, random: np.random.Generator) -> None:
    size = int(random.integers(1, 20)), int(random.integers(1, 20))
    images = [drawn_maps(random, size) for _ in range(random.integers(1, 3))]
    check(
        library, images, RULES[random.integers(len(RULES))], max_people=int(random.choice([0, 1, 5])) or None
    )
