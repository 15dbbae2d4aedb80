"""Trained networks on annotated photos: what they find, scored by pycocotools.

Both lie beside the checkout, in ../shared/data; tests that need them skip where they are absent.
"""

import contextlib
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from vedette.runtime.decoders import Candidates
from vedette.runtime.evaluation.labels import SPELLING
from vedette.runtime.frame import Frame
from vedette.runtime.manifest import Decoder, Input, Manifest, Output, Task
from vedette.runtime.preprocess import Placement, fill, place
from vedette.runtime.tasks import Config, detection

SHARED = Path(__file__).parents[2] / "shared" / "data"


def shared(path: str) -> Path:
    """A file or folder of the shared test data; skips the test that asks if it is not there."""
    found = SHARED / path
    if not found.exists():
        pytest.skip(f"needs the test data ../shared/data/{path}, which is not here")
    return found


class Network:
    """A foreign ONNX file on the CPU, its outputs recognised by a decoder."""

    def __init__(
        self, path: Path, task: Task, family: ModuleType, pixels: Input, labels: tuple[str, ...]
    ) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 2
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        outputs = [Output(o.name, tuple(o.shape)) for o in self._session.get_outputs()]
        self.family, self.parameters = family, family.claims(outputs)
        roles = family.roles(outputs)
        bound = tuple(Output(output.name, output.shape, role=roles[output.name]) for output in outputs)
        decoder = Decoder(family.__name__.rpartition(".")[2])
        self.manifest = Manifest(path.stem, task, (pixels,), bound, decoder, labels=labels)

    def decode(self, frame: Frame, conf: float) -> tuple[Any, Placement]:
        """What one frame decodes to, and where it lay in the input."""
        (pixels,) = self.manifest.inputs
        height, width = pixels.shape[2:]
        placement = place(frame.size, (width, height), pixels.resize)
        batch = np.empty((1, 3, height, width), np.float32)
        fill(batch[0], frame.bgr(), pixels, placement)
        names = [output.name for output in self.manifest.outputs]
        values = dict(zip(names, self._session.run(names, {pixels.name: batch}), strict=True))
        (decoded,) = self.family.decode(
            values, self.manifest, self.parameters, conf, input_size=placement.input_size
        )
        return decoded, placement


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """One photo, decoded."""

    image: int
    frame: Frame
    placement: Placement
    decoded: Candidates


def scenes_of_voc50(network: Network, *, conf: float) -> Iterator[Scene]:
    import cv2

    folder = shared("voc50")
    for image in json.loads((folder / "annotations.json").read_text(encoding="utf-8"))["images"]:
        picture = cv2.imread(str(folder / image["file_name"]))
        assert picture is not None
        frame = Frame((picture,))
        decoded, placement = network.decode(frame, conf)
        yield Scene(image["id"], frame, placement, decoded)


def finished(scenes: list[Scene], network: Network, config: Config) -> dict[int, dict[str, Any]]:
    """The JSON records that a user gets, by image id."""
    return {
        s.image: detection.finish(s.decoded, s.frame, s.placement, network.manifest, config).to_dict()
        for s in scenes
    }


def by_image(records: Iterable[dict[str, Any]], annotations: Path) -> dict[int, dict[str, Any]]:
    """JSON records of pictures by the image ids of an annotation file."""
    images = json.loads(annotations.read_text(encoding="utf-8"))["images"]
    ids = {Path(image["file_name"]).name: image["id"] for image in images}
    return {ids[Path(record["source"]).name]: record for record in records}


def coco_from_records(records: Mapping[int, dict[str, Any]], annotations: Path) -> list[dict[str, Any]]:
    """The detections of JSON records in the form of a COCO results file."""
    categories = json.loads(annotations.read_text(encoding="utf-8"))["categories"]
    ids = {SPELLING.get(item["name"], item["name"]): item["id"] for item in categories}
    items = []
    for image, record in records.items():
        for found in record["detections"]:
            left, top, right, bottom = found["box_xyxy"]
            category = ids[SPELLING.get(found["label"], found["label"])]
            box = [left, top, right - left, bottom - top]
            items.append({"image_id": image, "category_id": category, "bbox": box, "score": found["score"]})
    return items


def average_precision(records: Mapping[int, dict[str, Any]], annotations: Path) -> dict[str, float]:
    """COCO's AP, AP50 and AP75 of JSON records by image id, over the categories that occur."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(annotations))
        evaluation = COCOeval(truth, truth.loadRes(coco_from_records(records, annotations)), "bbox")
        evaluation.params.catIds = sorted({item["category_id"] for item in truth.dataset["annotations"]})
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return dict(zip(("AP", "AP50", "AP75"), evaluation.stats.tolist(), strict=False))
