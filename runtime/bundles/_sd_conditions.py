"""What the denoiser of Stable Diffusion is told besides the sample: the prompt, the negative one, sizes, the guidance.

In: a Request and the text encoders.  Out: Denoiser, a network as the sampling loop wants it.
Used by stable_diffusion.py.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from vedette.runtime.bundles._generator import Progress
from vedette.runtime.bundles._graphs import Graph, Graphs
from vedette.runtime.bundles._sd_parameters import Parameters
from vedette.runtime.diffusion.guidance import embedded, rescaled
from vedette.runtime.diffusion.sampling import OnDevice
from vedette.runtime.diffusion.tokens import tokens
from vedette.runtime.frame import Array
from vedette.runtime.preprocess import Size
from vedette.runtime.request import Request

Told = Mapping[str, Array]  # inputs of the denoiser by name, [1, …]


def is_guided(parameters: Parameters, guidance: float | None) -> bool:
    """Whether the denoiser runs without the prompt as well: not if it is told the guidance, or that makes no difference."""
    return not parameters.guidance_embedding and guidance is not None and guidance > 1


def prompt_of(graphs: Graphs, parameters: Parameters, prompt: str) -> Told:
    """The states of the encoders, side by side, and the pooled text of the second where the denoiser takes it."""
    states, pooled = [], None
    for text in parameters.texts:
        ids = tokens(graphs.files[text.tokenizer], text, prompt).ids[None]
        found = graphs[text.part].finite(tokens=ids)
        states.append(found["states"])
        pooled = found.get("pooled")
    told = {"states": np.concatenate(states, axis=-1)}
    return {**told, "pooled": pooled} if parameters.time_ids and pooled is not None else told


def negative_of(graphs: Graphs, parameters: Parameters, negative: str | None, prompt: Told) -> Told:
    """The same of the negative prompt; where nobody gave one, of an empty one or zeros."""
    if negative is None and parameters.zero_empty_negative:
        return {name: np.zeros_like(array) for name, array in prompt.items()}
    return prompt_of(graphs, parameters, negative or "")


def conditions(graphs: Graphs, parameters: Parameters, request: Request, size: Size) -> list[Told]:
    """Of the prompt; before it those of the negative one where there is guidance.

    Time ids are the original size, what was cropped at the top and left, and the size that is drawn, height before width:
    here a picture that was never larger and never cropped.

    Source: Podell et al., SDXL, 2023, section 2.2.
    """
    prompt = prompt_of(graphs, parameters, request.prompt or "")
    found = [prompt]
    if is_guided(parameters, request.guidance):
        found.insert(0, negative_of(graphs, parameters, request.negative, prompt))
    width, height = size
    shared: dict[str, Array] = {}
    if parameters.time_ids:
        shared["time_ids"] = np.array([[height, width, 0, 0, height, width]], np.float32)
    if parameters.guidance_embedding:
        shared["guidance_embedding"] = embedded(request.guidance or 0.0, parameters.guidance_embedding)[None]
    return [{**told, **shared} for told in found]


@dataclass(frozen=True, slots=True)
class Guidance:
    """How much the prompt counts, and how much of the guided prediction is brought back to its spread."""

    scale: float
    rescale: float


class Denoiser:
    """The denoiser with its conditions: samples [N, c, h, w] and a timestep in, predictions out, as sampling.Network.

    With and without the prompt go through it together, without first, in arrays that are made once.

    Args:
        graph: the part.
        told: one condition, or the negative one and the prompt's.
        shape: of the samples.
        guidance: of two conditions.
        beside: float32 [N, …, h, w] or [1, …, h, w], channels behind those of the samples.
    """

    def __init__(
        self,
        graph: Graph,
        told: list[Told],
        shape: tuple[int, ...],
        guidance: Guidance,
        beside: Array | None = None,
    ) -> None:
        self._graph, self._guidance, self._plain = graph, guidance, beside is None and not guidance.rescale
        count, channels = shape[:2]
        more = 0 if beside is None else beside.shape[1]
        halves = np.empty((len(told), count, channels + more, *shape[2:]), np.float32)
        self._samples = halves[:, :, :channels]  # where the samples are written
        if beside is not None:
            halves[:, :, channels:] = beside
        self._sample = halves.reshape(-1, *halves.shape[2:])
        self._timesteps = np.empty((len(told), count), np.float32)
        self._timestep = self._timesteps.reshape(-1)
        self._feeds = {
            name: np.concatenate([np.repeat(one[name], count, axis=0) for one in told]) for name in told[0]
        }

    def __call__(self, samples: Array, timestep: float | Array) -> tuple[Array, Array | None]:
        """The prediction; and the one without the prompt, where guided_step is to weigh them. One timestep, or N."""
        self._samples[...] = samples
        self._timesteps[...] = timestep
        found = self._graph(sample=self._sample, timestep=self._timestep, **self._feeds)["prediction"]
        if len(self._samples) == 1:
            return found, None
        unconditional, prediction = found[: len(samples)], found[len(samples) :]
        if not self._guidance.rescale:
            return prediction, unconditional
        return rescaled(prediction, unconditional, self._guidance.scale, self._guidance.rescale), None

    def on_device(self, progress: Progress) -> OnDevice | None:
        """The sampling loop with it on a GPU, where nothing of it needs the host."""
        count = len(self._samples)
        shape = self._samples.shape[1:]
        return self._graph.sampling(shape, progress, told=self._feeds, halves=count) if self._plain else None
