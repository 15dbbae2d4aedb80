"""What generators of one or more graphs have in common: their bundle, their cards, and weights that must fit.

In: a generator's file.  Out: parts of its Whole.  Next: _whole.py, vae.py, gan.py, ddpm.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import torch
from torch import nn

from vedette.export.networks._whole import Graph
from vedette.runtime.bundle import PART, Bundle
from vedette.runtime.errors import ModelError, UsageError
from vedette.runtime.manifest import Decoder, Input, Manifest, Output, Resize
from vedette.runtime.preprocess import Size

LARGEST_BATCH, TYPICAL_BATCH = 64, 16
DIGITS = "trained here on scikit-learn's digits (UCI, Optical Recognition of Handwritten Digits), bent and drawn anew"
COUNTER = "num_batches_tracked"  # of batch norm: not every file has it, and nothing reads it

Module = TypeVar("Module", bound=nn.Module)


@dataclass(frozen=True, slots=True)
class About:
    """What the weights do not say."""

    licence: str = "unknown"
    provenance: str = ""
    accuracy: str = ""


class Inside(nn.Module):
    """A module under the name `net`, so that float16 can be asked for all of it; its outputs are a tuple."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, *tensors: torch.Tensor) -> Any:
        outputs = self.net(*tensors)
        return outputs if isinstance(outputs, tuple) else (outputs,)


def graph(
    module: nn.Module,
    name: str,
    inputs: tuple[Input, ...],
    outputs: tuple[Output, ...],
    about: About,
    *,
    half: str = "",
) -> Graph:
    """A part, all of it in float16 where that is asked for, or the submodule `half` of it."""
    card = Manifest(
        name, "generation", inputs, outputs, Decoder(PART), licence=about.licence, provenance=about.provenance,
        accuracy=about.accuracy,
    )  # fmt: skip
    return Graph(Inside(module).eval(), card, (f"net/{half}" if half else "net",))


def bundle(kind: str, parameters: Mapping[str, Any], about: About) -> Bundle:
    """What bundle.json will say, but for files and parts."""
    return Bundle(
        kind, kind, "generation", {}, {}, parameters=dict(parameters), licence=about.licence,
        provenance=about.provenance, accuracy=about.accuracy,
    )  # fmt: skip


def tensor(name: str, *sides: int) -> Input:
    """An input that is no picture, [N, *sides]."""
    return Input(
        name,
        (-1, *sides),
        minimum=(1, *sides),
        typical=(TYPICAL_BATCH, *sides),
        maximum=(LARGEST_BATCH, *sides),
    )


def picture(channels: int, size: Size, *, black: float = 0.0) -> Input:
    """An input that is a picture of one size, black to 1."""
    offset = -black / (1 - black)  # (pixel / 255 - offset) / std
    return replace(
        tensor("images", channels, size[1], size[0]), pixel_format="gray" if channels == 1 else "rgb",
        resize=Resize(pad=0.0), scale=1 / 255, mean=(offset,), std=(1 / (1 - black),),
    )  # fmt: skip


def images(channels: int, size: Size) -> Output:
    """An output that is a picture."""
    return Output("images", (-1, channels, size[1], size[0]), role="images")


def only_size(name: str, size: Size, imgsz: Size | None) -> None:
    """Refuse another size than the one that the weights are for.

    Raises:
        UsageError: another was asked for.
    """
    if imgsz is not None and imgsz != size:
        raise UsageError(
            f"--imgsz {imgsz[0]}x{imgsz[1]} does not fit {name}",
            why=f"its weights draw pictures of {size[0]}x{size[1]}",
            cure="leave --imgsz out",
        )


def fitted(module: Module, state: Mapping[str, torch.Tensor], origin: str, what: str) -> Module:
    """The module with these weights, in eval mode.

    Raises:
        ModelError: a tensor is missing, unknown or of another shape; it is named.
    """
    check(module, state, origin, what)
    module.load_state_dict(
        {name: value.float() for name, value in state.items() if not name.endswith(COUNTER)}, strict=False
    )
    return module.eval()


def check(module: nn.Module, state: Mapping[str, torch.Tensor], origin: str, what: str) -> None:
    """Every tensor of the module is in the state and of its shape, and there is no other; but for counters of batches.

    Raises:
        ModelError: it is not so; the tensor is named.
    """
    wanted = {name: list(value.shape) for name, value in module.state_dict().items()}
    for name in [*wanted, *state]:
        if name.endswith(COUNTER):
            continue
        expected = str(wanted[name]) if name in wanted else "nothing"
        found = str(list(state[name].shape)) if name in state else "missing"
        if found != expected:
            raise ModelError(
                f"{origin} does not hold the weights of {what}",
                why=f"{name} is {found}; expected {expected}",
                cure="give the whole state dict of one network, as it was saved",
            )
