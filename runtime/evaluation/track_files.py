"""Tracks in files: the MOTChallenge's text, and the JSON lines of `vedette run --track --json`.

In: a path.  Out: TrackBoxes.  Next: tracks.py.
Source: Milan et al., MOT16, 2016, section 3.3 and table 6: frame, id, left, top, width, height, flag or score, class,
visibility; frames and pixels are counted from 1. Truth whose flag is 0 does not count.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vedette.runtime.evaluation.coco_json import is_number
from vedette.runtime.evaluation.places import json_of, refuse, text_of
from vedette.runtime.frame import Array

DISTRACTORS = (
    2,
    7,
    8,
    12,
)  # on a vehicle, static, distractor, reflection: finding them is neither right nor wrong
ROW = "a row is frame,id,left,top,width,height and, from there on, what else is known"
RECORD = "give the file that vedette run --track --json wrote of one stream by one model"
Row = tuple[int, int, float, float, float, float, float, float]  # … width, height, flag or score, class


@dataclass(frozen=True, slots=True, eq=False)
class TrackBoxes:
    """Boxes with identities.

    Attributes:
        counted: truth that should be found.
        absorbs: truth that may be found.
        frames_run: frames of which the results say something, if only that there is nothing.
    """

    frames: Array  # int64 [N], from 1
    ids: Array  # int64 [N]
    boxes_xyxy: Array  # float64 [N, 4]
    counted: Array  # bool [N]
    absorbs: Array  # bool [N]
    frames_run: Array  # int64


def truth_of(path: Path) -> TrackBoxes:
    """Read gt.txt.

    Raises:
        SourceError: it cannot be read, or is malformed; says where.
    """
    rows = np.array(_once(path, _text_rows(path)), np.float64).reshape(-1, 8)
    if not len(rows):
        refuse(str(path), "it is empty", ROW)
    flagged = rows[:, 6] != 0
    return _boxes(rows, flagged, ~flagged & np.isin(rows[:, 7], DISTRACTORS), rows[:, 0])


def found_of(
    path: Path, *, conf: float = 0.0, classes: tuple[str, ...] = ()
) -> tuple[TrackBoxes, tuple[str, ...]]:
    """Read results of either form, and what is to be said of them.

    Raises:
        SourceError: they cannot be read, are malformed, or have no identities; says where.
    """
    if text_of(path).lstrip()[:1] == "{":
        run, listed = _json_rows(path, classes)
    else:
        listed = list(_text_rows(path))
        run = [row[0] for _, row in listed]
    named = [(line, row) for line, row in listed if row[1] >= 0]
    if listed and not named:
        refuse(str(path), "no box of it has an identity", "track: vedette run --track --json")
    rows = np.array(_once(path, iter(named)), np.float64).reshape(-1, 8)
    rows = rows[rows[:, 6] >= conf] if conf > 0 else rows
    notes = (f"{len(listed) - len(named)} boxes without an identity are left out",)
    everywhere = np.ones(len(rows), bool)
    return _boxes(rows, everywhere, ~everywhere, np.array(run)), notes if len(named) < len(listed) else ()


def _boxes(rows: Array, counted: Array, absorbs: Array, run: Array) -> TrackBoxes:
    frames, ids = rows[:, 0].astype(np.int64), rows[:, 1].astype(np.int64)
    boxes = np.concatenate([rows[:, 2:4], rows[:, 2:4] + rows[:, 4:6]], axis=1)
    return TrackBoxes(frames, ids, boxes, counted, absorbs, np.unique(run.astype(np.int64)))


def _once(path: Path, rows: Iterator[tuple[int, Row]]) -> list[Row]:
    """The rows; refuses one that has an identity twice in a frame."""
    seen: dict[tuple[int, int], int] = {}
    kept = []
    for line, row in rows:
        if row[:2] in seen:
            why = f"identity {row[1]} is in frame {row[0]} already, in line {seen[row[:2]]}"
            refuse(f"{path}:{line}", why, "an identity has one box a frame")
        seen[row[:2]] = line
        kept.append(row)
    return kept


def _text_rows(path: Path) -> Iterator[tuple[int, Row]]:
    for line, text in enumerate(text_of(path).splitlines(), 1):
        if text.strip():
            yield line, _text_row(path, line, text)


def _text_row(path: Path, line: int, text: str) -> Row:
    try:
        values = [float(part) for part in text.replace(",", " ").split()]
    except ValueError:
        values = []
    if len(values) < 6 or not all(map(math.isfinite, values)):
        refuse(f"{path}:{line}", f"{text[:60]!r} is no row of at least six numbers", ROW)
    frame, name = int(values[0]), int(values[1])
    if (frame, name) != tuple(values[:2]) or frame < 1:
        refuse(
            f"{path}:{line}", f"frame {values[0]:g} and identity {values[1]:g} are not whole from 1 on", ROW
        )
    if min(values[4:6]) < 0:
        refuse(f"{path}:{line}", f"a box of {values[4]:g} x {values[5]:g} pixels", ROW)
    left, top, width, height = values[2:6]
    flag, kind = values[6] if len(values) > 6 else 1.0, values[7] if len(values) > 7 else 0.0
    return frame, name, left, top, width, height, flag, kind


def _json_rows(path: Path, classes: tuple[str, ...]) -> tuple[list[int], list[tuple[int, Row]]]:
    """The frames that were run, from 1, and every box, with its line."""
    run: dict[int, int] = {}
    rows: list[tuple[int, Row]] = []
    whose = ""
    for line, text in enumerate(text_of(path).splitlines(), 1):
        if not text.strip():
            continue
        record = json_of(text, path, line=line)
        frame, objects, name = _record(path, line, record)
        if (whose := whose or name) != name:
            refuse(f"{path}:{line}", f"it is of {name}, what is before it of {whose}", RECORD)
        if run.setdefault(frame, line) != line:
            refuse(f"{path}:{line}", f"frame {frame - 1} has a record in line {run[frame]} already", RECORD)
        wanted = [one for one in objects if not classes or one.get("label") in classes]
        rows += [(line, _json_row(path, line, frame, one)) for one in wanted]
    return list(run), rows


def _record(path: Path, line: int, record: Any) -> tuple[int, list[dict[str, Any]], str]:
    """The frame from 1, the objects, and whose they are."""
    if isinstance(record, dict):
        objects = record.get("detections", record.get("instances"))
        frame = record.get("frame")
        if (
            isinstance(objects, list)
            and isinstance(frame, int)
            and all(isinstance(one, dict) for one in objects)
        ):
            return frame + 1, objects, f"{record.get('stream')} by {record.get('model')}"
    return refuse(f"{path}:{line}", "it is no record with a frame and detections or instances", RECORD)


def _is_xyxy(sides: Any) -> bool:
    """Left, top, right, bottom of a box that is not turned inside out."""
    if not isinstance(sides, list) or len(sides) != 4 or not all(map(is_number, sides)):
        return False
    return bool(sides[0] <= sides[2] and sides[1] <= sides[3])


def _json_row(path: Path, line: int, frame: int, found: dict[str, Any]) -> Row:
    """Edges are counted from 0 there, from 1 here."""
    box: Any = found.get("box_xyxy")
    score: Any = found.get("score")
    name = found.get("track_id", -1)
    if not _is_xyxy(box) or not is_number(score) or not isinstance(name, int):
        refuse(f"{path}:{line}", "an object of that record has no box_xyxy, score or whole track_id", RECORD)
    left, top, right, bottom = box
    return frame, name, left + 1, top + 1, right - left, bottom - top, score, 0.0
