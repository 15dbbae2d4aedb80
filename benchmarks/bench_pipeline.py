"""What stands around the network.   Run: python benchmarks/bench_pipeline.py [--repeats 5] [--json OUT]

Question: how many CPU milliseconds a frame go to everything but inference, from a picture in memory to boxes (C1), and from
an H.264 file to boxes (C2)?
A network of YOLOv8n's shape at 640x640, pictures of 1920x1080, one pinned core, every session with one thread. Of each candidate
the CPU time inside ONNX Runtime's session is counted and taken off. Peers run in the same process, in turn.
C1: pictures one by one through Runner.submit (what a Pipeline calls), Model(picture), Ultralytics' predict, an OpenCV and
NumPy loop, and that loop with supervision's NMS or rtmlib's.
C2: a whole clip, opening and closing included, against PyAV's decoder in one thread with the same network after every
frame, which leaves the caches as cold; decoding alone, with warm caches, is the row below.
Also, of every network in the box, what the Runner adds to it.
"""

import argparse
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from _clip import FRAMES, clip, pictures
from _goal import Goal, compared, write
from _machine import pin
from _peer_environment import NETWORK, there
from _peers import (
    CONF,
    IOU,
    MAX_DET,
    Array,
    Detect,
    Sessions,
    naive,
    session,
    ultralytics_picture,
    ultralytics_video,
    with_rtmlib,
    with_supervision,
)
from _rounds import Work, repeated, rotated

from vedette import Frame, Model
from vedette.runtime.pipeline import Pipeline
from vedette.runtime.sources import SourceOptions, open_source

MISSING = "peer not installed"
VIDEO_FRAMES = 60
IN_THE_BOX = ("nanodet", "yolov2", "openpose_thin", "selfie_segmentation", "unet")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=25, help="pictures a candidate, a repeat")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    clip()
    pin()
    one_thread()
    sessions = Sessions()
    goals = [
        *of_pictures(sessions, arguments.rounds, arguments.repeats),
        *of_videos(sessions, arguments.repeats),
        *(around(name, sessions) for name in IN_THE_BOX),
    ]
    write("pipeline", __doc__, goals, arguments.json)


def one_thread() -> None:
    """Pools of other libraries would spin on our core, and be counted."""
    with suppress(ImportError):
        import cv2

        cv2.setNumThreads(1)
    with suppress(ImportError):
        import torch

        torch.set_num_threads(1)


def network() -> str:
    """The network that every candidate takes; one of the box where it could not be made."""
    return str(NETWORK) if there() else "nanodet"


# ---- C1: pictures ----


def of_pictures(sessions: Sessions, rounds: int, repeats: int) -> list[Goal]:
    """Host overhead of a picture in memory."""
    candidates = _detectors()
    images = pictures(4)
    check({name: detect(images[0]) for name, detect in candidates.items()})
    calls = {name: _in_turn(detect, images) for name, detect in candidates.items()}
    calls["runner again"] = _in_turn(candidates["Runner"], images)
    found = repeated(lambda: rotated(calls, rounds=rounds, inside=sessions.spent), repeats)
    what = "picture to boxes, beside session.run"
    rows = [compared("A/A", f"{what}: itself", "itself", found["Runner"], found["runner again"])]
    for name, bounds in (
        ("Ultralytics predict", {"goal": "C1", "target": 0.33, "stretch": 0.25}),
        ("OpenCV + NumPy loop", {"goal": ""}),
        ("the same + supervision NMS", {"goal": ""}),
        ("the same + rtmlib NMS", {"goal": ""}),
    ):
        theirs = found.get(name, [])
        missing = "" if theirs else MISSING
        rows.append(_row(what, name, found["Runner"], theirs, note=missing, **bounds))
        rows.append(_row(f"Model(picture): {what}", name, found["Model"], theirs, note=missing))
    return rows


def _row(what: str, peer: str, ours: list[float], theirs: list[float], **bounds: Any) -> Goal:
    return compared(bounds.pop("goal", ""), what, peer, ours, theirs, **bounds)


def _detectors() -> dict[str, Detect]:
    model = Model(network(), conf=CONF, iou=IOU, max_det=MAX_DET)
    runner = model.runner()

    def submitted(image: Array) -> Array:
        boxes = runner.submit([Frame((image,))]).results()[0].boxes
        assert boxes is not None
        return boxes.xyxy

    found: dict[str, Detect | None] = {"Runner": submitted, "Model": lambda image: model(image)[0].boxes.xyxy}
    if there():
        found["Ultralytics predict"] = ultralytics_picture(NETWORK)
        found["OpenCV + NumPy loop"] = naive(NETWORK)
        found["the same + supervision NMS"] = with_supervision(NETWORK)
        found["the same + rtmlib NMS"] = with_rtmlib(NETWORK)
    return {name: detect for name, detect in found.items() if detect is not None}


def check(boxes: Mapping[str, Array]) -> None:
    """All found about the same: resizing rounds differently, and a score at the threshold may fall either way."""
    counts = {name: len(found) for name, found in boxes.items() if "rtmlib" not in name}  # it finds more
    assert max(counts.values()) <= 1.1 * min(counts.values()) + 1, counts


def _in_turn(detect: Detect, images: list[Array]) -> Work:
    turn = iter(range(10**9))
    return lambda: detect(images[next(turn) % len(images)])


# ---- C2: a video ----


def of_videos(sessions: Sessions, repeats: int) -> list[Goal]:
    """Host overhead of a frame of a file."""
    loops = _videos()

    def measure() -> Mapping[str, float]:
        return {name: _spent(loop, sessions) for name, loop in loops.items()}

    measure()
    found = repeated(measure, repeats)
    what, ours = "H.264 1080p to boxes, beside session.run", found["Pipeline"]
    rows = [
        _row(what, "PyAV decode + session.run", ours, found["decode, network"],
             goal="C2", form="excess", target=1.6, stretch=1.0),
        _row(what, "decode alone, warm caches", ours, found["decode"], form="excess"),
    ]  # fmt: skip
    for name in ("OpenCV + NumPy loop", "Ultralytics predict"):
        theirs = found.get(name, [])
        rows.append(_row(what, name, ours, theirs, note="" if theirs else MISSING))
    return rows


def _spent(loop: Callable[[], Iterator[object]], sessions: Sessions) -> float:
    """CPU milliseconds a frame beside the sessions, from opening to closing."""
    inside, start = sessions.spent.ns, time.process_time_ns()
    count = sum(1 for _ in loop())
    assert count == VIDEO_FRAMES, count
    return (time.process_time_ns() - start - (sessions.spent.ns - inside)) / count / 1e6


def _videos() -> dict[str, Callable[[], Iterator[object]]]:
    runner = Model(network(), conf=CONF, iou=IOU, max_det=MAX_DET).runner()
    bare, short = _bare(), _short()
    loops: dict[str, Callable[[], Iterator[object]]] = {
        "Pipeline": lambda: Pipeline({"cam0": open_source(str(short), SourceOptions())}, [runner]).run(),
        "decode, network": lambda: (bare() for _ in decoded()),
        "decode": decoded,
    }
    if there():
        detect = naive(NETWORK)
        loops["OpenCV + NumPy loop"] = lambda: (detect(image) for image in captured())
        predict = ultralytics_video(NETWORK)
        if predict is not None:
            loops["Ultralytics predict"] = lambda: predict(short)
    return loops


def _short() -> Path:
    """The clip cut to VIDEO_FRAMES: all read it to its end, so that nobody decodes what another does not."""
    import av

    path = clip().with_name(f"street-1080-{VIDEO_FRAMES}.mp4")
    if not path.is_file():
        with av.open(str(clip())) as source, av.open(str(path), "w") as target:
            stream = target.add_stream_from_template(source.streams.video[0])
            packets = [packet for packet in source.demux(video=0) if packet.dts is not None]
            for packet in packets[:VIDEO_FRAMES]:
                packet.stream = stream
                target.mux(packet)
    return path


def _bare() -> Work:
    """The network alone, on an input made before."""
    if not there():
        engine = Model(network()).engine
        feeds = {
            spec.name: np.zeros([abs(side) for side in spec.shape], spec.dtype) for spec in engine.inputs
        }
        return lambda: engine(feeds)
    opened = session(NETWORK)
    spec = opened.get_inputs()[0]
    ready = {spec.name: np.random.default_rng(0).random(spec.shape, np.float32)}
    return lambda: opened.run(None, ready)


def decoded() -> Iterator[object]:
    """PyAV in one thread; a byte of every plane is looked at, nothing is copied."""
    import av

    with av.open(str(_short())) as container:
        stream = container.streams.video[0]
        stream.thread_type, stream.thread_count = "NONE", 1
        for frame in container.decode(stream):
            yield [memoryview(plane)[0] for plane in frame.planes]


def captured() -> Iterator[Array]:
    import cv2

    reader = cv2.VideoCapture(str(_short()))
    for _ in range(VIDEO_FRAMES):
        yield reader.read()[1]
    reader.release()


# ---- every network of the box ----


def around(name: str, sessions: Sessions) -> Goal:
    """What the Runner adds to a network of the box, a floor of copying the frame beside it."""
    model = Model(name)
    random = np.random.default_rng(0)
    frames = [Frame((random.integers(0, 256, (576, 768, 3), np.uint8),)) for _ in range(4)]
    runner, turn = model.runner(), iter(range(10**9))

    def work() -> object:
        frame = frames[next(turn) % 4]
        frame.prepared.clear()  # each is a new picture
        return runner.submit([frame]).results()

    calls = {"runner": work, "copy": lambda: frames[0].bgr().copy()}
    found = repeated(lambda: rotated(calls, rounds=7, inside=sessions.spent), 3)
    return _row(f"{name}: 768x576 to result, beside inference", "a copy of the frame", found["runner"],
                found["copy"], form="excess")  # fmt: skip


if __name__ == "__main__":
    assert FRAMES >= VIDEO_FRAMES
    main()
