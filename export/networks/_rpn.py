"""Region proposals: how likely an object is around every place of the pyramid, and its box.

In: the maps of the pyramid.  Out: a logit and four numbers an anchor, and from those the best boxes. Next: _roi.py.
Anchors are as torchvision lays them: of whole pixels, around the corners of the cells, in the order row, column, anchor.

Sources: Ren et al., Faster R-CNN, NeurIPS 2015; torchvision models/detection/anchor_utils.py, rpn.py, _utils.py (facts).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

from vedette.runtime.preprocess import Size

LARGEST_LOG = math.log(1000 / 16)  # e to the power of it: the most that a box may grow


class Head(nn.Module):
    """A 3x3 convolution, then logits and box numbers of every anchor of a cell; the same for all levels."""

    def __init__(self, width: int, anchors: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.ReLU()))
        self.cls_logits = nn.Conv2d(width, anchors, 1)
        self.bbox_pred = nn.Conv2d(width, anchors * 4, 1)

    def forward(self, level: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits [N, A] and box numbers [N, A, 4] of all anchors of a level [N, C, h, w]."""
        inner = self.conv(level)
        logits = self.cls_logits(inner).permute(0, 2, 3, 1).flatten(1)
        return logits, self.bbox_pred(inner).permute(0, 2, 3, 1).reshape(*logits.shape, 4)


class RegionProposals(nn.Module):
    """The head, under torchvision's name for it."""

    def __init__(self, width: int, anchors: int) -> None:
        super().__init__()
        self.head = Head(width, anchors)

    def forward(self, levels: Sequence[torch.Tensor]) -> list[tuple[torch.Tensor, torch.Tensor]]:
        return [self.head(level) for level in levels]


def coarser(level: torch.Tensor) -> torch.Tensor:
    """Every second cell: the level of the largest anchors, which no object is cut out of."""
    return functional.max_pool2d(level, 1, 2)


def anchors_of(grid: Size, size: Size, *, side: float, ratios: Sequence[float]) -> torch.Tensor:
    """The anchors of a level.

    Args:
        grid: (columns, rows) of the level.
        size: (width, height) of the picture.
        side: of a square of an anchor's area.
        ratios: heights in widths.

    Returns:
        float32 [rows * columns * len(ratios), 4] xyxy pixels.
    """
    heights = torch.sqrt(torch.tensor(ratios, dtype=torch.float32))
    shape = torch.stack([side / heights, side * heights], dim=1)
    corners = (torch.cat([-shape, shape], dim=1) / 2).round()  # [A, 4]
    columns, rows = (
        torch.arange(count) * (length // count) for count, length in zip(grid, size, strict=True)
    )
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    places = torch.stack([x, y, x, y], dim=-1).reshape(-1, 1, 4)
    return (places + corners).reshape(-1, 4)


def decoded(
    numbers: torch.Tensor, boxes: torch.Tensor, size: Size, *, weights: Sequence[float] = (1, 1, 1, 1)
) -> torch.Tensor:
    """Boxes moved and scaled by a network's numbers, cut at the picture.

    Args:
        numbers: [..., 4] shifts in sides and logarithms of growths, each times its weight.
        boxes: [..., 4] xyxy pixels; broadcast.
        size: (width, height) of the picture.
        weights: of the numbers.

    Returns:
        [..., 4] xyxy pixels.
    """
    sides = boxes[..., 2:] - boxes[..., :2]
    scaled = numbers / numbers.new_tensor(weights)
    centres = boxes[..., :2] + 0.5 * sides + scaled[..., :2] * sides
    halves = 0.5 * sides * scaled[..., 2:].clamp(max=LARGEST_LOG).exp()
    corners = torch.cat([centres - halves, centres + halves], dim=-1)
    return torch.minimum(corners.clamp(min=0), corners.new_tensor([*size, *size]))


def encoded(
    wanted: torch.Tensor, boxes: torch.Tensor, *, weights: Sequence[float] = (1, 1, 1, 1)
) -> torch.Tensor:
    """The numbers from which `decoded` makes the wanted boxes; both [..., 4] xyxy pixels."""
    sides, wanted_sides = boxes[..., 2:] - boxes[..., :2], wanted[..., 2:] - wanted[..., :2]
    shifts = (wanted[..., :2] - boxes[..., :2] + 0.5 * (wanted_sides - sides)) / sides
    numbers = torch.cat([shifts, (wanted_sides / sides).log()], dim=-1)
    return numbers * numbers.new_tensor(weights)
