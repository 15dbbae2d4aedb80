"""Folders of masks: a picture of class numbers, or of a palette's, for each picture of images/.

In: a folder with images/ and masks/, or a folder of masks alone.  Out: Masks, read one by one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vedette.runtime.errors import SourceError
from vedette.runtime.evaluation.yolo_txt import names_in
from vedette.runtime.frame import Array
from vedette.runtime.sources._local import is_picture

FOLDERS = ("masks", "SegmentationClass", "annotations", "labels")


@dataclass(frozen=True, slots=True)
class MaskFolder:
    """Masks by the stem of their file, and the pictures they belong to."""

    origin: str
    masks: dict[str, Path]
    pictures: dict[str, Path]  # by stem; empty for a folder of masks alone
    names: tuple[str, ...]  # of the classes; empty where no file says them


def masks_of(folder: Path, *, images: Path | None = None, alone: bool = False) -> MaskFolder:
    """Find the masks, and for each its picture.

    Args:
        folder: above masks/, or the masks themselves.
        images: where the pictures are, if not beside them.
        alone: the pictures are not needed.

    Raises:
        SourceError: there is none, or one has no picture.
    """
    inside = next((folder / name for name in FOLDERS if _pictures(folder / name)), folder)
    masks = {path.stem: path for path in _pictures(inside)}
    if not masks:
        raise SourceError(
            f"{folder} holds no mask",
            why="they are .png files in masks/",
            cure="give the folder above masks/",
        )
    names = names_in(folder) or names_in(inside)
    if alone:
        return MaskFolder(str(folder), masks, {}, names)
    shown = images or next(
        (folder / name for name in ("images", "JPEGImages") if (folder / name).is_dir()), None
    )
    if shown is None:
        raise SourceError(
            f"{folder} holds no images/", why="a model needs the pictures", cure="give --images DIR"
        )
    pictures = {path.stem: path for path in _pictures(shown) if path.stem in masks}
    for stem, path in masks.items():
        if stem not in pictures:
            raise SourceError(
                f"{path} has no picture",
                why=f"there is no {stem}.jpg, .png … in {shown}",
                cure="add it, or remove the mask",
            )
    return MaskFolder(str(folder), masks, pictures, names)


def has_masks(folder: Path) -> bool:
    """Whether a folder holds pictures in masks/."""
    return any(_pictures(folder / name) for name in FOLDERS)


def _pictures(folder: Path) -> Sequence[Path]:
    return sorted(path for path in folder.iterdir() if is_picture(path)) if folder.is_dir() else []


def read_mask(path: Path) -> Array:
    """Class numbers, int64 [H, W]: grey values, or a palette's indices.

    Raises:
        SourceError: it cannot be read, or is of colours.
    """
    import av

    try:
        with av.open(str(path)) as container:
            frame = next(container.decode(video=0))
    except (av.FFmpegError, OSError, StopIteration) as error:
        raise SourceError(f"cannot read the mask {path}", why=str(error), cure="save it as .png") from None
    kind = frame.format.name
    if kind == "pal8":
        return np.asarray(frame.to_ndarray()[0], np.int64)
    if kind in {"gray", "gray16be", "gray16le"}:
        return np.asarray(frame.to_ndarray(), np.int64)
    if kind in {"monob", "monow"}:
        return np.asarray(frame.reformat(format="gray").to_ndarray() > 0, np.int64)
    raise SourceError(
        f"the mask {path} is of colours ({kind})",
        why="a mask holds class numbers: grey values or a palette's",
        cure="save it so",
    )
