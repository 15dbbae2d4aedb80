"""What tracking costs, and what it is worth.   Run: python benchmarks/bench_tracking.py [--seeds 6] [--json OUT]

Question: does a frame with 20 objects take 1 ms or less, and how much better is it than greedy matching by overlap?
Baseline: greedy matching of the same boxes with each object's last box, which it remembers as long (_crossings.greedy).
Process CPU time of Tracker.update, one pinned core, after a warm-up scene; results are made before the clock starts.
"""

import argparse
import json
import platform
import time
from pathlib import Path

import numpy as np
from _crossings import Scene, greedy, instants, judged, result_of, tracked
from _machine import machine, pin

from vedette.runtime.tracking import Tracker

DROPS = {"": "every frame", "third": "one of three dropped", "varying": "8 to 25 frames a second"}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument(
        "--json", type=Path, default=Path(__file__).parent / "results" / machine() / "tracking.json"
    )
    arguments = parser.parse_args()
    pin()
    timed(Scene(0, seconds=4))
    cost = {
        f"{objects} objects": timed(Scene(3, objects=objects, false=objects / 10))
        for objects in (5, 20, 50, 100)
    }
    for name, row in cost.items():
        print(f"{name:14}" + "  ".join(f"{key} {value:.3f}" for key, value in row.items()))
    quality = {name: compared(drop, arguments.seeds) for drop, name in DROPS.items()}
    for name, row in quality.items():
        print(f"{name:24}" + "  ".join(f"{key} {value:.3f}" for key, value in row.items()))
    report = {
        "question": __doc__, "machine": machine(), "python": platform.python_version(), "numpy": np.__version__,
        "cpu_ms": cost, "quality": quality,
    }  # fmt: skip
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps(report, indent=1) + "\n")


def timed(scene: Scene) -> dict[str, float]:
    """CPU milliseconds a frame, over every frame of the scene."""
    frames = instants(scene)
    results = [result_of(frame, index) for index, frame in enumerate(frames)]
    tracker, spent = Tracker(), []
    for result in results:
        began = time.process_time_ns()
        tracker.update(result)
        spent.append((time.process_time_ns() - began) / 1e6)
    p50, p99 = np.percentile(spent, [50, 99]).tolist()
    return {"boxes": float(np.mean([len(frame.found) for frame in frames])), "p50_ms": p50, "p99_ms": p99}


def compared(drop: str, seeds: int) -> dict[str, float]:
    """Means over the scenes; the worst of IDF1 too."""
    rows = []
    for seed in range(seeds):
        frames = instants(Scene(seed, drop=drop))
        one, other = judged(frames, tracked(frames)).numbers, judged(frames, greedy(frames)).numbers
        rows.append([one["IDF1"], one["MOTA"], one["HOTA"], one["IDSW"], other["IDF1"], other["IDSW"]])
    table = np.array(rows)
    names = ("IDF1", "MOTA", "HOTA", "switches", "greedy IDF1", "greedy switches")
    means = dict(zip(names, table.mean(axis=0).tolist(), strict=True))
    return {"worst IDF1": float(table[:, 0].min()), **means}


if __name__ == "__main__":
    main()
