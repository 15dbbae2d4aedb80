"""What a network of several graphs offers in place of a module and a card: a bundle before it is written.

In: a network's file.  Out: Whole. Next: ../bundle.py, which writes it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import nn

from vedette.export._hollow import Hollow
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
class Streamed:
    """One part whose weights are read one at a time; in float16 all of it is, but for what would overflow there.

    Attributes:
        hollow: the module, which takes the card's inputs in order and returns its outputs in order; and its weights.
        card: of this part.
        exact: submodules that stay float32, with all that leads to them.
        digest: sha256 of the files of its weights.
    """

    hollow: Hollow
    card: Manifest
    exact: tuple[str, ...] = ()
    digest: str = ""


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


@dataclass(frozen=True, slots=True, eq=False)
class StreamedWhole:
    """The same of parts that may be large.

    Attributes:
        bundle: what bundle.json will say, without the names of files.
        graphs: by role.
        feeds: the inputs of every part in runs of the whole, by role.
        files: what else belongs to the model, by name.
        notes: what whoever exports it should know.
    """

    bundle: Bundle
    graphs: Mapping[str, Streamed]
    feeds: Callable[[], Mapping[str, Sequence[Tensors]]]
    files: Mapping[str, bytes] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
