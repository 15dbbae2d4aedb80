"""What a network of several graphs offers in place of a module and a card: a bundle before it is written.

In: a network's file.  Out: Whole. Next: ../bundle.py, which writes it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import nn

from vedette.runtime.bundle import Bundle
from vedette.runtime.frame import Array
from vedette.runtime.manifest import Manifest

Tensors = tuple[torch.Tensor, ...]
Outputs = dict[str, Array]


@dataclass(frozen=True, slots=True, eq=False)
class Graph:
    """One part.

    Attributes:
        module: takes the card's inputs in order, returns its outputs in order.
        card: of this part.
        half: submodules that compute in float16 where that is asked for; all else, coordinates above all, stays float32.
        aligned: puts the outputs of two runs side by side where their order may differ.
    """

    module: nn.Module
    card: Manifest
    half: tuple[str, ...]
    aligned: Callable[[Outputs, Outputs], tuple[Outputs, Outputs]] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Whole:
    """All parts, in the order in which data goes through them.

    Attributes:
        bundle: what bundle.json will say, without the names of files.
        graphs: by role.
        feeds: from pictures as the first part takes them to the inputs of every part, by role.
    """

    bundle: Bundle
    graphs: Mapping[str, Graph]
    feeds: Callable[[torch.Tensor], Mapping[str, Tensors]]
