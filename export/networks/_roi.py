"""RoIAlign by one GridSample: features of any boxes, cut out of all levels of a pyramid at once.

In: the levels side by side in one map (an atlas), and boxes.  Out: features of one size, a box each. Next: _roi_heads.py.

A box is cut out of the level that suits its size. Every coordinate is clamped inside that level's own region as
RoIAlign clamps it at the border of a map, so nothing of a neighbour gets in. Sampling ratio 2, aligned=False.

Sources: He et al., Mask R-CNN, ICCV 2017; Lin et al., Feature Pyramid Networks, CVPR 2017, eq. 1;
torchvision ops/poolers.py, csrc/ops/cpu/roi_align_kernel.cpp (facts).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from vedette.runtime.preprocess import Size

SAMPLES = 2  # a bin and way
EPSILON = 1e-6  # a box at the border of two levels belongs to the coarser one
SMALLEST = 1e-12  # pixels^2, in place of no area, which has no logarithm


@dataclass(frozen=True, slots=True)
class Layout:
    """Where each level lies in the atlas: the finest at the left, the others below one another beside it.

    Attributes:
        size: (width, height) of the picture, multiples of the largest stride.
        strides: of the levels, finest first; powers of 2, each twice the one before.
    """

    size: Size
    strides: tuple[int, ...]

    def grids(self) -> list[Size]:
        """(columns, rows) of each level."""
        return [(self.size[0] // stride, self.size[1] // stride) for stride in self.strides]

    def corners(self) -> list[Size]:
        """(left, top) of each level."""
        (width, _), *rest = self.grids()
        tops = [sum(rows for _, rows in rest[:index]) for index in range(len(rest))]
        return [(0, 0), *((width, top) for top in tops)]

    @property
    def atlas(self) -> Size:
        """(columns, rows) of the whole."""
        grids = self.grids()
        beside = grids[1][0] if len(grids) > 1 else 0
        return grids[0][0] + beside, grids[0][1]

    def joined(self, levels: Sequence[torch.Tensor]) -> torch.Tensor:
        """Levels [N, C, h, w] as one map [N, C, Ha, Wa], zeros where there is none."""
        finest, *rest = levels
        if not rest:
            return finest
        width = self.grids()[1][0]
        column = torch.cat([functional.pad(level, (0, width - level.shape[3])) for level in rest], dim=2)
        return torch.cat([finest, functional.pad(column, (0, 0, 0, self.atlas[1] - column.shape[2]))], dim=3)


class RoIAlign(nn.Module):
    """Boxes to features.

    Args:
        layout: of the atlas.
        canonical: the side of a square box, and the base-2 logarithm of the stride of the level that it is cut out of.
    """

    def __init__(self, layout: Layout, canonical: tuple[float, int]) -> None:
        super().__init__()
        self.layout, self.canonical = layout, canonical
        rows = [
            (1 / stride, *corner, *grid)
            for stride, corner, grid in zip(layout.strides, layout.corners(), layout.grids(), strict=True)
        ]
        self.register_buffer("table", torch.tensor(rows), persistent=False)  # scale, left, top, columns, rows

    def forward(self, atlas: torch.Tensor, boxes: torch.Tensor, side: int) -> torch.Tensor:
        """Features of boxes [N, R, 4] xyxy pixels out of an atlas [N, C, Ha, Wa]: [N * R, C, side, side]."""
        fields = self.get_buffer("table")[self.level(boxes)].unsqueeze(-1)  # [N, R, 5, 1]
        scaled = boxes.unsqueeze(-1) * fields[:, :, 0:1]  # [N, R, 4, 1]
        across, in_x = self._samples(scaled[:, :, 0::2], fields[:, :, 1::2], self.layout.atlas[0], side)
        down, in_y = self._samples(scaled[:, :, 1::2], fields[:, :, 2::2], self.layout.atlas[1], side)
        points = side * SAMPLES
        grid = torch.stack(
            [across[:, :, None].expand(-1, -1, points, -1), down[..., None].expand(-1, -1, -1, points)],
            dim=-1,
        )
        sampled = functional.grid_sample(
            atlas, grid.flatten(1, 2), align_corners=True
        )  # [N, C, R * points, points]
        inside = (in_y[..., None] * in_x[:, :, None]).flatten(1, 2)
        pooled = functional.avg_pool2d(sampled * inside[:, None], SAMPLES)
        cut = pooled.reshape(*pooled.shape[:2], -1, side, side).transpose(1, 2)  # [N, R, C, side, side]
        return cut.flatten(0, 1)

    def level(self, boxes: torch.Tensor) -> torch.Tensor:
        """The position in the strides of each box's level, int64 [N, R]."""
        sides = boxes[..., 2:] - boxes[..., :2]
        area = (sides[..., 0] * sides[..., 1]).clamp(min=SMALLEST)
        side, exponent = self.canonical
        finest = self.layout.strides[0].bit_length() - 1
        level = (exponent + torch.log2(area.sqrt() / side) + EPSILON).floor() - finest
        return level.clamp(0, len(self.layout.strides) - 1).long()

    @staticmethod
    def _samples(
        ends: torch.Tensor, region: torch.Tensor, length: int, side: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Where to sample one way.

        Args:
            ends: [N, R, 2, 1] of the boxes, cells.
            region: [N, R, 2, 1] where the level starts, and its cells.
            length: of the atlas, cells.
            side: bins.

        Returns:
            [N, R, points], -1 at the first cell of the atlas and 1 at the last; and 1 where inside the level, else 0.
        """
        points = side * SAMPLES
        shares = (torch.arange(points, dtype=ends.dtype) + 0.5) / points
        start, count = region[:, :, 0], region[:, :, 1]
        places = ends[:, :, 0] + (ends[:, :, 1] - ends[:, :, 0]).clamp(min=1) * shares
        inside = ((places >= -1) & (places <= count)).to(ends.dtype)
        clamped = torch.minimum(places.clamp(min=0), count - 1)
        return (clamped + start) * (2 / (length - 1)) - 1, inside
