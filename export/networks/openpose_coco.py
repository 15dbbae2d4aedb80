"""OpenPose's COCO-18: 18 keypoints of many people; for the pose_iter_440000.caffemodel, or its ports, that people have.

In: a picture, float32 [N, 3, H, W], BGR, -0.5..0.5, H and W multiples of 8. Out: heatmaps of the keypoints, their background,
and part affinity fields of the limbs, at an eighth of the size, which a decoder joins into people. Six stages refine both.
No weights are in the box: CMU's are for non-commercial use.

Sources: Cao et al., Realtime Multi-Person 2D Pose Estimation using Part Affinity Fields, CVPR 2017; CMU OpenPose
models/pose/coco/pose_deploy_linevec.prototxt (names and sizes).
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import nn

from vedette.export.networks._openpose import FEATURES, CaffeNamed, Named, front, openpose_card, rectified
from vedette.runtime.decoders.openpose import COCO_18
from vedette.runtime.manifest import Manifest

HEATMAPS, PAFS = len(COCO_18.keypoint_names) + 1, 2 * len(COCO_18.pairs)
STAGES = 6
WIDTH, FIRST_EXIT_WIDTH = 128, 512
OUTPUTS = {"L1": PAFS, "L2": HEATMAPS}  # channels of the two branches of a stage


def first_branch(branch: str) -> nn.Sequential:
    """Three 3x3 and two 1x1 convolutions."""
    inputs = (FEATURES, WIDTH, WIDTH)
    layers: Named = []
    for index, channels in enumerate(inputs, start=1):
        layers += rectified(f"conv5_{index}_CPM_{branch}", channels, WIDTH, 3)
    layers += rectified(f"conv5_4_CPM_{branch}", WIDTH, FIRST_EXIT_WIDTH, 1)
    layers.append((f"conv5_5_CPM_{branch}", nn.Conv2d(FIRST_EXIT_WIDTH, OUTPUTS[branch], 1)))
    return nn.Sequential(OrderedDict(layers))


def later_branch(number: int, branch: str) -> nn.Sequential:
    """Five 7x7 and two 1x1 convolutions."""
    name = f"stage{number}_{branch}"
    layers = rectified(f"Mconv1_{name}", FEATURES + HEATMAPS + PAFS, WIDTH, 7)
    for index in range(2, 6):
        layers += rectified(f"Mconv{index}_{name}", WIDTH, WIDTH, 7)
    layers += rectified(f"Mconv6_{name}", WIDTH, WIDTH, 1)
    layers.append((f"Mconv7_{name}", nn.Conv2d(WIDTH, OUTPUTS[branch], 1)))
    return nn.Sequential(OrderedDict(layers))


class Coco18(CaffeNamed):
    """The whole network; see the top of the file."""

    def __init__(self) -> None:
        super().__init__()
        self.features = front(prelu=False)
        self.pafs = nn.ModuleList(
            [first_branch("L1"), *(later_branch(i, "L1") for i in range(2, STAGES + 1))]
        )
        self.heatmaps = nn.ModuleList(
            [first_branch("L2"), *(later_branch(i, "L2") for i in range(2, STAGES + 1))]
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Estimate.

        Args:
            images: float32 [N, 3, H, W], BGR, -0.5..0.5; H and W multiples of 8.

        Returns:
            [N, 57, H / 8, W / 8]: 19 heatmaps, about 0..1, the keypoints in the order of OpenPose's COCO model, then
            background; 38 part affinity fields, about -1..1, x and y of each of the 19 limbs.
        """
        seen = features = self.features(images)
        for to_pafs, to_heatmaps in zip(self.pafs, self.heatmaps, strict=True):
            pafs, heatmaps = to_pafs(seen), to_heatmaps(seen)
            seen = torch.cat((pafs, heatmaps, features), dim=1)
        return torch.cat((heatmaps, pafs), dim=1)


def network() -> nn.Module:
    """Return COCO-18 with fresh weights."""
    return Coco18()


def card() -> Manifest:
    """What the runtime must know: see openpose_card."""
    return openpose_card("openpose_coco", COCO_18, "OpenPose COCO-18 by CMU, trained on COCO keypoints")
