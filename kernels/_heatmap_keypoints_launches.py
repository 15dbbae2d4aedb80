"""How heatmap_keypoints.cu is launched: its memory and its grid, as its head says. See launches.py.

In: device addresses by name.  Out: a launch.
"""

import numpy as np

from vedette.kernels.launches import Addresses, Fields, Launch

MOST_OBJECTS = 65535  # of a launch


def keypoint_fields(objects: int, joints: int) -> Fields:
    """What heatmap_keypoints.cu writes."""
    dtype = np.dtype(np.float32)
    return {"xy": ((objects, joints, 2), dtype), "logits": ((objects, joints), dtype)}


def launch_heatmap_keypoints(launch: Launch, at: Addresses, heatmaps: tuple[int, int, int, int]) -> None:
    """Reads `heatmaps` of this shape [N, K, h, w] and `rois`; writes `xy` and `logits`.

    Raises:
        ValueError: more objects than a grid has rows.
    """
    objects, joints, height, width = heatmaps
    if objects > MOST_OBJECTS:
        raise ValueError(f"{objects} objects are more than {MOST_OBJECTS}")
    if objects and joints:  # a grid of nothing is refused
        arrays = at["heatmaps"], at["rois"], np.int32(height), np.int32(width), at["xy"], at["logits"]
        launch("heatmap_keypoints", (joints, objects), 128, *arrays)
