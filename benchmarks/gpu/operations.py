"""The kernels as they are timed: their memory, input that is drawn, launches in order, and a check against the reference.

In: a device and how many sets of input.  Out: Operations; all of it on the device thread.
The shapes are a 1080p NV12 picture to 640 x 640, a YOLOv8 output [84, 8400], and maps [21, 512, 512]; masks and people are in
object_operations.py. Next: kernel_timings.py.
"""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

import numpy as np
from object_operations import masks, people
from operation import Operation, Row

from vedette.kernels import launches
from vedette.kernels._decode_boxes_cases import scene
from vedette.kernels._letterbox_cases import noise
from vedette.kernels.arena import Arena
from vedette.kernels.box_layouts import V8, plan
from vedette.kernels.decode_boxes import decode_boxes_reference
from vedette.kernels.device import Device
from vedette.kernels.letterbox import letterbox_reference
from vedette.kernels.nms import nms_reference
from vedette.kernels.picture import Array, Layout, Picture

MAX_DET = 300
FRAME, SIDE = (1920, 1080), 640
LAYOUT = Layout((640, 360), (0, 140), (1 / 255,) * 3, (0.0,) * 3, 114, "rgb")
NV12 = Picture("nv12", "bt709")


def letterbox(batch: int) -> Callable[[Device, int], Operation]:
    """NV12 1080p to float16 [batch, 3, 640, 640]."""

    def make(device: Device, seed: int) -> Operation:
        fields: launches.Fields = {"pictures": ((batch,), launches.PICTURE)}
        inside = launches.picture_fields(FRAME, NV12, LAYOUT, exact_cv2=False)
        fields |= {f"{index}.{name}": field for index in range(batch) for name, field in inside.items()}
        up = Arena(device, fields, mirrored=True)
        out = Arena(device, {"input": ((batch, 3, SIDE, SIDE), np.dtype(np.float16))}, mirrored=True)
        planes = [[np.roll(plane, seed + index) for plane in noise(FRAME, "nv12")] for index in range(batch)]
        for index, picture in enumerate(planes):
            set_picture(up, index, picture)
        up.upload()
        device.synchronize()

        def equal() -> bool:
            expected = np.empty((3, SIDE, SIDE), np.float16)
            letterbox_reference(expected, tuple(planes[-1]), LAYOUT, NV12, exact_cv2=False)
            out.download()
            device.synchronize()
            return bool(np.array_equal(out.host["input"][-1], expected))

        def launch() -> None:
            at = {**up.at, **out.at}
            launches.launch_letterbox(device.launch, at, batch=batch, size=(SIDE, SIDE), half_precision=True)

        def release() -> None:
            up.release()
            out.release()

        read = batch * sum(plane.nbytes for plane in planes[0])
        return Operation(launch, equal, read + out.host["input"].nbytes, release)

    return make


def set_picture(up: Arena, index: int, planes: list[Array]) -> None:
    """Planes, tables and the struct of one picture of a batch."""
    prefix = f"{index}."
    tables = launches.picture_tables(FRAME, LAYOUT, exact_cv2=False)
    values = {f"plane{number}": plane for number, plane in enumerate(planes)} | tables
    for name, array in values.items():
        up.host[prefix + name][:] = array
    at = {name.removeprefix(prefix): address for name, address in up.at.items() if name.startswith(prefix)}
    launches.set_picture(up.host["pictures"][index], at, FRAME, NV12, LAYOUT, exact_cv2=False)


def detection(
    batch: int, *, conf: float, iou: float, multi_label: bool, capacity: int
) -> Callable[[Device, int], Operation]:
    """A raw [batch, 84, 8400] to the boxes that are kept."""

    def make(device: Device, seed: int) -> Operation:
        raw = np.stack([scene(seed=seed * batch + index) for index in range(batch)])
        checked = plan(V8(), (raw.shape[1:],))
        up = Arena(device, detection_input(raw, batch, len(bytes(checked))), mirrored=True)
        up.host["first"][:], up.host["plan"][:] = raw, np.frombuffer(bytes(checked), np.uint8)
        up.host["images"]["conf"], up.host["images"]["left_top_gains"] = conf, (0, 0, 1, 1)
        fields = launches.decode_fields(batch, checked.anchors) | launches.candidate_fields(batch, capacity)
        fields |= launches.nms_fields(batch, capacity, MAX_DET)
        counted = {"counts": ((batch,), np.dtype(np.int32)), "kept_counts": fields.pop("kept_counts")}
        down = Arena(device, counted | launches.taken_fields(batch, MAX_DET), mirrored=True)
        work = Arena(device, fields)
        up.upload()
        device.synchronize()
        at = {**up.at, **down.at, **work.at}
        sizes: dict[str, Any] = {"batch": batch, "capacity": capacity}

        def launch() -> None:
            strides = raw[0].size, 0
            launches.launch_decode(device.launch, at, checked, strides, multi_label=multi_label, **sizes)
            launches.launch_nms(device.launch, at, max_det=MAX_DET, iou_threshold=iou, **sizes)
            launches.launch_take(device.launch, at, max_det=MAX_DET, **sizes)

        def equal() -> bool:
            down.download()
            device.synchronize()
            boxes, count = detection_reference(raw[-1], conf, iou, multi_label=multi_label)
            kept = int(down.host["kept_counts"][-1])
            same = np.array_equal(down.host["taken_boxes"][-1][:kept], boxes)
            return same and int(down.host["counts"][-1]) == count <= capacity

        def release() -> None:
            for arena in (up, down, work):
                arena.release()

        return Operation(launch, equal, raw.nbytes, release)

    return make


def detection_input(raw: Array, batch: int, plan_bytes: int) -> launches.Fields:
    return {
        "first": (raw.shape, np.dtype(np.float32)),
        "plan": ((plan_bytes,), np.dtype(np.uint8)),
        "images": ((batch,), launches.IMAGE),
    }


def detection_reference(raw: Array, conf: float, iou: float, *, multi_label: bool) -> tuple[Array, int]:
    """The boxes that are kept, best first, and how many candidates there were."""
    found = decode_boxes_reference(V8(), raw, conf=conf, multi_label=multi_label)
    arrays = found.boxes_xyxy, found.scores, found.class_ids
    kept = nms_reference(*arrays, iou_threshold=iou, max_det=MAX_DET)
    return found.boxes_xyxy[kept], len(found.scores)


def argmax(batch: int) -> Callable[[Device, int], Operation]:
    """Maps float16 [batch, 21, 512, 512] to labels uint8 of the same size."""
    shape = (batch, 21, 512, 512)

    def make(device: Device, seed: int) -> Operation:
        from vedette.kernels.argmax_labels import Window, argmax_labels_reference

        maps = np.random.default_rng(seed).standard_normal(shape, np.float32).astype(np.float16)
        fields: launches.Fields = {
            "maps": (shape, np.dtype(np.float16)),
            "blocks": ((batch,), labelling()),
        }
        up = Arena(device, fields, mirrored=True)
        out = Arena(device, {"labels": ((batch, 512, 512), np.dtype(np.uint8))}, mirrored=True)
        up.host["maps"][:] = maps
        set_labelling(up.host["blocks"], up.at["maps"], out.at["labels"], shape)
        up.upload()
        device.synchronize()

        def equal() -> bool:
            out.download()
            device.synchronize()
            size = (512, 512)
            return bool(
                np.array_equal(out.host["labels"][-1], argmax_labels_reference(maps[-1], Window(size), size))
            )

        def launch() -> None:
            device.launch("argmax_labels", (4, 256, batch), 64, up.at["blocks"])

        def release() -> None:
            up.release()
            out.release()

        return Operation(launch, equal, maps.nbytes + out.host["labels"].nbytes, release)

    return make


def labelling() -> "np.dtype[Any]":
    """struct Labelling of argmax_labels.cu."""
    home = launches if hasattr(launches, "LABELLING") else import_module("cuda_host.labels")
    made: np.dtype[Any] = home.LABELLING
    return made


def set_labelling(blocks: Array, maps: int, labels: int, shape: tuple[int, int, int, int]) -> None:
    """The pictures are as large as their maps: nothing is interpolated."""
    batch, classes, rows, columns = shape
    for name in ("image", "palette", "x_first", "x_weight", "y_first", "y_second", "y_weight"):
        blocks[name] = 0
    blocks["maps"] = maps + np.arange(batch, dtype=np.uint64) * (classes * rows * columns * 2)
    blocks["labels"] = labels + np.arange(batch, dtype=np.uint64) * (rows * columns)
    blocks["classes"], blocks["half_precision"], blocks["none"] = classes, 1, 0
    blocks["map_size"], blocks["corner"], blocks["size"] = (columns, rows), (0, 0), (columns, rows)
    blocks["inside_width"], blocks["above"] = columns, -np.inf


BUSY: Mapping[str, Any] = {"conf": 0.001, "iou": 0.7, "multi_label": True, "capacity": 8192}
USUAL: Mapping[str, Any] = {"conf": 0.25, "iou": 0.45, "multi_label": False, "capacity": 4096}
ROWS: Mapping[str, Row] = {
    "letterbox 1080p NV12, batch 1": Row(
        letterbox(1), 5 << 20, "empty kernel + 3 us; a third of a torch chain"
    ),
    "letterbox 1080p NV12, batch 32": Row(letterbox(32), 170 << 20, "70 % of the copy bandwidth"),
    "decode + NMS .25, batch 1": Row(detection(1, **USUAL), 3 << 20, "30 us; a tenth of torchvision"),
    "decode + NMS .001, batch 1": Row(detection(1, **BUSY), 3 << 20, "twice the time at .25"),
    "decode + NMS .25, batch 16": Row(detection(16, **USUAL), 45 << 20, ""),
    "decode + NMS .001, batch 16": Row(detection(16, **BUSY), 45 << 20, ""),
    "argmax 21 x 512 x 512, batch 1": Row(argmax(1), 11 << 20, "a fifth of torch.argmax"),
    "argmax 21 x 512 x 512, batch 16": Row(argmax(16), 180 << 20, "75 % of the copy bandwidth"),
    "masks of 10 objects, 1280 x 720": Row(masks("ten"), 4 << 20, "empty kernel + 10 us"),
    "masks of 100 objects, 1080p": Row(masks("hundred"), 6 << 20, ""),
    "paf, 1 person, 240 x 135": Row(people(1), 8 << 20, ""),
    "paf, 60 people, 240 x 135": Row(people(60), 8 << 20, "three times the time of 1"),
}
