"""How the CUDA kernels are launched: their memory and their grids, as the head of each .cu says.

In: device addresses by name.  Out: launches, in order, through `launch`: Device.launch of device.py or, in the tests,
the same kernels compiled for the CPU. An argument that is an int is an address, 0 the null pointer; numbers go as
NumPy scalars of the kernel's own types.
"""

from collections.abc import Callable, Mapping, Sequence
from ctypes import sizeof
from typing import Any

import numpy as np

from vedette.kernels.box_layouts import Plan
from vedette.kernels.picture import (
    Array,
    Layout,
    Picture,
    Size,
    fixed_tables,
    plane_shapes,
    resize_tables,
    yuv_coefficients,
)

Launch = Callable[..., None]  # (kernel, grid, block, *arguments)
Addresses = Mapping[str, int]
Field = tuple[tuple[int, ...], np.dtype[Any]]  # shape and type
Fields = dict[str, Field]  # arrays by name

# struct Picture of letterbox.cu
PICTURE = np.dtype(
    [
        ("planes", np.uint64, 3),
        *((name, np.uint64) for name in ("x_first", "x_weight", "y_first", "y_second", "y_weight")),
        *((name, np.uint64) for name in ("x_shares", "y_shares")),
        ("pitches", np.int32, 3),
        ("format", np.int32),
        ("rule", np.int32),
        ("size", np.int32, 2),  # width, height
        ("corner", np.int32, 2),  # left, top
        ("scaled", np.int32, 2),  # width, height
        ("channel", np.int32, 3),
        ("gain", np.float32, 3),
        ("bias", np.float32, 3),
        ("pad", np.float32),
        ("yuv", np.float32, 6),
    ],
    align=True,
)
IMAGE = np.dtype([("conf", np.float32), ("left_top_gains", np.float32, 4)])  # struct Image of decode_boxes.cu
_CHUNK = 2048  # of nms.cu


def _field(shape: Sequence[int], dtype: Any) -> Field:
    return tuple(shape), np.dtype(dtype)


def picture_tables(size: Size, layout: Layout, *, exact_cv2: bool) -> dict[str, Array]:
    """What a struct Picture points to besides its planes, by the names of its members."""
    if exact_cv2:
        x, y = (fixed_tables(size[axis], layout.scaled[axis], rows=axis == 1) for axis in range(2))
    else:
        x, y = (resize_tables(size[axis], layout.scaled[axis]) for axis in range(2))
    kind = "shares" if exact_cv2 else "weight"
    return {"x_first": x[0], f"x_{kind}": x[2], "y_first": y[0], "y_second": y[1], f"y_{kind}": y[2]}


def picture_fields(size: Size, picture: Picture, layout: Layout, *, exact_cv2: bool) -> Fields:
    """The memory of one picture: plane0 … without padding, and its tables."""
    shapes = plane_shapes(size, picture.format)
    planes = {f"plane{number}": _field(shape, np.uint8) for number, shape in enumerate(shapes)}
    tables = picture_tables(size, layout, exact_cv2=exact_cv2)
    return planes | {name: _field(table.shape, table.dtype) for name, table in tables.items()}


def set_picture(
    block: Array,
    at: Addresses,
    size: Size,
    picture: Picture,
    layout: Layout,
    *,
    exact_cv2: bool,
    pitches: Sequence[int] = (),
) -> None:
    """Fill a PICTURE [], whose fields (picture_fields) lie at these addresses.

    `pitches` are the bytes from row to row of each plane, where its rows are apart.
    """
    shapes = plane_shapes(size, picture.format)
    close = [int(np.prod(shape[1:])) for shape in shapes]
    block["planes"], block["pitches"] = 0, 0
    block["planes"][: len(shapes)] = [at[f"plane{number}"] for number in range(len(shapes))]
    block["pitches"][: len(shapes)] = pitches or close
    for name in ("x_first", "x_weight", "y_first", "y_second", "y_weight", "x_shares", "y_shares"):
        block[name] = at.get(name, 0)
    half = exact_cv2 and size == (2 * layout.scaled[0], 2 * layout.scaled[1])
    block["format"] = {"yuv420p": 1, "nv12": 2}.get(picture.format, 0)
    block["rule"] = 2 if half else int(exact_cv2)
    block["size"], block["corner"], block["scaled"] = size, layout.offset, layout.scaled
    swapped = layout.channel_order == ("bgr" if picture.format == "rgb24" else "rgb")
    block["channel"] = (2, 1, 0) if swapped else (0, 1, 2)
    block["gain"], block["bias"], block["pad"] = layout.gain, layout.bias, layout.pad
    block["yuv"] = yuv_coefficients(picture.matrix, full_range=picture.full_range)


def launch_letterbox(launch: Launch, at: Addresses, *, batch: int, size: Size, half_precision: bool) -> None:
    """Reads `pictures`, writes `input`, [batch, 3, height, width] of this (width, height)."""
    width, height = size
    grid = (-(-width // 128), -(-height // 8), batch)
    numbers = np.int32(width), np.int32(height), np.int32(half_precision)
    launch("letterbox", grid, 256, at["pictures"], *numbers, at["input"])


def decode_fields(batch: int, anchors: int) -> Fields:
    """The scratch of decode_boxes.cu, which levels one after the other may share if it fits the largest."""
    groups = max(1, -(-anchors // 32))
    return {
        "found": _field((batch, anchors), np.int32),
        "found_scores": _field((batch, anchors), np.float32),
        "groups": _field((batch, groups), np.int32),
    }


def candidate_fields(batch: int, capacity: int) -> Fields:
    """What decode_boxes.cu writes, and nms.cu reads."""
    return {
        "boxes": _field((batch, capacity, 4), np.float32),
        "scores": _field((batch, capacity), np.float32),
        "class_ids": _field((batch, capacity), np.int32),
        "anchor_ids": _field((batch, capacity), np.int32),
    }


def plan_field(plan: Plan) -> Field:
    """A struct Plan, as bytes."""
    return _field((sizeof(plan),), np.uint8)


def launch_decode(
    launch: Launch,
    at: Addresses,
    plan: Plan,
    strides: tuple[int, int],
    *,
    batch: int,
    capacity: int,
    multi_label: bool,
) -> None:
    """Find and write the candidates of one level.

    Addresses: plan, images, first, the scratch, the candidates and counts; second, priors and before where there
    are any. `strides` are the elements from image to image of first and second.
    """
    groups = max(1, -(-plan.anchors // 32))
    inputs = at["plan"], at["images"], at["first"], np.int64(strides[0])
    many, work = np.int32(multi_label), (at["found"], at["found_scores"], at["groups"])
    launch("decode_find", (groups, batch), 256, *inputs, many, *work)
    others = at.get("second", 0), np.int64(strides[1]), at.get("priors", 0)
    results = [at[name] for name in ("boxes", "scores", "class_ids", "anchor_ids", "counts")]
    end = at.get("before", 0), np.int32(capacity)
    launch("decode_write", (-(-groups // 8), batch), 256, *inputs, *others, many, *work, *end, *results)


def nms_fields(batch: int, capacity: int, max_det: int, *, rotated: bool = False) -> Fields:
    """The scratch and the results of nms.cu."""
    rows = _CHUNK + _tiles(min(max_det, capacity)) * 64
    fields = {
        "keys": _field((batch, capacity), np.uint64),
        "order": _field((batch, capacity), np.int32),
        "mask": _field((batch, rows, _CHUNK // 64), np.uint64),
        "kept": _field((batch, max_det), np.int32),
        "kept_counts": _field((batch,), np.int32),
    }
    return fields | ({"gaussians": _field((batch, capacity, 5), np.float64)} if rotated else {})


def launch_nms(
    launch: Launch,
    at: Addresses,
    *,
    batch: int,
    capacity: int,
    max_det: int,
    iou_threshold: float,
    classes: int = 0,
    rotated: bool = False,
) -> None:
    """Reads boxes, scores, class_ids (0: one class), counts, and allowed of so many classes; writes kept, kept_counts."""
    name, threshold = ("_rotated", np.float64(iou_threshold)) if rotated else ("", np.float32(iou_threshold))
    size, most, counts = np.int32(capacity), np.int32(max_det), at["counts"]
    chosen = at["class_ids"], at.get("allowed", 0), np.int32(classes)
    kept, shapes = (at["kept"], at["kept_counts"]), at["gaussians" if rotated else "boxes"]
    ends = (at["keys"], *kept, *([shapes] if rotated else []))
    launch(
        f"nms_keys{name}",
        (-(-capacity // 256), batch),
        256,
        at["boxes"],
        at["scores"],
        *chosen,
        counts,
        size,
        most,
        *ends,
    )
    launch("nms_rank", (-(-capacity // 32), batch), 256, at["keys"], counts, size, at["order"])
    rows = np.int32(_CHUNK + _tiles(min(max_det, capacity)) * 64)
    for start in range(0, capacity, _CHUNK):
        first, tiles = np.int32(start), _tiles(min(capacity - start, _CHUNK))
        grid = (tiles, _tiles(min(max_det, start)) + tiles, batch)
        candidates = shapes, at["class_ids"], counts, size, at["order"], *kept
        launch(f"nms_mask{name}", grid, 64, *candidates, most, first, rows, threshold, at["mask"])
        launch("nms_reduce", (batch,), 256, counts, size, at["order"], at["mask"], most, first, rows, *kept)


def taken_fields(batch: int, max_det: int) -> Fields:
    """What nms_take writes."""
    return {
        "taken_boxes": _field((batch, max_det, 4), np.float32),
        "taken_scores": _field((batch, max_det), np.float32),
        "taken_class_ids": _field((batch, max_det), np.int32),
    }


def launch_take(launch: Launch, at: Addresses, *, batch: int, capacity: int, max_det: int) -> None:
    """Gather what nms kept."""
    inputs = [at[name] for name in ("boxes", "scores", "class_ids", "kept", "kept_counts")]
    outputs = [at[name] for name in ("taken_boxes", "taken_scores", "taken_class_ids")]
    numbers = np.int32(capacity), np.int32(max_det)
    launch("nms_take", (-(-max_det // 256), batch), 256, *inputs, *numbers, *outputs)


def _tiles(boxes: int) -> int:
    return -(-boxes // 64)
