"""Kernels under the shim against their references: what every test, sanitizer run and planted bug goes through.

Run as a program (`python -m cuda_host.check`) in a process of its own, where a crash or a sanitizer may end it.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from cuda_host import guided_steps, heatmaps, labels, launches, masks, paf
from cuda_host.shim import HERE, Library, Order
from vedette.kernels import _decode_boxes_cases
from vedette.kernels import decode_boxes as decode_py
from vedette.kernels import nms as nms_py
from vedette.kernels._letterbox_cases import CASES, Case
from vedette.kernels.box_layouts import (
    V5,
    V8,
    EndToEnd,
    FastestDet,
    Layout,
    NanoDet,
    Priors,
    Region,
    Yolox,
)
from vedette.kernels.letterbox import letterbox_reference
from vedette.kernels.picture import Layout as Letterbox
from vedette.kernels.picture import Picture, PixelFormat, Size

Array = NDArray[Any]


# ---- nms


def drawn_boxes(random: np.random.Generator, most: int) -> nms_py.Case:
    """Few places, sizes and scores, so that ties of score and of IoU are common; some values are not finite."""
    n = int(random.integers(0, most + 1))
    corners = random.integers(0, 12, (n, 2))
    boxes = np.concatenate([corners, corners + random.integers(1, 6, (n, 2))], axis=1).astype(np.float32)
    scores = (random.integers(-2, 5, n) / 4).astype(np.float32)
    for values in (boxes, scores):
        values[random.random(values.shape) < 0.02] = random.choice([np.nan, np.inf, -np.inf])
    return boxes, scores, random.integers(0, 3, n)


def drawn_rotated_boxes(random: np.random.Generator, most: int) -> nms_py.Case:
    """The same with angles: [N, 5]."""
    boxes, scores, class_ids = drawn_boxes(random, most)
    with np.errstate(invalid="ignore"):
        sizes = boxes[:, 2:] - boxes[:, :2]
        centres = boxes[:, :2] + sizes / 2
    angles = random.uniform(-4, 4, (len(boxes), 1)).astype(np.float32)
    return np.concatenate([centres, sizes, angles], axis=1), scores, class_ids


def check_nms(library: Library, images: list[nms_py.Case], *, iou_threshold: float, max_det: int) -> None:
    """Class-aware and agnostic, each in one batch; rotated where boxes have five numbers."""
    reference = nms_py.nms_reference if images[0][0].shape[1] == 4 else nms_py.nms_rotated_reference
    agnostic = [(boxes, scores, None) for boxes, scores, _ in images]
    for batch in (images, agnostic):
        found = launches.nms(library, batch, iou_threshold=iou_threshold, max_det=max_det)
        for (boxes, scores, class_ids), kept in zip(batch, found, strict=True):
            classes = np.zeros(len(scores)) if class_ids is None else class_ids
            expected = reference(boxes, scores, classes, iou_threshold=iou_threshold, max_det=max_det)
            np.testing.assert_array_equal(kept, expected)


def _nms_cases(library: Library) -> None:
    for case in nms_py.CASES.values():
        boxes, scores, class_ids = case()
        check_nms(library, [(boxes, scores, class_ids)], iou_threshold=0.5, max_det=300)
        if len(boxes) < 1000:
            rotated = np.concatenate([boxes, scores[:, None] * 3], axis=1)  # the corners as centres and sizes
            check_nms(library, [(rotated, scores, class_ids)], iou_threshold=0.5, max_det=300)


def _nms_drawn(library: Library, random: np.random.Generator) -> None:
    limit, most = float(random.choice([0, 0.3, 0.5, 1])), int(random.integers(1, 90))
    for draw in (drawn_boxes, drawn_rotated_boxes):
        images = [draw(random, 90) for _ in range(random.integers(1, 3))]
        check_nms(library, images, iou_threshold=limit, max_det=most)


# ---- letterbox


def drawn_picture(random: np.random.Generator, out: Size) -> Case:
    """A small picture of any format, somewhere in `out`."""
    width, height = random.integers(1, 40, 2).tolist()
    half = (height + 1) // 2, (width + 1) // 2
    formats: dict[PixelFormat, list[tuple[int, ...]]] = {
        "bgr24": [(height, width, 3)],
        "rgb24": [(height, width, 3)],
        "yuv420p": [(height, width), half, half],
        "nv12": [(height, width), (*half, 2)],
    }
    form = list(formats)[random.integers(4)]
    planes = tuple(random.integers(0, 256, shape, np.uint8) for shape in formats[form])
    picture = Picture(form, "bt709" if random.random() < 0.5 else "bt601", bool(random.random() < 0.5))
    scaled = int(random.integers(1, out[0] + 1)), int(random.integers(1, out[1] + 1))
    offset = int(random.integers(0, out[0] - scaled[0] + 1)), int(random.integers(0, out[1] - scaled[1] + 1))
    gain, bias = (tuple(values) for values in random.uniform(-2, 2, (2, 3)))
    order: Literal["bgr", "rgb"] = "rgb" if random.random() < 0.5 else "bgr"
    return (
        planes,
        picture,
        out,
        Letterbox(scaled, offset, gain, bias, float(random.integers(256)), order),
    )


def check_letterbox(library: Library, cases: list[Case]) -> None:
    """Bit for bit, in float32 and float16, by either rule; all cases in one batch, of one output size."""
    width, height = cases[0][2]
    for dtype, exact_cv2 in ((np.float32, False), (np.float16, False), (np.float32, True)):
        found = launches.letterbox(
            library, cases, width=width, height=height, dtype=dtype, exact_cv2=exact_cv2
        )
        for image, (planes, picture, _, layout) in zip(found, cases, strict=True):
            expected = np.empty((3, height, width), dtype)
            letterbox_reference(expected, planes, layout, picture, exact_cv2=exact_cv2)
            np.testing.assert_array_equal(image, expected)


def _letterbox_cases(library: Library) -> None:
    for case in CASES.values():
        check_letterbox(library, [case()])


def _letterbox_drawn(library: Library, random: np.random.Generator) -> None:
    out = int(random.integers(1, 34)), int(random.integers(1, 18))
    check_letterbox(library, [drawn_picture(random, out) for _ in range(random.integers(1, 3))])


# ---- decode_boxes

EVERYTHING = 2**31 - 1
TO_THE_BIT = (V8, V5, EndToEnd)  # the others differ from NumPy in the last places of an exponential


def drawn_outputs(random: np.random.Generator) -> tuple[Layout, tuple[Array, ...]]:
    """A small random output of any family; one in five has values that are not finite."""
    n, classes, rows, columns = (int(random.integers(1, most + 1)) for most in (120, 9, 6, 5))
    anchors = tuple((float(w), float(h)) for w, h in random.uniform(0.5, 9, (random.integers(1, 4), 2)))
    size = columns * 16, rows * 16
    families: list[tuple[Layout, tuple[tuple[int, ...], ...]]] = [
        (V8(extras=2), ((6 + classes, n),)),
        (V5(extras=1), ((n, 6 + classes),)),
        (EndToEnd(), ((n, 6),)),
        (Yolox(size, (8, 16)), ((5 * rows * columns, 5 + classes),)),
        (Region(size, anchors), ((len(anchors) * (5 + classes), rows, columns),)),
        (FastestDet(size), ((5 + classes, rows, columns),)),
        (NanoDet(8, columns), ((rows * columns, classes), (rows * columns, 20))),
        (Priors(random.uniform(1, 50, (n, 4))), ((n, classes + 1), (n, 4))),
    ]
    layout, shapes = families[random.integers(len(families))]
    outputs = tuple(random.uniform(-1, 3, shape).astype(np.float32) for shape in shapes)
    if isinstance(layout, EndToEnd):
        outputs[0][:, 5] = random.integers(-1, 80, n)
    if random.random() < 0.2:
        for output in outputs:
            output[random.random(output.shape) < 0.05] = random.choice([np.nan, np.inf, -np.inf])
    return layout, outputs


def check_decode_boxes(
    library: Library,
    layout: Layout,
    images: list[tuple[tuple[Array, ...], float, decode_py.Mapped]],
    *,
    multi_label: bool,
) -> None:
    """One batch, each image with its own conf and mapping."""
    found = launches.decode_boxes(library, layout, images, multi_label=multi_label)
    for (decoded, count), (outputs, conf, mapped) in zip(found, images, strict=True):
        expected = decode_py.decode_boxes_reference(
            layout, *outputs, conf=conf, multi_label=multi_label, max_candidates=EVERYTHING, image=mapped
        )
        assert count == len(decoded.scores), "a capacity of everything is enough"
        if isinstance(layout, TO_THE_BIT):
            for field in ("boxes_xyxy", "scores", "class_ids", "anchors"):
                np.testing.assert_array_equal(getattr(decoded, field), getattr(expected, field))
        else:
            _check_close(_clear_of(conf, decoded), _clear_of(conf, expected))


def _clear_of(conf: float, decoded: decode_py.Decoded) -> decode_py.Decoded:
    """Without the candidates that the last places of a score decide."""
    clear = decoded.scores > conf + 1e-5
    return decode_py.Decoded(*(getattr(decoded, field)[clear] for field in decoded.__dataclass_fields__))


def _check_close(found: decode_py.Decoded, expected: decode_py.Decoded) -> None:
    np.testing.assert_array_equal(found.anchors, expected.anchors)
    np.testing.assert_array_equal(found.class_ids, expected.class_ids)
    np.testing.assert_allclose(found.scores, expected.scores, rtol=1e-5)
    np.testing.assert_allclose(found.boxes_xyxy, expected.boxes_xyxy, rtol=1e-5, atol=1e-3)


def _decode_cases(library: Library) -> None:
    for name, make in _decode_boxes_cases.CASES.items():
        case = make()
        if name != "v8 worst":  # 672,000 candidates: in a test of its own
            images = [(case.outputs, case.conf, decode_py.IDENTITY)]
            check_decode_boxes(library, case.layout, images, multi_label=case.multi_label)


def _decode_drawn(library: Library, random: np.random.Generator) -> None:
    layout, outputs = drawn_outputs(random)
    mapped = (3.0, -7.5, 0.5, 0.75)
    images = [
        (outputs, 0.3, decode_py.IDENTITY),
        (tuple(-part for part in outputs), float(random.random()), mapped),
    ]
    check_decode_boxes(library, layout, images, multi_label=bool(random.random() < 0.5))


# ---- all

OPS: Mapping[str, tuple[Callable[[Library], None], Callable[[Library, np.random.Generator], None]]] = {
    "nms": (_nms_cases, _nms_drawn),
    "letterbox": (_letterbox_cases, _letterbox_drawn),
    "decode_boxes": (_decode_cases, _decode_drawn),
    "argmax_labels": (labels.cases, labels.drawn),
    "paf": (paf.cases, paf.drawn),
    "heatmap_keypoints": (heatmaps.cases, heatmaps.drawn),
    "assemble_masks": (masks.cases, masks.drawn),
    "guided_step": (guided_steps.cases, guided_steps.drawn),
}


def check(op: str, library: Library, *, drawn: int) -> None:
    """Everything above for one op: its CASES and seeded random ones."""
    cases, once = OPS[op]
    cases(library)
    random = np.random.default_rng(0)
    for _ in range(drawn):
        once(library, random)


def run(op: str, library: Path, *, order: Order, drawn: int, sanitize: bool) -> str:
    """The same in a process of its own: empty if all is well, else what it printed."""
    environment = os.environ | {"PYTHONPATH": str(HERE.parent)}
    if sanitize:
        found = subprocess.run(
            ["g++", "-print-file-name=libasan.so"], text=True, capture_output=True, check=True
        )
        environment |= {
            "LD_PRELOAD": found.stdout.strip(),
            "ASAN_OPTIONS": "detect_leaks=0",
            "PYTHONMALLOC": "malloc",  # so that every array has its own red zones
        }
    command = [sys.executable, "-m", "cuda_host.check", op, str(library), order.name, str(drawn)]
    done = subprocess.run(command, env=environment, text=True, capture_output=True, timeout=300)
    return "" if done.returncode == 0 else done.stderr[-4000:] + f"\nexit status {done.returncode}"


if __name__ == "__main__":
    check(sys.argv[1], Library(Path(sys.argv[2]), order=Order[sys.argv[3]], seed=1), drawn=int(sys.argv[4]))
