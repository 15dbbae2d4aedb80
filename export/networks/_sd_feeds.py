"""What the parts of a pipeline are checked with: a run of the whole, at two sizes, of which one is not square.

In: the parts, the Plan, the tokenizers, the schedule.  Out: inputs of every part, by role.  Next: ../_streamed.py.
Prompts go through the text encoders and a photo through the VAE, so that what reaches each part is as large as in use.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
import torch

from vedette.export._hollow import Upcast
from vedette.export.networks._sd_plan import Plan
from vedette.export.networks._sd_schedule import Scheduled
from vedette.export.networks._sd_words import PROMPTS, Words
from vedette.export.networks._whole import Streamed, Tensors
from vedette.export.parity import picture
from vedette.runtime.preprocess import Size

LARGEST_SIDE = 128  # pixels: what is checked there holds for larger ones, and takes a part of the time
BATCHES = (1, 2)
Feeds = dict[str, list[Tensors]]


def feeds_of(
    parts: Mapping[str, Streamed], plan: Plan, words: Mapping[str, Words], schedule: Scheduled
) -> Feeds:
    """Of every part, one for each batch."""
    feeds: Feeds = {role: [] for role in parts}
    for role, each in words.items():
        texts = [[PROMPTS[index % len(PROMPTS)] for index in range(batch)] for batch in BATCHES]
        feeds[role] = [(torch.tensor(each.tokens(some)),) for some in texts]
    feeds["encoder"] = [(_pictures(batch, size),) for batch, size in zip(BATCHES, sizes(plan), strict=True)]
    latents = [mean for mean, _ in _run(parts["encoder"], feeds["encoder"])]
    feeds["decoder"] = [(each,) for each in latents]
    told = [_run(parts[role], feeds[role]) for role in words]
    for index, mean in enumerate(latents):
        feeds["denoiser"].append(_step(plan, schedule, mean, [outputs[index] for outputs in told]))
    return feeds


def sizes(plan: Plan) -> tuple[Size, Size]:
    """(width, height) of a square and of a lying picture; of large networks below the bounds of engines."""
    side = max(plan.multiple, min(*plan.size, LARGEST_SIDE) // plan.multiple * plan.multiple)
    return (side, side), (side + plan.multiple, max(plan.multiple, side - plan.multiple))


def _pictures(batch: int, size: Size) -> torch.Tensor:
    """float32 [batch, 3, H, W], -1 to 1."""
    random = np.random.default_rng(0)
    rgb = [cv2.cvtColor(picture(random, size), cv2.COLOR_BGR2RGB) for _ in range(batch)]
    return torch.from_numpy(np.stack(rgb)).permute(0, 3, 1, 2).float().contiguous() / 127.5 - 1


def _run(part: Streamed, feeds: Sequence[Tensors]) -> list[Tensors]:
    """The outputs of a part's module, in float32."""
    module = part.hollow.full()
    with torch.inference_mode(), Upcast():
        outputs = [module(*tensors) for tensors in feeds]
    return [each if isinstance(each, tuple) else (each,) for each in outputs]


def _step(plan: Plan, schedule: Scheduled, latents: torch.Tensor, told: Sequence[Tensors]) -> Tensors:
    """Inputs of the denoiser: each sample at another timestep, the first at the last one, where almost all is noise."""
    count, trained = len(latents), schedule.schedule
    timesteps = np.linspace(trained.train_steps - 1, 0, count + 1)[:-1].round()
    bars = torch.from_numpy(trained.alpha_bars()[timesteps.astype(int)]).float().reshape(-1, 1, 1, 1)
    random = torch.Generator().manual_seed(0)
    noise = torch.randn(latents.shape, generator=random)
    sample = (latents - plan.shift_factor) * plan.scaling_factor * bars.sqrt() + noise * (1 - bars).sqrt()
    if plan.inpaints:
        mask = (torch.rand((count, 1, *latents.shape[2:]), generator=random) > 0.5).float()
        sample = torch.cat([sample, mask, latents * plan.scaling_factor], dim=1)
    inputs = [
        sample,
        torch.from_numpy(timesteps).float(),
        torch.cat([outputs[0] for outputs in told], dim=-1),
    ]
    if plan.adds:
        height, width = (float(side * plan.factor) for side in latents.shape[2:])
        inputs += [told[-1][1], torch.tensor([[height, width, 0, 0, height, width]] * count)]
    if plan.guidance_embedding:
        inputs.append(torch.randn((count, plan.guidance_embedding), generator=random))
    return tuple(inputs)
