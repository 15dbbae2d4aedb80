"""The parts of Stable Diffusion with the inputs and outputs that the runtime has, around the networks of the libraries.

In: the libraries' modules.  Out: nn.Modules that take and return tensors alone.  Next: stable_diffusion.py.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

UNSEEN = (
    -10000.0
)  # added to what a word must not look at; its exponential is 0 even in float16, which has no -1e38
LOG_VARIANCE = (-30.0, 20.0)  # where a VAE's are clipped


class TextEncoder(nn.Module):
    """CLIP's text encoder. In: tokens int64 [N, L]. Out: what the U-Net sees of each word, [N, L, D].

    Args:
        model: CLIPTextModel, or the text_model of CLIPTextModelWithProjection.
        length: L.
        whole: return the last layer's states after the final norm; else those before the last layer (SDXL).
        projection: from the state of the end to a pooled vector of [N, P], a second output.
    """

    def __init__(self, model: Any, length: int, *, whole: bool, projection: nn.Module | None = None) -> None:
        super().__init__()
        self.model, self.whole, self.projection = _inner(model), whole, projection
        self.last = Last(model.config.eos_token_id)
        seen = torch.full((length, length), UNSEEN).triu(1)
        self.register_buffer("mask", seen[None, None], persistent=False)

    def forward(self, tokens: torch.Tensor) -> Any:
        states = self.model.embeddings(tokens)
        *layers, last = self.model.encoder.layers
        for layer in layers:
            states = _first(layer(states, self.mask))
        if not (self.whole or self.projection):
            return states
        normed = self.model.final_layer_norm(_first(last(states, self.mask)))
        states = normed if self.whole else states
        if self.projection is None:
            return states
        return states, self.projection(normed[torch.arange(tokens.shape[0]), self.last(tokens)])


class Last(nn.Module):
    """Where a text ends: the first of its end tokens. Old configurations call that 2 and mean the largest number.

    It must compute in float32, which holds every token's number; float16 does not.
    """

    def __init__(self, end: int) -> None:
        super().__init__()
        self.end = end

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        marks = tokens.float() if self.end == 2 else (tokens == self.end).float()
        return marks.argmax(dim=-1)


def _inner(model: Any) -> Any:
    """The module with embeddings and layers, which releases of transformers have at different depths."""
    return getattr(model, "text_model", model)


def _first(outputs: Any) -> Any:
    return outputs[0] if isinstance(outputs, tuple) else outputs


class Denoiser(nn.Module):
    """The U-Net. In: sample, timestep, states; then pooled and time_ids (SDXL); then guidance_embedding (LCM)."""

    def __init__(self, unet: nn.Module, *, adds: bool, embeds_guidance: bool) -> None:
        super().__init__()
        self.unet, self.adds, self.embeds_guidance = unet, adds, embeds_guidance

    def forward(
        self, sample: torch.Tensor, timestep: torch.Tensor, states: torch.Tensor, *more: torch.Tensor
    ) -> Any:
        options: dict[str, Any] = {}
        if self.adds:
            options["added_cond_kwargs"] = {"text_embeds": more[0], "time_ids": more[1]}
        if self.embeds_guidance:
            options["timestep_cond"] = more[-1]
        return self.unet(sample, timestep, states, return_dict=False, **options)[0]


class Decoder(nn.Module):
    """The VAE's decoder: latents to pictures."""

    def __init__(self, vae: Any) -> None:
        super().__init__()
        self.quant, self.decoder = vae.post_quant_conv or nn.Identity(), vae.decoder

    def forward(self, latents: torch.Tensor) -> Any:
        return self.decoder(self.quant(latents))


class Encoder(nn.Module):
    """The VAE's encoder: pictures to the mean and the logarithm of the variance of latents."""

    def __init__(self, vae: Any) -> None:
        super().__init__()
        self.quant, self.encoder = vae.quant_conv or nn.Identity(), vae.encoder

    def forward(self, images: torch.Tensor) -> Any:
        mean, log_variance = self.quant(self.encoder(images)).chunk(2, dim=1)
        return mean, log_variance.clamp(*LOG_VARIANCE)
