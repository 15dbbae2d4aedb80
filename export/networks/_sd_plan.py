"""The numbers of a pipeline that its parts share: channels, sizes, and what its U-Net takes besides.

In: a Folder, and the size that is asked for.  Out: Plan.  Next: _sd_parts.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vedette.export.networks._sd_folder import TEXT_2, Component, Folder
from vedette.runtime.errors import ModelError, UsageError
from vedette.runtime.preprocess import Size

SCALING_FACTOR = 0.18215  # of a VAE that does not say, as in diffusers
SAMPLE_SIZE = 64  # latents a side, where the U-Net does not say
SMALL_PICTURE = 128  # pixels a side, up to which many are drawn at once
BATCHES_OF_SMALL, BATCHES = (1, 32, 128), (1, 2, 8)  # smallest, typical, largest; guidance doubles a batch
PLAIN: Mapping[str, tuple[Any, ...]] = {
    "class_embed_type": (None,),
    "num_class_embeds": (None,),
    "encoder_hid_dim": (None,),
    "encoder_hid_dim_type": (None,),
    "addition_embed_type": (None, "text_time"),
    "attention_type": ("default",),
    "class_embeddings_concat": (False,),
    "center_input_sample": (False,),
}


@dataclass(frozen=True, slots=True)
class Plan:
    """Numbers that the parts share. Sizes are (width, height) in pixels.

    Attributes:
        latents: channels of the VAE's.
        inpaints: the U-Net takes a mask and a masked picture's latents, too.
        adds: the U-Net takes a pooled text and time ids (SDXL).
        pooled: numbers of that pooled text.
        states: numbers of a word, of all text encoders together.
        guidance_embedding: numbers that the U-Net is told the guidance in, or 0.
    """

    latents: int
    factor: int
    multiple: int
    size: Size
    smallest: Size
    largest: Size
    scaling_factor: float
    shift_factor: float
    inpaints: bool
    adds: bool
    pooled: int
    states: int
    guidance_embedding: int

    @property
    def channels(self) -> int:
        """That the U-Net takes."""
        return 2 * self.latents + 1 if self.inpaints else self.latents

    @property
    def batches(self) -> tuple[int, int, int]:
        return BATCHES_OF_SMALL if max(self.size) <= SMALL_PICTURE else BATCHES


def plan_of(folder: Folder, imgsz: Size | None) -> Plan:
    """Read a pipeline's numbers.

    Raises:
        ModelError: a key is missing, or says what cannot be exported.
        UsageError: a size that the U-Net cannot halve as often as it does.
    """
    unet, vae = folder.components["unet"], folder.components["vae"]
    _check_plain(unet)
    latents = int(vae.asked("latent_channels"))
    factor = 2 ** (len(vae.asked("block_out_channels")) - 1)
    multiple = factor * 2 ** (len(unet.asked("block_out_channels")) - 1)
    given = int(unet.asked("in_channels"))
    if given not in (latents, 2 * latents + 1) or unet.asked("out_channels") != latents:
        raise ModelError(
            f"the U-Net takes {given} channels",
            why=f"{latents} or, for inpainting, {2 * latents + 1} are known",
            cure="export a text-to-image or an inpainting pipeline",
        )
    if int(vae.config.get("in_channels", 3)) != 3 or int(vae.config.get("out_channels", 3)) != 3:
        raise ModelError(
            "the VAE's pictures are not of three channels",
            why="only those can be drawn",
            cure="export another pipeline",
        )
    size = imgsz or _own_size(unet, factor, multiple)
    smallest, largest = _bounds(size, multiple)
    adds = unet.config.get("addition_embed_type") == "text_time"
    if adds != folder.two:
        raise ModelError(
            "the U-Net does not fit its text encoders",
            why=f"it has {'' if adds else 'no '}time ids",
            cure="copy the folder again",
        )
    scaling, shift = (
        vae.config.get(key) or other
        for key, other in (("scaling_factor", SCALING_FACTOR), ("shift_factor", 0))
    )
    return Plan(
        latents, factor, multiple, size, smallest, largest, float(scaling), float(shift),
        given != latents, adds, int(folder.components[TEXT_2].asked("projection_dim")) if adds else 0,
        int(unet.asked("cross_attention_dim")), int(unet.config.get("time_cond_proj_dim") or 0),
    )  # fmt: skip


def _check_plain(unet: Component) -> None:
    for key, known in PLAIN.items():
        if key in unet.config and unet.config[key] not in known:
            raise ModelError(
                f"unet/config.json has {key} {str(unet.config[key])[:60]!r}",
                why=f"only {' or '.join(map(str, known))} can be exported",
                cure="export a pipeline of Stable Diffusion 1, 2 or XL",
            )


def _own_size(unet: Component, factor: int, multiple: int) -> Size:
    """(width, height), rounded to what the U-Net can halve."""
    sample = unet.config.get("sample_size") or SAMPLE_SIZE
    height, width = sample if isinstance(sample, list) else (sample, sample)
    return tuple(max(multiple, int(side) * factor // multiple * multiple) for side in (width, height))  # type: ignore[return-value]


def _bounds(size: Size, multiple: int) -> tuple[Size, Size]:
    """From half of the shorter side to one and a half of the longer, so that it may stand or lie."""
    if any(side % multiple or side < multiple for side in size):
        raise UsageError(
            f"--imgsz {size[0]}x{size[1]} does not fit this pipeline",
            why=f"its U-Net halves pictures down to {multiple} pixels",
            cure=f"give multiples of {multiple}, such as "
            + "x".join(str(max(1, round(side / multiple)) * multiple) for side in size),
        )
    least = max(1, -(-min(size) // (2 * multiple))) * multiple
    most = max(*size, max(size) * 3 // 2 // multiple * multiple)
    return (least, least), (most, most)
