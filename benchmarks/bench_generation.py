"""What the zoo's generators draw, judged, and how fast.   Run: python benchmarks/bench_generation.py [-n 256] [--json OUT]

Question: does an independent classifier see digits (_digit_judge.py), all ten, and none copied from what was learnt? And do
a few steps of a good sampler draw as well as DDPM's thousand?
Baseline: real digits of held-out writers, which tell what the classifier itself is worth, and how near to a training picture a
real one is. `--weights DIR` judges networks that are not in the zoo; `--clip FILE` measures how much CycleGAN's video flickers.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from _digit_judge import SURE, WEIGHTS, classified, nearest
from _flicker import flicker_of
from _machine import machine

from vedette.export.build import Options, zoo_weights
from vedette.export.bundle import export_bundle
from vedette.export.training._drawn_digits import COUNT, digits
from vedette.export.training._recipe import SEED
from vedette.runtime.frame import Array
from vedette.runtime.generation import Generator
from vedette.runtime.request import Request

RUNS = (
    ("vae", None, None), ("gan", None, None), ("ddpm", "ddpm", 1000), ("ddpm", "ddim", 50), ("ddpm", "dpmpp_2m", 20),
)  # fmt: skip
LIMITS = {"vae": 0.7, "gan": 0.7, "ddpm": 0.85}


@dataclass(frozen=True, slots=True)
class Row:
    """Of some pictures: the share that is surely a digit, how many each, distances, and how fast they were drawn."""

    of: str
    images: int
    sure: float
    digits: int  # of ten that occur among the sure ones
    least: int  # pictures of the rarest digit
    nearest_least: float
    nearest_median: float
    images_a_second: float = 0.0
    accuracy: float | None = None  # where it is known what was written


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("-n", "--count", type=int, default=256)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--precision", default="fp16", choices=("fp32", "fp16"))
    parser.add_argument("--weights", type=Path, help="a folder of NAME.safetensors")
    parser.add_argument("--clip", type=Path, help="a video for CycleGAN")
    results = Path(__file__).parent / "results" / machine() / "generation.json"
    parser.add_argument("--json", type=Path, default=results)
    asked = parser.parse_args()
    if not WEIGHTS.is_file():
        raise SystemExit(f"no {WEIGHTS}: nothing here can judge")
    rows = list(judged(asked.count, asked.seed, asked.precision, asked.weights))
    flicker = {} if asked.clip is None else flicker_of(asked.clip, asked.weights)
    for name, value in flicker.items():
        print(f"{name}: flicker {value:.3f} of the input's")
    report = {
        "question": __doc__,
        "machine": machine(),
        "rows": [asdict(row) for row in rows],
        "flicker": flicker,
    }
    asked.json.parent.mkdir(parents=True, exist_ok=True)
    asked.json.write_text(json.dumps(report, indent=1) + "\n")


def judged(count: int, seed: int, precision: str, weights: Path | None) -> Iterator[Row]:
    """A row of the real digits, then one a run; each is printed when it is known."""
    learnt, _ = digits(COUNT, seed=SEED)
    real, written = digits(1000, seed=SEED + 1, split="val")
    _, seen = classified(real)
    print(f"{'':18} images    sure  digits  rarest  nearest least median  images/s")
    yield _told(_row("real, held out", real, learnt, accuracy=float((seen == written).mean())))
    with tempfile.TemporaryDirectory() as folder:
        for name, sampler, steps in RUNS:
            bundle = Path(folder) / name
            source = weights / f"{name}.safetensors" if weights else zoo_weights(name)
            if not bundle.exists():
                export_bundle(name, bundle, weights=source, options=Options(precision=precision))
            request = Request(seed, count, sampler=sampler, steps=steps)
            pictures, seconds = drawn(bundle, request)
            of = f"{sampler} {steps}" if sampler else name
            yield _told(_row(of, pictures, learnt, images_a_second=count / seconds))


def drawn(bundle: Path, request: Request) -> tuple[Array, float]:
    """Pictures float32 [N, 32, 32], 0 to 1, as they would be stored, and the seconds that they took."""
    with closing(Generator(str(bundle))) as generator:
        began = time.monotonic()
        pictures = list(generator.draw(generator.settled(request)))
        seconds = time.monotonic() - began
    return np.stack(pictures).astype(np.float32) / np.float32(255), seconds


def _row(
    of: str, pictures: Array, learnt: Array, *, images_a_second: float = 0.0, accuracy: float | None = None
) -> Row:
    confidence, seen = classified(pictures)
    sure = confidence >= SURE
    occur, distances = np.bincount(seen[sure], minlength=10), nearest(pictures, learnt)
    return Row(
        of, len(pictures), float(sure.mean()), int((occur > 0).sum()), int(occur.min()), float(distances.min()),
        float(np.median(distances)), images_a_second, accuracy,
    )  # fmt: skip


def _told(row: Row) -> Row:
    speed = f"{row.images_a_second:9.1f}" if row.images_a_second else " " * 9
    accuracy = "" if row.accuracy is None else f"  classifier right {row.accuracy:.3f}"
    print(
        f"{row.of:18} {row.images:6} {row.sure:7.3f} {row.digits:7} {row.least:7} {row.nearest_least:14.2f}"
        f" {row.nearest_median:6.2f} {speed}{accuracy}",
        flush=True,
    )
    return row


if __name__ == "__main__":
    main()
