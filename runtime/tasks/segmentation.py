"""Segmentation: a class for every pixel.

In: float32 [C, h, w] probabilities over the network's input.  Out: a Result with a label map and masks.
A class named "background" means none of the others.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from vedette.runtime.frame import Array, Frame
from vedette.runtime.manifest import Manifest
from vedette.runtime.preprocess import Placement
from vedette.runtime.results import Masks, Result, Segmentation
from vedette.runtime.rle import encode
from vedette.runtime.tasks import Config, names_of

DEFAULT_CONF = 0.5
NONE = -1


def finish(decoded: Array, frame: Frame, placement: Placement, manifest: Manifest, config: Config) -> Result:
    """Cut the letterbox off, enlarge the probabilities to the frame, then decide.

    A single class must exceed conf. Of several the likeliest wins, and must exceed conf if the user sets it.
    """
    probabilities = _without_letterbox(decoded, placement)
    label_map = _decide(_resized(probabilities, frame.size), manifest.labels, config)
    counts = np.bincount(label_map.ravel() + 1, minlength=len(decoded) + 1)[1:]
    present = np.flatnonzero(counts)
    masks = Masks(np.stack([label_map == index for index in present])) if len(present) else None
    return Result(
        frame=frame,
        model=manifest.name,
        task="segmentation",
        names=names_of(manifest, present),
        masks=masks,
        segmentation=Segmentation(label_map, probabilities),
    )


def _without_letterbox(decoded: Array, placement: Placement) -> Array:
    """The part of [C, h, w] that holds the picture; maps smaller than the input are enlarged to it first."""
    width, height = placement.input_size
    whole = decoded if decoded.shape[1:] == (height, width) else _resized(decoded, (width, height))
    rows, columns = placement.crop
    return np.ascontiguousarray(whole[:, rows, columns])


def _resized(maps: Array, size: tuple[int, int]) -> Array:
    """Bilinear, pixel centres at halves: [C, height, width] for a size of (width, height)."""
    import cv2

    return np.stack([cv2.resize(plane, size, interpolation=cv2.INTER_LINEAR) for plane in maps])


def _decide(maps: Array, labels: tuple[str, ...], config: Config) -> Array:
    """The class of each pixel of [C, H, W] probabilities, int16 [H, W], NONE where there is none."""
    if len(maps) == 1:  # the class is the last: of ("person",) or of ("background", "person")
        threshold = DEFAULT_CONF if config.conf is None else config.conf
        chosen = np.where(maps[0] > threshold, max(len(labels), 1) - 1, NONE)
    else:
        chosen = maps.argmax(axis=0)
        if config.conf is not None:
            chosen[maps.max(axis=0) <= config.conf] = NONE
    classes = range(max(len(maps), len(labels)))
    wanted = [index for index in classes if not config.classes or index in config.classes]
    table = np.full(len(classes) + 1, NONE, np.int16)  # its last place is that of NONE
    table[wanted] = wanted
    table[[index for index, label in enumerate(labels) if label == "background"]] = NONE
    label_map: Array = table[chosen]
    return label_map


def record(result: Result) -> dict[str, Any]:
    """The task's part of the JSON record: share of the picture and mask of every class that is there."""
    found = dict(_labelled_masks(result))
    return {
        "segmentation": {
            "fractions": {result.names[index]: round(float(mask.mean()), 6) for index, mask in found.items()},
            "rle": {result.names[index]: encode(mask) for index, mask in found.items()},
        }
    }


def draw(image: Array, result: Result) -> None:
    """A tint and an outline for every class."""
    from vedette.runtime.draw import colour_of, tint

    for index, mask in _labelled_masks(result):
        tint(image, mask, colour_of(index))


def _labelled_masks(result: Result) -> Iterator[tuple[int, Array]]:
    """Class ids and their masks, by rising id."""
    assert result.segmentation is not None
    if result.masks is None:
        return
    for mask in result.masks.data:
        row, column = np.unravel_index(mask.argmax(), mask.shape)
        yield int(result.segmentation.label_map[row, column]), mask
