"""What Mask R-CNN says of each box: its class and a better box, its mask, its keypoints.

In: features of boxes, [B, C, 7, 7] or [B, C, 14, 14].  Out: logits. The submodules have torchvision's names.

Sources: He et al., Mask R-CNN, ICCV 2017; torchvision models/detection/mask_rcnn.py, keypoint_rcnn.py (names, shapes).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

BOX_SIDE = 7
OBJECT_SIDE = 14
MASK_SIDE = 2 * OBJECT_SIDE
HEATMAP_SIDE = 4 * OBJECT_SIDE


class BoxHead(nn.Module):
    """Two full layers."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.fc6 = nn.Linear(channels * BOX_SIDE**2, hidden)
        self.fc7 = nn.Linear(hidden, hidden)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return functional.relu(self.fc7(functional.relu(self.fc6(features.flatten(1)))))


class BoxPredictor(nn.Module):
    """Class logits [B, classes], the background first, and box numbers [B, classes, 4]."""

    def __init__(self, hidden: int, classes: int) -> None:
        super().__init__()
        self.cls_score = nn.Linear(hidden, classes)
        self.bbox_pred = nn.Linear(hidden, classes * 4)

    def forward(self, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        logits = self.cls_score(features)
        return logits, self.bbox_pred(features).reshape(*logits.shape, 4)


class MaskPredictor(nn.Module):
    """Mask logits [B, classes, 28, 28], the background first."""

    def __init__(self, channels: int, hidden: int, classes: int) -> None:
        super().__init__()
        self.conv5_mask = nn.ConvTranspose2d(channels, hidden, 2, 2)
        self.mask_fcn_logits = nn.Conv2d(hidden, classes, 1)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.mask_fcn_logits(functional.relu(self.conv5_mask(features)))
        return logits


class KeypointPredictor(nn.Module):
    """Heatmap logits [B, keypoints, 56, 56]."""

    def __init__(self, channels: int, keypoints: int) -> None:
        super().__init__()
        self.kps_score_lowres = nn.ConvTranspose2d(channels, keypoints, 4, 2, 1)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        small = self.kps_score_lowres(features)
        return functional.interpolate(small, scale_factor=2.0, mode="bilinear", align_corners=False)


def mask_head(channels: int, widths: Sequence[int]) -> nn.Sequential:
    """3x3 convolutions, each in a Sequential of its own."""
    sides = zip([channels, *widths], widths, strict=False)
    return nn.Sequential(*(nn.Sequential(nn.Conv2d(*pair, 3, padding=1), nn.ReLU()) for pair in sides))


def keypoint_head(channels: int, widths: Sequence[int]) -> nn.Sequential:
    """3x3 convolutions and their activations in one Sequential."""
    sides = zip([channels, *widths], widths, strict=False)
    return nn.Sequential(*(layer for pair in sides for layer in (nn.Conv2d(*pair, 3, padding=1), nn.ReLU())))
