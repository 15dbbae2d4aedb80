"""Which form a data set has: COCO's .json, VOC's .xml, YOLO's .txt, or masks.

In: a path from the command line.  Out: Truth or MaskFolder.  Next: coco_json.py, voc_xml.py, yolo_txt.py, mask_folder.py.
"""

from pathlib import Path

from vedette.runtime.errors import SourceError
from vedette.runtime.evaluation.coco_json import truth_from_coco
from vedette.runtime.evaluation.data import Truth
from vedette.runtime.evaluation.mask_folder import MaskFolder, has_masks, masks_of
from vedette.runtime.evaluation.voc_xml import truth_from_voc
from vedette.runtime.evaluation.yolo_txt import SPLITS, truth_from_yolo

KNOWN = "annotations.json, Annotations/*.xml, labels/*.txt or masks/*.png"


def open_data(path: Path, *, images: Path | None = None, masks: bool = False) -> Truth | MaskFolder:
    """Read a data set, whatever its form.

    Args:
        path: a .json, a data.yaml or a folder.
        masks: masks are wanted where there are other annotations too.
        images: where its pictures are, if not beside it.

    Raises:
        SourceError: missing, of no known form, or malformed; says where.
    """
    if images is not None and not images.is_dir():
        raise SourceError(f"there is no folder {images}", why="--images names it", cure="check its spelling")
    if path.suffix == ".json":
        return truth_from_coco(path, images=images)
    if path.suffix in {".yaml", ".yml"} and path.is_file():
        return truth_from_yolo(path.parent, images=images)
    if not path.is_dir():
        raise SourceError(
            f"there is no data {path}",
            why="it is neither a .json file nor a folder",
            cure=f"a folder has {KNOWN}",
        )
    return masks_of(path, images=images) if masks and has_masks(path) else _of_folder(path, images)


def _of_folder(path: Path, images: Path | None) -> Truth | MaskFolder:
    for name in ("annotations.json", "_annotations.coco.json"):  # the latter is Roboflow's
        if (path / name).is_file():
            return truth_from_coco(path / name, images=images)
    if list((path / "Annotations").glob("*.xml")) or list(path.glob("*.xml")):
        return truth_from_voc(path, images=images)
    if has_masks(path):
        return masks_of(path, images=images)
    if (path / "labels").is_dir() or any((path / split / "labels").is_dir() for split in SPLITS):
        return truth_from_yolo(path, images=images)
    if len(single := sorted(path.glob("*.json"))) == 1:
        return truth_from_coco(single[0], images=images)
    raise SourceError(
        f"cannot tell what data {path} holds", why="it has none of the known forms", cure=f"it needs {KNOWN}"
    )
