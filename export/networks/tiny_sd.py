"""Tiny SD: a text encoder, a U-Net and a VAE of Stable Diffusion's classes that draw a captioned digit, 32 x 32.

In: the pipeline folder ../zoo/tiny_sd, trained by ../training/tiny_sd.py, or another of its kind.  Out: its StreamedWhole.
Next: stable_diffusion.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vedette.export._lora import Lora
from vedette.export.networks._generation import DIGITS, About
from vedette.export.networks._whole import StreamedWhole
from vedette.export.networks.stable_diffusion import check_libraries, whole_of
from vedette.runtime.preprocess import Size

STREAMED = True  # for bundle.py
SAMPLER, STEPS, GUIDANCE = "ddim", 20, 5.0  # where none is asked for
ACCURACY = "97.6 % of 500 drawn digits are read as the caption's (93.7 % of real held-out ones)"


def whole(weights: Path, imgsz: Size | None = None, loras: Sequence[Lora] = ()) -> StreamedWhole:
    """Our pipeline.

    Raises:
        ModelError: the folder is not what can be exported.
        UsageError: a size that does not fit, or a library that is missing.
    """
    check_libraries()
    about = About("Apache-2.0", DIGITS, ACCURACY)
    defaults = {"sampler": SAMPLER, "steps": STEPS, "guidance": GUIDANCE}
    return whole_of(weights, imgsz, loras, name="tiny_sd", defaults=defaults, about=about)
