"""What the trainers share: a schedule, batches by step, averaged weights, the file that they write.

In: a trainer's numbers.  Out: a file of weights that says how it was made.  Next: ddpm.py, vae.py, gan.py, cyclegan.py.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import Progress
from safetensors.torch import save_file
from torch import nn

SEED = 1
TOLD_EVERY = 100  # steps


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long and how fast.

    Attributes:
        steps: of the optimiser.
        batch: pictures a step.
        rate: the highest learning rate, after `warm_up` steps; from there it falls along a cosine.
        least: where it ends, as a share of the highest.
        decay: of the weights, by AdamW.
    """

    steps: int
    batch: int
    rate: float
    warm_up: int = 100
    least: float = 0.02
    decay: float = 1e-3

    def rate_at(self, step: int) -> float:
        down = self.least + (1 - self.least) * 0.5 * (1 + math.cos(math.pi * step / self.steps))
        return self.rate * min(1.0, (step + 1) / self.warm_up) * down


class Averaged:
    """A network's weights, averaged over the steps of its training: the newest counts for 1 - keep.

    Source: Ho et al., Denoising Diffusion Probabilistic Models, NeurIPS 2020, appendix B.
    """

    def __init__(self, module: nn.Module, keep: float) -> None:
        self.module, self.keep, self.steps = module, keep, 0
        self.state = {name: value.detach().clone() for name, value in module.state_dict().items()}

    def update(self) -> None:
        """After a step; the first ones count for more, so that the fresh weights are soon forgotten."""
        self.steps += 1
        keep = min(self.keep, self.steps / (self.steps + 9))
        for name, value in self.module.state_dict().items():
            if value.is_floating_point():
                self.state[name].lerp_(value, 1 - keep)
            else:
                self.state[name].copy_(value)

    def restore(self) -> None:
        """The average becomes the network's weights."""
        self.module.load_state_dict(self.state)


def told(name: str, steps: int, told: Callable[[], str]) -> Iterator[int]:
    """The numbers of the steps, with a bar on a terminal and a line now and then."""
    with Progress(console=Console(stderr=True)) as progress:
        for step in progress.track(range(steps), description=name):
            yield step
            if step % TOLD_EVERY == 0 or step == steps - 1:
                progress.console.print(f"step {step} of {steps}: {told()}")


def recent(losses: Sequence[float]) -> float:
    """The mean of the last ones."""
    last = losses[-TOLD_EVERY:]
    return sum(last) / len(last)


def chosen(pictures: torch.Tensor, random: torch.Generator, count: int) -> torch.Tensor:
    """Some of the pictures, seeded."""
    return pictures[torch.randint(len(pictures), (count,), generator=random)]


def save(module: nn.Module, path: Path, schedule: object, extra: Mapping[str, str] = {}) -> None:
    """Write weights in float16, with their origin in the metadata."""
    state = {
        name: (tensor.half() if tensor.is_floating_point() else tensor).contiguous()
        for name, tensor in module.state_dict().items()
    }
    metadata = {
        "source": f"python -m vedette.export.training.{path.stem.removesuffix('_back')}",
        "licence": "Apache-2.0",
        "schedule": f"{schedule}, seed {SEED}, torch {torch.__version__}",
        "parameters": str(sum(parameter.numel() for parameter in module.parameters())),
        **extra,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(state, path, metadata)
    path.chmod(0o644)  # safetensors leaves it readable by its owner only


def command(name: str, defaults: Schedule, train: Callable[[Schedule], Mapping[str, nn.Module]]) -> None:
    """A trainer's command line: trains, and writes each network that comes of it into a folder."""
    zoo = Path(str(files("vedette").joinpath("export", "zoo")))
    parser = argparse.ArgumentParser(description=f"Train the zoo's {name}.")
    parser.add_argument("out", type=Path, nargs="?", default=zoo, help="the folder to write into (the zoo)")
    parser.add_argument("--steps", type=int, default=defaults.steps)
    parser.add_argument("--threads", type=int, default=1, help="of PyTorch; another number rounds otherwise")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    asked.out.mkdir(parents=True, exist_ok=True)  # now, not after the training
    schedule = replace(defaults, steps=asked.steps)
    began, began_cpu = time.monotonic(), time.process_time()
    for stem, module in train(schedule).items():
        save(module, asked.out / f"{stem}.safetensors", schedule)
    wall, cpu = time.monotonic() - began, time.process_time() - began_cpu
    print(f"wrote {name} into {asked.out} in {wall:.0f} s, {cpu:.0f} s of CPU")  # noqa: T201
