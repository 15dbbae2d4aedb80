"""The same feeds through PyTorch in float32 and through the exported graph: how far apart are the outputs?"""

from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from typing import Any

import numpy as np
import torch
from torch import nn

from vedette.runtime.backends.onnxruntime_ import OrtEngine
from vedette.runtime.errors import ModelError
from vedette.runtime.frame import Array
from vedette.runtime.manifest import Input, Manifest, Parity
from vedette.runtime.preprocess import fill, place

NOT_FINITE = 1e30  # stands for NaN and infinity, which JSON cannot hold
LIMITS = {"fp32": 1e-4, "fp16": 5e-2}  # of the largest reference value; in fp32 of 1 at least


def parity_of(module: nn.Module, model: bytes, card: Manifest, *, images: int = 3) -> tuple[Parity, ...]:
    """Compare a float32 module with its exported graph on seeded pictures.

    Returns:
        One row an output.

    Raises:
        ModelError: the difference is above LIMITS for the card's precision, or not finite.
    """
    engine = OrtEngine(model, name=card.name)
    pairs: dict[str, list[tuple[Array, Array]]] = {output.name: [] for output in card.outputs}
    for feeds in _feeds(card, images):
        expected, found = _torch_outputs(module, card, feeds), engine(feeds)
        for name, rows in pairs.items():
            rows.append((expected[name], found[name]))
    engine.close()
    report = tuple(row_of(name, rows) for name, rows in pairs.items())
    refuse_what_differs(card, report)
    return report


def _feeds(card: Manifest, images: int) -> Iterator[dict[str, Array]]:
    rng = np.random.default_rng(0)
    for index in range(images):
        batch = min(1 + index % 2, card.inputs[0].bounds()[2][0])
        yield {spec.name: _input(rng, spec, batch) for spec in card.inputs}


def _input(rng: np.random.Generator, spec: Input, batch: int) -> Array:
    """Pictures through the model's own preprocessing; unit noise where it takes no pictures."""
    shape = (batch, *spec.bounds()[1][1:])
    if spec.pixel_format == "none":
        return rng.standard_normal(shape).astype(spec.dtype)
    buffer = np.empty(shape, spec.dtype)
    size = (shape[3], shape[2])
    for chw in buffer:
        fill(chw, picture(rng, size), spec, place(size, size, spec.resize))
    return buffer


def picture(rng: np.random.Generator, size: tuple[int, int]) -> Array:
    """A uint8 [h, w, 3] BGR picture: a photo of a person, under noise that is new each time.

    The photo is NASA's portrait of Eileen Collins, in the public domain.
    """
    import cv2

    photo: Any = cv2.imread(str(files("vedette").joinpath("export", "astronaut.jpg")))
    noise = rng.normal(0, 8, (size[1], size[0], 3))
    seen: Array = np.clip(cv2.resize(photo, size) + noise, 0, 255).astype(np.uint8)
    return seen


def _torch_outputs(module: nn.Module, card: Manifest, feeds: Mapping[str, Array]) -> dict[str, Array]:
    with torch.inference_mode():
        outputs = module(*(torch.from_numpy(feeds[spec.name]) for spec in card.inputs))
    tensors = [outputs] if isinstance(outputs, torch.Tensor) else outputs
    if len(tensors) != len(card.outputs):
        raise ModelError(f"{card.name} has {len(tensors)} outputs", why=f"its card names {len(card.outputs)}")
    for spec, tensor in zip(card.outputs, tensors, strict=True):
        if len(spec.shape) != tensor.ndim or any(
            s not in (-1, g) for s, g in zip(spec.shape, tensor.shape, strict=True)
        ):
            raise ModelError(
                f"output {spec.name} of {card.name} has the shape {list(tensor.shape)}",
                why=f"its card says {list(spec.shape)}",
                cure="correct the card",
            )
    return {spec.name: tensor.numpy() for spec, tensor in zip(card.outputs, tensors, strict=True)}


def row_of(name: str, pairs: Sequence[tuple[Array, Array]]) -> Parity:
    gaps = np.concatenate([np.abs(expected - found).ravel() for expected, found in pairs])
    scale = max(float(np.abs(expected).max(initial=0)) for expected, _ in pairs)
    if not np.isfinite(gaps).all():
        return Parity(name, NOT_FINITE, NOT_FINITE, 0.0, len(pairs))
    return Parity(
        name, float(gaps.max(initial=0)), float(gaps.mean()) if gaps.size else 0.0, scale, len(pairs)
    )


def refuse_what_differs(card: Manifest, report: Sequence[Parity]) -> None:
    limit = LIMITS.get(card.precision, LIMITS["fp16"])
    for row in report:
        allowed = limit * max(row.scale, 1.0 if card.precision == "fp32" else 1e-3)
        if row.max_abs > allowed:
            raise ModelError(
                f"the exported {card.name} does not compute what PyTorch does",
                why=f"{row.output} differs by {row.max_abs:.2g}, allowed is {allowed:.2g} ({card.precision})",
                cure="export in fp32"
                if card.precision != "fp32"
                else "report this network: its export is wrong",
            )
