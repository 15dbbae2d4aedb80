"""What a frame allocates and copies, and whether memory grows.   Run: python benchmarks/bench_memory.py [--json OUT]

Questions (C11): does a frame, once everything is warm, allocate an array of 16 KiB or more? Is a whole picture copied? Does the
resident set grow over a hundred thousand frames?
Allocations: every malloc, calloc, realloc and memalign of 16 KiB or more in the process, whichever library calls it, counted by
_allocations.c before glibc; and tracemalloc, which sees NumPy's arrays: its peak over a frame. Copies: the bytes of
memcpy and memmove of 256 or more, as whole pictures. What FFmpeg does when a file is merely read, and ONNX Runtime when the
network merely runs, is taken off both.
Growth: pictures of 160x120 through preprocessing, decoding, NMS and the pipeline with two threads, over an engine that gives the
same output again and again; the slope of a line through the resident set after the first tenth.
"""

import argparse
import ctypes
import json
import os
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from _clip import clip, pictures
from _goal import Goal, compared, write
from _machine import BUILD, pin
from _peer_environment import NETWORK, there

from vedette import Frame, Model
from vedette.runtime.pipeline import Pipeline
from vedette.runtime.sinks.null import NullSink
from vedette.runtime.sources import Source, SourceOptions, open_source

WARM, COUNTED = 20, 40
AHEAD = 8  # frames at most that a reader is ahead of its pipeline: their packets, each of its own size, are taken off
GROWN = 100_000
SELDOM = 0.1  # a frame: less is a pool of FFmpeg's that grows once
Counted = tuple[dict[int, float], float]  # allocations a frame by their size, bytes copied a frame
SOURCE = Path(__file__).with_name("_allocations.c")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=int, default=GROWN, help="for the growth")
    parser.add_argument("--told", action="store_true", help="where every large allocation comes from")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--child", choices=sorted(CHILDREN), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    pin()
    if arguments.child:
        print(json.dumps(CHILDREN[arguments.child](arguments)))
        return
    clip()
    write(
        "memory",
        __doc__,
        [*counted(told=arguments.told), *traced(), *grown(arguments.frames)],
        arguments.json,
    )


def network() -> str:
    return str(NETWORK) if there() else "nanodet"


# ---- what the kernel and glibc see ----


def counted(*, told: bool) -> Iterator[Goal]:
    """Allocations and copies of a process with the counter before glibc."""
    try:
        library = _compiled()
    except (OSError, subprocess.CalledProcessError):
        yield Goal("C11", "allocations of 16 KiB or more a frame", "none", "a frame", None, None,
                   note="no C compiler")  # fmt: skip
        return
    for child, what in (("video", "H.264 1080p file"), ("picture", "BGR 1080p picture")):
        found = _child(child, *(["--told"] if told else []), LD_PRELOAD=str(library))
        sizes = ", ".join(f"{count:g} x {size}" for size, count in found["allocations"].items())
        yield compared(
            "C11", f"{what}: allocations >= 16 KiB", "none", [sum(found["allocations"].values())],
            unit="a frame", form="figure", target=SELDOM, note=sizes,
        )  # fmt: skip
        yield compared(
            "C11", f"{what}: copies of a whole frame", "none", [found["copies"]],
            unit="frames", form="figure", target=1.0, stretch=0.1,
        )  # fmt: skip


def _compiled() -> Path:
    library = BUILD / "allocations.so"
    library.parent.mkdir(parents=True, exist_ok=True)
    flags = ["-O2", "-shared", "-fPIC", "-fno-builtin", "-fno-tree-loop-distribute-patterns"]
    subprocess.run(["cc", *flags, str(SOURCE), "-o", str(library)], check=True)
    return library


def _child(name: str, *arguments: str, **environment: str) -> Any:
    command = [sys.executable, str(Path(__file__)), "--child", name, *arguments]
    done = subprocess.run(
        command, env={**os.environ, **environment}, check=True, stdout=subprocess.PIPE, text=True
    )
    return json.loads(done.stdout.splitlines()[-1])


class Counter:
    """The library that was loaded before glibc."""

    def __init__(self, *, told: bool) -> None:
        self._library, self._how = ctypes.CDLL(os.environ["LD_PRELOAD"]), 2 if told else 1
        for name in ("copied", "size_of", "count_of"):
            getattr(self._library, name).restype = ctypes.c_uint64

    def over(self, frames: Iterator[object], *, early: int = 0, late: int = 0) -> Counted:
        """Allocations of COUNTED frames by size, a frame, and bytes copied a frame; the first ones are not counted.

        Args:
            frames: that are made as they are asked for.
            early: allocations are counted from so many frames before WARM.
            late: and to so many after the last.
        """
        for _ in islice(frames, WARM - early):
            pass
        self._library.forget()
        self._library.watch(self._how)
        watched = sum(1 for _ in islice(frames, early + COUNTED + late))
        self._library.watch(0)
        kinds = range(self._library.kinds())
        counts = {self._library.size_of(kind): self._library.count_of(kind) / COUNTED for kind in kinds}
        return {size: count for size, count in counts.items() if size}, self._library.copied() / watched


def _video(arguments: argparse.Namespace) -> Mapping[str, Any]:
    """A file through the pipeline, less what reading it alone does, and the bare network."""
    model = Model(network())
    alone = Counter(told=False)
    reading = alone.over(_read(open_source(str(clip()), SourceOptions())), early=AHEAD, late=2 * AHEAD)
    running = alone.over(_inferred(model))
    steps = Pipeline({"cam0": open_source(str(clip()), SourceOptions())}, [model.runner()], [NullSink()])
    ours = Counter(told=arguments.told).over(steps.run())
    return _beyond(ours, [reading, running], 1920 * 1080 * 3 // 2)


def _picture(arguments: argparse.Namespace) -> Mapping[str, Any]:
    """Pictures through the Runner, less what the bare network does."""
    model = Model(network())
    running = Counter(told=False).over(_inferred(model))
    return _beyond(Counter(told=arguments.told).over(_submitted(model)), [running], 1920 * 1080 * 3)


def _beyond(ours: Counted, others: Sequence[Counted], frame: int) -> Mapping[str, Any]:
    """What only we do: by size, allocations of most frames; copies as whole frames."""
    allocations = {
        size: round(count - sum(other[0].get(size, 0) for other in others), 3)
        for size, count in ours[0].items()
    }
    copied = ours[1] - sum(other[1] for other in others)
    return {
        "allocations": {size: count for size, count in allocations.items() if count > 0},
        "copies": max(0.0, round(copied / frame, 4)),
    }


def _read(source: Source) -> Iterator[object]:
    while isinstance(frame := source.read(), Frame):
        yield frame


def _inferred(model: Model) -> Iterator[object]:
    feeds = {
        spec.name: np.zeros([abs(side) for side in spec.shape], spec.dtype) for spec in model.engine.inputs
    }
    return (model.engine(feeds) for _ in range(WARM + COUNTED))


def _submitted(model: Model) -> Iterator[object]:
    runner, images = model.runner(), pictures(4)
    for index in range(WARM + COUNTED):
        yield runner.submit([Frame((images[index % 4],))]).results()


# ---- what tracemalloc sees ----


def traced() -> Iterator[Goal]:
    """NumPy tells it of its arrays, and Python of every object."""
    found = _child("traced")
    yield compared(
        "", "BGR 1080p picture: peak over a frame, tracemalloc", "none", [found["peak"] / 1024],
        unit="KiB", form="figure",
        note="every object and array of a frame together; the rows above count single ones",
    )  # fmt: skip


def _traced(arguments: argparse.Namespace) -> Mapping[str, Any]:
    frames = _submitted(Model(network()))
    for _ in islice(frames, WARM):
        pass
    tracemalloc.start()
    peaks = []
    for _ in range(COUNTED):
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        next(frames)
        peaks.append(tracemalloc.get_traced_memory()[1] - before)
    return {"peak": max(peaks)}


# ---- growth ----


def grown(frames: int) -> Iterator[Goal]:
    found = _child("growth", "--frames", str(frames))
    yield compared(
        "C11", "growth of the resident set over 1e5 frames", "none", [found["slope"]],
        unit="MiB", form="figure", target=1.0, note=f"{frames} frames, {found['rss']:.0f} MiB",
    )  # fmt: skip


def _growth(arguments: argparse.Namespace) -> Mapping[str, Any]:
    model = Model(network())
    runner: Any = model.runner()
    runner._engine = Unchanging(model.engine)
    source = open_source(f"synthetic:160x120@25?frames={arguments.frames}", SourceOptions())
    sizes = []
    for index, _ in enumerate(Pipeline({"cam0": source}, [runner], [NullSink()]).run()):
        if index % 500 == 0:
            sizes.append(resident())
    steady = np.array(sizes[len(sizes) // 10 :])
    slope = np.polyfit(np.arange(len(steady)) * 500, steady, 1)[0] * 1e5
    return {"slope": float(slope), "rss": sizes[-1]}


class Unchanging:
    """An engine that ran once, and gives that output for ever."""

    def __init__(self, engine: Any) -> None:
        self.buffers, self._engine = engine.buffers, engine
        self._given: Any = None

    def __call__(self, feeds: Mapping[str, Any]) -> Any:
        if self._given is None:
            self._given = {name: array.copy() for name, array in self._engine(feeds).items()}
        return self._given


def resident() -> float:
    """MiB of this process in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


CHILDREN: Mapping[str, Callable[[argparse.Namespace], Mapping[str, Any]]] = {
    "video": _video,
    "picture": _picture,
    "traced": _traced,
    "growth": _growth,
}

if __name__ == "__main__":
    main()
