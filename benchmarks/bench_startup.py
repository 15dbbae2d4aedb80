"""What a start costs.   Run: python benchmarks/bench_startup.py [--repeats 3] [--json OUT]

Question: how much CPU time and memory go from an empty process to the first boxes (C9)?
Baseline: the least script over onnxruntime, cv2 and numpy that does the same job: it reads the picture, letterboxes it, runs
the network, filters, suppresses and prints how many boxes there are. Ours: Model(network)(picture). Beside them
`vedette run`, Ultralytics, and numpy, cv2 and onnxruntime merely imported.
Whole processes in turn on one pinned core; user and system time and the largest resident set, as the kernel counts them.
A first round fills the disk's cache and a folder of bytecode, which an installed package brings, and is not counted.
This program itself imports nothing large: a child's largest resident set includes what it was forked from.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from _goal import Goal, compared, write
from _machine import BUILD, pin

PEERS = BUILD.with_name("peers")  # _peer_environment.py, which would import numpy
ROUNDS = 5
LIBRARIES = "import numpy, cv2, onnxruntime"
MINIMAL = """
import sys, cv2, numpy as np, onnxruntime as ort
image = cv2.imread(sys.argv[2]); height, width = image.shape[:2]; ratio = 640 / max(height, width)
small = cv2.resize(image, (round(width * ratio), round(height * ratio)))
top, left = (640 - small.shape[0]) // 2, (640 - small.shape[1]) // 2
square = np.full((640, 640, 3), 114, np.uint8); square[top:top + small.shape[0], left:left + small.shape[1]] = small
options = ort.SessionOptions(); options.intra_op_num_threads = 1
session = ort.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
feed = np.ascontiguousarray(square[..., ::-1].transpose(2, 0, 1)[None], np.float32) / 255
raw = session.run(None, {session.get_inputs()[0].name: feed})[0][0]
raw = raw[:, raw[4:].max(0) > 0.25]; scores, classes = raw[4:].max(0), raw[4:].argmax(0)
low, size = (raw[:2] - raw[2:4] / 2).T, raw[2:4].T
kept = cv2.dnn.NMSBoxesBatched(np.concatenate([low, size], 1), scores, classes, 0.25, 0.7)
print(len(kept))
"""
OURS = """
import sys
from vedette import Model
print(len(Model(sys.argv[1])(sys.argv[2])[0]))
"""
ULTRALYTICS = """
import sys
from ultralytics import YOLO
print(len(YOLO(sys.argv[1], task="detect").predict(sys.argv[2], device="cpu", verbose=False)[0].boxes))
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    pin()
    made()
    starts = commands()
    round_of(starts)
    repeats = [_medians([round_of(starts) for _ in range(ROUNDS)]) for _ in range(arguments.repeats)]
    write("startup", __doc__, rows(repeats), arguments.json)


def made() -> None:
    """The picture and a manifest for the network, by a process of their own; the network is of the peers' environment."""
    here = Path(__file__).parent
    program = (
        f"import sys; sys.path.insert(0, {str(here)!r})\n"
        "import cv2, _clip, _peer_environment, _machine\n"
        "cv2.imwrite(str(_machine.BUILD / 'street.png'), _clip.pictures(1)[0])\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
    if network().is_file() and not _adopted().is_file():
        subprocess.run(
            [sys.executable, "-m", "vedette", "adopt", str(network()), "-o", str(_adopted())],
            check=True,
            stdout=subprocess.DEVNULL,
        )


def network() -> Path:
    return PEERS / "yolov8n.onnx"


def _adopted() -> Path:
    return BUILD / "yolov8n.onnx"


def commands() -> dict[str, Sequence[str]]:
    """A process each; without the network there is nothing to compare, and only imports are measured."""
    python, picture = sys.executable, str(BUILD / "street.png")
    found: dict[str, Sequence[str]] = {"libraries": [python, "-c", LIBRARIES]}
    if not _adopted().is_file():
        return found
    adopted = str(_adopted())
    found["minimal"] = [python, "-c", MINIMAL, adopted, picture]
    found["minimal again"] = [python, "-c", MINIMAL, adopted, picture]
    found["ours"] = [python, "-c", OURS, adopted, picture]
    found["vedette run"] = [python, "-m", "vedette", "run", adopted, picture, "--json", os.devnull]
    theirs = PEERS / "env" / "bin" / "python"
    if theirs.is_file():
        found["Ultralytics"] = [str(theirs), "-c", ULTRALYTICS, str(network()), picture]
    return found


Spent = Mapping[str, tuple[float, float]]  # CPU milliseconds, MiB


def round_of(starts: Mapping[str, Sequence[str]]) -> Spent:
    """Every process once."""
    return {name: spent(command) for name, command in starts.items()}


def spent(command: Sequence[str]) -> tuple[float, float]:
    """CPU milliseconds and MiB at most of a process, its children included."""
    settings = {"YOLO_CONFIG_DIR": str(PEERS / "settings"), "YOLO_OFFLINE": "true", "OMP_NUM_THREADS": "1"}
    environment = {**os.environ, **settings, "PYTHONPYCACHEPREFIX": str(BUILD / "bytecode")}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{json.dumps(list(command))[:300]} gave {process.returncode}")
    return (usage.ru_utime + usage.ru_stime) * 1e3, usage.ru_maxrss / 1024


def _medians(rounds: Sequence[Spent]) -> Spent:
    return {
        name: (
            statistics.median(one[name][0] for one in rounds),
            statistics.median(one[name][1] for one in rounds),
        )
        for name in rounds[0]
    }


def rows(repeats: Sequence[Spent]) -> list[Goal]:
    if "ours" not in repeats[0]:
        return [Goal("C9", "empty process to boxes", "minimal script", "", None, None,
                     note="the network could not be made")]  # fmt: skip

    def of(name: str, which: int) -> list[float]:
        return [one[name][which] for one in repeats if name in one]

    found = []
    for which, unit, target in ((0, "CPU-ms", 1.15), (1, "MiB", 1.2)):
        what = "empty process to first boxes" + ("" if which == 0 else ", memory")
        minimal = of("minimal", which)
        bounds: Mapping[str, Any] = {"unit": unit}
        found += [
            compared("A/A", f"{what}: itself", "itself", minimal, of("minimal again", which), **bounds),
            compared("C9", what, "minimal script", of("ours", which), minimal, target=target, **bounds),
            compared("", f"vedette run: {what}", "minimal script", of("vedette run", which), minimal, **bounds),
            compared("", what, "libraries imported", of("ours", which), of("libraries", which), **bounds),
            compared("", what, "Ultralytics", of("ours", which), of("Ultralytics", which), **bounds,
                     note="" if of("Ultralytics", which) else "peer not installed"),
        ]  # fmt: skip
    return found


if __name__ == "__main__":
    main()
