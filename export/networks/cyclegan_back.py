"""CycleGAN, drawings to photos: the other direction of cyclegan.py, which has all there is to say.

In: a picture, float32 [N, 3, H, W], RGB, -1 to 1, H and W multiples of 4.  Out: a picture of that shape, -1 to 1.
"""

from __future__ import annotations

from dataclasses import replace

from torch import nn

from vedette.export.networks import cyclegan
from vedette.export.networks._generation import About
from vedette.runtime.manifest import Manifest

OURS = About(
    "Apache-2.0", f"drawings to photos, {cyclegan.PHOTOS}", "flicker 0.88 of the input's on a street clip"
)


def network() -> nn.Module:
    """Our generator with fresh weights."""
    return cyclegan.network()


def card() -> Manifest:
    """What the runtime must know of ours: RGB, -1 to 1, any size in steps of 4."""
    return replace(cyclegan.card(), name="cyclegan_back", provenance=OURS.provenance, accuracy=OURS.accuracy)
