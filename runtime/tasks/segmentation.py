"""Segmentation: a class for every pixel.

In: float32 [C, h, w] probabilities over the network's input, Logits or a LabelMap.  Out: a Result with a label map and masks.
A class named "background" means none of the others.  Next: kernels/argmax_labels.py.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from vedette.kernels.argmax_labels import NONE as UNLABELLED
from vedette.kernels.argmax_labels import Window, argmax_labels, overlay_labels
from vedette.runtime.decoders import LabelMap
from vedette.runtime.decoders.unet import Logits
from vedette.runtime.frame import Array, Frame
from vedette.runtime.manifest import Manifest
from vedette.runtime.preprocess import Placement, Size
from vedette.runtime.results import Masks, Result, Segmentation, softmax
from vedette.runtime.rle import encode
from vedette.runtime.tasks import Config, names_of

DEFAULT_CONF = 0.5
NONE = -1
ALPHA = 128  # of 255: colours over the picture


def finish(
    decoded: Array | Logits | LabelMap, frame: Frame, placement: Placement, manifest: Manifest, config: Config
) -> Result:
    """Cut the letterbox off, enlarge the maps to the frame, then decide.

    A single class must exceed conf. Of several the likeliest wins, and must exceed conf if the user sets it. What the
    network has decided is enlarged as it is.
    """
    if isinstance(decoded, LabelMap):
        segmentation = _decided(decoded.classes, frame.size, placement, manifest, config)
    else:
        logits = isinstance(decoded, Logits)
        maps = _without_letterbox(decoded.maps if isinstance(decoded, Logits) else decoded, placement)
        decide = _of_one if len(maps) == 1 else _of_logits if logits else _likeliest
        segmentation = Segmentation(decide(maps, frame.size, manifest, config), maps, logits)
    present = list(segmentation.fractions)
    return Result(
        frame=frame,
        model=manifest.name,
        task="segmentation",
        names=names_of(manifest, present),
        masks=_masks(segmentation.label_map, present),
        segmentation=segmentation,
    )


def _decided(
    classes: Array, size: Size, placement: Placement, manifest: Manifest, config: Config
) -> Segmentation:
    """A label map of the frame: each pixel is of the class at its centre. Nothing is known of probabilities."""
    import cv2

    whole = cv2.resize(classes, placement.input_size, interpolation=cv2.INTER_NEAREST_EXACT)
    part = np.ascontiguousarray(whole[placement.crop])
    labels = _table(range(UNLABELLED), manifest, config)[
        cv2.resize(part, size, interpolation=cv2.INTER_NEAREST_EXACT)
    ]
    return Segmentation(labels, np.zeros((0, *part.shape), np.float32))


def _table(classes: Iterable[int], manifest: Manifest, config: Config) -> Array:
    """int16 [256], the class of each index: NONE of those that are not wanted."""
    table = np.full(UNLABELLED + 1, NONE, np.int16)
    wanted = [index for index in classes if _wanted(index, manifest, config)]
    table[wanted] = wanted
    return table


def _masks(label_map: Array, present: Sequence[int]) -> Masks | None:
    return Masks(np.stack([label_map == index for index in present])) if present else None


def _without_letterbox(maps: Array, placement: Placement) -> Array:
    """The part of [C, h, w] that holds the picture, copied; maps smaller than the input are enlarged to it first."""
    width, height = placement.input_size
    whole = maps if maps.shape[1:] == (height, width) else _resized(maps, (width, height))
    rows, columns = placement.crop
    return whole[:, rows, columns].copy()


def _resized(maps: Array, size: Size) -> Array:
    """Bilinear, pixel centres at halves: [C, height, width] for a size of (width, height)."""
    import cv2

    planes = [np.ascontiguousarray(plane) for plane in maps]
    return np.stack([cv2.resize(plane, size, interpolation=cv2.INTER_LINEAR) for plane in planes])


def _of_one(maps: Array, size: Size, manifest: Manifest, config: Config) -> Array:
    """The label map of a single class, which is the last: of ("person",) or of ("background", "person")."""
    index = max(len(manifest.labels), 1) - 1
    threshold = DEFAULT_CONF if config.conf is None else config.conf
    found = index if _wanted(index, manifest, config) else NONE
    return np.where(_resized(maps, size)[0] > threshold, found, NONE).astype(np.int16)


def _of_logits(maps: Array, size: Size, manifest: Manifest, config: Config) -> Array:
    """Probabilities are needed only to be compared with conf."""
    return _likeliest(maps if config.conf is None else softmax(maps), size, manifest, config)


def _likeliest(maps: Array, size: Size, manifest: Manifest, config: Config) -> Array:
    """The label map of several classes: the greatest of [C, h, w] at each pixel, NONE where it is not wanted."""
    chosen = argmax_labels(maps, Window((maps.shape[2], maps.shape[1])), size, above=config.conf)
    label_map: Array = _table(range(len(maps)), manifest, config)[chosen]
    return label_map


def _wanted(index: int, manifest: Manifest, config: Config) -> bool:
    return manifest.labels[index : index + 1] != ("background",) and index in (config.classes or (index,))


def record(result: Result) -> dict[str, Any]:
    """The task's part of the JSON record: share of the picture and mask of every class that is there."""
    assert result.segmentation is not None
    shares = result.segmentation.fractions
    found = dict(_labelled_masks(result))
    return {
        "segmentation": {
            "fractions": {result.names[index]: round(shares[index], 6) for index in found},
            "rle": {result.names[index]: encode(mask) for index, mask in found.items()},
        }
    }


def draw(image: Array, result: Result) -> None:
    """A tint and an outline for every class; of several that the network knows, a legend of those that are there."""
    from vedette.runtime.draw import colour_of, legend, outline, tint

    assert result.segmentation is not None
    found = list(_labelled_masks(result))
    if len(result.segmentation.maps) == 1:
        for index, mask in found:
            tint(image, mask, colour_of(index))
        return
    palette = np.zeros((UNLABELLED + 1, 4), np.uint8)
    for index, _ in found:
        palette[index] = *colour_of(index), ALPHA
    overlay_labels(image, result.segmentation.label_map.astype(np.uint8), palette)  # NONE becomes UNLABELLED
    for index, mask in found:
        outline(image, mask, colour_of(index))
    legend(image, [(result.names[index], colour_of(index)) for index, _ in found])


def _labelled_masks(result: Result) -> Iterator[tuple[int, Array]]:
    """Class ids and their masks, by rising id."""
    assert result.segmentation is not None
    if result.masks is None:
        return
    for mask in result.masks.data:
        row, column = np.unravel_index(mask.argmax(), mask.shape)
        yield int(result.segmentation.label_map[row, column]), mask
