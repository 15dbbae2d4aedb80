"""Photos as if drawn: few flat warm tones, and dark lines where brightness changes.  cyclegan.py learns it from examples.

In: uint8 BGR.  Out: uint8 BGR.
Source: Winnemoeller et al., XDoG: An eXtended difference-of-Gaussians compendium, 2012 (the lines).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from vedette.runtime.frame import Array

TONES = 5
STEEPNESS = 7.0  # of the steps between tones
SATURATION = 1.5
PAPER = (0.72, 0.93, 1.06)  # BGR gains
LINE = 1.0  # pixels, half the width of a line


def inked(picture: Array) -> Array:
    """The same picture, drawn."""
    import cv2

    smooth: Any = picture
    for _ in range(2):
        smooth = cv2.bilateralFilter(smooth, 7, 40, 5)
    lab = cv2.cvtColor(smooth, cv2.COLOR_BGR2LAB).astype(np.float32)
    lab[..., 0] = 255 * _toned(lab[..., 0] / 255)
    lab[..., 1:] = (lab[..., 1:] - 128) * SATURATION + 128
    flat = cv2.cvtColor(np.clip(lab, 0, 255).astype(np.uint8), cv2.COLOR_LAB2BGR).astype(np.float32)
    ink = _lines(cv2.cvtColor(smooth, cv2.COLOR_BGR2GRAY).astype(np.float32) / 255)
    drawn = flat * np.array(PAPER, np.float32) * ink[..., None] + 12
    pixels: Array = np.clip(np.rint(drawn), 0, 255).astype(np.uint8)
    return pixels


def _toned(light: Array) -> Array:
    """Brightness 0..1 in soft steps."""
    scaled = light * TONES
    step = np.floor(scaled)
    rise = 1 / (1 + np.exp(-STEEPNESS * (scaled - step - 0.5)))
    toned: Array = 0.08 + 0.92 * (step + rise) / TONES
    return toned


def _lines(grey: Array) -> Array:
    """1 on paper, less on lines: where a pixel is darker than what is around it."""
    import cv2

    fine = cv2.GaussianBlur(grey, (0, 0), LINE)
    coarse = cv2.GaussianBlur(grey, (0, 0), 1.6 * LINE)
    edge = fine - coarse
    lines: Array = np.clip(1 + np.tanh(60 * np.minimum(edge + 0.006, 0)), 0.1, 1).astype(np.float32)
    return lines
