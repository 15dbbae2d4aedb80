"""The weights of a component of a pipeline folder, by name, each read when it is asked for; safetensors only.

In: a component's folder.  Out: Weights under the names that the libraries' modules have today.  Next: _sd_folder.py.
"""

from __future__ import annotations

import hashlib
import json
from functools import partial
from pathlib import Path

import torch

from vedette.export._hollow import Read, Weights
from vedette.runtime.errors import ModelError

PICKLES = {".bin", ".pt", ".pth", ".ckpt", ".msgpack", ".h5"}
STEMS = ("diffusion_pytorch_model", "model")
VARIANTS = ("", ".fp16")
COUNTED = "position_ids"  # 0, 1, 2, …: a buffer that old files keep
OLD_NAMES = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}  # of a VAE's attention


def weights_of(folder: Path) -> tuple[Weights, str]:
    """The weights of a component, and the sha256 of their files.

    Raises:
        ModelError: there are none, they are pickles, or a file is damaged.
    """
    paths = _files(folder)
    found: dict[str, Read] = {}
    for path in paths:
        found.update({current(name): partial(_read, path, name) for name in names(path)})
    return found, sha256_of(paths)


def _files(folder: Path) -> list[Path]:
    for stem in STEMS:
        for variant in VARIANTS:
            one = folder / f"{stem}{variant}.safetensors"
            if one.is_file():
                return [one]
            index = folder / f"{stem}.safetensors.index{variant}.json"
            if index.is_file():
                return _shards(index)
    pickled = sorted(path.name for path in folder.iterdir() if path.suffix in PICKLES)
    if pickled:
        raise ModelError(
            f"{folder.name}/{pickled[0]} is refused: it is a pickle",
            why="reading one can run code that is in it",
            cure="save the pipeline again with save_pretrained(…, safe_serialization=True), which writes .safetensors",
        )
    raise ModelError(
        f"{folder.name} has no weights",
        why=f"no {STEMS[0]}.safetensors or {STEMS[1]}.safetensors is in it",
        cure="copy the folder again, whole",
    )


def _shards(index: Path) -> list[Path]:
    """Files beside the index, and nowhere else."""
    try:
        named = sorted(set(json.loads(index.read_bytes())["weight_map"].values()))
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        raise ModelError(f"cannot read {index.name}", why="it names no files", cure="copy it again") from None
    for name in named:
        if not isinstance(name, str) or Path(name).name != name or not name.endswith(".safetensors"):
            raise ModelError(
                f"{index.name} names {name!r}",
                why="weights lie beside their index, as .safetensors",
                cure="copy the folder again",
            )
    return [index.parent / name for name in named]


def names(path: Path) -> list[str]:
    """Of the tensors in a file.

    Raises:
        ModelError: it is missing or damaged.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            return list(file.keys())
    except (SafetensorError, OSError) as error:
        raise ModelError(
            f"cannot read {path.parent.name}/{path.name}", why=str(error)[:200], cure="copy it again"
        ) from None


def _read(path: Path, name: str) -> torch.Tensor:
    """Opened each time: what was read is given back when the tensor is, instead of with the last of a file."""
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        tensor: torch.Tensor = file.get_tensor(name)
    return tensor


def current(name: str) -> str:
    """The name that a weight has today in its library: diffusers renamed the VAE's attention."""
    *owner, layer, leaf = f"..{name}".split(".")
    if "attentions" in owner and layer in OLD_NAMES:
        return ".".join([*owner, OLD_NAMES[layer], leaf]).lstrip(".")
    return name


def sha256_of(paths: list[Path]) -> str:
    """Of files one after the other, read in pieces."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while piece := file.read(1 << 22):
                digest.update(piece)
    return digest.hexdigest()
