"""Each op on NumPy arrays in place of device memory: memory as kernels/launches.py lays it out, launched by the shim."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cuda_host.shim import Library, device_array
from vedette.kernels import launches
from vedette.kernels._letterbox_cases import Case as LetterboxCase
from vedette.kernels.box_layouts import Layout as BoxLayout
from vedette.kernels.box_layouts import Priors, plan
from vedette.kernels.decode_boxes import Decoded, Mapped

Array = NDArray[Any]


def allocated(fields: launches.Fields, array: Callable[..., Array] = device_array) -> dict[str, Array]:
    return {name: array(shape, dtype) for name, (shape, dtype) in fields.items()}


def addresses(arrays: dict[str, Array]) -> dict[str, int]:
    return {name: array.ctypes.data for name, array in arrays.items()}


def nms(
    library: Library,
    images: Sequence[tuple[Array, Array, Array | None]],
    *,
    iou_threshold: float,
    max_det: int,
    capacity: int | None = None,
    allowed: Array | None = None,
) -> list[Array]:
    """Kept indices of each image: boxes [N, 4] or rotated [N, 5], scores [N], class_ids [N] or None for all images."""
    lengths = [len(scores) for _, scores, _ in images]
    capacity = capacity or max(*lengths, 1)
    batch, sides = len(images), images[0][0].shape[1]
    arrays = allocated(launches.nms_fields(batch, capacity, max_det, rotated=sides == 5), library.array)
    arrays["boxes"] = library.array((batch, capacity, sides), np.float32)
    arrays["scores"] = library.array((batch, capacity), np.float32)
    arrays["counts"] = library.array((batch,), np.int32, lengths)
    if images[0][2] is not None:
        arrays["class_ids"] = library.array((batch, capacity), np.int32)
    for image, values in enumerate(images):
        for name, value in zip(("boxes", "scores", "class_ids"), values, strict=True):
            if value is not None:
                arrays[name][image, : min(len(value), capacity)] = value[:capacity]
    classes = 0 if allowed is None else len(allowed)
    if allowed is not None:
        arrays["allowed"] = library.array((classes,), np.uint8, allowed)
    at = {"class_ids": 0} | addresses(arrays)
    numbers = {"batch": batch, "capacity": capacity, "max_det": max_det, "classes": classes}
    launches.launch_nms(library.launch, at, **numbers, iou_threshold=iou_threshold, rotated=sides == 5)
    kept, counts = arrays["kept"], arrays["kept_counts"]
    assert all((kept[image, counts[image] :] == -1).all() for image in range(batch))
    return [kept[image, : counts[image]].copy() for image in range(batch)]


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
    blocks, alive = library.array((len(cases),), launches.PICTURE), []
    for number, (planes, picture, _, layout) in enumerate(cases):
        size = planes[0].shape[1], planes[0].shape[0]
        tables = launches.picture_tables(size, layout, exact_cv2=exact_cv2)
        memory = {name: library.array(table.shape, table.dtype, table) for name, table in tables.items()}
        memory |= {f"plane{index}": _packed(library, plane) for index, plane in enumerate(planes)}
        pitches = [plane.strides[0] for plane in planes]
        at = addresses(memory)
        launches.set_picture(blocks[number], at, size, picture, layout, exact_cv2=exact_cv2, pitches=pitches)
        alive.append(memory)
    out: Array = library.array((len(cases), 3, height, width), dtype)
    at = {"pictures": blocks.ctypes.data, "input": out.ctypes.data}
    half_precision = dtype == np.float16
    launches.launch_letterbox(
        library.launch, at, batch=len(cases), size=(width, height), half_precision=half_precision
    )
    del alive
    return out


def _packed(library: Library, plane: Array) -> Array:
    """The plane's bytes at its own pitch, and none after its last row."""
    row_bytes = plane.size // len(plane)
    memory: Array = library.array(((len(plane) - 1) * plane.strides[0] + row_bytes,), np.uint8)
    for row in range(len(plane)):
        start = row * plane.strides[0]
        memory[start : start + row_bytes] = plane[row].reshape(-1)
    return memory


def decode_boxes(
    library: Library,
    layout: BoxLayout,
    images: Sequence[tuple[tuple[Array, ...], float, Mapped]],
    *,
    multi_label: bool,
    capacity: int | None = None,
    before: Sequence[int] = (),
) -> list[tuple[Decoded, int]]:
    """Candidates, and how many there would be with more capacity, of each image: its outputs, conf and mapping."""
    batch, shapes = len(images), tuple(output.shape for output in images[0][0])
    checked = plan(layout, shapes)
    capacity = capacity or max(1, checked.anchors * checked.classes)
    arrays = allocated(
        launches.decode_fields(batch, checked.anchors) | launches.candidate_fields(batch, capacity),
        library.array,
    )
    for number, (name, shape) in enumerate(zip(("first", "second"), shapes, strict=False)):
        arrays[name] = library.array((batch, *shape), np.float32, [image[0][number] for image in images])
    if isinstance(layout, Priors):
        arrays["priors"] = library.array(layout.priors.shape, np.float32, layout.priors)
    if before:
        arrays["before"] = library.array((batch,), np.int32, before)
    arrays["plan"] = library.array((len(bytes(checked)),), np.uint8, np.frombuffer(bytes(checked), np.uint8))
    blocks = arrays["images"] = library.array((batch,), launches.IMAGE)
    blocks["conf"], blocks["left_top_gains"] = [image[1] for image in images], [image[2] for image in images]
    arrays["counts"] = library.array((batch,), np.int32)
    strides = arrays["first"][0].size, arrays["second"][0].size if "second" in arrays else 0
    launches.launch_decode(
        library.launch, addresses(arrays), checked, strides, batch=batch, capacity=capacity, multi_label=multi_label
    )  # fmt: skip
    counts = arrays["counts"]
    found = [arrays[name] for name in ("boxes", "scores", "class_ids", "anchor_ids")]
    starts = before or [0] * batch
    return [
        (
            Decoded(*(array[image, starts[image] : min(counts[image], capacity)].copy() for array in found)),
            int(counts[image]),
        )
        for image in range(batch)
    ]
