"""Blocks and records of known numbers."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from vedette.runtime.measuring.blocks import Block, Condition, Load
from vedette.runtime.measuring.machine import Machine
from vedette.runtime.measuring.measure import Cold, Ran
from vedette.runtime.measuring.record import Record, Row, Settings, summaries
from vedette.runtime.measuring.sketch import sketch_of
from vedette.runtime.measuring.warmup import WarmUp

MACHINE = Machine("a processor", 8, 8, 16.0, "Linux x86_64")
RAN = Ran("toy", "detection", "fp32", {"toy.onnx": "ab" * 32})
SETTINGS = Settings("synthetic:64x48@30", (64, 48), live=False, sinks=("json",))


def block(
    work_ms: Sequence[float], *, number: int = 0, start_s: float = 0.0, condition: Condition = "warm",
    delay: float = 0.0, **parts: Any,
) -> Block:  # fmt: skip
    """A block whose frames took so long, and twice as long from capture to result."""
    seconds = sum(work_ms) / 1e3
    load = Load(own=0.8 * sum(work_ms), delay=delay, others=0.0, stolen=0.0, idle=0.0, quota=None)
    ms = {"work": sketch_of(work_ms), "end_to_end": sketch_of([2 * ms for ms in work_ms])}
    made = Block(number, start_s, seconds, len(work_ms), 100.0, load, ms, condition=condition)
    return replace(made, **parts)


def blocks(
    mean_ms: float, *, seed: int, rounds: int = 3, each: int = 12, condition: Condition = "warm",
    delay_share: float = 0.0,
) -> list[Block]:  # fmt: skip
    """Of several rounds: frames around a mean that itself wanders from block to block, and from round to round."""
    rng, made = np.random.default_rng(seed), []
    for number in range(rounds):
        level, wandering = mean_ms * rng.normal(1, 0.01), 0.0
        for index in range(each):
            wandering = 0.7 * wandering + rng.normal(0, 0.02)  # blocks that follow each other are alike
            work = (level * (1 + wandering) * rng.lognormal(0, 0.05, 20)).tolist()
            delay = delay_share * 0.8 * sum(work)
            made.append(block(work, number=number, start_s=0.25 * index, condition=condition, delay=delay))
    return made


def record(found: Sequence[Block], *, backend: str = "onnxruntime", **parts: Any) -> Record:
    """Of one row."""
    row = Row(
        backend, 1, 1, 2, f"{backend} on CPU", (Cold(100.0, 200.0, 300.0, 250.0),) * 3,
        (WarmUp(0.1, 5, steady=True),) * 3, tuple(found), {"superseded": 0}, 120.0, None, summaries(found),
    )  # fmt: skip
    return replace(Record(RAN, MACHINE, SETTINGS, (row,), {"python": "3.11", "numpy": "2.0"}), **parts)
