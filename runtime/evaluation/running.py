"""A model over a data set: what it finds, in the data's numbers.

In: Model and Truth.  Out: Found.  Next: label_maps.py for models that label pixels.
The pictures go through the same Pipeline as in `vedette run`.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from vedette.runtime.errors import SourceError, UsageError
from vedette.runtime.evaluation.data import Found, Truth, xywh_of
from vedette.runtime.evaluation.labels import known
from vedette.runtime.frame import Array, Frame
from vedette.runtime.model import Model
from vedette.runtime.objects import ObjectMasks
from vedette.runtime.pipeline import Pipeline
from vedette.runtime.results import Result
from vedette.runtime.rle import encode_packed
from vedette.runtime.runner import Runner
from vedette.runtime.sources import END, Read
from vedette.runtime.sources.images import read_picture
from vedette.runtime.tasks.pose import COCO_KEYPOINTS, coco_keypoints

Step = Callable[[Frame, Sequence[Result]], None]


class DataPictures:
    """A Source: the pictures of a data set, in its order; one that cannot be read ends it.

    Raises:
        SourceError: one is missing.
    """

    live = False

    def __init__(self, paths: Sequence[Path], *, origin: str) -> None:
        missing = [path for path in paths if not path.is_file()]
        if missing:
            more = f", and {len(missing) - 1} more" if len(missing) > 1 else ""
            raise SourceError(
                f"the picture {missing[0]} is missing{more}",
                why=f"{origin} names it",
                cure="put it there, or give --images DIR",
            )
        self.uri, self.frame_count = origin, len(paths)
        self._paths, self._position = paths, 0

    def read(self, timeout_s: float = 1.0) -> Read:
        """The next picture or END. timeout_s is not used."""
        if self._position == len(self._paths):
            return END
        index, self._position = self._position, self._position + 1
        image = read_picture(self._paths[index])
        return Frame(
            (image,),
            stream="data",
            source=str(self._paths[index]),
            index=index,
            time_s=float(index),
            received_ns=time.monotonic_ns(),
        )

    def close(self) -> None:
        """There is nothing to free."""


def results_over(
    runner: Runner, source: DataPictures, step: Step | None = None
) -> Iterator[tuple[int, Result]]:
    """What a runner makes of every picture, with its number.

    Raises:
        SourceError: a picture cannot be read.
    """
    pipeline = Pipeline({"data": source}, [runner])
    for frame, results in pipeline.run():
        if step is not None:
            step(frame, results)
        yield frame.index, results[0]
    for failure in pipeline.failures.values():
        raise failure


def found_by(model: Model, truth: Truth, *, conf: float, step: Step | None = None) -> Found:
    """Run a model over the pictures of a truth.

    Args:
        model: of any task that finds objects.
        truth: the pictures, and what counts.
        conf: the lowest score that is kept; an AP wants nearly all.
        step: told of every picture.

    Raises:
        UsageError: the truth has objects of a class that the model does not know.
        SourceError: a picture is missing or cannot be read.
    """
    table, notes = category_table(model, truth)
    paths = [picture.path or Path(picture.name) for picture in truth.pictures]
    collected = _Collected(model, truth, table)
    for index, result in results_over(
        model.runner(conf=conf), DataPictures(paths, origin=truth.origin), step
    ):
        collected.add(index, result)
    found = collected.found(notes)
    return found.in_devkit_pixels() if truth.devkit else found


def category_table(model: Model, truth: Truth) -> tuple[Array, tuple[str, ...]]:
    """The category of each class of a model, -1 for none, and what is to be said of it.

    Raises:
        UsageError: the truth has objects of a class that the model does not know.
    """
    labels = model.manifest.labels or (("person",) if model.manifest.task == "pose" else ())
    if not labels:
        return np.arange(len(truth.names)), (
            "the model names no classes: they are taken to be the data's, in its order",
        )
    where = known(truth.names, labels)
    absent = [k for k in range(len(truth.names)) if where[k] < 0 and (truth.category == k).any()]
    if absent:
        raise _unknown(model, truth, absent, where)
    table = np.array(known(labels, truth.names))
    unused = [label for label, k in zip(labels, table, strict=True) if k < 0]
    told = ", ".join(unused[:4]) + (" …" if len(unused) > 4 else "")
    return table, (
        f"{len(unused)} classes of the model that the data does not have are left out: {told}",
    ) if unused else ()


def _unknown(model: Model, truth: Truth, absent: Sequence[int], where: Sequence[int]) -> UsageError:
    k = absent[0]
    first = truth.pictures[int(truth.image[truth.category == k][0])].name
    more = f" and {len(absent) - 1} more" if len(absent) > 1 else ""
    both = [name for name, index in zip(truth.names, where, strict=True) if index >= 0]
    return UsageError(
        f"{model.manifest.name} has no class {truth.names[k]!r}{more}",
        why=f"{truth.origin} has {int((truth.category == k).sum())} of them, the first in {first}",
        cure=f'--classes "{",".join(both[:6])}{",…" if len(both) > 6 else ""}" counts only what both know'
        if both
        else "take a model of these classes",
    )


class _Collected:
    """Results, one after another, as the columns of Found."""

    def __init__(self, model: Model, truth: Truth, table: Array) -> None:
        self._truth, self._table = truth, table
        self._joint_names: Sequence[str] = (
            model.manifest.decoder.parameters.get("keypoint_names") or COCO_KEYPOINTS
        )
        self._columns: list[tuple[Array, ...]] = []
        self._masks: list[object] = []
        self._joints: list[Array] = []
        self._masked = False

    def add(self, index: int, result: Result) -> None:
        boxes = result.boxes
        if boxes is None:
            raise UsageError(
                "this model finds no objects", why=f"its task is {result.task}", cure="evaluate it over masks"
            )
        table = np.append(self._table, -1)
        category = table[np.clip(boxes.cls, 0, len(self._table))]
        kept = np.flatnonzero(category >= 0)
        self._columns.append((np.full(len(kept), index), category[kept], boxes.xyxy[kept], boxes.conf[kept]))
        if isinstance(result.masks, ObjectMasks):
            self._masked = True
            self._masks += [encode_packed(result.masks.packed, row) for row in kept.tolist()]
        if result.keypoints is not None:
            self._joints.append(self._ordered(result)[kept])

    def _ordered(self, result: Result) -> Array:
        """Joints in the data's order, which is COCO's where it has 17: [P, K, 3]."""
        assert result.keypoints is not None
        true = self._truth.keypoints
        if true is not None and true.shape[1] == len(COCO_KEYPOINTS) != result.keypoints.xy.shape[1]:
            return coco_keypoints(result.keypoints, self._joint_names)
        return np.concatenate([result.keypoints.xy, result.keypoints.conf[..., None]], axis=-1)

    def found(self, notes: tuple[str, ...]) -> Found:
        whole = [np.concatenate(column) for column in zip(*self._columns, strict=True)] or [np.zeros(0)] * 4
        boxes = xywh_of(whole[2].astype(np.float64))
        areas = boxes[:, 2] * boxes[:, 3]
        if self._masked:
            from vedette.runtime.evaluation.masks import library

            areas = np.asarray(library().area(self._masks), np.float64) if self._masks else areas
        return Found(
            whole[0].astype(np.int64), whole[1].astype(np.int64), boxes, whole[3].astype(np.float64), areas,
            masks=tuple(self._masks) if self._masked else None,
            keypoints=self._all_joints(), notes=notes,
        )  # fmt: skip

    def _all_joints(self) -> Array | None:
        true = self._truth.keypoints
        if not self._joints or true is None:
            return None
        joints = np.concatenate(self._joints).astype(np.float64)
        if joints.shape[1] != true.shape[1]:
            raise UsageError(
                f"the model has {joints.shape[1]} keypoints, the data {true.shape[1]}",
                why="they are compared one by one", cure="--kind bbox compares the boxes",
            )  # fmt: skip
        return joints
