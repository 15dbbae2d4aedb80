"""Vedette's CPU kernels against what else does their work.   Run: python benchmarks/bench_kernels.py [--rounds 31] [--json OUT]

Question: how many CPU milliseconds does one call take, and what share of the best peer's?
Candidates of a row get the same bytes and must give the same answer before they are timed; ours runs in turn with each of the
others, A B A B, on one pinned core, one thread; medians of process CPU time. A floor reads its row's input
or writes its output once.
Peers: cv2 behind a NumPy filter; torchvision's NMS (the same greedy algorithm in C++, peer_nms.cpp, because torchvision has no
wheel for this torch) behind a torch filter, as Ultralytics does it. Our own NumPy reference is timed, but is no peer.
"""

import argparse
import statistics
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from _goal import Goal, compared, write
from _kernel_goals import kernel_goals
from _kernel_rows import ROWS, Row, Work
from _machine import pin

from vedette.kernels import native


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=31)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    pin()
    one_thread()
    made = {name: row() for name, row in ROWS.items()}
    repeats = [
        {name: measured(name, row, arguments.rounds, others=turn == 0) for name, row in made.items()}
        for turn in range(arguments.repeats)
    ]
    write(
        "kernels", __doc__, [*itself(made, arguments), *kernel_goals(repeats)], arguments.json,
        kernels=native.describe(), cpu_ms=repeats[0],
    )  # fmt: skip


def one_thread() -> None:
    """Pools of other libraries would spin on our core, and be counted."""
    import cv2
    import torch

    cv2.setNumThreads(1)
    torch.set_num_threads(1)


def measured(name: str, row: Row, rounds: int, *, others: bool = True) -> dict[str, dict[str, float]]:
    """Median CPU milliseconds of every peer and of ours in turn with it, A B A B, printed with their ratio.

    Args:
        name: of the row.
        row: what to run.
        rounds: how often.
        others: our own NumPy reference too, and whether all find the same.
    """
    expected = row.ours() if others else None
    reference = {"NumPy reference": row.reference} if others else {}
    print(name)
    found = {}
    for peer, work in {**row.peers, **reference, "floor": row.floor}.items():
        if peer != "floor" and expected is not None:
            np.testing.assert_allclose(
                work(), expected, rtol=0, atol=row.tolerance, err_msg=f"{name}: {peer}"
            )
        theirs, ours = alternated(work, row.ours, rounds if peer in row.peers else 9)
        found[peer] = {"peer": theirs, "vedette": ours, "ratio": round(ours / theirs, 4)}
        print(f"  {peer:32} {theirs:9.3f} ms, vedette {ours:7.3f} ms: {ours / theirs:7.3f} x")
    return found


def itself(made: Mapping[str, Row], arguments: argparse.Namespace) -> list[Goal]:
    """One kernel as its own peer."""
    work = made["letterbox 1920x1080 to 640"].ours
    pairs = [alternated(work, work, arguments.rounds) for _ in range(arguments.repeats)]
    first, second = zip(*pairs, strict=True)
    return [compared("A/A", "letterbox 1920x1080 to 640: itself", "itself", first, second)]


def alternated(first: Work, second: Work, rounds: int) -> tuple[float, float]:
    """Median CPU milliseconds of two candidates, run in turn; the first three rounds are not counted."""
    samples: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds + 3):
        for work, times in zip((first, second), samples, strict=True):
            start = time.process_time_ns()
            work()
            times.append((time.process_time_ns() - start) / 1e6)
    medians = [round(statistics.median(times[3:]), 4) for times in samples]
    return medians[0], medians[1]


if __name__ == "__main__":
    main()
