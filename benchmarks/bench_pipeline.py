"""What Vedette's runner adds to the network itself.   Run: python benchmarks/bench_pipeline.py [--frames 60] [--json OUT]

Question: how many CPU milliseconds a frame go to preprocessing, decoding and Python, beyond inference?
Baseline: onnxruntime.InferenceSession.run on a prepared input, same bytes, same session settings, same pinned core.
The two run in turn, A B A B; medians of process CPU time are compared. Floor beside them: a copy of the frame.
"""

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from _machine import machine, pin

from vedette import Frame, Model
from vedette.runtime.model import zoo_names
from vedette.runtime.preprocess import place, target_size

SIZE = (768, 576)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument(
        "--json", type=Path, default=Path(__file__).parent / "results" / machine() / "pipeline.json"
    )
    arguments = parser.parse_args()
    pin()
    rows = {name: measured(name, arguments.frames) for name in zoo_names()}
    for name, row in rows.items():
        print(f"{name:22}" + "  ".join(f"{key} {value:.2f}" for key, value in row.items()))
    report = {"question": __doc__, "machine": machine(), "python": platform.python_version(), "cpu_ms": rows}
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps(report, indent=1) + "\n")


def measured(name: str, frames: int) -> dict[str, float]:
    """Median CPU milliseconds a frame of the runner, of the bare session and of a copy."""
    model = Model(name)
    rng = np.random.default_rng(0)
    pictures = [Frame((rng.integers(0, 256, (SIZE[1], SIZE[0], 3), np.uint8),)) for _ in range(4)]
    spec = model.manifest.inputs[0]
    width, height = place(SIZE, target_size(spec, None), spec.resize).input_size
    runner, engine = model.runner(), model.engine
    feeds = {spec.name: rng.random((1, 3, height, width), np.float32)}
    candidates: dict[str, Callable[[int], object]] = {
        "runner": lambda index: runner.submit([pictures[index % 4]]).results(),
        "network": lambda index: engine(feeds),
        "copy": lambda index: pictures[index % 4].bgr().copy(),
    }
    samples: dict[str, list[float]] = {key: [] for key in candidates}
    for index in range(frames + 5):
        for key, work in candidates.items():
            start = time.process_time_ns()
            work(index)
            if index >= 5:
                samples[key].append((time.process_time_ns() - start) / 1e6)
    medians = {key: statistics.median(values) for key, values in samples.items()}
    return medians | {"beyond network": medians["runner"] - medians["network"]}


if __name__ == "__main__":
    main()
