"""What many streams cost, and how late frames are.   Run: python benchmarks/bench_streams.py [--repeats 3] [--json OUT]

Questions: how many CPU milliseconds of a frame are Vedette's own (queues, preprocessing, NMS, results), and does a frame of
sixteen cameras cost more than a frame of one, in time and in memory (C12)? How late are frames at 70 % of what the machine
bears (C12)? How much of two cores does the pipeline use (C10)?
C12, cost: files of 640x360 played in real time through NanoDet on one pinned core, 24 frames a second of all streams together,
whatever their number. CPU time of the process, less what the engine's call, the demuxer and the decoder took in the same run
(each thread's own clock), is the rest. 1, 8 and 16 streams are processes of their own, in turn.
C12, lateness: a live test pattern, newest frame first, at 0.7 of the rate that the runner alone reaches; wall time from
a frame's arrival to its result.
C10: the 1080p clip as fast as it goes, on all cores. With one thread, its fps against the slower of raw session.run and of the
decoder, each alone; with its own threads, against all cores busy with nothing but raw session.run and the decoder.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from _clip import clip, pictures
from _goal import Goal, compared, write
from _machine import BUILD, pin
from _peer_environment import NETWORK, there
from _rounds import Spent

from vedette import Frame, Model
from vedette.runtime.pipeline import Pipeline
from vedette.runtime.sources import SourceOptions, open_source
from vedette.runtime.sources._decode import FrameReader

FPS, FRAMES, STREAMS = 24, 160, (1, 8, 16)
DETECTOR = "nanodet"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--child", choices=sorted(CHILDREN), help=argparse.SUPPRESS)
    parser.add_argument("--streams", type=int, default=1, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        print(json.dumps(CHILDREN[arguments.child](arguments.streams)))
        return
    clip()
    for streams in STREAMS:
        paced(streams)
    repeats = range(arguments.repeats)
    costs = [{streams: _child("cost", streams) for streams in STREAMS} for _ in repeats]
    late = [_child("lateness") for _ in repeats]
    filled = [_child("cores") for _ in repeats]
    write("streams", __doc__, [*of_costs(costs), *of_lateness(late), *of_cores(filled)], arguments.json)


def _child(name: str, streams: int = 1) -> Any:
    command = [sys.executable, __file__, "--child", name, "--streams", str(streams)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


# ---- C12: cost ----


def of_costs(repeats: list[dict[int, dict[str, float]]]) -> Iterator[Goal]:
    def rest(streams: int) -> list[float]:
        return [one[streams]["rest"] for one in repeats]

    what = "a frame beside inference and decoding"
    few, middle, many = STREAMS
    yield compared("C12", f"{what}, {many} streams", "1 stream", rest(many), rest(few), target=1.10)
    yield compared("", f"{what}, {middle} streams", "1 stream", rest(middle), rest(few))
    yield compared("", f"{what}, {middle} streams", "none", rest(middle), form="figure", target=1.6)
    memory = [[one[streams]["rss"] for one in repeats] for streams in STREAMS]
    early = [(b - a) / (middle - few) for a, b in zip(memory[0], memory[1], strict=True)]
    late = [(b - a) / (many - middle) for a, b in zip(memory[1], memory[2], strict=True)]
    yield compared(
        "C12", f"memory of a stream, {middle + 1} to {many}", f"of a stream, {few + 1} to {middle}", late, early,
        unit="MiB", target=1.05,
    )  # fmt: skip


def _cost(streams: int) -> Mapping[str, float]:
    """CPU milliseconds a frame: all, the engine's, the decoder's, and the rest; MiB in memory at the end."""
    pin()
    engine, decoder = Spent(), Spent()
    runner: Any = Model(DETECTOR).runner()
    reader: Any = FrameReader
    reader._decode, reader._demux = decoder.of(reader._decode), decoder.of(reader._demux)
    runner._engine = _counted(runner._engine, engine)
    options = {
        f"cam{index}": SourceOptions(f"cam{index}", realtime=True, loop=True) for index in range(streams)
    }
    sources = {name: open_source(str(paced(streams)), option) for name, option in options.items()}
    warm = 3 * streams
    pipeline = Pipeline(sources, [runner], policy="all", max_frames=-(-(FRAMES + warm) // streams))
    for count, _ in enumerate(pipeline.run()):
        if count == warm:  # by then everything is open and warm
            start, engine.ns, decoder.ns = time.process_time_ns(), 0, 0
        if count == warm + FRAMES - streams:
            ran, total, inside = count - warm, time.process_time_ns() - start, engine.ns + decoder.ns
            pipeline.stop.set()
    return {"rest": (total - inside) / ran / 1e6, "rss": _resident()}


def _counted(engine: Any, spent: Spent) -> Any:
    """An engine whose call is counted."""
    called = spent.of(engine.__call__)

    class Counted:
        buffers = engine.buffers

        def __call__(self, feeds: Any) -> Any:
            return called(feeds)

    return Counted()


def _resident() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def paced(streams: int) -> Path:
    """A clip of which so many give FPS frames a second together; made once."""
    path = BUILD / f"street-360-{streams}.mp4"
    if not path.is_file():
        import av
        import cv2

        with av.open(str(path), "w") as container:
            rate = Fraction(FPS, streams)
            stream: Any = container.add_stream("libx264", rate=rate, options={"threads": "1"})
            stream.width, stream.height, stream.pix_fmt = 640, 360, "yuv420p"
            for index, picture in enumerate(pictures(16, stride=1) * 2):
                small: Any = cv2.resize(picture, (640, 360))
                frame = av.VideoFrame.from_ndarray(small, format="bgr24")
                frame.pts, frame.time_base = index, 1 / rate
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    return path


# ---- C12: lateness ----


def of_lateness(repeats: list[dict[str, float]]) -> Iterator[Goal]:
    what = "arrival to result at 70 % load, live, newest first"
    p99, p50 = [one["p99"] for one in repeats], [one["p50"] for one in repeats]
    drops = statistics.median(one["dropped"] for one in repeats)
    yield compared("C12", f"{what}: p99", "p50", p99, p50, unit="ms", target=1.5, note=f"{drops:g} dropped")


def _lateness(_: int) -> Mapping[str, float]:
    runner = Model(DETECTOR).runner()
    frame = Frame((np.zeros((480, 640, 3), np.uint8),))
    alone = []
    for _turn in range(40):
        start = time.perf_counter()
        runner.submit([frame]).results()
        alone.append(time.perf_counter() - start)
    fps = 0.7 / statistics.median(alone)
    source = open_source(f"synthetic:640x480@{fps:.2f}?frames=420&live=1", SourceOptions())
    late, dropped = [], 0
    for found, results in Pipeline({"cam0": source}, [runner], policy="latest").run():
        late.append((time.monotonic_ns() - found.received_ns) / 1e6)
        dropped += results[0].dropped
    p50, p99 = np.percentile(late[20:], [50, 99])
    return {"p50": float(p50), "p99": float(p99), "dropped": dropped}


# ---- C10: cores ----


def of_cores(repeats: list[dict[str, float]]) -> Iterator[Goal]:
    def of(name: str) -> list[float]:
        return [one[name] for one in repeats]

    yield compared("C10", "1080p file to boxes, engine of 1 thread", "the slower of engine and decoder",
                   of("one"), of("slower"), unit="frames/s", target=0.95, at_least=True)  # fmt: skip
    yield compared("C10", "1080p file to boxes, all cores", "engine and decoder on all cores",
                   of("all"), of("work"), unit="frames/s", target=0.85, stretch=0.95, at_least=True)  # fmt: skip


def _cores(_: int) -> Mapping[str, float]:
    network = str(NETWORK) if there() else DETECTOR
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(cores)})
    one = Model(network)  # it takes as many threads as there are cores now
    os.sched_setaffinity(0, cores)
    every = Model(network)
    engine_fps, engine_s = _rate(lambda: _raw(one))
    decoder_fps, decoder_s = _rate(_decoded)
    return {
        "one": _rate(lambda: _piped(one))[0],
        "slower": min(engine_fps, decoder_fps),
        "all": _rate(lambda: _piped(every))[0],
        "work": len(cores) / (engine_s + decoder_s),
    }


def _rate(loop: Callable[[], Iterator[object]]) -> tuple[float, float]:
    """Frames a second by the wall's clock, and CPU seconds a frame."""
    wall, cpu = time.perf_counter(), time.process_time()
    count = sum(1 for _ in loop())
    return count / (time.perf_counter() - wall), (time.process_time() - cpu) / count


def _raw(model: Model) -> Iterator[object]:
    feeds = {
        spec.name: np.zeros([abs(side) for side in spec.shape], spec.dtype) for spec in model.engine.inputs
    }
    return (model.engine(feeds) for _ in range(60))


def _decoded() -> Iterator[object]:
    """PyAV in one thread, nothing copied: as live streams are decoded."""
    import av

    with av.open(str(clip())) as container:
        stream = container.streams.video[0]
        stream.thread_type, stream.thread_count = "NONE", 1
        yield from container.decode(stream)


def _piped(model: Model) -> Iterator[object]:
    return Pipeline({"cam0": open_source(str(clip()), SourceOptions())}, [model.runner()]).run()


CHILDREN: Mapping[str, Callable[[int], Mapping[str, float]]] = {
    "cost": _cost,
    "lateness": _lateness,
    "cores": _cores,
}

if __name__ == "__main__":
    main()
