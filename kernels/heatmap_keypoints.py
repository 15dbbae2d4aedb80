"""Where the joints of objects are: the highest place of each heatmap, enlarged over the object's box.

In: heatmaps of logits and the boxes that they lie over.  Out: places in the boxes' pixels, and the logits there.
Used by runtime/bundles/mask_rcnn.py.  Next: native/heatmap_keypoints.cpp, heatmap_keypoints.cu, heatmaps.h.
"""

import numpy as np

from vedette.kernels import native
from vedette.kernels._heatmap_keypoints_cases import CASES as CASES
from vedette.kernels.native import F32, INT
from vedette.kernels.picture import Array

MOST = 16384  # pixels that a side is enlarged to; a longer one has coarser places
_ARGUMENTS = F32, INT, INT, INT, INT, F32, F32, F32


def heatmap_keypoints_reference(heatmaps: Array, rois_xyxy: Array) -> tuple[Array, Array]:
    """The highest pixel of each map after it is enlarged to the whole pixels of its region, as Mask R-CNN's authors do it.

    Enlarged by Keys' cubic convolution with a = -0.75, pixel centres at halves, the border repeated. A region counts as
    1 pixel wide and high or more. Of equal values the first counts, row by row; what is no number is less than any.

    Args:
        heatmaps: float32 [N, K, h, w].
        rois_xyxy: float32 [N, 4] pixels.

    Returns:
        xy float32 [N, K, 2], the edge of the picture at 0, and logits float32 [N, K] there.

    Raises:
        ValueError: the shapes disagree.

    Source: torchvision models/detection/roi_heads.py, heatmaps_to_keypoints (facts, no code).
    """
    _check(heatmaps, rois_xyxy)
    count, joints, height, width = heatmaps.shape
    xy, logits = np.empty((count, joints, 2), np.float32), np.empty((count, joints), np.float32)
    for index, (maps, roi) in enumerate(zip(heatmaps, rois_xyxy, strict=True)):
        with np.errstate(all="ignore"):
            sides = np.fmax(roi[2:] - roi[:2], np.float32(1))
            columns, rows = (int(np.fmin(np.ceil(side), MOST)) for side in sides)
            enlarged = _enlarged(maps, _cubics(height, rows), _cubics(width, columns)).reshape(joints, -1)
        numbers = np.where(np.isnan(enlarged), -np.inf, enlarged)
        best = numbers.argmax(axis=1)
        pixels = np.stack([best % columns, best // columns], axis=1).astype(np.float32)
        steps = sides / np.array([columns, rows], np.float32)
        xy[index] = (pixels + np.float32(0.5)) * steps + roi[:2]
        logits[index] = numbers[np.arange(joints), best]
    return xy, logits


def _cubics(values: int, pixels: int) -> tuple[Array, Array]:
    """For each pixel the four values that it lies between, int64 [pixels, 4], and their weights: cubic_at of heatmaps.h."""
    half = np.float32(0.5)
    at = np.float32(values) / np.float32(pixels) * (np.arange(pixels, dtype=np.float32) + half) - half
    below = np.floor(at)
    t = at - below
    weights = _far(t + np.float32(1)), _near(t), _near(np.float32(1) - t), _far(np.float32(2) - t)
    places = below.astype(np.int64)[:, None] + np.arange(-1, 3)
    return places.clip(0, values - 1), np.stack(weights, axis=1)


def _near(d: Array) -> Array:
    weight: Array = (np.float32(1.25) * d - np.float32(2.25)) * d * d + np.float32(1)
    return weight


def _far(d: Array) -> Array:
    weight: Array = ((np.float32(-0.75) * d + np.float32(3.75)) * d - np.float32(6)) * d + np.float32(3)
    return weight


def _enlarged(maps: Array, down: tuple[Array, Array], across: tuple[Array, Array]) -> Array:
    """float32 [K, rows, columns] of [K, h, w]: first down, then across."""
    between = _weighted(maps[:, down[0]], down[1][:, :, None], axis=2)  # [K, rows, w]
    return _weighted(between[:, :, across[0]], across[1], axis=3)


def _weighted(values: Array, weights: Array, *, axis: int) -> Array:
    """The sum over an axis of four, in their order."""
    parts = np.moveaxis(values * weights, axis, 0)
    total: Array = parts[0] + parts[1] + parts[2] + parts[3]
    return total


def _check(heatmaps: Array, rois_xyxy: Array) -> None:
    if heatmaps.ndim != 4 or 0 in heatmaps.shape[2:] or rois_xyxy.shape != (len(heatmaps), 4):
        raise ValueError(f"want [N, K, h, w] and [N, 4], not {heatmaps.shape} and {rois_xyxy.shape}")
    if heatmaps.dtype != np.float32 or rois_xyxy.dtype != np.float32:
        raise ValueError(f"want float32, not {heatmaps.dtype} and {rois_xyxy.dtype}")


def heatmap_keypoints(heatmaps: Array, rois_xyxy: Array) -> tuple[Array, Array]:
    """heatmap_keypoints_reference by the C++ kernel where it is built: the same places and logits."""
    kernel = native.function("vedette_heatmap_keypoints", _ARGUMENTS)
    if kernel is None:
        return heatmap_keypoints_reference(heatmaps, rois_xyxy)
    _check(heatmaps, rois_xyxy)
    xy = np.empty((*heatmaps.shape[:2], 2), np.float32)
    logits = np.empty(heatmaps.shape[:2], np.float32)
    maps, rois = np.ascontiguousarray(heatmaps), np.ascontiguousarray(rois_xyxy)
    kernel(maps, *heatmaps.shape, rois, xy, logits)
    return xy, logits
