"""A pipeline of diffusers beside the bundle that was made of it, fed the same noise; and how alike pictures are.

In: a kind of diffusers_folders.py.  Out: Both.  Used by the tests of Stable Diffusion; a fixture of theirs keeps them.
"""

from __future__ import annotations

import contextlib
import importlib
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import diffusers_folders as folders
import numpy as np
import pytest
from numpy.typing import NDArray

from vedette.runtime import bundle as bundles
from vedette.runtime.diffusion.sampling import Noise
from vedette.runtime.generation import NOTHING, Generator
from vedette.runtime.request import Images, Request

Array = NDArray[Any]
SEED, COUNT = 11, 3
PROMPT, NEGATIVE = "the seven in two", "a thick seven"
LEAST_DB = 65.0  # the same pictures but for rounding; other prompts, noise or guidance are below
SIZES = {"sd1": ((64, 64), (96, 64))}  # its latents are 8 pixels wide, the others' 2
SMALL = ((32, 32), (48, 32))
SAME_NETWORK = {"sd_turbo": "sd2", "sdxl_turbo": "sdxl"}


@dataclass(frozen=True)
class Both:
    """A folder as a pipeline, and its bundle as a generator."""

    pipeline: Any
    generator: Generator
    bundle: Path

    def other(self, name: str) -> Any:
        """Another pipeline of the same parts."""
        none = {} if "XL" in name else {"safety_checker": None, "requires_safety_checker": False}
        parts = {
            **self.pipeline.components,
            "image_encoder": None,
            "feature_extractor": None,
            **none,
        }
        made = getattr(folders.diffusers(), name)(**parts)
        made.set_progress_bar_config(disable=True)
        return made


def both_of(place: Path, kind: str, same: Path | None = None) -> Both:
    """Made in a folder.

    Args:
        place: where a folder `kind` and a bundle `kind`-bundle are written.
        kind: of diffusers_folders.KINDS.
        same: a bundle of the same weights, which saves tracing them.
    """
    from vedette.export.bundle import export_bundle

    folder, bundle = folders.saved(place / kind, kind), place / f"{kind}-bundle"
    if same:
        rescheduled(same, folder, bundle)
    else:
        export_bundle("stable-diffusion", bundle, weights=folder)
    pipeline = folders.diffusers().DiffusionPipeline.from_pretrained(folder, local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)
    return Both(pipeline, Generator(str(bundle)), bundle)


def rescheduled(bundle: Path, folder: Path, out: Path) -> None:
    """A bundle with the scheduler of another folder that has the same weights, which saves tracing them."""
    from vedette.export.networks.stable_diffusion import whole_of

    shutil.copytree(bundle, out)
    whole = bundles.load(out).bundle
    bundles.save(replace(whole, parameters=whole_of(folder, None).bundle.parameters), out)


def sizes_of(kind: str) -> tuple[tuple[int, int], ...]:
    return SIZES.get(kind, SMALL)


def drawn(generator: Generator, request: Request, images: Images = NOTHING, **options: Any) -> Array:
    """uint8 [n, H, W, 3] BGR."""
    return np.stack(list(generator.draw(generator.settled(request, images), images, **options)))


def psnr(one: Array, other: Array) -> float:
    error = float(np.mean((one.astype(np.float64) - other) ** 2))
    return 10 * np.log10(255**2 / error) if error else np.inf


def worst(ours: Array, theirs: Sequence[Array]) -> float:
    """Of the images, each alone; theirs are RGB, 0 to 1."""
    assert len(ours) == len(theirs)
    return min(psnr(one, np.round(other[..., ::-1] * 255)) for one, other in zip(ours, theirs, strict=True))


@contextlib.contextmanager
def same_noise(monkeypatch: pytest.MonkeyPatch, count: int = COUNT) -> Iterator[Noise]:
    """What diffusers draws comes from our generators, in the order in which it is asked for."""
    noise, torch = Noise(range(SEED, SEED + count)), importlib.import_module("torch")

    def drawn(shape: Any, **_: Any) -> Any:
        assert shape[0] == count
        return torch.from_numpy(noise(tuple(shape)[1:]))

    with monkeypatch.context() as patch:
        for name, module in list(sys.modules.items()):
            if name.startswith("diffusers.") and "randn_tensor" in vars(module):
                patch.setattr(module, "randn_tensor", drawn)
        yield noise


def picture(size: tuple[int, int], seed: int = 0) -> Array:
    """Some bright shapes, uint8 [H, W, 3] BGR."""
    import cv2

    small = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), np.uint8)
    return np.asarray(cv2.resize(small, size, interpolation=cv2.INTER_CUBIC))


def half(size: tuple[int, int]) -> Array:
    """A mask whose border lies on a latent's."""
    mask = np.zeros((size[1], size[0], 3), np.uint8)
    mask[:, : size[0] // 2] = 255
    return mask


def pil(image: Array) -> Any:
    from PIL import Image

    return Image.fromarray(np.ascontiguousarray(image[..., ::-1]))
