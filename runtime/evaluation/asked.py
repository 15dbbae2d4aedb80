"""One request to measure something: what `vedette eval` and the report ask, whatever the form of model, results and data.

In: Asked, and paths or a Model.  Out: Evaluation.  Next: datasets.py, running.py, detection.py, label_maps.py.
"""

from dataclasses import dataclass, replace
from pathlib import Path

from vedette.runtime.errors import SourceError
from vedette.runtime.evaluation.data import Found, Kind, Truth, only
from vedette.runtime.evaluation.datasets import open_data
from vedette.runtime.evaluation.detection import Options, evaluate
from vedette.runtime.evaluation.evaluation import Evaluation
from vedette.runtime.evaluation.label_maps import (
    is_of_label_maps,
    tally_of,
    tally_of_masks,
    tally_of_records,
)
from vedette.runtime.evaluation.labels import chosen
from vedette.runtime.evaluation.mask_folder import MaskFolder, masks_of
from vedette.runtime.evaluation.results_json import found_from_file, kinds_of
from vedette.runtime.evaluation.running import Step, found_by
from vedette.runtime.evaluation.segmentation import IGNORE
from vedette.runtime.model import Model

LOWEST = 0.001  # what scores less does not change an AP, and takes time


@dataclass(frozen=True, slots=True)
class Asked:
    """How to measure; what a form has no use for is not looked at.

    Attributes:
        metric: of detection.METRICS; empty is coco.
        kind: what is compared; None is the most that results and truth both have.
        iou: overlap from which on something counts as found; None is the metric's own.
        conf: lowest score that is kept; None is LOWEST for a model's objects, and all of results.
        threshold: the operating point.
        classes: categories that count; none are all.
        points: darknet's.
        continuous: VOC's metrics without the devkit's `+ 1`.
        sigmas: of the keypoints, or one for all; none are COCO's.
        images: where the pictures are, if not beside the data.
        ignore: the label of mask pixels that do not count.
        boundaries: whether boundary F1 is measured.
    """

    metric: str = ""
    kind: Kind | None = None
    iou: float | None = None
    conf: float | None = None
    threshold: float = 0.25
    classes: tuple[str, ...] = ()
    points: int = 0
    continuous: bool = False
    sigmas: tuple[float, ...] = ()
    images: Path | None = None
    ignore: int = IGNORE
    boundaries: bool = True


Data = Truth | MaskFolder


def data_for(model: Model, path: Path, asked: Asked) -> Data:
    """The data set that a model is measured on.

    Raises:
        SourceError: it cannot be read.
    """
    return open_data(path, images=asked.images, masks=model.manifest.task == "segmentation")


def of_model(model: Model, data: Data, asked: Asked = Asked(), *, step: Step | None = None) -> Evaluation:
    """Run a model over a data set, and measure.

    Args:
        model: it is not closed.
        data: of data_for.
        asked: how to measure.
        step: told of every picture.

    Raises:
        UsageError: the data and the model do not fit.
        SourceError: a picture cannot be read.
    """
    ran = f"{model.manifest.name} ran on {model.backend}"
    if isinstance(data, MaskFolder):
        tally, notes = tally_of(model, data, ignore=asked.ignore, boundaries=asked.boundaries, step=step)
        return tally.evaluation((ran, *notes))
    truth = data.of_categories(_categories(data, asked))
    found = found_by(model, truth, conf=LOWEST if asked.conf is None else asked.conf, step=step)
    done = _measured(truth, found, asked)
    return replace(done, notes=(ran, *done.notes))


def of_results(path: Path, data: Path, asked: Asked = Asked()) -> Evaluation:
    """Measure what was found before: a results file, JSON lines of `vedette run`, or a folder of masks.

    Raises:
        UsageError: results and data do not fit.
        SourceError: one cannot be read, or is malformed; says where.
    """
    if path.is_dir() or (path.is_file() and is_of_label_maps(path)):
        compare = tally_of_masks if path.is_dir() else tally_of_records
        masks = masks_of(data, alone=True)
        return compare(path, masks, ignore=asked.ignore, boundaries=asked.boundaries).evaluation()
    truth = open_data(data, images=asked.images)
    if isinstance(truth, MaskFolder):
        raise SourceError(
            f"{data} holds masks", why=f"{path} holds objects", cure="give the truth of these objects"
        )
    found = found_from_file(path, truth)
    if asked.conf is not None:
        found = replace(found.at((found.scores >= asked.conf).nonzero()[0]), notes=found.notes)
    return _measured(*only(truth, found, _categories(truth, asked)), asked)


def _categories(truth: Truth, asked: Asked) -> list[int]:
    return chosen(asked.classes, truth.names) if asked.classes else list(range(len(truth.names)))


def _measured(truth: Truth, found: Found, asked: Asked) -> Evaluation:
    kinds = kinds_of(found, truth)
    metric = asked.metric or "coco"
    kind = asked.kind or (kinds[0] if metric == "coco" else "bbox")
    sigmas = asked.sigmas
    if len(sigmas) == 1 and truth.keypoints is not None:
        sigmas *= truth.keypoints.shape[1]
    options = Options(
        metric, kind, asked.iou, asked.threshold, asked.points, asked.continuous, sigmas or None
    )
    done = evaluate(truth, found, options)
    others = [other for other in kinds if other not in {kind, "bbox"}]
    notes = [f"there are {other} to compare too: --kind {other}" for other in others]
    return replace(done, notes=(*done.notes, *notes))
