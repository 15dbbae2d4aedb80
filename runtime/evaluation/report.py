"""The report of an evaluation: one HTML file that asks for nothing from anywhere, runs nothing, and can be mailed.

In: Evaluation.  Out: DIR/index.html.  Next: _page_sections.py; _page.py escapes whatever text the data holds.
"""

import contextlib
import platform
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

import vedette
from vedette.runtime.draw import write_bytes
from vedette.runtime.evaluation import _page_sections as sections
from vedette.runtime.evaluation._gallery import Pictures
from vedette.runtime.evaluation._gallery_maps import Pair
from vedette.runtime.evaluation._page import Html, page, section, table, tag, tile
from vedette.runtime.evaluation._page_tables import share
from vedette.runtime.evaluation._plots_svg import library
from vedette.runtime.evaluation.evaluation import Evaluation
from vedette.runtime.evaluation.segmentation import IGNORE

FIRST = ("AP", "mAP", "AP50", "AP75", "mIoU", "pixel_accuracy", "mean_accuracy", "boundary_F1")  # on tiles
MEANINGS = {
    "AP": "average precision: the area under the precision-recall curve, over the classes' mean",
    "mAP": "the mean of the classes' AP",
    "AP50": "AP at an overlap of 0.50",
    "AP75": "AP at an overlap of 0.75",
    "APs": "AP of small objects, below 32² pixels",
    "APm": "AP of medium objects, 32² to 96² pixels",
    "APl": "AP of large objects, above 96² pixels",
    "AR": "average recall: the share that is found, over overlaps",
    "AR1": "average recall of the best one a picture",
    "AR10": "average recall of the best ten a picture",
    "AR100": "average recall of the best hundred a picture",
    "ARs": "average recall of small objects",
    "ARm": "average recall of medium objects",
    "ARl": "average recall of large objects",
    "AR50": "recall at an overlap of 0.50",
    "AR75": "recall at an overlap of 0.75",
    "mIoU": "the mean of the classes' intersection over union",
    "pixel_accuracy": "the share of the pixels that is right",
    "mean_accuracy": "the mean of the classes' recall",
    "boundary_F1": "how well the outlines fit",
}


METRICS = {
    "coco": "COCO",
    "voc07": "VOC 2007",
    "voc10": "VOC 2010",
    "ultralytics": "Ultralytics",
    "iou": "IoU",
}
KINDS = {"bbox": "boxes", "segm": "masks", "pixels": "label maps"}
SIZES = {"truths": "true objects", "detections": "found objects"}


def prepare(folder: Path) -> None:
    """Refuse before the work what would be refused behind it.

    Raises:
        UsageError: matplotlib is not installed.
        DiskError: the folder cannot be made, or written to.
    """
    library("matplotlib")
    probe = folder / ".report"
    write_bytes(probe, b"")
    probe.unlink()


def write(
    evaluation: Evaluation,
    folder: Path,
    *,
    title: str = "",
    facts: Mapping[str, str] | None = None,
    pictures: Pictures | None = None,
    maps: Sequence[Pair] = (),
    ignore: int = IGNORE,
) -> Path:
    """Write DIR/index.html, whole or not at all.

    Args:
        evaluation: of any task.
        folder: made if it is not there.
        title: of the page; empty is the task's.
        facts: what else is to be told at the end, as the model and the data, by name.
        pictures: the file of a picture by its number; None takes what the data set says.
        maps: the worst label maps, of WorstMaps.
        ignore: the true label that does not count.

    Returns:
        The file.

    Raises:
        UsageError: matplotlib is not installed.
        DiskError: it cannot be written.
    """
    target = folder / "index.html"
    title = title or f"Evaluation: {evaluation.task}"
    parts = [
        *_head(evaluation, title),
        *sections.curves(evaluation),
        *sections.classes(evaluation),
        *sections.confusion(evaluation),
        *sections.calibration(evaluation),
        *sections.causes(evaluation),
        *sections.galleries(evaluation, pictures),
        *sections.label_maps(evaluation, maps, ignore),
        *sections.points(evaluation),
        *_end(evaluation, facts or {}),
    ]
    write_bytes(target, page(title, *parts).encode("utf-8", "replace"))
    return target


def _head(evaluation: Evaluation, title: str) -> list[Html]:
    sizes = ", ".join(f"{count:,} {SIZES.get(name, name)}" for name, count in evaluation.sizes.items())
    told = f"{evaluation.task.capitalize()} measured by {_metric(evaluation)}: {sizes}."
    return [tag("header", tag("h1", title), tag("p", told)), tag("div", *_tiles(evaluation), class_="tiles")]


def _tiles(evaluation: Evaluation) -> list[Html]:
    numbers, counts, best = evaluation.numbers, evaluation.counts, evaluation.best
    chosen = [name for name in FIRST if name in numbers and not (name == "mAP" and "AP" in numbers)]
    tiles = [tile(name.replace("_", " "), share(numbers[name]), _note(name, evaluation)) for name in chosen]
    if counts is not None:
        at = f"at score ≥ {counts.threshold:g}"
        tiles += [tile("precision", share(counts.precision), at), tile("recall", share(counts.recall), at)]
        tiles.append(tile("F1", share(counts.f1), at))
    if best is not None:
        tiles.append(tile("best F1", share(best.f1), f"at score ≥ {best.threshold:.3g}"))
    if evaluation.calibration is not None and evaluation.calibration.counts.sum():
        tiles.append(tile("ECE", share(evaluation.calibration.error), "expected calibration error"))
    return tiles


def _metric(evaluation: Evaluation) -> str:
    """The variant, and of what: 'COCO on boxes'."""
    metric, kind = (
        METRICS.get(evaluation.metric, evaluation.metric),
        KINDS.get(evaluation.kind, evaluation.kind),
    )
    return "scores" if evaluation.kind == "scores" else f"{metric} on {kind}"


def _note(name: str, evaluation: Evaluation) -> str:
    if name != "AP":
        return MEANINGS.get(name, "")
    if (
        evaluation.metric in {"coco", "ultralytics"}
        and evaluation.numbers["AP"] != evaluation.numbers["AP50"]
    ):
        return (
            "mean over overlaps 0.50 to 0.95" if evaluation.iou == 0.5 else f"at overlap {evaluation.iou:g}"
        )
    return "area under the curve" + ("" if evaluation.iou is None else f", overlap {evaluation.iou:g}")


def _end(evaluation: Evaluation, facts: Mapping[str, str]) -> list[Html]:
    """All numbers, and what they are of."""
    rows = [[name, share(value), MEANINGS.get(name, "")] for name, value in evaluation.numbers.items()]
    numbers = section(
        "All numbers", table(("number", "value", ""), rows, class_="said"),
        legend="As this metric defines them; – stands where there was nothing to be measured.",
    )  # fmt: skip
    told = [
        tag("tr", tag("th", name, scope="row"), tag("td", value))
        for name, value in _facts(evaluation, facts).items()
    ]
    notes = (
        [tag("ul", *(tag("li", note) for note in evaluation.notes), class_="note-list")]
        if evaluation.notes
        else []
    )
    return [numbers, section("Facts", tag("table", tag("tbody", *told), class_="facts"), *notes)]


def _facts(evaluation: Evaluation, facts: Mapping[str, str]) -> dict[str, str]:
    told = {**facts, "metric": _metric(evaluation)}
    if evaluation.iou is not None:
        told["overlap of curves and counts"] = f"{evaluation.iou:g}"
    if evaluation.counts is not None:
        told["score threshold of counts"] = f"{evaluation.counts.threshold:g}"
    told |= {SIZES.get(name, name): f"{count:,}" for name, count in evaluation.sizes.items()}
    told["made by"] = ", ".join(
        [f"vedette {vedette.__version__}", *_versions(), f"Python {platform.python_version()}"]
    )
    told["made on"] = datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    return told


def _versions() -> list[str]:
    found = [f"numpy {np.__version__}"]
    for name in ("faster-coco-eval", "onnxruntime"):
        with contextlib.suppress(PackageNotFoundError):
            found.append(f"{name} {version(name)}")
    return found
