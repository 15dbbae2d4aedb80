"""Label maps against a folder of masks: a model's, or made before: other masks, or the JSON lines of `vedette run --json`.

In: Model, a folder or a file, and MaskFolder.  Out: Tally.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vedette.runtime.errors import SourceError, UsageError, VedetteError
from vedette.runtime.evaluation.labels import positions, spelt
from vedette.runtime.evaluation.mask_folder import MaskFolder, masks_of, read_mask
from vedette.runtime.evaluation.places import json_of, refuse, text_of
from vedette.runtime.evaluation.running import DataPictures, Step, results_over
from vedette.runtime.evaluation.segmentation import Tally
from vedette.runtime.frame import Array
from vedette.runtime.model import Model
from vedette.runtime.rle import decode

BACKGROUND = "background"


def tally_of(
    model: Model, folder: MaskFolder, *, ignore: int, boundaries: bool = True, step: Step | None = None
) -> tuple[Tally, tuple[str, ...]]:
    """Run a segmentation model over pictures that have masks.

    Raises:
        UsageError: the masks have a class that the model does not know.
        SourceError: a picture or a mask cannot be read.
    """
    names, table = label_table(model.manifest.labels, folder.names)
    notes = (
        () if folder.names else (f"the masks name no classes: 0, 1 … are taken to be {', '.join(names[:6])}",)
    )
    tally = Tally(names, ignore=ignore, boundaries=boundaries)
    stems = list(folder.masks)
    source = DataPictures([folder.pictures[stem] for stem in stems], origin=folder.origin)
    for index, result in results_over(model.runner(), source, step):
        if result.segmentation is None:
            raise UsageError(
                f"{model.manifest.name} makes no label maps",
                why=f"its task is {result.task}",
                cure="evaluate it over boxes",
            )
        path = folder.masks[stems[index]]
        tally.add(table[result.segmentation.label_map], read_mask(path), source=str(path))
    return tally, notes


def label_table(labels: Sequence[str], names: Sequence[str]) -> tuple[tuple[str, ...], Array]:
    """The classes of some masks, and the number there of each class of the model; its last entry is for no class.

    Where the masks name none, the model's labels are theirs, behind a background if the model has none.

    Raises:
        UsageError: the model does not know a class of the masks.
    """
    plain = [spelt(label) for label in labels]
    if not names:
        names = labels if BACKGROUND in plain else (BACKGROUND, *labels)
    where: Mapping[str, int] = {spelt(name): index for index, name in enumerate(names)}
    for name in names:
        if spelt(name) not in (*plain, BACKGROUND):
            raise UsageError(
                f"the model has no class {name!r}",
                why=f"it has {', '.join(labels)}",
                cure="take a model of these classes",
            )
    return tuple(names), np.array([*(where.get(label, -1) for label in plain), where.get(BACKGROUND, -1)])


def tally_of_masks(found: Path, folder: MaskFolder, *, ignore: int, boundaries: bool = True) -> Tally:
    """Masks of the same names in two folders.

    Raises:
        SourceError: one is missing or cannot be read.
    """
    ours = masks_of(found, alone=True)
    maps = {stem: read_mask(path) for stem, path in folder.masks.items()} if not folder.names else {}
    names = folder.names or _numbers(maps.values(), ignore)
    tally = Tally(names, ignore=ignore, boundaries=boundaries)
    for stem, path in folder.masks.items():
        if stem not in ours.masks:
            raise SourceError(
                f"{found} holds no mask {stem}",
                why=f"{path} has none beside it",
                cure="make one for every picture",
            )
        true = maps[stem] if stem in maps else read_mask(path)
        tally.add(read_mask(ours.masks[stem]), true, source=str(path))
    return tally


def _numbers(maps: Any, ignore: int) -> tuple[str, ...]:
    """Names for classes that have none."""
    most = max((int(labels[labels != ignore].max(initial=0)) for labels in maps), default=0)
    return tuple(str(label) for label in range(most + 1))


def is_of_label_maps(path: Path) -> bool:
    """Whether a file of JSON lines holds label maps, by its first."""
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        if file.read(1) != "{":
            return False
        try:
            return isinstance(json.loads("{" + file.readline()).get("segmentation"), dict)
        except ValueError:
            return False


def tally_of_records(path: Path, folder: MaskFolder, *, ignore: int, boundaries: bool = True) -> Tally:
    """The records of one model over the pictures of some masks.

    Raises:
        SourceError: a record is malformed, or a mask has none; says where.
    """
    records = _by_stem(path)
    seen = dict.fromkeys(name for _, record in records.values() for name in record["segmentation"]["rle"])
    plain = [name for name in seen if spelt(name) != BACKGROUND]
    if not folder.names and len(plain) > 1:
        raise UsageError(
            f"which class is which in {folder.origin}?",
            why=f"{path} names {', '.join(plain[:4])} …, and the masks have only numbers",
            cure="write their names into labels.txt there, one a line from number 0, or evaluate the model itself",
        )
    names = folder.names or (BACKGROUND, *plain)
    tally = Tally(names, ignore=ignore, boundaries=boundaries)
    for stem, mask in folder.masks.items():
        if stem not in records:
            raise SourceError(
                f"{path} has no record of {stem}",
                why=f"there is a mask {mask}",
                cure="run the model over all pictures",
            )
        line, record = records[stem]
        try:
            labels = _labels(record, names)
        except (KeyError, TypeError, ValueError, VedetteError) as error:
            refuse(
                f"{path}:{line}",
                f"its masks cannot be read: {error}",
                "give the file that vedette run --json wrote",
            )
        tally.add(labels, read_mask(mask), source=f"{path}:{line}")
    return tally


def _by_stem(path: Path) -> dict[str, tuple[int, Any]]:
    records: dict[str, tuple[int, Any]] = {}
    for line, text in enumerate(text_of(path).splitlines(), 1):
        if not text.strip():
            continue
        record = json_of(text, path, line=line)
        try:
            record["segmentation"]["rle"].keys()
            records[Path(record["source"]).stem] = line, record
        except (KeyError, TypeError, AttributeError):
            refuse(
                f"{path}:{line}",
                "it is no record of label maps",
                "give the file that vedette run --json wrote",
            )
    return records


def _labels(record: dict[str, Any], names: tuple[str, ...]) -> Array:
    """int64 [H, W], indices into names; -1 where a class is none of them."""
    width, height = record["size"]
    where = positions(names)
    labels = np.full((height, width), where.get(BACKGROUND, -1))
    for name, rle in record["segmentation"]["rle"].items():
        labels[decode(rle)] = where.get(spelt(name), -1)
    return labels
