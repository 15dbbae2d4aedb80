"""Stable Diffusion: a pipeline folder of diffusers as a bundle of text encoders, denoiser, decoder and encoder.

In: a folder of SD 1.x, 2.x, SDXL, Turbo, LCM or an inpainting model, in safetensors.  Out: its StreamedWhole; the inputs and
outputs of the parts are those of runtime/bundles/stable_diffusion.py.
Next: _sd_folder.py (what is taken), _sd_parts.py (the parts), _sd_feeds.py (what they are checked with), ../_streamed.py.

Source: Rombach et al., High-resolution image synthesis with latent diffusion models, CVPR 2022; Podell et al., SDXL, 2023;
Luo et al., Latent consistency models, 2023.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from vedette.export._lora import Lora, changed
from vedette.export.networks._generation import About, bundle
from vedette.export.networks._sd_feeds import feeds_of
from vedette.export.networks._sd_folder import TEXT, TEXT_2, Folder, opened
from vedette.export.networks._sd_parts import parts_of
from vedette.export.networks._sd_plan import Plan, plan_of
from vedette.export.networks._sd_schedule import Scheduled, scheduled
from vedette.export.networks._sd_words import Words, words_of
from vedette.export.networks._whole import StreamedWhole
from vedette.runtime.errors import UsageError
from vedette.runtime.preprocess import Size

STREAMED = True  # for bundle.py: weights are read one at a time, from a folder
LIBRARIES = ("diffusers", "transformers", "tokenizers")
STEPS, GUIDANCE, GUIDANCE_OF_TWO = 50, 7.5, 5.0  # of the pipelines where nobody says
STEPS_OF_LCM, GUIDANCE_OF_LCM = 4, 8.5
STEPS_OF_TURBO, GUIDANCE_OF_TURBO = 1, 0.0


def whole(weights: Path | None, imgsz: Size | None = None, loras: Sequence[Lora] = ()) -> StreamedWhole:
    """A pipeline folder.

    Args:
        weights: the folder.
        imgsz: (width, height) of pictures where nobody says; the pipeline's own if not given.
        loras: that are fused into it.

    Raises:
        ModelError: the folder is not what can be exported; what, why and what to do are said.
        UsageError: a size that does not fit, or a library that is missing.
    """
    check_libraries()
    if weights is None:
        raise UsageError(
            "no pipeline folder",
            why="stable-diffusion has no weights of its own",
            cure="vedette export stable-diffusion FOLDER -o BUNDLE",
        )
    return whole_of(weights, imgsz, loras)


def check_libraries() -> None:
    """Raise UsageError where a library that reads pipelines is missing."""
    from importlib.util import find_spec

    missing = [name for name in LIBRARIES if not find_spec(name)]
    if missing:
        raise UsageError(
            f"exporting Stable Diffusion needs {', '.join(missing)}",
            why="its components are made by the libraries that they are published for; running them afterwards needs neither",
            cure="pip install 'vedette[train]'",
        )


def whole_of(
    path: Path,
    imgsz: Size | None,
    loras: Sequence[Lora] = (),
    *,
    name: str = "",
    defaults: Mapping[str, Any] = MappingProxyType({}),
    about: About | None = None,
) -> StreamedWhole:
    """The same with what its own network's file says.

    Args:
        path: the folder.
        imgsz: (width, height) of pictures where nobody says.
        loras: that are fused into it.
        name: of the bundle; the folder's if there is none.
        defaults: sampler, steps and guidance in place of those of such pipelines.
        about: licence, provenance and accuracy.
    """
    folder = opened(path)
    schedule = scheduled(folder.scheduler, folder.kind)
    folder = _with(folder, loras) if loras else folder
    plan = plan_of(folder, imgsz)
    words = {role: _words(folder, role) for role in (TEXT, TEXT_2) if role in folder.components}
    parameters = (
        _parameters(folder, plan, words) | dict(schedule.parameters) | _defaults(folder, plan, schedule)
    )
    about = about or About(provenance=f"weights of {folder.name}")
    name = name or folder.name
    whole = bundle("stable_diffusion", parameters | dict(defaults), about)
    parts = parts_of(folder, plan, {role: each.length for role, each in words.items()}, name, about)
    files = {_file(role): each.file for role, each in words.items()}
    notes = (schedule.note,) if schedule.note and "sampler" not in defaults else ()
    return StreamedWhole(
        replace(whole, name=name), parts, lambda: feeds_of(parts, plan, words, schedule), files, notes
    )


def _with(folder: Folder, loras: Sequence[Lora]) -> Folder:
    """The same with LoRAs put in."""
    weights = {name: each.weights for name, each in folder.components.items() if name != "vae"}
    made = changed(weights, loras, int(folder.components["unet"].config.get("layers_per_block", 2)))
    components = {
        name: replace(each, weights=made.get(name, each.weights)) for name, each in folder.components.items()
    }
    return replace(folder, components=components)


def _words(folder: Folder, role: str) -> Words:
    positions = int(folder.components[role].asked("max_position_embeddings"))
    return words_of(folder.path / role.replace(TEXT, "tokenizer"), positions)


def _file(role: str) -> str:
    return f"{role.replace(TEXT, 'tokenizer')}.json"


def _parameters(folder: Folder, plan: Plan, words: Mapping[str, Words]) -> dict[str, Any]:
    """What the folder says of itself, by the names of the bundle's Parameters."""
    texts = [
        {"tokenizer": _file(role), "part": role, "length": each.length, "begin": each.begin, "end": each.end, "pad": each.pad}
        for role, each in words.items()
    ]  # fmt: skip
    return {
        "channels": 3, "latent_channels": plan.latents, "factor": plan.factor, "scaling_factor": plan.scaling_factor,
        "shift_factor": plan.shift_factor, "size": list(plan.size), "multiple": plan.multiple,
        "smallest": list(plan.smallest), "largest": list(plan.largest), "texts": texts,
        "zero_empty_negative": bool(folder.index.get("force_zeros_for_empty_prompt", folder.two)) and folder.two,
        "time_ids": plan.adds, "guidance_embedding": plan.guidance_embedding, "inpaints": plan.inpaints,
        "guidance_rescale": 0.0, "black": -1.0, "white": 1.0,
    }  # fmt: skip


def _defaults(folder: Folder, plan: Plan, schedule: Scheduled) -> dict[str, Any]:
    """Steps and guidance where nobody says."""
    if plan.guidance_embedding or folder.latent_consistency or schedule.sampler == "lcm":
        return {"steps": STEPS_OF_LCM, "guidance": GUIDANCE_OF_LCM}
    if schedule.few_steps:
        return {"steps": STEPS_OF_TURBO, "guidance": GUIDANCE_OF_TURBO}
    return {"steps": STEPS, "guidance": GUIDANCE_OF_TWO if folder.two else GUIDANCE}
