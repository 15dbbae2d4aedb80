"""What drawing costs beside the network.   Run: python benchmarks/bench_diffusion_loop.py [BUNDLE ...] [--json OUT]

Question: is what happens between the calls of the engines (guidance, the sampler, noise, checks, pixels) at most 5 % of a tiny
network's time, and at most 1 % of that of one of SD 1.5's size?
Baseline: the engine calls of the same run, on one core. A step is a call of the denoiser and what lies between it and the next;
what is done once a picture (tokens, the plan, the first noise, pixels) is told apart, and counts for the share. Medians of all
steps and runs, so that another process that takes the core now and then does not count. The row of SD 1.5's shapes has an engine
that has its answer ready; its share is of the milliseconds that --call-ms says a call of the real one takes.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from _machine import machine, pin

from vedette.runtime.bundles._graphs import Graph
from vedette.runtime.bundles._sd_conditions import Denoiser, Guidance
from vedette.runtime.diffusion.plans import Trained, plan
from vedette.runtime.diffusion.sampling import Noise, begun, sample
from vedette.runtime.diffusion.schedules import Schedule
from vedette.runtime.frame import Array
from vedette.runtime.generation import Generator
from vedette.runtime.manifest import Decoder, Input, Manifest, Output
from vedette.runtime.request import Request

TOKENS, WIDTH = 77, 768  # of SD 1.5's prompt
LATENTS = 4, 64, 64


@dataclass(frozen=True, slots=True)
class Row:
    """Milliseconds: a call of the denoiser, what lies between two, and what is done once beside all engines."""

    of: str
    images: int
    steps: int
    call_ms: float
    between_ms: float
    once_ms: float

    @property
    def share(self) -> float:
        return (self.between_ms + self.once_ms / self.steps) / self.call_ms


class Timed:
    """An engine, and when its calls began and ended."""

    def __init__(self, engine: Any) -> None:
        self._engine, self.calls = engine, list[tuple[float, float]]()
        self.on_device = None

    def __call__(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        began = time.perf_counter()
        found: dict[str, Array] = self._engine(feeds)
        self.calls.append((began, time.perf_counter()))
        return found

    @property
    def inside(self) -> float:
        return sum(end - began for began, end in self.calls)

    @property
    def between(self) -> list[float]:
        return [after[0] - before[1] for before, after in pairwise(self.calls)]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundles", nargs="*", default=["tiny-sd"])
    parser.add_argument("-n", "--count", type=int, nargs="*", default=[1, 16])
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--call-ms", type=float, default=10_000.0, help="a call of SD 1.5's denoiser")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    pin()  # before engines count the cores
    rows = [
        drawn(bundle, count, asked.steps, asked.runs) for bundle in asked.bundles for count in asked.count
    ]
    rows.append(of_sd15(asked.steps, asked.runs, asked.call_ms))
    print(f"{'':24} images steps    call ms  between ms  once ms  share")
    for row in rows:
        numbers = f"{row.call_ms:10.3f} {row.between_ms:11.3f} {row.once_ms:8.3f} {row.share:6.2%}"
        print(f"{row.of:24} {row.images:6} {row.steps:5} {numbers}")
    if asked.json:
        report = {"question": __doc__, "machine": machine(), "rows": [asdict(row) for row in rows]}
        asked.json.parent.mkdir(parents=True, exist_ok=True)
        asked.json.write_text(json.dumps(report, indent=1) + "\n")


def drawn(bundle: str, count: int, steps: int, runs: int) -> Row:
    """The whole way from a prompt to pixels."""
    with closing(Generator(bundle)) as generator:
        engines: dict[str, Any] = {
            role: Timed(graph._engine(role)) for role, graph in generator._graphs.items()
        }
        for graph in generator._graphs.values():
            graph._engine = engines.__getitem__
        settled = generator.settled(Request(0, count, "a thick seven", steps))
        list(generator.draw(settled))  # what is opened or cached at first
        found = []
        for _ in range(runs):
            for engine in engines.values():
                engine.calls.clear()
            began = time.perf_counter()
            list(generator.draw(settled))
            found.append(_run(time.perf_counter() - began, engines["denoiser"], list(engines.values())))
        return _row(generator.name, count, steps, found)


def of_sd15(steps: int, runs: int, call_ms: float) -> Row:
    """The loop alone, guided, with a network that has its answer ready."""
    answer = np.random.default_rng(0).standard_normal((2, *LATENTS), np.float32)
    takes = {"sample": LATENTS, "timestep": (), "states": (TOKENS, WIDTH)}
    inputs = tuple(
        Input(name, (-1, *sides), minimum=(1, *sides), typical=(2, *sides), maximum=(2, *sides))
        for name, sides in takes.items()
    )
    outputs = (Output("prediction", (-1, *LATENTS), role="prediction"),)
    card = Manifest("sd15", "generation", inputs, outputs, Decoder("part"))
    engine: Any = Timed(lambda feeds: {"prediction": answer})
    states = [
        {"states": answer[:1].repeat(4, 1).reshape(1, -1)[:, : TOKENS * WIDTH].reshape(1, TOKENS, WIDTH)}
    ] * 2
    run = plan("ddim", Trained(Schedule("scaled_linear", 0.00085, 0.012), "epsilon"), steps)
    found = []
    for _ in range(runs):
        noise = Noise([0])
        engine.calls.clear()
        began = time.perf_counter()
        graph = Graph("denoiser", card, lambda role: engine)
        network = Denoiser(graph, list(states), (1, *LATENTS), Guidance(7.5, 0.0))
        sample(network, begun(run, noise(LATENTS)), run.updates, noise, guidance=7.5)
        _, between, once = _run(time.perf_counter() - began, engine, [engine])
        found.append((call_ms / 1000, between, once))
    return _row("SD 1.5's shapes", 1, steps, found)


def _run(seconds: float, denoiser: Timed, engines: list[Timed]) -> tuple[float, float, float]:
    """A call, what is between two, and what is done once, of one run."""
    call = statistics.median(end - began for began, end in denoiser.calls)
    once = seconds - sum(engine.inside for engine in engines) - sum(denoiser.between)
    return call, statistics.median(denoiser.between), once


def _row(of: str, count: int, steps: int, found: list[tuple[float, float, float]]) -> Row:
    return Row(of, count, steps, *(statistics.median(column) * 1000 for column in zip(*found, strict=True)))


if __name__ == "__main__":
    main()
