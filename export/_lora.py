"""LoRA: small changes of a network's weights, from files of their own, put into the weights as they are read.

W + scale * alpha / rank * B A, for the names of PEFT, of diffusers, and of kohya's trainer with either block numbering.
In: FILE[:SCALE].  Out: weights by name, some of them changed.  Next: networks/stable_diffusion.py.

Source: Hu et al., LoRA: low-rank adaptation of large language models, ICLR 2022; names as huggingface/diffusers reads them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from vedette.export._hollow import Read, Weights
from vedette.export.weights import read
from vedette.runtime.errors import ModelError, UsageError

DOWN = (
    ".lora_A.weight",
    ".lora.down.weight",
    ".lora_linear_layer.down.weight",
    "_lora.down.weight",
    ".lora_down.weight",
)
UP = (
    ".lora_B.weight",
    ".lora.up.weight",
    ".lora_linear_layer.up.weight",
    "_lora.up.weight",
    ".lora_up.weight",
)
ENDS = {**dict.fromkeys(DOWN, "down"), **dict.fromkeys(UP, "up"), ".alpha": "alpha"}
OWNERS = {  # how a name begins -> the component, the first that fits
    "lora_te2_": "text_encoder_2", "text_encoder_2_": "text_encoder_2", "lora_te1_": "text_encoder",
    "lora_te_": "text_encoder", "text_encoder_": "text_encoder", "lora_unet_": "unet", "unet_": "unet", "": "unet",
}  # fmt: skip
METADATA = "lora_adapter_metadata"


@dataclass(frozen=True, slots=True)
class Lora:
    """A file, and how much of it."""

    path: Path
    scale: float = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class Change:
    """Of one weight: factor * up @ down."""

    up: torch.Tensor
    down: torch.Tensor
    factor: float

    def applied(self, weight: torch.Tensor) -> torch.Tensor:
        """float32, of the weight's shape."""
        product = self.up.float().flatten(1) @ self.down.float().flatten(1)
        return weight.float() + self.factor * product.reshape(weight.shape)


def parsed(text: str) -> Lora:
    """FILE or FILE:SCALE.

    Raises:
        UsageError: the file is not one of safetensors.
    """
    path, _, scale = text.rpartition(":")
    try:
        found = Lora(Path(path), float(scale)) if path else Lora(Path(text))
    except ValueError:
        found = Lora(Path(text))
    if found.path.suffix != ".safetensors":
        raise UsageError(
            f"--lora {text} is not taken",
            why="a LoRA is read from .safetensors, optionally with :SCALE behind it",
            cure="save it as .safetensors",
        )
    return found


@dataclass(slots=True)
class _Entry:
    """What a file has for one weight."""

    down: torch.Tensor | None = None
    up: torch.Tensor | None = None
    alpha: float | None = None


def changed(components: Mapping[str, Weights], loras: Sequence[Lora], layers: int) -> dict[str, Weights]:
    """Weights by component, with those of the LoRAs put in.

    Args:
        components: weights by their names, by component.
        loras: one after the other.
        layers: per block of the U-Net, by which kohya's trainer numbers blocks.

    Raises:
        ModelError: a file is unreadable, no LoRA, or for another network.
    """
    flat = {
        f"{component}_{name.removeprefix('text_model.').removesuffix('.weight').replace('.', '_')}": (component, name)
        for component, weights in components.items()
        for name in weights
    }  # fmt: skip
    made = {component: dict(weights) for component, weights in components.items()}
    for lora in loras:
        for key, change in _changes(lora, layers).items():
            if key not in flat:
                raise _refused(lora, f"it changes {key}, which this pipeline does not have")
            component, name = flat[key]
            made[component][name] = _Changed(made[component][name], change, lora)
    return dict(made)


@dataclass(frozen=True, slots=True, eq=False)
class _Changed:
    """A weight as it is read, and what is added."""

    read: Read
    change: Change
    lora: Lora

    def __call__(self) -> torch.Tensor:
        weight = self.read()
        up, down = self.change.up.flatten(1), self.change.down.flatten(1)
        if (up.shape[0], down.shape[1], up.shape[1]) != (weight.shape[0], weight[0].numel(), down.shape[0]):
            raise _refused(
                self.lora, f"{list(up.shape)} and {list(down.shape)} do not change {list(weight.shape)}"
            )
        return self.change.applied(weight)


def _changes(lora: Lora, layers: int) -> dict[str, Change]:
    """By flat name: the component, and the layer with underscores for dots."""
    told = _metadata(lora.path)
    changes = {}
    for key, (component, entry) in _entries(lora, layers).items():
        if entry.down is None or entry.up is None:
            raise _refused(lora, f"{key} has one of the two matrices only")
        rank = entry.down.shape[0]
        alpha = told.get(component, float(rank)) if entry.alpha is None else entry.alpha
        changes[key] = Change(entry.up, entry.down, lora.scale * alpha / rank)
    return changes


def _entries(lora: Lora, layers: int) -> dict[str, tuple[str, _Entry]]:
    entries: dict[str, tuple[str, _Entry]] = {}
    for name, tensor in read(lora.path).items():
        plain = name.replace(".default.", ".")
        end = max((end for end in ENDS if plain.endswith(end)), key=len, default="")
        if not end:
            raise _refused(lora, f"{name} is of no LoRA; DoRA, LoHa and LoKr are not known")
        component, key = _flat(plain.removesuffix(end), layers)
        _, entry = entries.setdefault(key, (component, _Entry()))
        setattr(entry, ENDS[end], float(tensor) if end == ".alpha" else tensor)
    return entries


def _flat(name: str, layers: int) -> tuple[str, str]:
    """The component, and the flat name in it, of any trainer's name."""
    plain = name.removeprefix("base_model.model.").replace(".", "_").replace("_processor_", "_")
    start = next(start for start in OWNERS if plain.startswith(start))
    component, rest = OWNERS[start], plain.removeprefix(start).removeprefix("text_model_")
    rest = re.sub(r"(attn[12]_to_out)$", r"\1_0", _renumbered(rest, layers))
    return component, f"{component}_{rest}"


def _renumbered(name: str, layers: int) -> str:
    """Blocks as the first U-Nets number them, all in one row, to blocks of layers: 1 of attention, 0 of convolution."""
    found = re.match(r"(input|middle|output)_blocks?_(\d+)(?:_(\d+))?_(.*)", name)
    if found is None or not ("transformer_blocks" in name or name.endswith(("proj_in", "proj_out"))):
        return name
    side, index, _, rest = found[1], int(found[2]), found[3], found[4]
    if side == "middle":
        return f"mid_block_attentions_0_{found[3] + '_' if found[3] else ''}{rest}"
    block, layer = divmod(index - (side == "input"), layers + 1)
    return f"{'down' if side == 'input' else 'up'}_blocks_{block}_attentions_{layer}_{rest}"


def _metadata(path: Path) -> dict[str, float]:
    """The alpha of each component, where PEFT's configuration is in the file."""
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        text = (file.metadata() or {}).get(METADATA, "{}")
    told = json.loads(text)
    ends = {
        key.removesuffix(".lora_alpha"): value for key, value in told.items() if key.endswith(".lora_alpha")
    }
    return {component: float(value) for component, value in ends.items()}


def _refused(lora: Lora, why: str) -> ModelError:
    return ModelError(
        f"{lora.path.name} does not fit",
        why=why,
        cure="give a LoRA of the model that this pipeline is made of",
    )
