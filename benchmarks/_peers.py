"""What others do with a picture and a network of YOLOv8's kind: the peers of bench_pipeline.py and bench_kernels.py.

In: uint8 [H, W, 3] BGR.  Out: float32 [n, 4] boxes in its pixels.  All share one session, counted; see Sessions.
"""

import importlib
import os
from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from _peer_environment import QUIET
from _rounds import Spent
from numpy.typing import NDArray

Array = NDArray[Any]
Detect = Callable[[Array], Array]
SIDE, CONF, IOU, MAX_DET = 640, 0.25, 0.7, 300


class Sessions:
    """ONNX Runtime's sessions, of whoever opens one from now on: one thread, no spinning, and the CPU time in them counted."""

    def __init__(self) -> None:
        import onnxruntime as ort

        self.spent = spent = Spent()
        plain: Any = ort.InferenceSession

        class Counted(plain):  # type: ignore[misc]
            def __init__(self, model: Any, sess_options: Any = None, *rest: Any, **named: Any) -> None:
                options = sess_options or ort.SessionOptions()
                options.intra_op_num_threads = 1
                options.add_session_config_entry("session.intra_op.allow_spinning", "0")
                super().__init__(model, options, *rest, **named)

            run = spent.of(plain.run)
            run_with_iobinding = spent.of(plain.run_with_iobinding)

        ort.InferenceSession = Counted


def session(network: Path) -> Any:
    import onnxruntime as ort

    return ort.InferenceSession(str(network), providers=["CPUExecutionProvider"])


# ---- a loop as tutorials write it ----


def naive(network: Path) -> Detect:
    """Letterbox by OpenCV, NumPy around it, OpenCV's NMS by class."""
    opened = session(network)
    name = opened.get_inputs()[0].name
    return lambda image: suppressed_by_cv2(opened.run(None, {name: letterboxed(image)})[0][0], image)


def with_supervision(network: Path) -> Detect | None:
    """The same, with supervision's Detections and NMS behind it."""
    if find_spec("supervision") is None:
        return None
    detections = importlib.import_module("supervision").Detections
    opened = session(network)
    name = opened.get_inputs()[0].name

    def detect(image: Array) -> Array:
        boxes, scores, class_ids = candidates(opened.run(None, {name: letterboxed(image)})[0][0], image)
        found = detections(xyxy=boxes, confidence=scores, class_id=class_ids).with_nms(threshold=IOU)
        kept: Array = found.xyxy[:MAX_DET]
        return kept

    return detect


def with_rtmlib(network: Path) -> Detect | None:
    """The same, with rtmlib's NMS behind it, which takes every class of an anchor that scores enough."""
    if find_spec("rtmlib") is None:
        return None
    inside = "rtmlib.tools.object_detection.post_processings"
    suppressed = importlib.import_module(inside).multiclass_nms
    opened = session(network)
    name = opened.get_inputs()[0].name

    def detect(image: Array) -> Array:
        raw = opened.run(None, {name: letterboxed(image)})[0][0]
        boxes, _, _ = candidates(raw, image)
        found, _ = suppressed(boxes, raw[4:, raw[4:].max(axis=0) > CONF].T, IOU, CONF)
        kept: Array = np.zeros((0, 4)) if found is None else found[:MAX_DET, :4]
        return kept

    return detect


def letterboxed(image: Array) -> Array:
    """[1, 3, 640, 640] RGB in 0 to 1."""
    import cv2

    (height, width), ratio = image.shape[:2], SIDE / max(image.shape[:2])
    resized = cv2.resize(image, (round(width * ratio), round(height * ratio)))
    top, left = (SIDE - resized.shape[0]) // 2, (SIDE - resized.shape[1]) // 2
    square = np.full((SIDE, SIDE, 3), 114, np.uint8)
    square[top : top + resized.shape[0], left : left + resized.shape[1]] = resized
    return np.ascontiguousarray(square[..., ::-1].transpose(2, 0, 1)[None], np.float32) / np.float32(255)


def candidates(raw: Array, image: Array) -> tuple[Array, Array, Array]:
    """Boxes in pixels of the picture, scores and classes of what [84, n] holds above CONF."""
    (height, width), ratio = image.shape[:2], SIDE / max(image.shape[:2])
    columns = raw[:, raw[4:].max(axis=0) > CONF]
    scores, class_ids = columns[4:].max(axis=0), columns[4:].argmax(axis=0)
    centre, size = columns[:2], columns[2:4]
    boxes = np.concatenate([centre - size / 2, centre + size / 2]).T
    left, top = (SIDE - width * ratio) / 2, (SIDE - height * ratio) / 2
    boxes = (boxes - np.array([left, top, left, top])) / ratio
    return np.clip(boxes, 0, [width, height, width, height]), scores, class_ids


def suppressed_by_cv2(raw: Array, image: Array) -> Array:
    import cv2

    boxes, scores, class_ids = candidates(raw, image)
    wide: Any = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)
    kept: Any = cv2.dnn.NMSBoxesBatched(wide, scores, class_ids, CONF, IOU)  # type: ignore[arg-type]
    found: Array = boxes[np.asarray(kept, np.int64).ravel()[:MAX_DET]]
    return found


# ---- OpenCV's own networks ----


def opencv_dnn(network: Path) -> Detect:
    import cv2

    opened = cv2.dnn.readNetFromONNX(str(network))

    def detect(image: Array) -> Array:
        opened.setInput(letterboxed(image))
        return suppressed_by_cv2(np.asarray(opened.forward())[0], image)

    return detect


# ---- Ultralytics, where _peer_environment.py has made it a place ----


def ultralytics(network: Path) -> Any:
    """Its YOLO object, quiet; None where it is not installed."""
    if find_spec("ultralytics") is None:
        return None
    os.environ.update(QUIET)
    return importlib.import_module("ultralytics").YOLO(str(network), task="detect")


def ultralytics_picture(network: Path) -> Detect | None:
    yolo = ultralytics(network)
    if yolo is None:
        return None
    ask = partial(yolo.predict, imgsz=SIDE, conf=CONF, iou=IOU, max_det=MAX_DET, device="cpu", verbose=False)
    return lambda image: np.asarray(ask(image)[0].boxes.xyxy)


def ultralytics_video(network: Path) -> Callable[[Path], Iterator[Array]] | None:
    yolo = ultralytics(network)
    if yolo is None:
        return None
    ask = partial(yolo.predict, imgsz=SIDE, conf=CONF, iou=IOU, max_det=MAX_DET, device="cpu", verbose=False)
    return lambda path: (np.asarray(found.boxes.xyxy) for found in ask(str(path), stream=True))
