"""The worst pictures of a label map's evaluation: truth, what was found, and where they differ.

In: pairs of label maps, one by one, as Tally takes them.  Out: Html.  Memory is a few small pictures.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from vedette.runtime.draw import colour_of
from vedette.runtime.errors import SourceError
from vedette.runtime.evaluation._gallery_crops import data_uri
from vedette.runtime.evaluation._page import Html, tag
from vedette.runtime.evaluation.label_maps import BACKGROUND, label_table
from vedette.runtime.evaluation.mask_folder import MaskFolder, masks_of, read_mask
from vedette.runtime.evaluation.running import Step
from vedette.runtime.evaluation.segmentation import IGNORE
from vedette.runtime.frame import Array, Frame
from vedette.runtime.model import Model
from vedette.runtime.results import Result
from vedette.runtime.sources.images import read_picture

MOST = 6
SIDE = 400  # pixels of the longest side


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """One picture's label maps, made small."""

    iou: float  # mean over the classes that are there
    name: str
    picture: Path | None
    found: Array  # int64 [h, w]
    true: Array  # int64 [h, w]


@dataclass(slots=True, eq=False)
class WorstMaps:
    """Keeps the pictures with the lowest mean IoU."""

    ignore: int = IGNORE
    most: int = MOST
    pairs: list[Pair] = field(default_factory=list)  # the worst first

    def add(self, found: Array, true: Array, *, source: str = "", picture: Path | None = None) -> None:
        """Look at one picture; the arguments are Tally.add's, and where the picture is."""
        iou = picture_iou(found, true, self.ignore)
        if iou is None or (len(self.pairs) == self.most and iou >= self.pairs[-1].iou):
            return
        self.pairs.append(Pair(iou, source, picture, _small(found), _small(true)))
        self.pairs.sort(key=lambda pair: pair.iou)
        del self.pairs[self.most :]


def _small(labels: Array) -> Array:
    """Rows and columns evenly left out, a copy, so that the whole is not kept: [h, w] of SIDE at most."""
    scale = max(1.0, max(labels.shape) / SIDE)
    rows, columns = ((np.arange(int(side / scale)) * scale).astype(int) for side in labels.shape)
    return labels[np.ix_(rows, columns)]


def picture_iou(found: Array, true: Array, ignore: int) -> float | None:
    """The mean IoU of the classes that one picture has, found or true; None without a pixel that counts.

    Args:
        found: int [H, W]
        true: int [H, W]
        ignore: the true label that does not count.
    """
    valid = true != ignore
    found, true = found[valid].astype(np.int64), true[valid].astype(np.int64)
    if not true.size:
        return None
    found = np.where(found < 0, max(int(true.max()), int(found.max())) + 1, found)
    hits, ours, theirs = (
        np.bincount(labels, minlength=int(max(found.max(), true.max())) + 1)
        for labels in (true[found == true], found, true)
    )
    union = ours + theirs - hits
    return float(np.mean(hits[union > 0] / union[union > 0]))


def watched(worst: WorstMaps, model: Model, folder: MaskFolder, step: Step) -> Step:
    """A step that looks at what the model makes of every picture, and then takes the other step.

    Args:
        worst: is told.
        model: runs over the folder.
        folder: with its pictures.
        step: a progress bar's, say.
    """
    _, table = label_table(model.manifest.labels, folder.names)
    stems = list(folder.masks)

    def both(frame: Frame, results: Sequence[Result]) -> None:
        stem, maps = stems[frame.index], results[0].segmentation
        true = read_mask(folder.masks[stem])
        if maps is not None and maps.label_map.shape == true.shape:  # Tally refuses it, and says why
            picture = folder.pictures[stem]
            worst.add(table[maps.label_map], true, source=picture.name, picture=picture)
        step(frame, results)

    return both


def worst_of_folders(found: Path, truth: Path, worst: WorstMaps) -> None:
    """Masks of the same names in two folders that were compared already."""
    ours, theirs = masks_of(found, alone=True), masks_of(truth, alone=True)
    for stem, path in theirs.masks.items():
        worst.add(read_mask(ours.masks[stem]), read_mask(path), source=path.name)


def maps_gallery(pairs: Iterable[Pair], names: Sequence[str], ignore: int) -> Html:
    """Three pictures for each: truth, found, errors."""
    return tag("div", *(_figure(pair, names, ignore) for pair in pairs), class_="gallery maps")


def _figure(pair: Pair, names: Sequence[str], ignore: int) -> Html:
    ground = _ground(pair)
    wrong = (pair.found != pair.true) & (pair.true != ignore)
    shown = (
        ("truth", _tinted(ground, pair.true, names)),
        ("found", _tinted(ground, pair.found, names)),
        ("where they differ", _marked(ground, wrong)),
    )
    frames = (_frame(word, image, pair.name) for word, image in shown)
    share = wrong.sum() / max(1, (pair.true != ignore).sum())
    caption = [
        tag("b", f"mean IoU {pair.iou:.3f}"),
        f" {100 * share:.1f} % of the pixels differ",
        tag("span", pair.name, class_="file"),
    ]
    return tag("figure", tag("div", *frames, class_="row"), tag("figcaption", *caption))


def _frame(word: str, image: Array, name: str) -> Html:
    picture = tag("img", src=data_uri(image), alt=f"{word}: {name}")
    return tag("div", tag("div", picture, class_="frame"), tag("span", word, class_="file"))


def _ground(pair: Pair) -> Array:
    """The picture at the maps' size, uint8 [h, w, 3] BGR; grey without it."""
    import cv2

    height, width = pair.true.shape
    try:
        if pair.picture is not None:
            return cv2.resize(read_picture(pair.picture), (width, height), interpolation=cv2.INTER_AREA)
    except SourceError:
        pass  # it was there when the model saw it; the maps tell enough
    return np.full((height, width, 3), 96, np.uint8)


def _tinted(ground: Array, labels: Array, names: Sequence[str]) -> Array:
    """Classes in their colours; the background and what is none stay as they are."""
    shown = [k for k, name in enumerate(names) if name != BACKGROUND]
    table = np.array([colour_of(k) for k in range(len(names))], np.float64).reshape(-1, 3)
    mask = np.isin(labels, shown)
    image = ground.copy()
    image[mask] = (0.45 * ground[mask] + 0.55 * table[labels[mask]]).astype(np.uint8)
    return image


def _marked(ground: Array, wrong: Array) -> Array:
    """Red where wrong, over a paler grey."""
    grey = ground.mean(axis=2, keepdims=True) * 0.55
    image = np.repeat(grey, 3, axis=2)
    image[wrong] = image[wrong] * 0.35 + np.array([60, 50, 240]) * 0.65
    return image.astype(np.uint8)
