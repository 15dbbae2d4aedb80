"""How the kernels of paf.cu are launched: their memory and their grids, as its head says. See launches.py.

In: device addresses by name.  Out: launches, in order.
"""

from dataclasses import dataclass

import numpy as np

from vedette.kernels.launches import Addresses, Fields, Launch
from vedette.kernels.paf import MAX_PEAKS, Array, Rules

STRIDE = MAX_PEAKS + 1  # peaks from joint to joint
# struct Rules of paf.cu
RULES = np.dtype(
    [
        ("peak_threshold", np.float32),
        ("window", np.int32),
        *((name, np.float32) for name in ("cell", "sample_threshold", "share", "near", "faint")),
        ("samples", np.int32),
        ("min_parts", np.int32),
        ("min_score", np.float32),
    ]
)


@dataclass(frozen=True, slots=True)
class Sizes:
    """What a graph is captured for. The strides are values from image to image, which may be more than the maps have."""

    batch: int
    joints: int
    pairs: int
    height: int
    width: int
    max_people: int
    heatmap_stride: int
    paf_stride: int

    @property
    def capacity(self) -> int:
        """All peaks that one map can have, for no two are neighbours."""
        return -(-self.height // 2) * -(-self.width // 2)


def paf_fields(sizes: Sizes) -> Fields:
    """Its tables, scratch and results."""
    joints, pairs, people = sizes.joints, sizes.pairs, sizes.max_people
    shapes: dict[str, tuple[tuple[int, ...], type]] = {
        "found": ((joints, sizes.capacity), np.uint64),
        "found_counts": ((joints,), np.int32),
        "peaks": ((joints, STRIDE, 3), np.float32),
        "peak_counts": ((joints,), np.int32),
        "limb_scores": ((pairs, STRIDE, STRIDE), np.float32),
        "matched": ((pairs, STRIDE), np.int32),
        "owners": ((joints * STRIDE,), np.int32),
        "masks": ((joints * STRIDE,), np.uint64),
        "support": ((joints * STRIDE,), np.float64),
        "parts": ((joints * STRIDE, joints), np.int32),
        "keys": ((joints * STRIDE,), np.uint64),
        "candidates": ((joints * STRIDE,), np.int32),
        "xy": ((people, joints, 2), np.float32),
        "joint_scores": ((people, joints), np.float32),
        "scores": ((people,), np.float32),
        "people_counts": ((), np.int32),
    }
    fields = {name: ((sizes.batch, *shape), np.dtype(dtype)) for name, (shape, dtype) in shapes.items()}
    return fields | {"rules": ((), RULES), "limbs": ((pairs, 4), np.dtype(np.int32))}


def set_rules(block: Array, limbs: Array, rules: Rules, sizes: Sizes) -> None:
    """Fill the tables: a RULES [] and int32 [pairs, 4].

    Raises:
        ValueError: OpenPose's own order of limbs is for the host.
    """
    if rules.openpose:
        raise ValueError("the CUDA kernels do not have OpenPose's own rules; paf() on the host has")
    for name in RULES.names or ():
        block[name] = rules.near(sizes.height, sizes.width) if name == "near" else getattr(rules, name)
    limbs[:] = rules.table


def launch_paf(launch: Launch, at: Addresses, sizes: Sizes) -> None:
    """Reads heatmaps, pafs, rules and limbs; writes people_counts, scores, xy and joint_scores."""
    batch, joints, pairs = sizes.batch, sizes.joints, sizes.pairs
    size, rules = (np.int32(sizes.height), np.int32(sizes.width)), at["rules"]
    found = np.int32(sizes.capacity), at["found"], at["found_counts"]
    heatmaps = at["heatmaps"], np.int64(sizes.heatmap_stride), *size, rules, *found
    peaks, limbs = (at["peaks"], at["peak_counts"]), (at["limbs"], np.int32(joints))
    launch("paf_begin", (-(-batch * joints // 256),), 256, np.int32(batch * joints), at["found_counts"])
    launch("paf_peaks", (-(-sizes.height * sizes.width // 256), joints, batch), 256, *heatmaps)
    launch("paf_rank", (joints, batch), 256, *heatmaps, *peaks)
    if pairs:
        fields = at["pafs"], np.int64(sizes.paf_stride), *size, rules, *limbs, *peaks
        launch("paf_limbs", (MAX_PEAKS, pairs, batch), STRIDE, *fields, at["limb_scores"])
        matching = *limbs, at["peak_counts"], at["limb_scores"], at["matched"]
        launch("paf_match", (pairs, batch), STRIDE, *matching)
    joined = rules, at["limbs"], np.int32(pairs), np.int32(joints), *peaks, at["limb_scores"], at["matched"]
    scratch = [at[name] for name in ("owners", "masks", "support", "parts", "keys", "candidates")]
    results = [at[name] for name in ("xy", "joint_scores", "scores", "people_counts")]
    launch("paf_assemble", (batch,), 256, *joined, *scratch, np.int32(sizes.max_people), *results)
