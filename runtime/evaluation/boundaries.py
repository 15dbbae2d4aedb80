"""How well outlines fit: the boundary F1 of two masks.

In: two bool [H, W] masks.  Out: F1, 0 to 1.
Source: Csurka et al., What is a good evaluation measure for semantic segmentation?, BMVC 2013: a boundary pixel is right if one
of the other's lies within 0.75 % of the picture's diagonal.
"""

import numpy as np

from vedette.runtime.frame import Array

SHARE = 0.0075  # of the diagonal


def boundary_f1(found: Array, true: Array, valid: Array, *, share: float = SHARE) -> float | None:
    """Harmonic mean of the share of found boundary pixels near a true one, and of true ones near a found one.

    Args:
        found: bool [H, W].
        true: bool [H, W].
        valid: bool [H, W]; boundary pixels elsewhere do not count.
        share: of the diagonal, within which a pixel is near.

    Returns:
        None where neither has a boundary.
    """
    within = share * float(np.hypot(*true.shape))
    own, other = _boundary(found) & valid, _boundary(true) & valid
    if not own.any() and not other.any():
        return None
    if not own.any() or not other.any():
        return 0.0
    precision = float((_distance(other)[own] <= within).mean())
    recall = float((_distance(own)[other] <= within).mean())
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _boundary(mask: Array) -> Array:
    """The pixels of a mask with one of the four neighbours outside it; the edge of the picture is no outline."""
    padded = np.pad(mask, 1, mode="edge")
    inside = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    outline: Array = mask & ~inside
    return outline


def _distance(pixels: Array) -> Array:
    """Of every pixel to the nearest of some: float32 [H, W], in pixels."""
    import cv2

    there = np.where(pixels, 0, 1).astype(np.uint8)
    return cv2.distanceTransform(there, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
