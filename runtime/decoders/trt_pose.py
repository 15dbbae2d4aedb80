"""trt_pose: COCO's 17 keypoints and a neck, from confidence maps and part affinity fields.

In: outputs heatmaps [N, 18, h, w] (its cmap, no background) and pafs [N, 42, h, w].  Out: People.
Its fields are y first, then x. A limb scores the mean of seven samples; people are joined as OpenPose's are, best limb first,
where trt_pose pairs all at once (Munkres); both agree unless people compete for a joint.

Sources: NVIDIA-AI-IOT/trt_pose tasks/human_pose/human_pose.json (order), trt_pose/coco.py (topology), train/generate_paf.cpp
(y before x), parse_objects.py (thresholds, window, samples).
"""

from collections.abc import Mapping, Sequence

from vedette.runtime.decoders import People, named
from vedette.runtime.decoders.openpose import Pairs, people_of
from vedette.runtime.decoders.openpose import Parameters as Parameters
from vedette.runtime.frame import Array
from vedette.runtime.manifest import Manifest, Output

_PAIRS: Pairs = (
    *(
        (15, 13),
        (13, 11),
        (16, 14),
        (14, 12),
        (11, 12),
        (5, 7),
        (6, 8),
        (7, 9),
        (8, 10),
        (1, 2),
        (0, 1),
        (0, 2),
    ),
    *((1, 3), (2, 4), (3, 5), (4, 6), (17, 0), (17, 5), (17, 6), (17, 11), (17, 12)),
)
COCO_17_AND_NECK = Parameters(
    keypoint_names=(
        *(
            "nose",
            "left_eye",
            "right_eye",
            "left_ear",
            "right_ear",
            "left_shoulder",
            "right_shoulder",
            "left_elbow",
        ),
        *("right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee"),
        *("left_ankle", "right_ankle", "neck"),
    ),
    pairs=_PAIRS,
    paf_channels=tuple((2 * index + 1, 2 * index) for index in range(len(_PAIRS))),
    skeleton=_PAIRS,
    stride=4,
    peak_threshold=0.1,
    sample_threshold=0.1,
    window=5,
    samples=7,
)


def roles(outputs: Sequence[Output]) -> dict[str, str] | None:
    """The role of each output by name, if they are 18 maps and 42 fields."""
    known = {18: "heatmaps", 42: "pafs"}
    shapes = [output.shape for output in outputs]
    if any(len(shape) != 4 for shape in shapes) or sorted(shape[1] for shape in shapes) != sorted(known):
        return None
    if shapes[0][2:] != shapes[1][2:]:
        return None
    return {output.name: known[output.shape[1]] for output in outputs}


def claims(outputs: Sequence[Output]) -> Parameters | None:
    """The parameters of human_pose.json, if the outputs have its shapes."""
    return COCO_17_AND_NECK if roles(outputs) else None


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
    return [people_of(*maps, parameters, conf) for maps in zip(heatmaps, pafs, strict=True)]
