"""OpenPose and its descendants: joint heatmaps and part affinity fields to people.

In: outputs heatmaps [N, K + 1, h, w] (the last is background) and pafs [N, 2 * pairs, h, w]; or one, maps, that is both, one
behind the other, as OpenPose's own networks give it.  Out: People.
The assembly is kernels/paf.py; this file knows what the channels mean and where a cell lies.

Sources: Cao et al., OpenPose, TPAMI 2021; CMU OpenPose src/openpose/pose/poseParameters.cpp (orders and indices).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from vedette.kernels.paf import Rules, Skeletons, paf
from vedette.runtime.decoders import People, named
from vedette.runtime.frame import Array
from vedette.runtime.manifest import Manifest, Output

Pairs = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Parameters:
    """What a manifest may say; openpose_exact() says it as OpenPose does."""

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
    window: int = (
        0  # side of the centroid that places a peak; 0: the tops of parabolas through its neighbours
    )
    openpose_rules: bool = False  # for peaks that tie or lie at the border, and for the order of limbs
    samples: int = 0  # of a limb; 0: by its length, 5 to 25

    def __post_init__(self) -> None:
        joints = range(len(self.keypoint_names))
        if any(joint not in joints for pair in (*self.pairs, *self.skeleton) for joint in pair):
            raise ValueError(f"a limb ends at a joint that is not in 0..{len(joints) - 1}")
        if self.stride < 1 or not 1 <= self.upsample <= 16:
            raise ValueError("stride is 1 or more, upsample 1..16")
        self.rules(0.0)

    def rules(self, conf: float) -> Rules:
        """What the kernel is to do, for people who score at least conf."""
        return Rules(
            self.pairs, self.paf_channels, cell=self.stride / self.upsample, window=self.window,
            openpose=self.openpose_rules, peak_threshold=self.peak_threshold, samples=self.samples,
            sample_threshold=self.sample_threshold, share=self.sample_share, min_parts=self.min_parts, min_score=conf,
        )  # fmt: skip


def openpose_exact(parameters: Parameters) -> Parameters:
    """OpenPose's own way: maps at the size of the input, its rule for peaks, and the centroid of 7 x 7 around each."""
    return replace(parameters, upsample=parameters.stride, window=7, openpose_rules=True)


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
_BODY_PAIRS: Pairs = (
    *(
        (1, 8),
        (1, 2),
        (1, 5),
        (2, 3),
        (3, 4),
        (5, 6),
        (6, 7),
        (8, 9),
        (9, 10),
        (10, 11),
        (8, 12),
        (12, 13),
        (13, 14),
    ),
    *((1, 0), (0, 15), (15, 17), (0, 16), (16, 18), (2, 17), (5, 18), (14, 19), (19, 20), (14, 21), (11, 22)),
    *((22, 23), (11, 24)),
)
BODY_25 = Parameters(
    keypoint_names=(
        *("nose", "neck", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow"),
        *(
            "left_wrist",
            "mid_hip",
            "right_hip",
            "right_knee",
            "right_ankle",
            "left_hip",
            "left_knee",
            "left_ankle",
        ),
        *("right_eye", "left_eye", "right_ear", "left_ear", "left_big_toe", "left_small_toe", "left_heel"),
        *("right_big_toe", "right_small_toe", "right_heel"),
    ),
    pairs=_BODY_PAIRS,
    paf_channels=(
        *((0, 1), (14, 15), (22, 23), (16, 17), (18, 19), (24, 25), (26, 27), (6, 7), (2, 3), (4, 5), (8, 9)),
        *((10, 11), (12, 13), (30, 31), (32, 33), (36, 37), (34, 35), (38, 39), (20, 21), (28, 29), (40, 41)),
        *((42, 43), (44, 45), (46, 47), (48, 49), (50, 51)),
    ),
    skeleton=tuple(pair for pair in _BODY_PAIRS if pair not in ((2, 17), (5, 18))),
)
STRIDES = (4, 8)
_KNOWN = {(len(one.keypoint_names) + 1, 2 * len(one.pairs)): one for one in (COCO_18, BODY_25)}


def roles(outputs: Sequence[Output]) -> dict[str, str] | None:
    """The role of each output by name, if they are the heatmaps and fields of COCO-18 or BODY_25, or both in one."""
    found = _found(outputs)
    return found and found[0]


def claims(outputs: Sequence[Output], *, input_size: tuple[int, int] | None = None) -> Parameters | None:
    """The parameters of COCO-18 or BODY_25, if the outputs have its shapes, of an eighth or a quarter of the input."""
    if (found := _found(outputs)) is None:
        return None
    width = outputs[-1].shape[3]
    stride = found[1].stride if input_size is None or width < 1 else round(input_size[0] / width)
    return replace(found[1], stride=stride) if stride in STRIDES else None


def _found(outputs: Sequence[Output]) -> tuple[dict[str, str], Parameters] | None:
    outputs = outputs[-2:]  # of several stages, the last
    shapes = [output.shape for output in outputs]
    if (
        not 1 <= len(shapes) <= 2
        or any(len(shape) != 4 for shape in shapes)
        or shapes[0][2:] != shapes[-1][2:]
    ):
        return None
    channels = sorted(shape[1] for shape in shapes)
    for (heatmaps, pafs), parameters in _KNOWN.items():
        known = {heatmaps: "heatmaps", pafs: "pafs"} if len(shapes) == 2 else {heatmaps + pafs: "maps"}
        if channels == sorted(known):
            return {output.name: known[output.shape[1]] for output in outputs}, parameters
    return None


def decode(
    outputs: Mapping[str, Array],
    manifest: Manifest,
    parameters: Parameters,
    conf: float,
    *,
    input_size: tuple[int, int],
) -> list[People]:
    """People who score at least conf, best first, an item an image."""
    joints = len(parameters.keypoint_names)
    if any(output.role == "maps" for output in manifest.outputs):
        maps = named(outputs, manifest, "maps")
        heatmaps, pafs = maps[:, :joints], maps[:, joints + 1 :]
    else:
        heatmaps, pafs = (named(outputs, manifest, role) for role in ("heatmaps", "pafs"))
    return [
        people_of(image[:joints], fields, parameters, conf) for image, fields in zip(heatmaps, pafs, strict=True)
    ]  # fmt: skip


def people_of(heatmaps: Array, pafs: Array, parameters: Parameters, conf: float) -> People:
    """People in one image's heatmaps [K, h, w] and fields."""
    factor = parameters.upsample
    found = paf(_enlarged(heatmaps, factor), _enlarged(pafs, factor), parameters.rules(conf))
    return in_pixels(found, parameters)


def in_pixels(found: Skeletons, parameters: Parameters) -> People:
    """People whose joints are in cells of the enlarged maps."""
    pixels = _pixels(found.xy, parameters.stride / parameters.upsample)
    xy = np.where(found.joint_scores[..., None] > 0, pixels, np.float32(0))
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
