"""Trained weights, read without running anything in them: .safetensors, .pt by PyTorch's weights_only loader, darknet's files."""

import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import nn

from vedette.runtime.errors import ModelError


def load_weights(module: nn.Module, path: Path) -> None:
    """Load a state dict strictly, as float32; or darknet's .weights, where the network has its layers.

    Raises:
        ModelError: unreadable, holding more than tensors, or for another network.
    """
    if path.suffix == ".weights":
        from vedette.export.networks._darknet import load_darknet

        load_darknet(module, path)
        return
    state = {
        name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in read(path).items()
    }
    try:
        module.load_state_dict(state, strict=True)
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).splitlines()[1:]]
        raise ModelError(
            f"{path.name} does not hold the weights of this network",
            why=(lines[0] if lines else str(error))[:300],
            cure="name the network that these weights were trained for",
        ) from None


def read(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a .safetensors, a .caffemodel or a PyTorch state dict (as such, or under 'state_dict' or 'model')."""
    if not path.is_file():
        raise ModelError(f"cannot read {path}", why="no such file", cure="check --weights")
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    if path.suffix == ".caffemodel":
        from vedette.export._caffe import read_caffemodel

        return read_caffemodel(path)
    state = read_pickle(path)
    for key in ("state_dict", "model"):
        state = state.get(key, state) if isinstance(state, dict) else state
    if not isinstance(state, dict) or not all(
        isinstance(name, str) and isinstance(value, torch.Tensor) for name, value in state.items()
    ):
        raise ModelError(
            f"{path.name} is not a state dict",
            why=f"it holds {type(state).__name__}, not tensors by name",
            cure="save model.state_dict() and give that file",
        )
    return state


def _read_safetensors(path: Path) -> dict[str, torch.Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors: dict[str, torch.Tensor] = load_file(path)
    except SafetensorError as error:
        raise ModelError(
            f"{path.name} is not a safetensors file", why=str(error), cure="copy it again"
        ) from None
    return tensors


def read_pickle(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ModelError(
            f"{path.name} is refused: it holds more than tensors",
            why=next(
                (line for line in str(error).splitlines() if "global" in line.lower()),
                "unpickling it could run code",
            ),
            cure="save model.state_dict() where the file comes from, best as .safetensors",
        ) from None
    except (RuntimeError, EOFError, ValueError, KeyError, OSError, zipfile.BadZipFile) as error:
        raise ModelError(
            f"{path.name} is not a file of PyTorch weights",
            why=next(iter(str(error).splitlines()), type(error).__name__)[:300],
            cure="copy it again",
        ) from None
