"""`vedette eval`: how good a model, or what it found, is."""

import contextlib
import math
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from vedette.commands._progress import Progress
from vedette.commands._tables import evaluation_table
from vedette.commands.run import parse_size
from vedette.runtime.errors import UsageError
from vedette.runtime.evaluation._gallery_maps import WorstMaps, watched, worst_of_folders
from vedette.runtime.evaluation.asked import LOWEST, Asked, Data, data_for, of_model, of_results
from vedette.runtime.evaluation.data import Kind
from vedette.runtime.evaluation.evaluation import Evaluation
from vedette.runtime.evaluation.mask_folder import MaskFolder
from vedette.runtime.evaluation.report import prepare, write
from vedette.runtime.evaluation.running import Step
from vedette.runtime.find import is_model
from vedette.runtime.model import Model

KINDS: dict[str, Kind] = {"bbox": "bbox", "segm": "segm", "keypoints": "keypoints"}
RESULTS = {".json", ".jsonl"}


def eval(  # noqa: A001  (the verb is named so)
    items: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL DATA | RESULTS TRUTH | SCORES",
            help="A model and a data set; or what was found and what is true.",
        ),
    ],
    metric: Annotated[
        str,
        typer.Option(
            help="coco, voc07, voc10, ultralytics or darknet; classification for a list of scores; mot for tracks."
        ),
    ] = "",
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    report: Annotated[
        Path | None,
        typer.Option(
            help="Write DIR/index.html: curves, confusion, what the errors are, the worst pictures.",
            metavar="DIR",
        ),
    ] = None,
    iou: Annotated[
        float | None,
        typer.Option(
            help="Of RESULTS: overlap that counts as found. Of a MODEL: as in run, boxes that overlap more suppress each other."
        ),
    ] = None,
    match_iou: Annotated[
        float | None, typer.Option(help="Overlap that counts as found, with a MODEL too.")
    ] = None,
    conf: Annotated[
        float | None,
        typer.Option(help=f"Lowest score that is kept. [default: {LOWEST} for a MODEL, all of RESULTS]"),
    ] = None,
    threshold: Annotated[
        str,
        typer.Option(
            help="Score from which on TP, FP and FN are counted. [default: 0.25; all for classification]"
        ),
    ] = "",
    max_det: Annotated[int, typer.Option(help="Most objects a picture that a MODEL keeps.")] = 300,
    imgsz: Annotated[str, typer.Option(help="Network input: a side, or WIDTHxHEIGHT.")] = "",
    backend: Annotated[str, typer.Option(help="auto, onnxruntime, openvino, tensorrt or replay.")] = "auto",
    images: Annotated[
        Path | None, typer.Option(help="Folder with the pictures, if not beside the data.")
    ] = None,
    kind: Annotated[
        str, typer.Option(help="Compare bbox, segm or keypoints. [default: the most that both have]")
    ] = "",
    classes: Annotated[
        str, typer.Option(help="Count only these categories: names with commas between.")
    ] = "",
    points: Annotated[int, typer.Option(help="darknet's -points: 0, 11 or 101.")] = 0,
    continuous: Annotated[
        bool, typer.Option("--continuous", help="voc07 and voc10 without the devkit's last - first + 1.")
    ] = False,
    sigmas: Annotated[
        str, typer.Option(help="Of the keypoints, with commas between, or one for all. [default: COCO's 17]")
    ] = "",
    ignore_label: Annotated[int, typer.Option(help="Label of mask pixels that do not count.")] = 255,
    no_boundaries: Annotated[
        bool,
        typer.Option(
            "--no-boundaries", help="Of masks: leave out boundary F1, which takes most of the time."
        ),
    ] = False,
    positive: Annotated[str, typer.Option(help="Of classification: the class that counts as positive.")] = "",
) -> int:
    """Measure accuracy: of a model over a data set, or of results against the truth."""
    worst = WorstMaps(ignore_label)
    if report is not None:
        prepare(report)
    if metric == "classification":
        evaluation = _of_samples(_files(items, 1)[0], threshold, positive)
    elif metric == "mot":
        evaluation = _of_tracks(items, conf, match_iou if iou is None else iou, classes)
    else:
        first, data = _files(items, 2)
        _check(kind, conf, iou, match_iou)
        is_run = is_model(first) or not (Path(first).exists() or Path(first).suffix in RESULTS)
        found_from = match_iou if is_run or match_iou is not None else iou
        asked = Asked(
            metric, KINDS.get(kind), found_from, conf, _one(threshold), _words(classes), points, continuous,
            tuple(_numbers(sigmas, "--sigmas")), images, ignore_label, not no_boundaries,
        )  # fmt: skip
        if is_run:
            options = {"conf": conf, "iou": iou, "max_det": max_det}
            opened = Model(first, backend=backend, imgsz=parse_size(imgsz), **options)
            with contextlib.closing(opened) as model:
                evaluation = _of_model(model, Path(data), asked, worst if report else None)
        else:
            evaluation = of_results(Path(first), Path(data), asked)
            if report is not None and Path(first).is_dir():
                worst_of_folders(Path(first), Path(data), worst)
    if json:
        import json as format_json

        print(format_json.dumps(evaluation.to_dict(), allow_nan=False))
    else:
        evaluation_table(evaluation)
    if report is not None:
        written = _write_report(evaluation, report, items, worst)
        print(f"report: {written}", file=sys.stderr)
    return 0


def _write_report(evaluation: Evaluation, folder: Path, items: list[str], worst: WorstMaps) -> Path:
    names = ("model or results", "data") if len(items) > 1 else ("scores",)
    title = " on ".join(Path(item).name for item in items)
    return write(
        evaluation,
        folder,
        title=title,
        facts=dict(zip(names, items, strict=True)),
        maps=worst.pairs,
        ignore=worst.ignore,
    )


def _check(kind: str, conf: float | None, iou: float | None, match_iou: float | None) -> None:
    rules = [
        ("--kind", kind, not kind or kind in KINDS, f"it is one of {', '.join(KINDS)}"),
        ("--conf", conf, conf is None or 0 <= conf <= 1, "it is a score, 0 to 1"),
        ("--iou", iou, iou is None or 0 <= iou <= 1, "it is an overlap, 0 to 1"),
        ("--match-iou", match_iou, match_iou is None or 0 < match_iou <= 1, "it is an overlap, 0 to 1"),
    ]
    for flag, value, fits, why in rules:
        if not fits:
            raise UsageError(f"{flag} {value} is out of range", why=why, cure="vedette eval --help")


def _files(items: list[str], count: int) -> list[str]:
    if len(items) != count:
        forms = "eval MODEL DATA, eval RESULTS.json TRUTH [--metric mot], or eval SCORES.json --metric classification"
        raise UsageError(
            f"{len(items)} arguments in place of {count}",
            why=f"it is vedette {forms}",
            cure="vedette eval --help",
        )
    return items


def _numbers(text: str, flag: str) -> list[float]:
    try:
        values = [float(part) for part in text.split(",") if part.strip()]
    except ValueError:
        values = [math.nan]
    if not all(map(math.isfinite, values)):
        raise UsageError(
            f"{flag} {text} is no number",
            why="it is one, or several with commas between",
            cure=f"use {flag} 0.5",
        )
    return values


def _one(threshold: str) -> float:
    values = _numbers(threshold, "--threshold") or [0.25]
    if len(values) > 1:
        raise UsageError(
            "--threshold takes one score here",
            why="only classification has several",
            cure="use --threshold 0.25",
        )
    return values[0]


def _words(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _of_samples(path: str, threshold: str, positive: str) -> Evaluation:
    from vedette.runtime.evaluation import classification

    scores, truth = classification.samples_from_file(Path(path), positive=positive)
    thresholds = _numbers(threshold, "--threshold")
    return classification.evaluate(scores, truth, thresholds=thresholds, name=positive or "positive")


def _of_tracks(items: list[str], conf: float | None, iou: float | None, classes: str) -> Evaluation:
    from vedette.runtime.evaluation.tracks import of_tracks

    results, truth = map(Path, _files(items, 2))
    _check("", conf, None, iou)
    overlap = 0.5 if iou is None else iou
    return of_tracks(results, truth, iou=overlap, conf=conf or 0.0, classes=_words(classes))


def _of_model(model: Model, path: Path, asked: Asked, worst: WorstMaps | None) -> Evaluation:
    """With a progress bar."""
    data = data_for(model, path, asked)
    shown: Any = {"data": _Shown(data)}
    with Progress(shown, None, lines=False, quiet=True) as progress:
        step: Step = progress.step
        if worst is not None and isinstance(data, MaskFolder):
            step = watched(worst, model, data, step)
        return of_model(model, data, asked, step=step)


class _Shown:
    """What a progress bar asks of a source."""

    def __init__(self, data: Data) -> None:
        self.uri = data.origin
        self.frame_count = len(data.masks if isinstance(data, MaskFolder) else data.pictures)
