"""The parts of a pipeline: the module and the card of each, as the runtime's bundle names them.

In: a Folder, its Plan.  Out: a Streamed by role, in the order of bundle.json.  Next: _sd_modules.py, ../_streamed.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from torch import nn

from vedette.export._hollow import Hollow, Weights
from vedette.export.networks._generation import About
from vedette.export.networks._sd_folder import TEXT, TEXT_2, Component, Folder
from vedette.export.networks._sd_modules import Decoder, Denoiser, Encoder, TextEncoder
from vedette.export.networks._sd_plan import Plan
from vedette.export.networks._sd_weights import COUNTED
from vedette.export.networks._whole import Streamed
from vedette.runtime.bundle import PART
from vedette.runtime.errors import ModelError
from vedette.runtime.manifest import Decoder as Family
from vedette.runtime.manifest import Input, Manifest, Output, Resize

TIME_IDS = 6
EXACT = ("unet/time_proj", "unet/add_time_proj")  # sines of timesteps: float16 has no room for their angles


def parts_of(
    folder: Folder, plan: Plan, lengths: Mapping[str, int], name: str, about: About
) -> dict[str, Streamed]:
    """Every part by its role.

    Args:
        folder: that was checked.
        plan: its numbers.
        lengths: tokens of a text, by text encoder.
        name: of the whole.
        about: licence, provenance and accuracy.
    """
    parts = {role: _text_encoder(folder, role, plan, length) for role, length in lengths.items()}
    unet, vae = folder.components["unet"], folder.components["vae"]
    parts |= {
        "denoiser": _denoiser(unet, plan, lengths[TEXT]),
        "decoder": _decoder(vae, plan),
        "encoder": _encoder(vae, plan),
    }
    return {
        role: replace(part, card=_told(part.card, f"{name}_{role}", about)) for role, part in parts.items()
    }


def _told(card: Manifest, name: str, about: About) -> Manifest:
    return replace(
        card, name=name, licence=about.licence, provenance=about.provenance, accuracy=about.accuracy
    )


def _part(
    component: Component,
    make: Callable[[Any], nn.Module],
    names: Callable[[str], str],
    inputs: tuple[Input, ...],
    outputs: tuple[Output, ...],
    *exact: str,
) -> Streamed:
    """A part.

    Args:
        component: whose configuration and weights it has.
        make: from the library's module to ours.
        names: from the name of a weight in the file to that in our module; "" for one that the part does not have.
        inputs: of its card.
        outputs: of its card.
        exact: submodules that stay float32.
    """
    named = ((names(name), read) for name, read in component.weights.items() if not name.endswith(COUNTED))
    weights: Weights = {name: read for name, read in named if name}
    card = Manifest("", "generation", inputs, outputs, Family(PART))
    return Streamed(Hollow(lambda: make(_library(component)), weights), card, exact, component.digest)


def _library(component: Component) -> Any:
    """The module of the library that the component's configuration makes.

    Raises:
        ModelError: the library refuses the configuration.
    """
    import diffusers
    import transformers

    config = dict(component.config)
    try:
        if component.name in {"unet", "vae"}:
            made = {"unet": diffusers.UNet2DConditionModel, "vae": diffusers.AutoencoderKL}[component.name]
            return made.from_config(config)
        second = component.name == TEXT_2
        made = transformers.CLIPTextModelWithProjection if second else transformers.CLIPTextModel
        return made(transformers.CLIPTextConfig(**config))
    except Exception as error:
        raise ModelError(
            f"{component.name}/config.json does not make a network",
            why=f"{type(error).__name__}: {str(error)[:200]}",
            cure="copy the folder again, whole",
        ) from error


def _text_encoder(folder: Folder, role: str, plan: Plan, length: int) -> Streamed:
    component = folder.components[role]
    width = int(component.asked("hidden_size"))
    second = role == TEXT_2
    outputs: tuple[Output, ...] = (Output("states", (-1, length, width), role="states"),)
    if second:
        outputs += (Output("pooled", (-1, plan.pooled), role="pooled"),)

    def make(model: Any) -> nn.Module:
        return TextEncoder(
            model, length, whole=not folder.two, projection=model.text_projection if second else None
        )

    def names(name: str) -> str:
        if name.startswith("text_projection."):
            return name.replace("text_projection.", "projection.") if second else ""
        return f"model.{name.removeprefix('text_model.')}"

    tokens = replace(_input("tokens", plan.batches, length), dtype="int64")
    return _part(component, make, names, (tokens,), outputs, "last")


def _denoiser(unet: Component, plan: Plan, length: int) -> Streamed:
    batches = plan.batches
    inputs = [
        _picture("sample", plan, plan.channels, plan.factor),
        _input("timestep", batches),
        _input("states", batches, length, plan.states),
    ]
    if plan.adds:
        inputs += [_input("pooled", batches, plan.pooled), _input("time_ids", batches, TIME_IDS)]
    if plan.guidance_embedding:
        inputs.append(_input("guidance_embedding", batches, plan.guidance_embedding))
    return _part(
        unet,
        lambda net: Denoiser(net, adds=plan.adds, embeds_guidance=bool(plan.guidance_embedding)),
        lambda name: f"unet.{name}",
        tuple(inputs),
        (Output("prediction", (-1, plan.latents, -1, -1), role="prediction"),),
        *EXACT,
    )


def _decoder(vae: Component, plan: Plan) -> Streamed:
    images = Output("images", (-1, 3, -1, -1), role="images")
    latents = _picture("latents", plan, plan.latents, plan.factor)
    return _part(vae, Decoder, _names_of("decoder", "post_quant_conv"), (latents,), (images,))


def _encoder(vae: Component, plan: Plan) -> Streamed:
    places = tuple(Output(name, (-1, plan.latents, -1, -1), role=name) for name in ("mean", "log_variance"))
    images = replace(
        _picture("images", plan, 3, 1),
        pixel_format="rgb",
        resize=Resize(pad=0.0),
        scale=1 / 127.5,
        mean=(1.0,),
    )
    return _part(vae, Encoder, _names_of("encoder", "quant_conv"), (images,), places)


def _names_of(half: str, quant: str) -> Callable[[str], str]:
    """Of a VAE's weights, those of one half."""

    def names(name: str) -> str:
        if name.startswith(f"{half}."):
            return name
        return name.replace(quant, "quant") if name.startswith(f"{quant}.") else ""

    return names


def _input(name: str, batches: tuple[int, int, int], *sides: int) -> Input:
    """An input of which only the batch is open."""
    least, typical, most = ((batch, *sides) for batch in batches)
    return Input(name, (-1, *sides), minimum=least, typical=typical, maximum=most)


def _picture(name: str, plan: Plan, channels: int, factor: int) -> Input:
    """An input of open height and width, in units of `factor` pixels."""
    bounds = [
        (batch, channels, size[1] // factor, size[0] // factor)
        for batch, size in zip(plan.batches, (plan.smallest, plan.size, plan.largest), strict=True)
    ]
    step = plan.multiple // factor
    return Input(
        name, (-1, channels, -1, -1), minimum=bounds[0], typical=bounds[1], maximum=bounds[2], multiple_of=(1, 1, step, step)
    )  # fmt: skip
