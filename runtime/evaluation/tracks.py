"""`vedette eval RESULTS GT.txt --metric mot`: tracks against the truth in the MOTChallenge's text form.

In: a results file and a truth.  Out: Evaluation.  Next: track_files.py, track_metrics.py.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from vedette.runtime.evaluation.evaluation import Evaluation
from vedette.runtime.evaluation.track_files import TrackBoxes, found_of, truth_of
from vedette.runtime.evaluation.track_metrics import Step, clear, hota, identity
from vedette.runtime.frame import Array
from vedette.runtime.tracking.assignment import assign
from vedette.runtime.tracking.motion import overlaps

ABSORBED = 0.5  # overlap from which on a box is of something that is not judged


def of_tracks(
    path: Path, truth: Path, *, iou: float = 0.5, conf: float = 0.0, classes: tuple[str, ...] = ()
) -> Evaluation:
    """Measure tracks.

    Args:
        path: JSON lines of `vedette run --track --json`, or the MOTChallenge's results text.
        truth: its gt.txt.
        iou: overlap from which on a box counts as found; HOTA has its own.
        conf: what scores less is left out.
        classes: labels of JSON lines that count; none are all.

    Raises:
        SourceError: a file cannot be read, or is malformed; says where.
    """
    found, notes = found_of(path, conf=conf, classes=classes)
    return evaluate(truth_of(truth), found, iou=iou, notes=notes)


def evaluate(
    truth: TrackBoxes, found: TrackBoxes, *, iou: float = 0.5, notes: tuple[str, ...] = ()
) -> Evaluation:
    """Measure tracks of one sequence against the truth."""
    true_names, true_ids = np.unique(truth.ids[truth.counted], return_inverse=True)
    names, ids = np.unique(found.ids, return_inverse=True)
    numbered = np.full(len(truth.ids), -1)
    numbered[truth.counted] = true_ids
    steps = list(_steps(truth, numbered, found, ids))
    counts = len(true_names), len(names)
    numbers = _numbers(steps, counts, iou)
    frames = np.unique(truth.frames)
    silent = int(np.isin(frames, found.frames_run, invert=True).sum())
    if silent:
        notes += (
            f"{silent} of {len(frames)} frames of the truth are not in the results: their objects count as missed",
        )
    sizes = {
        "frames": len(steps),
        "truths": int(truth.counted.sum()), "detections": sum(len(step.found) for step in steps),
        "true tracks": counts[0], "found tracks": counts[1],
    }  # fmt: skip
    return Evaluation("tracking", "mot", "tracks", (), numbers, {}, sizes, iou, notes=notes)


def _numbers(steps: list[Step], counts: tuple[int, int], iou: float) -> dict[str, float]:
    moving, named, whole = (
        clear(steps, counts[0], iou=iou),
        identity(steps, counts, iou=iou),
        hota(steps, counts),
    )
    return {
        "IDF1": named.f1, "IDP": named.precision, "IDR": named.recall,
        "MOTA": moving.mota, "MOTP": moving.motp,
        "HOTA": whole.hota, "DetA": whole.detection, "AssA": whole.association,
        "IDSW": moving.switches, "Frag": moving.fragments, "FP": moving.fp, "FN": moving.fn,
        "MT": moving.mostly_tracked, "PT": moving.partly_tracked, "ML": moving.mostly_lost,
    }  # fmt: skip


def _steps(truth: TrackBoxes, numbered: Array, found: TrackBoxes, ids: Array) -> Iterator[Step]:
    """Frame by frame, without what is not judged."""
    frames = np.unique(np.concatenate([truth.frames, found.frames]))
    for rows, columns in zip(_rows_of(frames, truth.frames), _rows_of(frames, found.frames), strict=True):
        likeness = overlaps(truth.boxes_xyxy[rows], found.boxes_xyxy[columns])
        judged = ~_absorbed(likeness, truth.absorbs[rows])
        counted = numbered[rows] >= 0
        yield Step(numbered[rows[counted]], ids[columns[judged]], likeness[counted][:, judged])


def _rows_of(frames: Array, of: Array) -> Iterator[Array]:
    order = np.argsort(of, kind="stable")
    low, high = (np.searchsorted(of[order], frames, side=side) for side in ("left", "right"))
    return (order[start:end] for start, end in zip(low, high, strict=True))


def _absorbed(likeness: Array, absorbs: Array) -> Array:
    """Found boxes that lie on something which is not judged, when all are paired with what they overlap: bool [m]."""
    taken = np.zeros(likeness.shape[1], bool)
    if absorbs.any():
        rows, columns = assign(np.where(likeness >= ABSORBED, likeness, 0))
        taken[columns[absorbs[rows]]] = True
    return taken
