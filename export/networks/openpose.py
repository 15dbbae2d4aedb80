"""OpenPose's BODY_25: 25 keypoints of many people, feet included; for the pose_iter_584000.caffemodel that people have.

In: a picture, float32 [N, 3, H, W], BGR, -0.5..0.5, H and W multiples of 8. Out: heatmaps of the keypoints, their background,
and part affinity fields of the limbs, at an eighth of the size, which a decoder joins into people. The fields are estimated
first, in four stages; the heatmaps see them. No weights are in the box: CMU's are for non-commercial use.

Sources: Cao et al., OpenPose, TPAMI 2021; CMU OpenPose models/pose/body_25/pose_deploy.prototxt (names and sizes).
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import nn

from vedette.export.networks._openpose import FEATURES, CaffeNamed, front, openpose_card, parametric
from vedette.runtime.decoders.openpose import BODY_25
from vedette.runtime.manifest import Manifest

HEATMAPS, PAFS = len(BODY_25.keypoint_names) + 1, 2 * len(BODY_25.pairs)
BLOCKS = 5  # of three convolutions, in a stage
FIRST, LATER = (96, 256), (128, 512)  # widths of the blocks and of the last but one convolution, by stage


class Block(nn.Module):
    """Three 3x3 convolutions one after the other, whose outputs all go on, side by side."""

    def __init__(self, name: str, channels: int, width: int) -> None:
        super().__init__()
        inputs = (channels, width, width)
        self.steps = nn.ModuleList(
            nn.Sequential(OrderedDict(parametric(f"{name}_{index}", before, width, 3)))
            for index, before in enumerate(inputs)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        outputs = []
        for step in self.steps:
            x = step(x)
            outputs.append(x)
        return torch.cat(outputs, dim=1)


def stage(name: str, channels: int, outputs: int, widths: tuple[int, int]) -> nn.Sequential:
    """Five blocks and two 1x1 convolutions, as OpenPose's `name`, such as stage0_L2."""
    width, exit_width = widths
    blocks = [
        Block(f"Mconv{index + 1}_{name}", 3 * width if index else channels, width) for index in range(BLOCKS)
    ]
    ends = parametric(f"Mconv6_{name}", 3 * width, exit_width, 1)
    last = nn.Conv2d(exit_width, outputs, 1)
    named = [
        *((f"block{index}", block) for index, block in enumerate(blocks, start=1)),
        *ends,
        (f"Mconv7_{name}", last),
    ]
    return nn.Sequential(OrderedDict(named))


class Body25(CaffeNamed):
    """The whole network; see the top of the file."""

    def __init__(self) -> None:
        super().__init__()
        self.features = front(prelu=True)
        self.first_pafs = stage("stage0_L2", FEATURES, PAFS, FIRST)
        self.pafs = nn.ModuleList(stage(f"stage{i}_L2", FEATURES + PAFS, PAFS, LATER) for i in (1, 2, 3))
        self.first_heatmaps = stage("stage0_L1", FEATURES + PAFS, HEATMAPS, FIRST)
        self.heatmaps = stage("stage1_L1", FEATURES + HEATMAPS + PAFS, HEATMAPS, LATER)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Estimate.

        Args:
            images: float32 [N, 3, H, W], BGR, -0.5..0.5; H and W multiples of 8.

        Returns:
            [N, 78, H / 8, W / 8]: 26 heatmaps, about 0..1, the keypoints in the order of BODY_25, then background; 52 part
            affinity fields, about -1..1, x and y of each of the 26 limbs.
        """
        features = self.features(images)
        pafs = self.first_pafs(features)
        for refined in self.pafs:
            pafs = refined(torch.cat((features, pafs), dim=1))
        heatmaps = self.first_heatmaps(torch.cat((features, pafs), dim=1))
        heatmaps = self.heatmaps(torch.cat((features, heatmaps, pafs), dim=1))
        return torch.cat((heatmaps, pafs), dim=1)


def network() -> nn.Module:
    """Return BODY_25 with fresh weights."""
    return Body25()


def card() -> Manifest:
    """What the runtime must know: see openpose_card."""
    return openpose_card(
        "openpose", BODY_25, "OpenPose BODY_25 by CMU, trained on COCO and CMU's foot keypoints"
    )
