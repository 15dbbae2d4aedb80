"""What does Vedette add to the engine?   Run: python benchmarks/gpu/end_to_end.py [--json PART]

Question: is a 1080p frame's way through CudaRunner at most 50 us longer than its engine alone, in one upload, one graph launch
and one download?  Engine alone: a graph of it, events, 1,000 replays. Runner: by the CPU's clock from submit to results, one
batch at a time (latency), then two in flight (frames a second). HostRunner on the same engine, and on ONNX Runtime's CPU
engine, beside them. The engines are those of engines.py.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from clock import Clock, percentile, rounded
from step import ENGINES, Part, parser_of, zoo

from vedette.kernels.arena import Arena
from vedette.kernels.device import Device, Graph, device
from vedette.runtime.frame import Array, Frame

BATCHES, WARM_UPS, ROUNDS, ON_CPU = (1, 8), 30, 300, 8
SIZE = (1920, 1080)


def main() -> int:
    arguments = parser_of(__doc__).parse_args()
    part = Part(arguments.json)
    frames = pictures(arguments.pack / "clip" / "street.npz")
    engines = sorted(ENGINES.glob("*.engine"))
    part.save(planned=[path.stem for path in engines] or [path.stem for path in zoo(arguments.pack)])
    if arguments.dry_run:
        return 0
    if not engines:
        print(f"no engine in {ENGINES}: run the step engines first")
        return 1
    gpu = device()
    clock = Clock(gpu)
    for path in engines:
        with part.trying("rows", path.stem):
            measure(part, path, frames, clock, gpu)
    for path in zoo(arguments.pack):
        with part.trying("rows", f"{path.stem}, onnxruntime"):
            on_cpu(part, path, frames)
    clock.release()
    gpu.close()
    return int(part.failed)


def measure(part: Part, path: Path, frames: Sequence[Frame], clock: Clock, gpu: Device) -> None:
    """The batch sizes of one engine, each by CudaRunner and by HostRunner."""
    from vedette.runtime.model import Model
    from vedette.runtime.runner import HostRunner, Recipe

    model = Model(path)
    runner: Any = model.runner()
    for batch in (size for size in BATCHES if size <= runner.max_batch):
        name = f"{path.stem}, CudaRunner, batch {batch}"
        alone = engine_alone(model, clock, gpu, batch)
        found = run(runner, frames, batch, ROUNDS)
        found |= {f"engine_{key}": alone[key] for key in ("median_us", "p99_us")}
        found["overhead_us"] = rounded(found["median_ms"] * 1e3 - alone["median_us"])
        part.row("rows", name, **found, **counts(runner, frames, batch, gpu))
    host = HostRunner(Recipe(model.manifest), model.engine)
    part.row("rows", f"{path.stem}, HostRunner, batch 1", **run(host, frames, 1, ROUNDS // 3))
    model.close()


def on_cpu(part: Part, path: Path, frames: Sequence[Frame]) -> None:
    from vedette.runtime.model import Model

    model = Model(path, backend="onnxruntime")
    runner = model.runner()
    part.row("rows", f"{path.stem}, onnxruntime, batch 1", **run(runner, frames, 1, ON_CPU, warm_ups=2))
    model.close()


def engine_alone(model: Any, clock: Clock, gpu: Device, batch: int) -> dict[str, Any]:
    """Its times in a graph of its own, on drawn input."""
    from vedette.runtime.preprocess import place, target_size

    spec = model.manifest.inputs[0]
    width, height = place(SIZE, target_size(spec, None), spec.resize).input_size
    shape = batch, 3, height, width

    def captured() -> tuple[Graph, Callable[[], None]]:
        session = model.engine.on_device.session({spec.name: shape})
        inside = Arena(gpu, {spec.name: (shape, np.dtype(spec.dtype))}, mirrored=True)
        outside = Arena(gpu, session.outputs)
        session.bind({**inside.at, **outside.at})
        inside.host[spec.name][:] = np.random.default_rng(0).random(shape, np.float32)
        inside.upload()
        session.enqueue()
        gpu.synchronize()
        graph = gpu.graph(session.enqueue)

        def release() -> None:
            graph.free()
            session.close()
            inside.release()
            outside.release()

        return graph, release

    graph, release = gpu.call(captured)
    times = clock.timed([graph.launch])
    gpu.call(release)
    return times


def run(
    runner: Any, frames: Sequence[Frame], batch: int, rounds: int, *, warm_ups: int = WARM_UPS
) -> dict[str, Any]:
    """Latency of one batch at a time, then the rate with as many in flight as the runner takes."""
    batches = [frames[start : start + batch] for start in range(0, len(frames) - batch + 1, batch)]
    for turn in range(warm_ups):
        runner.submit(batches[turn % len(batches)]).results()
    times, detections = [], 0
    for turn in range(rounds):
        start = time.perf_counter_ns()
        results = runner.submit(batches[turn % len(batches)]).results()
        times.append((time.perf_counter_ns() - start) / 1e6)
        detections += sum(len(result) for result in results)
    return {
        "median_ms": rounded(statistics.median(times)),
        "p99_ms": rounded(percentile(times, 0.99)),
        "frames_per_s": rounded(batch * rounds / in_flight(runner, batches, rounds)),
        "batches": rounds,
        "detections": detections,
    }


def in_flight(runner: Any, batches: Sequence[Sequence[Frame]], rounds: int) -> float:
    """Seconds for so many batches."""
    pending: list[Any] = []
    start = time.perf_counter()
    for turn in range(rounds):
        pending.append(runner.submit(batches[turn % len(batches)]))
        if len(pending) == runner.in_flight:
            pending.pop(0).results()
    for rest in pending:
        rest.results()
    return time.perf_counter() - start


def counts(runner: Any, frames: Sequence[Frame], batch: int, gpu: Device) -> dict[str, float]:
    """Copies and launches of a batch in steady state: those of ten batches, and those that their graph is made of."""
    for _ in range(4):
        runner.submit(frames[:batch]).results()
    programs = [program for track in runner._tracks for program in track.programs.values()]
    latest = next(program for program in programs if len(program.key.pictures) == batch)
    graphs = [program._graph for program in programs if program._graph]
    with Counted(gpu, ("upload", "download", "launch")) as begun, Counted(graphs, ("launch",)) as replays:
        for _ in range(10):
            runner.submit(frames[:batch]).results()
        outside = dict(begun.made)
        gpu.call(latest._record)
        gpu.call(gpu.synchronize)
    inside = {kind: count - outside[kind] for kind, count in begun.made.items()}
    captured = 1 if latest._graph else 0
    return {
        "uploads_per_batch": outside["upload"] / 10 + captured * inside["upload"],
        "downloads_per_batch": outside["download"] / 10 + captured * inside["download"],
        "launches_per_batch": outside["launch"] / 10,
        "launches_in_graph": captured * inside["launch"],
        "graph_launches_per_batch": replays.made["launch"] / 10,
        "upload_bytes": latest._up.size,
        "download_bytes": latest._down.size,
    }


class Counted:
    """Counts calls of these methods of some objects while it is entered."""

    def __init__(self, things: Any, methods: Sequence[str]) -> None:
        self._things = things if isinstance(things, list) else [things]
        self._before: list[tuple[Any, str, Any]] = []
        self.made = dict.fromkeys(methods, 0)

    def __enter__(self) -> "Counted":
        for thing in self._things:
            for method in self.made:
                self._before.append((thing, method, vars(thing).get(method)))
                setattr(thing, method, self._counting(getattr(thing, method), method))
        return self

    def _counting(self, work: Callable[..., None], method: str) -> Callable[..., None]:
        def counted(*arguments: Any) -> None:
            self.made[method] += 1
            work(*arguments)

        return counted

    def __exit__(self, *_: object) -> None:
        for thing, method, own in self._before:
            if own is None:
                delattr(thing, method)  # the class's again
            else:
                setattr(thing, method, own)


def pictures(clip: Path) -> list[Frame]:
    """1080p YUV frames: the clip's, side by side until they fill it; noise where there is no clip."""
    if not clip.is_file():
        random = np.random.default_rng(0)
        shapes = ((1080, 1920), (540, 960), (540, 960))
        triples = [tuple(random.integers(0, 256, shape, np.uint8) for shape in shapes) for _ in range(8)]
    else:
        planes = np.load(clip)
        triples = [
            tuple(map(filled, triple)) for triple in zip(planes["y"], planes["u"], planes["v"], strict=True)
        ]
    return [Frame(triple, "yuv420p", index=index) for index, triple in enumerate(triples[:16])]


def filled(plane: Array) -> Array:
    """As large as a 1080p picture's; of chroma, half of that."""
    height, width = (1080, 1920) if plane.shape[1] > 320 else (540, 960)
    times = -(-height // plane.shape[0]), -(-width // plane.shape[1])
    return np.ascontiguousarray(np.tile(plane, times)[:height, :width])


if __name__ == "__main__":
    raise SystemExit(main())
