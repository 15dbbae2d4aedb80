"""CycleGAN, photos to drawings: a picture in, a picture of its size out, fast enough for video.

In: a picture, float32 [N, 3, H, W], RGB, -1 to 1, H and W multiples of 4.  Out: a picture of that shape, -1 to 1.
Ours (0.35 M parameters) is trained by ../training/cyclegan.py; cyclegan_back.py is its other direction. The generators of
junyanz/pytorch-CycleGAN-and-pix2pix with residual blocks, of any width and number of them, load by their names: their plan
follows from the shapes in a file.  Next: _resnet_generator.py (the module).

Source: Zhu et al., Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks, ICCV 2017.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from vedette.export.networks._generation import About, check, fitted
from vedette.export.networks._resnet_generator import Plan, ResnetGenerator, plan_of
from vedette.export.weights import read
from vedette.runtime.errors import ModelError
from vedette.runtime.manifest import Decoder, Input, Manifest, Output, Resize

STEP = 4
WRAPPERS = ("module.", "netG.", "netG_A.", "G.")  # what trainers put before the names
RUNNING = ("running_mean", "running_var", "num_batches_tracked")
PHOTOS = "trained here without pairs on the photos of scikit-image and scikit-learn and drawings that OpenCV makes of them"
OURS = About("Apache-2.0", f"photos to drawings, {PHOTOS}", "flicker 1.05 of the input's on a street clip")


def network() -> nn.Module:
    """Our generator with fresh weights."""
    return ResnetGenerator()


def card() -> Manifest:
    """What the runtime must know of ours: RGB, -1 to 1, any size in steps of 4."""
    return card_of(Plan(), "cyclegan", (360, 640), OURS)


def card_of(plan: Plan, name: str, typical: tuple[int, int], about: About) -> Manifest:
    """Of a plan; typical is (height, width)."""
    channels, made = plan.channels
    pixels = Input(
        "images", (-1, channels, -1, -1), minimum=(1, channels, 32, 32), typical=(1, channels, *typical),
        maximum=(8, channels, 2160, 3840), multiple_of=(1, 1, STEP, STEP), pixel_format="rgb",
        resize=Resize("letterbox"), scale=1 / 255, mean=(0.5,), std=(0.5,),
    )  # fmt: skip
    return Manifest(
        name, "image", (pixels,), (Output("picture", (-1, made, -1, -1), role="picture"),),
        Decoder("image", {"black": -1.0, "white": 1.0}), licence=about.licence, provenance=about.provenance,
        accuracy=about.accuracy,
    )  # fmt: skip


def from_weights(path: Path) -> tuple[nn.Module, Manifest]:
    """The generator that a file of weights is of, with them, and its card.

    Raises:
        ModelError: unreadable, no such generator of colour pictures, or a tensor is missing, unknown or of another shape.
    """
    state = renamed(read(path))
    plan = plan_of(state)
    if plan is None or plan.channels != (3, 3):
        found = "has no model.1.weight and model.10.conv_block.1.weight" if plan is None else (
            f"takes {plan.channels[0]} channels and draws {plan.channels[1]}"
        )  # fmt: skip
        raise ModelError(
            f"{path.name} does not hold the weights of a CycleGAN generator with residual blocks",
            why=f"it {found}",
            cure="give the state dict of one generator of colour pictures: latest_net_G_A.pth, not the discriminator's",
        )
    with torch.device("meta"):  # shapes without memory, as a file may claim any
        check(ResnetGenerator(plan), state, path.name, f"a generator of {plan.blocks} residual blocks")
    module = fitted(ResnetGenerator(plan), state, path.name, "a generator")
    if plan == Plan():
        return module, card()
    return module, card_of(plan, "cyclegan", (512, 512), About(provenance=f"weights of {path.name}"))


def renamed(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """By junyanz's names: without wrappers' prefixes, `block` as `conv_block`, and no statistics of an instance norm.

    Files of 2017 have such statistics, which were not used; batch norm has a gain beside them.
    """
    for prefix in WRAPPERS:
        if state and all(name.startswith(prefix) for name in state):
            state = {name.removeprefix(prefix): value for name, value in state.items()}
    state = {name.replace(".block.", ".conv_block."): value for name, value in state.items()}
    return {
        name: value
        for name, value in state.items()
        if not name.endswith(RUNNING) or f"{name.rpartition('.')[0]}.weight" in state
    }
