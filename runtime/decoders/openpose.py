"""OpenPose and its descendants: joint heatmaps and part affinity fields to people.

In: outputs heatmaps [N, K + 1, h, w] (the last is background) and pafs [N, 2 * pairs, h, w].  Out: People.
The assembly is kernels/paf.py; this file knows what the channels mean and where a cell lies.

Source: Cao et al., OpenPose, TPAMI 2021.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vedette.kernels.paf import assemble, find_peaks, score_limbs
from vedette.runtime.decoders import People, named
from vedette.runtime.frame import Array
from vedette.runtime.manifest import STRICT, Manifest, Output

Pairs = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Parameters:
    """What a manifest may say."""

    __pydantic_config__ = STRICT
    keypoint_names: tuple[str, ...]
    pairs: Pairs  # joints of each limb, in the order in which limbs are joined
    paf_channels: Pairs  # x and y field of each limb
    skeleton: Pairs  # the limbs to draw
    stride: int = 8  # input pixels a cell
    upsample: int = (
        1  # enlarge the maps (bicubic) first; 1 finds 98 % of the joints that 8 does, in 2 % of its time
    )
    peak_threshold: float = 0.05
    sample_threshold: float = 0.05
    sample_share: float = 0.95
    min_parts: int = 3

    def __post_init__(self) -> None:
        joints = range(len(self.keypoint_names))
        if any(joint not in joints for pair in (*self.pairs, *self.skeleton) for joint in pair):
            raise ValueError(f"a limb ends at a joint that is not in 0..{len(joints) - 1}")
        if self.stride < 1 or not 1 <= self.upsample <= 16 or len(self.pairs) != len(self.paf_channels):
            raise ValueError("stride is 1 or more, upsample 1..16, and every pair has its channels")


_COCO_PAIRS: Pairs = (
    *((1, 2), (1, 5), (2, 3), (3, 4), (5, 6), (6, 7), (1, 8), (8, 9), (9, 10), (1, 11), (11, 12), (12, 13)),
    *((1, 0), (0, 14), (14, 16), (0, 15), (15, 17), (2, 16), (5, 17)),
)
COCO_18 = Parameters(
    keypoint_names=(
        *("nose", "neck", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow"),
        *("left_wrist", "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle"),
        *("right_eye", "left_eye", "right_ear", "left_ear"),
    ),
    pairs=_COCO_PAIRS,
    paf_channels=(
        *((12, 13), (20, 21), (14, 15), (16, 17), (22, 23), (24, 25), (0, 1), (2, 3), (4, 5), (6, 7), (8, 9)),
        *((10, 11), (28, 29), (30, 31), (34, 35), (32, 33), (36, 37), (18, 19), (26, 27)),
    ),
    skeleton=_COCO_PAIRS[:17],  # not shoulder to ear, which only helps to join
)


def roles(outputs: Sequence[Output]) -> dict[str, str] | None:
    """The role of each output by name, if they are COCO-18's 19 heatmaps and 38 fields."""
    known = {19: "heatmaps", 38: "pafs"}
    shapes = [output.shape for output in outputs]
    if any(len(shape) != 4 for shape in shapes) or sorted(shape[1] for shape in shapes) != sorted(known):
        return None
    if shapes[0][2:] != shapes[1][2:]:
        return None
    return {output.name: known[output.shape[1]] for output in outputs}


def claims(outputs: Sequence[Output]) -> Parameters | None:
    """The parameters of COCO-18, if the outputs have its shapes."""
    return COCO_18 if roles(outputs) else None


def decode(
    outputs: Mapping[str, Array],
    manifest: Manifest,
    parameters: Parameters,
    conf: float,
    *,
    input_size: tuple[int, int],
) -> list[People]:
    """People who score at least conf, best first, an item an image."""
    heatmaps, pafs = (named(outputs, manifest, role) for role in ("heatmaps", "pafs"))
    return [_people(*maps, parameters, conf) for maps in zip(heatmaps, pafs, strict=True)]


def _people(heatmaps: Array, pafs: Array, parameters: Parameters, conf: float) -> People:
    joints = len(parameters.keypoint_names)
    cell = parameters.stride / parameters.upsample
    peaks = find_peaks(_enlarged(heatmaps[:joints], parameters.upsample), threshold=parameters.peak_threshold)
    limbs = score_limbs(
        _enlarged(pafs, parameters.upsample),
        peaks,
        pairs=parameters.pairs,
        channels=parameters.paf_channels,
        cell=cell,
        threshold=parameters.sample_threshold,
        share=parameters.sample_share,
    )
    found = assemble(peaks, limbs, joints=joints, min_parts=parameters.min_parts, min_score=conf)
    xy = np.where(found.joint_scores[..., None] > 0, _pixels(found.xy, cell), np.float32(0))
    return People(xy.astype(np.float32), found.joint_scores, found.scores, parameters.skeleton)


def _pixels(cells: Array, cell: float) -> Array:
    """Input pixels, the centre of the first at (0, 0), of positions in cells.

    A cell stands for the pixels that its training target was averaged over, so its centre is theirs. Mirrored
    photos agree: for the joints of a photo and of its mirror image to coincide, cell i of MobileNet-thin must
    lie at 8 i + 3.0: half a pixel from this, and 3 from 8 i.
    """
    pixels: Array = (cells + np.float32(0.5)) * np.float32(cell) - np.float32(0.5)
    return pixels


def _enlarged(maps: Array, factor: int) -> Array:
    """[C, h * factor, w * factor], the same picture."""
    if factor == 1:
        return maps
    import cv2

    finite = np.where(np.isfinite(maps), maps, np.float32(0))
    size = (maps.shape[2] * factor, maps.shape[1] * factor)
    return np.stack([cv2.resize(plane, size, interpolation=cv2.INTER_CUBIC) for plane in finite])
