"""A pipeline folder of diffusers, checked before anything in it is loaded: which components, of which classes, how configured.

In: a folder with model_index.json.  Out: Folder, whose components have their configuration and weights by name.
Only classes that are named here are made, from JSON and safetensors alone: nothing in the folder is run, nothing is fetched.
Next: stable_diffusion.py, _sd_modules.py.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vedette.export._hollow import Weights
from vedette.export.networks._sd_weights import weights_of
from vedette.runtime.errors import ModelError

INDEX = "model_index.json"
TEXT, TEXT_2 = "text_encoder", "text_encoder_2"
ONE = {"unet": "UNet2DConditionModel", "vae": "AutoencoderKL", TEXT: "CLIPTextModel"}
TWO = {**ONE, TEXT_2: "CLIPTextModelWithProjection"}
PIPELINES = {
    "StableDiffusionPipeline": ONE,
    "StableDiffusionImg2ImgPipeline": ONE,
    "StableDiffusionInpaintPipeline": ONE,
    "LatentConsistencyModelPipeline": ONE,
    "LatentConsistencyModelImg2ImgPipeline": ONE,
    "StableDiffusionXLPipeline": TWO,
    "StableDiffusionXLImg2ImgPipeline": TWO,
    "StableDiffusionXLInpaintPipeline": TWO,
}
TOKENIZERS = {"CLIPTokenizer", "CLIPTokenizerFast"}
COPY = "copy the folder again, whole, as it was published"


@dataclass(frozen=True, slots=True, eq=False)
class Component:
    """A network of a pipeline."""

    name: str
    config: Mapping[str, Any]
    weights: Weights
    digest: str  # of the files of its weights

    def asked(self, key: str) -> Any:
        """A key of the configuration that there is no sense in guessing.

        Raises:
            ModelError: it is not there.
        """
        if key not in self.config:
            raise ModelError(
                f"{self.name}/config.json has no {key}",
                why="the network cannot be made without it",
                cure=COPY,
            )
        return self.config[key]


@dataclass(frozen=True, slots=True, eq=False)
class Folder:
    """A pipeline that was checked."""

    path: Path
    kind: str  # the class of the pipeline
    index: Mapping[str, Any]
    scheduler: Mapping[str, Any]
    components: Mapping[str, Component]

    @property
    def name(self) -> str:
        """Also where it was given as '.'."""
        return self.path.resolve().name

    @property
    def latent_consistency(self) -> bool:
        return self.kind.startswith("LatentConsistency")

    @property
    def two(self) -> bool:
        """Whether there are two text encoders."""
        return TEXT_2 in self.components


def opened(path: Path) -> Folder:
    """Check a folder.

    Raises:
        ModelError: it is no pipeline folder, its pipeline or a component is of a class that is not known here, something is
            missing, or weights are pickles.
    """
    if not path.is_dir():
        raise ModelError(
            f"{path} is no pipeline folder",
            why="it is one file" if path.is_file() else "no such folder",
            cure="give the folder with model_index.json; diffusers' from_single_file and save_pretrained make one of one file",
        )
    index = read(path / INDEX)
    kind = str(index.get("_class_name"))
    if kind not in PIPELINES:
        raise ModelError(
            f"{path.name or path} is a {kind}",
            why=f"the pipelines that are known are {', '.join(PIPELINES)}",
            cure="export one of those",
        )
    wanted = PIPELINES[kind]
    for name, made in wanted.items():
        _check_class(path, index, name, {made})
    for name in wanted:
        if name.startswith(TEXT):
            _check_class(path, index, name.replace(TEXT, "tokenizer"), TOKENIZERS)
    scheduler = read(path / "scheduler" / "scheduler_config.json")
    found = {name: weights_of(path / name) for name in wanted}  # refuses pickles before anything is read
    configs = {name: read(path / name / "config.json") for name in wanted}
    components = {
        name: Component(name, configs[name], weights, digest) for name, (weights, digest) in found.items()
    }
    return Folder(path, kind, index, scheduler, components)


def read(path: Path) -> dict[str, Any]:
    """A JSON object.

    Raises:
        ModelError: it is missing or something else.
    """
    where = f"{path.parent.name}/{path.name}"
    try:
        value = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise ModelError(f"{where} is missing", why="a pipeline folder has it", cure=COPY) from None
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"cannot read {where}", why=str(error)[:200], cure=COPY) from None
    if not isinstance(value, dict):
        raise ModelError(f"{where} is no JSON object", why=f"it is a {type(value).__name__}", cure=COPY)
    return value


def _check_class(path: Path, index: Mapping[str, Any], name: str, known: set[str]) -> None:
    """A component is there, and of a class whose code is in a library: a class of the folder's own is not run."""
    named = index.get(name)
    made = named[1] if isinstance(named, list) and len(named) == 2 else None
    if made is None or not (path / name).is_dir():
        raise ModelError(f"{path.name} has no {name}", why="the pipeline cannot be run without it", cure=COPY)
    if made not in known:
        raise ModelError(
            f"{name} of {path.name} is a {made}",
            why=f"only {' or '.join(sorted(known))} can be exported",
            cure="export a pipeline of Stable Diffusion's own components",
        )
