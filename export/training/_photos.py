"""Real photos behind the scenes, split by photo: those inside scikit-image's and scikit-learn's packages.

In: a split.  Out: uint8 BGR backgrounds. Nothing is downloaded. Next: scenes.py.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from vedette.runtime.frame import Array

PHOTOS = {
    "train": ("china", "chelsea", "rocket", "stereo_motorcycle", "hubble_deep_field", "camera", "grass", "brick", "coins"),
    "val": ("flower", "astronaut", "coffee", "gravel", "moon"),
}  # fmt: skip
CROP = (100, 260)  # pixels of a photo's side that a scene shows


def background(rng: np.random.Generator, split: str, size: int) -> Array:
    """A part of a random photo, mirrored or not, darker or lighter: float32 [size, size, 3] BGR, 0..255."""
    import cv2

    photo = photos(split)[rng.integers(len(PHOTOS[split]))]
    side = int(rng.integers(*CROP))
    top, left = (int(rng.integers(length - side + 1)) for length in photo.shape[:2])
    crop = photo[top : top + side, left : left + side]
    crop = crop[:, ::-1] if rng.random() < 0.5 else crop
    way = cv2.INTER_AREA if side > size else cv2.INTER_LINEAR
    scaled = cv2.resize(np.ascontiguousarray(crop), (size, size), interpolation=way)
    return scaled.astype(np.float32) * np.float32(rng.uniform(0.6, 1.1))


@cache
def photos(split: str) -> tuple[Array, ...]:
    """The photos of a split, uint8 BGR [H, W, 3], in the order of PHOTOS."""
    return tuple(_photo(name) for name in PHOTOS[split])


def _photo(name: str) -> Array:
    """One photo by name; the grey ones get three equal channels."""
    from skimage import data
    from sklearn.datasets import load_sample_image

    if name in {"china", "flower"}:
        pixels = load_sample_image(f"{name}.jpg")
    else:
        pixels = getattr(data, name)()
        pixels = pixels[0] if isinstance(pixels, tuple) else pixels  # the left one of a stereo pair
    pixels = np.repeat(pixels[..., None], 3, axis=2) if pixels.ndim == 2 else pixels
    return np.ascontiguousarray(pixels[..., 2::-1])
