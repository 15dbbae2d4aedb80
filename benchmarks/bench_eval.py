"""What `vedette eval` costs beyond faster-coco-eval.   Run: python benchmarks/bench_eval.py [--images 5000] [--json OUT]

Question: how long do 5,000 pictures with 50 detections each take, from two files to all numbers, and how much memory?
Baseline: faster-coco-eval on the same files (load, loadRes, evaluate, accumulate, summarize), which gives AP and AR only; ours
adds curves, counts, the confusion matrix, causes of errors and calibration. Each run is a process of its own, in turn, A B A B;
medians of process CPU time are compared.
"""

import argparse
import json
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from _machine import machine

SIZE, CLASSES, TRUE = (640, 480), 80, 7


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--found", type=int, default=50)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument(
        "--json", type=Path, default=Path(__file__).parent / "results" / machine() / "eval.json"
    )
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measured(arguments.one[0], Path(arguments.one[1]))))
        return
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), arguments.images, arguments.found)
        rows = compared(Path(folder), arguments.runs)
    for name, row in rows.items():
        print(f"{name:18}" + "  ".join(f"{key} {value:.4g}" for key, value in row.items()))
    ratio = rows["vedette coco"]["cpu_s"] / rows["faster-coco-eval"]["cpu_s"]
    print(f"vedette / faster-coco-eval: {ratio:.2f} of the time")
    report = {
        "question": __doc__, "machine": machine(), "python": platform.python_version(), "images": arguments.images,
        "found": arguments.found, "rows": rows, "ratio": ratio,
    }  # fmt: skip
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps(report, indent=1) + "\n")


def compared(folder: Path, runs: int) -> dict[str, dict[str, float]]:
    """Medians of the runs of each."""
    samples: dict[str, list[dict[str, float]]] = {name: [] for name in WAYS}
    for _ in range(runs):
        for name, rows in samples.items():
            command = [sys.executable, __file__, "--one", name, str(folder)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            rows.append(json.loads(done.stdout.splitlines()[-1]))
    return {
        name: {key: statistics.median(row[key] for row in rows) for key in rows[0]}
        for name, rows in samples.items()
    }


def measured(name: str, folder: Path) -> dict[str, float]:
    """One run in this process."""
    wall, cpu = time.perf_counter(), time.process_time()
    average = WAYS[name](folder)
    return {
        "cpu_s": time.process_time() - cpu,
        "wall_s": time.perf_counter() - wall,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "AP": average,
    }


def theirs(folder: Path) -> float:
    library = import_module("faster_coco_eval")
    truth = library.COCO(str(folder / "truth.json"))
    evaluation = library.COCOeval_faster(truth, truth.loadRes(str(folder / "found.json")), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return float(evaluation.stats[0])


def ours(folder: Path, metric: str) -> float:
    from vedette.runtime.evaluation.coco_json import truth_from_coco
    from vedette.runtime.evaluation.detection import Options, evaluate
    from vedette.runtime.evaluation.results_json import found_from_file

    truth = truth_from_coco(folder / "truth.json")
    return evaluate(truth, found_from_file(folder / "found.json", truth), Options(metric)).numbers["AP"]


WAYS: dict[str, Callable[[Path], float]] = {
    "faster-coco-eval": theirs,
    "vedette coco": lambda folder: ours(folder, "coco"),
    "vedette voc10": lambda folder: ours(folder, "voc10"),
}


def write(folder: Path, images: int, found: int) -> None:
    """Seven true boxes a picture, of 80 classes; detections are shaken copies of them, six of ten of the right class."""
    rng = np.random.default_rng(0)
    truths: list[dict[str, Any]] = []
    results: list[dict[str, Any]] = []
    for image in range(1, images + 1):
        boxes = rng.random((TRUE, 4)) * [400, 300, 200, 150] + [0, 0, 10, 10]
        classes = rng.integers(1, CLASSES + 1, TRUE)
        for box, category in zip(boxes.round(2).tolist(), classes.tolist(), strict=True):
            row = {
                "image_id": image,
                "category_id": category,
                "bbox": box,
                "area": box[2] * box[3],
                "iscrowd": 0,
            }
            truths.append({"id": len(truths) + 1, **row})
        pick = rng.integers(0, TRUE, found)
        shaken = boxes[pick] + rng.normal(0, 8, (found, 4))
        shaken[:, 2:] = np.maximum(shaken[:, 2:], 2)
        named = np.where(rng.random(found) < 0.6, classes[pick], rng.integers(1, CLASSES + 1, found))
        columns = (named.tolist(), shaken.round(2).tolist(), rng.random(found).round(5).tolist())
        results += [
            {"image_id": image, "category_id": category, "bbox": box, "score": score}
            for category, box, score in zip(*columns, strict=True)
        ]
    names = [{"id": k, "name": f"class {k}"} for k in range(1, CLASSES + 1)]
    pictures = [
        {"id": i, "file_name": f"{i}.jpg", "width": SIZE[0], "height": SIZE[1]} for i in range(1, images + 1)
    ]
    (folder / "truth.json").write_text(
        json.dumps({"images": pictures, "annotations": truths, "categories": names})
    )
    (folder / "found.json").write_text(json.dumps(results))


if __name__ == "__main__":
    main()
