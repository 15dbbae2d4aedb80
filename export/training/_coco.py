"""Digit scenes as files: pictures or a clip, COCO annotations, label maps.

In: how many, and a seed.  Out: in a folder, `000000.png` … or `clip.mp4`; `labels/000000.png` …, uint8 positions in
info.semantic_classes; and `annotations.json`, COCO's format, for pycocotools.

Category 1 is the digit 0, and so on: pycocotools counts categories from 1, and the names are what a detector's
labels are. Only digits have annotations. In a clip each image is a frame, by frame_index, and track_id says which
digit is which.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from vedette.export.training._clip import RATE, clip
from vedette.export.training._compose import KEYPOINTS, SEMANTIC, Scene
from vedette.export.training.scenes import scene
from vedette.runtime import rle
from vedette.runtime.draw import write_bytes, write_picture

CLIP = "clip.mp4"


def write_scenes(out: Path, count: int, *, seed: int, split: str, size: int) -> None:
    """Write pictures with their annotations and label maps.

    Raises:
        DiskError: `out` cannot be written.
    """
    document = _document(seed, split)
    for index in range(count):
        one = scene(index, seed=seed, split=split, size=size)
        name = f"{index:06d}.png"
        write_picture(out / name, one.image)
        _add(document, out, one, {"file_name": name})
    _finish(document, out)


def write_clip(out: Path, count: int, *, seed: int, split: str, size: int) -> None:
    """Write a clip with the annotations and the label map of every frame.

    Raises:
        DiskError: `out` cannot be written.
    """
    from vedette.runtime.sinks._encode import Encoder

    document = _document(seed, split)
    document["videos"] = [{"id": 1, "file_name": CLIP, "width": size, "height": size, "fps": RATE}]
    out.mkdir(parents=True, exist_ok=True)
    encoder = Encoder(out / CLIP, (size, size), RATE)
    for index, one in enumerate(clip(count, seed=seed, split=split, size=size)):
        time_s = index / RATE
        encoder.add(one.image, time_s)
        place = {"file_name": CLIP, "video_id": 1, "frame_index": index, "time_s": time_s}
        _add(document, out, one, place)
    encoder.close()
    _finish(document, out)


def _document(seed: int, split: str) -> dict[str, Any]:
    """COCO's top level, with nothing seen yet."""
    digits = [
        {"id": digit + 1, "name": str(digit), "supercategory": "digit", "keypoints": list(KEYPOINTS), "skeleton": []}
        for digit in range(10)
    ]  # fmt: skip
    info = {"description": "digit scenes", "seed": seed, "split": split, "semantic_classes": list(SEMANTIC)}
    return {"info": info, "licenses": [], "images": [], "annotations": [], "categories": digits}


def _add(document: dict[str, Any], out: Path, one: Scene, place: dict[str, Any]) -> None:
    """Note one picture, and write its label map."""
    image_id = len(document["images"]) + 1
    height, width = one.labels.shape
    document["images"].append({"id": image_id, "width": width, "height": height, **place})
    write_picture(out / "labels" / f"{image_id - 1:06d}.png", one.labels)
    for annotation in _annotations(one, tracked="video_id" in place):
        numbered = {"id": len(document["annotations"]) + 1, "image_id": image_id, **annotation}
        document["annotations"].append(numbered)


def _annotations(one: Scene, *, tracked: bool) -> Iterable[dict[str, Any]]:
    """COCO's annotations of a scene, without ids."""
    for index, (left, top, right, bottom) in enumerate(one.boxes_xyxy.tolist()):
        annotation = {
            "category_id": int(one.class_ids[index]) + 1,
            "bbox": [left, top, right - left, bottom - top],
            "area": int(one.masks[index].sum()),
            "iscrowd": 0,
            "segmentation": rle.encode(one.masks[index]),
            "keypoints": one.keypoints[index].round(3).ravel().tolist(),
            "num_keypoints": len(KEYPOINTS),
        }
        yield {**annotation, "track_id": int(one.track_ids[index])} if tracked else annotation


def _finish(document: dict[str, Any], out: Path) -> None:
    write_bytes(out / "annotations.json", json.dumps(document).encode())
