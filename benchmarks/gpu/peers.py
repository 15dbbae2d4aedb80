"""What else does the kernels' work on a GPU: torch, torchvision and cupy, timed as ours are.

In: how many replays.  Out: times by the names of report.py. A peer whose output has a size that depends on its values waits for
the GPU by itself (`synchronises`): it cannot be captured, and its time is the CPU's clock around one call.
"""

import statistics
import time
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

import numpy as np
from clock import GROUP, percentile, rounded, summary

from vedette.kernels._decode_boxes_cases import scene

Peer = Callable[[int], dict[str, Any]]
HOLD_CYCLES = 120_000  # of the GPU's clock a repetition, about 60 us


def captured(torch: Any, work: Callable[[], Any], replays: int) -> dict[str, Any]:
    """A CUDA graph of torch's own, replayed behind a hold."""
    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        for _ in range(3):
            work()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        work()
    return replayed(torch, graph.replay, replays)


def replayed(torch: Any, work: Callable[[], Any], replays: int) -> dict[str, Any]:
    event = torch.cuda.Event
    pairs = [(event(enable_timing=True), event(enable_timing=True)) for _ in range(GROUP)]
    for _ in range(max(1, replays // 10)):
        work()
    torch.cuda.synchronize()
    times: list[float] = []
    while len(times) < replays:
        count = min(GROUP, replays - len(times))
        torch.cuda._sleep(HOLD_CYCLES * count)
        for begin, end in pairs[:count]:
            begin.record()
            work()
            end.record()
        torch.cuda.synchronize()
        times += [begin.elapsed_time(end) * 1e3 for begin, end in pairs[:count]]
    return {**summary(times), **alone(work, torch.cuda.synchronize, replays // 5), "held": True}


def waiting(work: Callable[[], Any], synchronise: Callable[[], Any], replays: int) -> dict[str, Any]:
    """Of one that waits for the GPU itself."""
    for _ in range(max(1, replays // 10)):
        work()
    return {**alone(work, synchronise, replays), "replays": replays, "synchronises": True}


def alone(work: Callable[[], Any], synchronise: Callable[[], Any], replays: int) -> dict[str, Any]:
    """One at a time, by the CPU's clock."""
    times = []
    for _ in range(max(1, replays)):
        synchronise()
        start = time.perf_counter_ns()
        work()
        synchronise()
        times.append((time.perf_counter_ns() - start) / 1e3)
    found = {"alone_median_us": statistics.median(times), "alone_p99_us": percentile(times, 0.99)}
    return {key: rounded(value) for key, value in found.items()}


def torch_letterbox(batch: int) -> Peer:
    """NV12 to RGB by the usual matrix, interpolate, pad, half."""

    def run(replays: int) -> dict[str, Any]:
        torch = import_module("torch")
        random = np.random.default_rng(0)
        luma = torch.from_numpy(random.integers(0, 256, (batch, 1, 1080, 1920), np.uint8)).cuda()
        chroma = torch.from_numpy(random.integers(0, 256, (batch, 540, 960, 2), np.uint8)).cuda()
        rows = [[1.164, 0.0, 1.793], [1.164, -0.213, -0.533], [1.164, 2.112, 0.0]]
        matrix = torch.tensor(rows, device="cuda") / 255
        functional = torch.nn.functional

        def work() -> Any:
            wide = functional.interpolate(chroma.permute(0, 3, 1, 2).float() - 128, scale_factor=2.0)
            yuv = torch.cat([luma.float() - 16, wide], dim=1)
            rgb = torch.einsum("rc,bchw->brhw", matrix, yuv).clamp_(0, 1)
            small = functional.interpolate(rgb, size=(360, 640), mode="bilinear", align_corners=False)
            return functional.pad(small, (0, 0, 140, 140), value=114 / 255).half()

        return captured(torch, work, replays)

    return run


def torchvision_detection(conf: float, iou: float, *, multi_label: bool) -> Peer:
    """Corners, filter, batched_nms, 300 best, of one image."""

    def run(replays: int) -> dict[str, Any]:
        torch, nms = import_module("torch"), import_module("torchvision.ops").batched_nms
        raw = torch.from_numpy(scene()).cuda()

        def work() -> Any:
            boxes, scores, labels = candidates(torch, raw, conf, multi_label=multi_label)
            kept = nms(boxes, scores, labels, iou)[:300]
            return boxes[kept], scores[kept], labels[kept]

        return waiting(work, torch.cuda.synchronize, replays // 2)

    return run


def candidates(torch: Any, raw: Any, conf: float, *, multi_label: bool) -> tuple[Any, Any, Any]:
    """Corners, scores and classes of what scores more than conf."""
    rows = raw.T
    halves = rows[:, 2:4] / 2
    boxes, values = torch.cat([rows[:, :2] - halves, rows[:, :2] + halves], dim=1), rows[:, 4:]
    if multi_label:
        anchors, labels = torch.where(values > conf)
        return boxes[anchors], values[anchors, labels], labels
    scores, labels = values.max(dim=1)
    chosen = scores > conf
    return boxes[chosen], scores[chosen], labels[chosen]


def torch_argmax(batch: int) -> Peer:
    def run(replays: int) -> dict[str, Any]:
        torch = import_module("torch")
        maps = torch.randn(batch, 21, 512, 512, device="cuda").half()
        return captured(torch, lambda: maps.argmax(1).to(torch.uint8), replays)

    return run


def cupy_argmax(batch: int) -> Peer:
    def run(replays: int) -> dict[str, Any]:
        cupy = import_module("cupy")
        maps = cupy.random.standard_normal((batch, 21, 512, 512), dtype=cupy.float32).astype(cupy.float16)
        synchronise = cupy.cuda.get_current_stream().synchronize
        return waiting(lambda: maps.argmax(axis=1).astype(cupy.uint8), synchronise, replays // 5)

    return run


PEERS: Mapping[str, Mapping[str, Peer]] = {
    "letterbox 1080p NV12, batch 1": {"torch": torch_letterbox(1)},
    "letterbox 1080p NV12, batch 32": {"torch": torch_letterbox(32)},
    "decode + NMS .25, batch 1": {"torchvision": torchvision_detection(0.25, 0.45, multi_label=False)},
    "decode + NMS .001, batch 1": {"torchvision": torchvision_detection(0.001, 0.7, multi_label=True)},
    "argmax 21 x 512 x 512, batch 1": {"torch": torch_argmax(1), "cupy": cupy_argmax(1)},
    "argmax 21 x 512 x 512, batch 16": {"torch": torch_argmax(16), "cupy": cupy_argmax(16)},
}
