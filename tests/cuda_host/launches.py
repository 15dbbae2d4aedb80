"""The launches of each op, as the head of its .cu says, on NumPy arrays in place of device memory."""

from collections.abc import Sequence
from ctypes import c_double, c_float, c_int, c_int64
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cuda_host.shim import Library, device_array
from vedette.kernels._letterbox_cases import Case as LetterboxCase
from vedette.kernels.box_layouts import Layout as BoxLayout
from vedette.kernels.box_layouts import Priors, plan
from vedette.kernels.decode_boxes import Decoded, Mapped
from vedette.kernels.picture import Layout, Picture, fixed_tables, resize_tables, yuv_coefficients

Array = NDArray[Any]
CHUNK = 2048


def nms(
    library: Library,
    images: Sequence[tuple[Array, Array, Array | None]],
    *,
    iou_threshold: float,
    max_det: int,
    capacity: int | None = None,
) -> list[Array]:
    """Kept indices of each image: boxes [N, 4] or rotated [N, 5], scores [N], class_ids [N] or None for all images."""
    lengths = [len(scores) for _, scores, _ in images]
    capacity = capacity or max(*lengths, 1)
    batch = len(images)
    sides = images[0][0].shape[1]
    boxes = device_array((batch, capacity, sides), np.float32)
    scores = device_array((batch, capacity), np.float32)
    class_ids = None if images[0][2] is None else device_array((batch, capacity), np.int32)
    for image, (its_boxes, its_scores, its_classes) in enumerate(images):
        n = min(len(its_scores), capacity)
        boxes[image, :n], scores[image, :n] = its_boxes[:n], its_scores[:n]
        if class_ids is not None and its_classes is not None:
            class_ids[image, :n] = its_classes[:n]
    counts = device_array((batch,), np.int32, lengths)
    rows = CHUNK + _tiles(min(max_det, capacity)) * 64
    keys, order = device_array((batch, capacity), np.uint64), device_array((batch, capacity), np.int32)
    mask = device_array((batch, rows, CHUNK // 64), np.uint64)
    kept, kept_counts = device_array((batch, max_det), np.int32), device_array((batch,), np.int32)
    size, most = c_int(capacity), c_int(max_det)

    rotated, threshold = ("_rotated", c_double(iou_threshold)) if sides == 5 else ("", c_float(iou_threshold))
    shapes = device_array((batch, capacity, 5), np.float64) if rotated else boxes
    results = (keys, kept, kept_counts, *([shapes] if rotated else []))
    grid = (-(-capacity // 256), batch)
    library.launch(f"nms_keys{rotated}", grid, 256, boxes, scores, counts, size, most, *results)
    library.launch("nms_rank", (-(-capacity // 32), batch), 256, keys, counts, size, order)
    for start in range(0, capacity, CHUNK):
        first, tiles = c_int(start), _tiles(min(capacity - start, CHUNK))
        kept_tiles = _tiles(min(max_det, start))
        suppression = (most, first, c_int(rows), threshold, mask)
        candidates = (shapes, class_ids, counts, size, order, kept, kept_counts)
        library.launch(
            f"nms_mask{rotated}", (tiles, kept_tiles + tiles, batch), 64, *candidates, *suppression
        )
        reduction = (order, mask, most, first, c_int(rows), kept, kept_counts)
        library.launch("nms_reduce", (batch,), 256, counts, size, *reduction)
    assert all((kept[image, kept_counts[image] :] == -1).all() for image in range(batch))
    return [kept[image, : kept_counts[image]].copy() for image in range(batch)]


def _tiles(boxes: int) -> int:
    return -(-boxes // 64)


# struct Picture of letterbox.cu
PICTURE = np.dtype(
    [
        ("planes", np.uint64, 3),
        ("x_first", np.uint64),
        ("x_weight", np.uint64),
        ("y_first", np.uint64),
        ("y_second", np.uint64),
        ("y_weight", np.uint64),
        ("x_shares", np.uint64),
        ("y_shares", np.uint64),
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


def letterbox(
    library: Library,
    cases: Sequence[LetterboxCase],
    *,
    width: int,
    height: int,
    dtype: Any = np.float32,
    exact_cv2: bool = False,
) -> Array:
    """[B, 3, height, width] of float32 or float16."""
    blocks = device_array((len(cases),), PICTURE)
    alive = [
        _fill(block, *case[:2], case[3], exact_cv2=exact_cv2)
        for block, case in zip(blocks, cases, strict=True)
    ]
    out: Array = device_array((len(cases), 3, height, width), dtype)
    grid = (-(-width // 128), -(-height // 8), len(cases))
    half_precision = c_int(dtype == np.float16)
    library.launch("letterbox", grid, 256, blocks, c_int(width), c_int(height), half_precision, out)
    del alive
    return out


def _fill(
    block: Any, planes: Sequence[Array], picture: Picture, layout: Layout, *, exact_cv2: bool
) -> list[Array]:
    """Set a Picture of letterbox.cu; returns what it points to. Rows keep their pitch; the last has no padding."""
    height, width = planes[0].shape[:2]
    memory = [_packed(plane) for plane in planes]
    block["planes"][: len(planes)] = [plane.ctypes.data for plane in memory]
    block["pitches"][: len(planes)] = [plane.strides[0] for plane in planes]
    tables = _tables((width, height), layout, exact_cv2=exact_cv2)
    for name, table in tables.items():
        block[name] = table.ctypes.data
    half = exact_cv2 and (width, height) == (2 * layout.scaled[0], 2 * layout.scaled[1])
    block["format"] = {"yuv420p": 1, "nv12": 2}.get(picture.format, 0)
    block["rule"] = 2 if half else int(exact_cv2)
    block["size"], block["corner"], block["scaled"] = (width, height), layout.offset, layout.scaled
    swapped = layout.channel_order == ("bgr" if picture.format == "rgb24" else "rgb")
    block["channel"] = (2, 1, 0) if swapped else (0, 1, 2)
    block["gain"], block["bias"], block["pad"] = layout.gain, layout.bias, layout.pad
    block["yuv"] = yuv_coefficients(picture.matrix, picture.full_range)
    return [*memory, *tables.values()]


def _tables(size: tuple[int, int], layout: Layout, *, exact_cv2: bool) -> dict[str, Array]:
    """The tables that the rule reads, by their names in letterbox.cu."""
    if exact_cv2:
        x, y = (fixed_tables(size[axis], layout.scaled[axis], rows=axis == 1) for axis in range(2))
    else:
        x, y = (resize_tables(size[axis], layout.scaled[axis]) for axis in range(2))
    kind = "shares" if exact_cv2 else "weight"
    named = {"x_first": x[0], f"x_{kind}": x[2], "y_first": y[0], "y_second": y[1], f"y_{kind}": y[2]}
    return {name: device_array(table.shape, table.dtype, table) for name, table in named.items()}


def _packed(plane: Array) -> Array:
    """The plane's bytes at its own pitch, and none after its last row."""
    row_bytes = plane.size // len(plane)
    memory: Array = device_array(((len(plane) - 1) * plane.strides[0] + row_bytes,), np.uint8)
    for row in range(len(plane)):
        start = row * plane.strides[0]
        memory[start : start + row_bytes] = plane[row].reshape(-1)
    return memory


# struct Image of decode_boxes.cu
IMAGE = np.dtype([("conf", np.float32), ("left_top_gains", np.float32, 4)])


def decode_boxes(
    library: Library,
    layout: BoxLayout,
    images: Sequence[tuple[tuple[Array, ...], float, Mapped]],
    *,
    multi_label: bool,
    capacity: int | None = None,
) -> list[tuple[Decoded, int]]:
    """Candidates, and how many there would be with more capacity, of each image: its outputs, conf and mapping."""
    batch, shapes = len(images), tuple(output.shape for output in images[0][0])
    checked = plan(layout, shapes)
    anchors, capacity = checked.anchors, capacity or max(1, checked.anchors * checked.classes)
    outputs = [
        device_array((batch, *shape), np.float32, [image[0][number] for image in images])
        for number, shape in enumerate(shapes)
    ]
    first, second = outputs[0], outputs[1] if len(outputs) > 1 else None
    first_stride, second_stride = (
        c_int64(0 if array is None else array[0].size) for array in (first, second)
    )
    priors = (
        device_array(layout.priors.shape, np.float32, layout.priors) if isinstance(layout, Priors) else None
    )
    plan_bytes = device_array((len(bytes(checked)),), np.uint8, np.frombuffer(bytes(checked), np.uint8))
    blocks = device_array((batch,), IMAGE)
    blocks["conf"], blocks["left_top_gains"] = [image[1] for image in images], [image[2] for image in images]
    many, groups = c_int(multi_label), max(1, -(-anchors // 32))
    found, found_scores = device_array((batch, anchors), np.int32), device_array((batch, anchors), np.float32)
    totals, counts = device_array((batch, groups), np.int32), device_array((batch,), np.int32)
    boxes = device_array((batch, capacity, 4), np.float32)
    scores = device_array((batch, capacity), np.float32)
    class_ids, anchor_ids = (device_array((batch, capacity), np.int32) for _ in range(2))

    inputs = (plan_bytes, blocks, first, first_stride)
    library.launch("decode_find", (groups, batch), 256, *inputs, many, found, found_scores, totals)
    work = (second, second_stride, priors, many, found, found_scores, totals)
    results = (c_int(capacity), boxes, scores, class_ids, anchor_ids, counts)
    library.launch("decode_write", (-(-groups // 8), batch), 256, *inputs, *work, *results)
    written = [min(int(count), capacity) for count in counts]
    arrays = (boxes, scores, class_ids, anchor_ids)
    return [
        (Decoded(*(array[image, :n].copy() for array in arrays)), int(counts[image]))
        for image, n in enumerate(written)
    ]
