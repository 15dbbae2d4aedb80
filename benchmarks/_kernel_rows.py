"""What bench_kernels.py asks of each kernel: its input, our answer, its peers' and its floor.

In: sizes.  Out: a Row.  Next: bench_kernels.py, which times them.
"""

import ctypes
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vedette.kernels._decode_boxes_cases import scene
from vedette.kernels._paf_cases import crowd, draw_maps
from vedette.kernels.argmax_labels import Window, argmax_labels, argmax_labels_reference
from vedette.kernels.box_layouts import V8
from vedette.kernels.decode_boxes import decode_boxes, decode_boxes_reference
from vedette.kernels.letterbox import letterbox, letterbox_reference
from vedette.kernels.nms import nms, nms_reference
from vedette.kernels.paf import paf, paf_reference
from vedette.kernels.picture import Layout, Picture
from vedette.runtime.decoders.openpose import COCO_18
from vedette.runtime.manifest import Resize
from vedette.runtime.preprocess import Placement, place

Array = NDArray[Any]
Work = Callable[[], Array]
MAX_DET, OFFSET = 300, 7680.0  # pixels between classes in the torchvision form


@dataclass(frozen=True, slots=True)
class Row:
    """One question: who answers it, and how far answers may differ."""

    ours: Work
    reference: Work
    peers: Mapping[str, Work]
    floor: Work
    tolerance: float = 0.0


# ---- decode and NMS of a raw [84, 8400], 30 objects ----


def decode_and_nms(conf: float, iou: float, *, multi_label: bool) -> Row:
    raw, layout = scene(), V8()

    def by(decode: Callable[..., Any], suppress: Callable[..., Array]) -> Array:
        found = decode(layout, raw, conf=conf, multi_label=multi_label)
        arrays = found.boxes_xyxy, found.scores, found.class_ids
        kept = suppress(*arrays, iou_threshold=iou, max_det=MAX_DET)
        return detections(*(array[kept] for array in arrays))

    return Row(
        lambda: by(decode_boxes, nms),
        lambda: by(decode_boxes_reference, nms_reference),
        {
            "numpy + cv2.NMSBoxesBatched": lambda: by_cv2(raw, conf, iou, multi_label=multi_label),
            "torch + torchvision's algorithm": lambda: by_torch(raw, conf, iou, multi_label=multi_label),
        },
        floor=lambda: np.asarray(raw.max()),
    )


def detections(boxes: Array, scores: Array, class_ids: Array) -> Array:
    """[n, 6] by falling score."""
    return np.concatenate([boxes, scores[:, None], class_ids[:, None].astype(np.float32)], axis=1)


def by_cv2(raw: Array, conf: float, iou: float, *, multi_label: bool) -> Array:
    """The common NumPy pipeline around OpenCV's NMS."""
    import cv2

    if multi_label:
        scores = raw[4:].T
        anchors, class_ids = np.nonzero(scores > conf)
        scores = scores[anchors, class_ids]
    else:
        best = raw[4:].max(axis=0)
        anchors = np.flatnonzero(best > conf)
        scores, class_ids = best[anchors], raw[4:, anchors].argmax(axis=0)
    centres, sizes = raw[:2, anchors].T, raw[2:4, anchors].T
    low, high = centres - sizes * np.float32(0.5), centres + sizes * np.float32(0.5)
    wide = np.concatenate([low, high - low], axis=1)
    found: Any = cv2.dnn.NMSBoxesBatched(wide, scores, class_ids, 0.0, iou)  # type: ignore[arg-type]
    kept = np.asarray(found).ravel()
    kept = kept[np.argsort(-scores[kept], kind="stable")][:MAX_DET]
    return detections(np.concatenate([low, high], axis=1)[kept], scores[kept], class_ids[kept])


def by_torch(raw: Array, conf: float, iou: float, *, multi_label: bool) -> Array:
    """The steps of the common torch pipeline: corners of all, filter, one table [n, 6], classes moved apart, NMS."""
    import torch

    output = torch.from_numpy(raw)
    chosen = output[4:].amax(0) > conf
    rows = output.T
    halves = rows[:, 2:4] / 2
    rows = torch.cat([rows[:, :2] - halves, rows[:, :2] + halves, rows[:, 4:]], dim=1)[chosen]
    boxes, values = rows[:, :4], rows[:, 4:]
    if multi_label:
        anchors, class_ids = torch.where(values > conf)
        table = torch.cat(
            [boxes[anchors], values[anchors, class_ids, None], class_ids[:, None].float()], dim=1
        )
    else:
        scores, best = values.max(dim=1, keepdim=True)
        table = torch.cat([boxes, scores, best.float()], dim=1)[scores[:, 0] > conf]
    apart = table[:, :4] + table[:, 5:6] * OFFSET
    kept = torchvision_nms(apart.numpy(), table[:, 4].numpy(), iou)[:MAX_DET]
    found: Array = table.numpy()[kept]
    return found


# ---- NMS alone: 1000 random boxes of one class ----


def nms_alone() -> Row:
    import cv2

    random = np.random.default_rng(0)
    low, size = random.uniform(0, 600, (1000, 2)), random.uniform(20, 120, (1000, 2))
    boxes = np.concatenate([low, low + size], axis=1).astype(np.float32)
    wide = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)
    scores, class_ids = random.uniform(size=1000).astype(np.float32), np.zeros(1000, np.int64)
    return Row(
        lambda: nms(boxes, scores, class_ids, iou_threshold=0.5, max_det=1000),
        lambda: nms_reference(boxes, scores, class_ids, iou_threshold=0.5, max_det=1000),
        {
            "cv2.NMSBoxes": lambda: np.asarray(cv2.dnn.NMSBoxes(wide, scores, 0.0, 0.5)).ravel(),  # type: ignore[arg-type]
            "torchvision's algorithm": lambda: torchvision_nms(boxes, scores, 0.5),
        },
        floor=lambda: np.argsort(-scores),
    )


def torchvision_nms(boxes: Array, scores: Array, iou: float) -> Array:
    boxes, scores = np.ascontiguousarray(boxes), np.ascontiguousarray(scores)
    order = np.argsort(-scores, kind="stable")
    kept = np.empty(len(scores), np.int64)
    pointers = (array.ctypes.data for array in (boxes, order, kept))
    return kept[: _peer()(*pointers, len(scores), iou)]


@cache
def _peer() -> Callable[..., int]:
    """peer_nms.cpp, compiled as wheels are: for any x86-64 or ARM processor."""
    with tempfile.TemporaryDirectory() as folder:
        library, source = Path(folder) / "peer.so", Path(__file__).parent / "peer_nms.cpp"
        subprocess.run(["c++", "-O3", "-shared", "-fPIC", str(source), "-o", str(library)], check=True)
        function = ctypes.CDLL(str(library)).peer_nms
    function.argtypes = (*[ctypes.c_void_p] * 3, ctypes.c_int64, ctypes.c_float)
    function.restype = ctypes.c_int64
    return function


# ---- letterbox: a BGR picture to RGB planes, float32, / 255 ----


def letterbox_yuv() -> Row:
    """From a decoder's planes; a peer makes BGR of them first. The floor writes the output once."""
    import cv2

    random = np.random.default_rng(0)
    size, side = (1920, 1080), 640
    planar = random.integers(16, 236, (size[1] * 3 // 2, size[0]), np.uint8)
    flat = planar.reshape(-1)
    luma, chroma = size[0] * size[1], size[0] * size[1] // 4
    planes = [
        flat[:luma].reshape(size[1], size[0]),
        *(flat[luma + index * chroma :][:chroma].reshape(size[1] // 2, size[0] // 2) for index in (0, 1)),
    ]
    placement = place(size, (side, side), Resize("letterbox"))
    layout = Layout(placement.scaled, placement.offset, gain=(1 / 255,) * 3, pad=114.0, channel_order="rgb")
    out = np.empty((3, side, side), np.float32)
    picture = Picture("yuv420p")

    def by(work: Callable[..., None]) -> Array:
        work(out, planes, layout, picture, exact_cv2=True)
        return out

    def by_cv2() -> Array:
        bgr = cv2.cvtColor(planar, cv2.COLOR_YUV2BGR_I420)
        small = cv2.resize(bgr, placement.scaled)
        rows, columns = placement.crop
        np.multiply(small.transpose(2, 0, 1)[::-1], np.float32(1 / 255), out=out[:, rows, columns])
        return out

    return Row(
        lambda: by(letterbox),
        lambda: by(letterbox_reference),
        {"cv2.cvtColor + resize + np.multiply(out=)": by_cv2},
        floor=out.copy,
        tolerance=4 / 255,  # OpenCV's conversion rounds otherwise
    )


def letterbox_row(size: tuple[int, int], side: int, *, stretch: bool = False) -> Row:
    random = np.random.default_rng(0)
    image = random.integers(0, 256, (size[1], size[0], 3), np.uint8)
    placement = place(size, (side, side), Resize("stretch" if stretch else "letterbox"))
    gain = (1 / 255,) * 3
    layout = Layout(placement.scaled, placement.offset, gain=gain, pad=114.0, channel_order="rgb")
    out = np.empty((3, side, side), np.float32)  # one for all, as an engine's input is
    expected = np.empty_like(out)
    letterbox_reference(expected, [image], layout, exact_cv2=True)

    def by(work: Callable[..., None]) -> Array:
        work(out, [image], layout, exact_cv2=True)
        return out

    peers = cv2_compositions(image, placement)
    for name, work in peers.items():
        out[...] = 114 / 255  # they write between pads that are there already
        np.testing.assert_allclose(work(out), expected, rtol=0, atol=1e-6, err_msg=name)
    return Row(
        lambda: by(letterbox),
        lambda: by(letterbox_reference),
        {name: partial(work, out) for name, work in peers.items()},
        floor=out.copy,
        tolerance=1e-6,
    )


def cv2_compositions(image: Array, placement: Placement) -> dict[str, Callable[[Array], Array]]:
    """What people write with OpenCV, each with buffers made beforehand."""
    import cv2

    rows, columns = placement.crop
    shrunk = np.empty((placement.scaled[1], placement.scaled[0], 3), np.uint8)
    table = (np.arange(256) / 255).astype(np.float32)

    def planes() -> Any:
        return cv2.split(cv2.resize(image, placement.scaled, dst=shrunk))[::-1]

    def multiplied(out: Array) -> Array:
        for plane, target in zip(planes(), out, strict=True):
            target[rows, columns] = cv2.multiply(plane, 1 / 255, dtype=cv2.CV_32F)  # type: ignore[call-overload]
        return out

    def looked_up(out: Array) -> Array:
        for plane, target in zip(planes(), out, strict=True):
            target[rows, columns] = cv2.LUT(plane, table)
        return out

    def by_numpy(out: Array) -> Array:
        cv2.resize(image, placement.scaled, dst=shrunk)
        np.multiply(shrunk.transpose(2, 0, 1)[::-1], np.float32(1 / 255), out=out[:, rows, columns])
        return out

    def by_blob(out: Array) -> Array:
        (left, top), (width, height) = placement.offset, placement.input_size
        right, bottom = width - placement.scaled[0] - left, height - placement.scaled[1] - top
        resized = cv2.resize(image, placement.scaled, dst=shrunk)
        whole = cv2.copyMakeBorder(
            resized, top, bottom, left, right, cv2.BORDER_CONSTANT, value=(114, 114, 114)
        )
        blob: Array = cv2.dnn.blobFromImage(whole, 1 / 255, swapRB=True)[0]
        return blob

    return {
        "cv2.resize + split + multiply": multiplied,
        "cv2.resize + split + LUT": looked_up,
        "cv2.resize + np.multiply(out=)": by_numpy,
        "resize + border + blobFromImage": by_blob,
    }


# ---- argmax_labels: logits to the class of every pixel ----


def argmax_row(classes: int, side: int, size: tuple[int, int]) -> Row:
    """A letterboxed picture of (width, height); the floor reads the logits once."""
    import cv2

    placement = place(size, (side, side), Resize("letterbox"))
    rows, columns = placement.crop
    logits = np.random.default_rng(0).standard_normal((classes, side, side), np.float32)
    window = Window(placement.scaled, placement.offset)

    def resized() -> Array:
        maps = logits[:, rows, columns]
        return maps if size == placement.scaled else np.stack([cv2.resize(plane, size) for plane in maps])

    def by_cv2() -> Array:
        return np.asarray(cv2.reduceArgMax(resized().reshape(classes, -1), 0)).reshape(size[::-1])

    unlike = by_cv2() != argmax_labels(logits, window, size)
    assert unlike.mean() < 1e-4, "only where two classes are equal but for rounding"
    return Row(
        lambda: argmax_labels(logits, window, size),
        lambda: argmax_labels_reference(logits, window, size),
        {
            "cv2.resize + np.argmax": lambda: resized().argmax(axis=0),
            "cv2.resize + cv2.reduceArgMax": by_cv2,
        },
        floor=lambda: np.asarray(logits.max()),
        tolerance=float(classes),
    )


# ---- paf: maps of 240 x 135 cells, a picture of 1920 x 1080, to people ----


def paf_row(people: int) -> Row:
    """Nothing that installs does this work, so the peer is a yardstick: another kernel's work, of about ten milliseconds."""
    import cv2

    rules = COCO_18.rules(0.4)
    truth = crowd(people, pairs=rules.pairs)
    heatmaps, pafs = draw_maps(truth, size=(135, 240), pairs=rules.pairs, channels=rules.channels)
    logits = np.random.default_rng(0).standard_normal((21, 512, 512), np.float32)
    found = paf(heatmaps, pafs, rules)
    assert len(found.scores) == people

    def yardstick() -> Array:
        cv2.reduceArgMax(logits, 0)
        return found.xy

    return Row(
        lambda: paf(heatmaps, pafs, rules).xy,
        lambda: paf_reference(heatmaps, pafs, rules).xy,
        {"cv2.reduceArgMax of [21, 512, 512]": yardstick},
        floor=lambda: np.asarray(heatmaps.max()),
    )


ROWS: Mapping[str, Callable[[], Row]] = {
    "decode + NMS, conf 0.25": lambda: decode_and_nms(0.25, 0.45, multi_label=False),
    "decode + NMS, conf 0.001, multi-label": lambda: decode_and_nms(0.001, 0.7, multi_label=True),
    "NMS alone, 1000 boxes of one class": nms_alone,
    "letterbox 1920x1080 to 640": lambda: letterbox_row((1920, 1080), 640),
    "letterbox 1920x1080 YUV to 640": letterbox_yuv,
    "stretch 1920x1080 to 640": lambda: letterbox_row((1920, 1080), 640, stretch=True),
    "letterbox 768x576 to 416": lambda: letterbox_row((768, 576), 416),
    "letterbox 1277x723 to 640": lambda: letterbox_row((1277, 723), 640),
    "argmax of 21 classes at 512x512": lambda: argmax_row(21, 512, (512, 512)),
    "argmax of 21 classes, 512 to 1920x1080": lambda: argmax_row(21, 512, (1920, 1080)),
    "argmax of 6 classes, 128 to 640x480": lambda: argmax_row(6, 128, (640, 480)),
    "paf, 1 person": lambda: paf_row(1),
    "paf, 20 people": lambda: paf_row(20),
    "paf, 60 people": lambda: paf_row(60),
}
