"""Where precision lives: in the ONNX, strongly typed, because the newer TensorRT lanes have no precision flags."""

import torch
from torch import nn


class HalfInside(nn.Module):
    """A module in float16 with float32 at its doors, so that every backend feeds and reads the same arrays."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module.half()

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, ...]:
        outputs = self.module(*(value.half() for value in inputs))
        return (
            outputs.float()
            if isinstance(outputs, torch.Tensor)
            else tuple(value.float() for value in outputs)
        )


def in_precision(module: nn.Module, precision: str) -> nn.Module:
    """The module to export for a precision: fp32 as it is, fp16 as a copy in half precision."""
    from copy import deepcopy

    return HalfInside(deepcopy(module)) if precision == "fp16" else module
