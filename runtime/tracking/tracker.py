"""One stream's tracker: two-stage association of boxes with what is expected, without looks.

In: Results of one model on one stream, in order of time.  Out: the same with `boxes.id`.  Next: motion.py, assignment.py.
Source: Zhang et al., ByteTrack, ECCV 2022: boxes of high score are given out first, those of low score then go on with
tracks but begin none. Here time is in seconds, so that dropped frames, stalls and changing rates are taken as they are.
"""

from dataclasses import dataclass, replace

import numpy as np

from vedette.runtime.frame import Array, Frame
from vedette.runtime.results import Boxes, Result
from vedette.runtime.tracking.assignment import assign
from vedette.runtime.tracking.motion import Motion, overlaps

NOBODY = -1  # the identity of a box that is of no confirmed track
FAR = 9.21  # surprise that one box in a hundred of the right object exceeds (chi-squared of two numbers)
FARTHER = 0.2  # such a box must overlap by so much more: it may be right, as when the camera is pushed
ABSENT = 0.7  # what an overlap is worth to a track that was not in the last frame, against one that was


@dataclass(frozen=True, slots=True)
class TrackConfig:
    """How to track; the names are the field's.

    Attributes:
        conf: what the user wants to see: a box that scores less stays only if it is of a track.
        track_high_thresh: what scores less is given out second; None is conf.
        track_low_thresh: what scores less is not looked at.
        new_track_thresh: the score that may begin a track; None is conf.
        match_thresh: 1 - IoU with where a track is expected, up to which a box may be its; of the first stage.
        low_match_thresh: the same for boxes of low score.
        new_match_thresh: the same for tracks that are not confirmed.
        confirm_frames: frames, one after the other, after which a track has an identity.
        max_lost_s: seconds for which what is not found is remembered.
        class_aware: a track keeps its class.
    """

    conf: float = 0.25
    track_high_thresh: float | None = None
    track_low_thresh: float = 0.1
    new_track_thresh: float | None = None
    match_thresh: float = 0.8
    low_match_thresh: float = 0.5
    new_match_thresh: float = 0.7
    confirm_frames: int = 2
    max_lost_s: float = 1.0
    class_aware: bool = True

    @property
    def detection_conf(self) -> float:
        """The lowest score that a model's results must hold: the conf to run it with."""
        return min(self.conf, self.track_low_thresh)

    @property
    def high(self) -> float:
        """track_high_thresh, or what stands in for it."""
        return self.conf if self.track_high_thresh is None else self.track_high_thresh

    @property
    def new(self) -> float:
        """new_track_thresh, or what stands in for it."""
        return self.conf if self.new_track_thresh is None else self.new_track_thresh


@dataclass(slots=True, eq=False)
class _Tracks:
    """T objects that are followed."""

    motion: Motion
    ids: Array  # int64 [T], NOBODY until it is confirmed
    cls: Array  # int64 [T]
    hits: Array  # int64 [T], frames in which it was found
    seen: Array  # float64 [T], time_s of the last

    @classmethod
    def of(cls, boxes: Boxes, time_s: float) -> "_Tracks":
        count = len(boxes)
        ones, nobody = np.ones(count, np.int64), np.full(count, NOBODY, np.int64)
        return cls(Motion.of(boxes.xyxy), nobody, boxes.cls, ones, np.full(count, time_s))

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, rows: Array) -> "_Tracks":
        return _Tracks(self.motion[rows], self.ids[rows], self.cls[rows], self.hits[rows], self.seen[rows])

    def found(self, rows: Array, boxes: Boxes, time_s: float) -> None:
        """Take in the boxes [N] of some, int64 [N]."""
        self.motion.correct(rows, boxes.xyxy)
        self.hits[rows] += 1
        self.seen[rows] = time_s
        self.cls[rows] = boxes.cls

    def joined(self, other: "_Tracks") -> "_Tracks":
        pairs = [(getattr(self, name), getattr(other, name)) for name in ("ids", "cls", "hits", "seen")]
        return _Tracks(self.motion.joined(other.motion), *(np.concatenate(pair) for pair in pairs))


class Tracker:
    """Identities for one model on one stream: 1, 2, 3 … as tracks are confirmed, none used twice."""

    def __init__(self, config: TrackConfig = TrackConfig()) -> None:
        self.config = config
        self._tracks: _Tracks | None = None
        self._time_s = 0.0  # of the last frame
        self._size = (0, 0)
        self._issued = 0

    def update(self, result: Result) -> Result:
        """Name what was found in the next frame.

        Args:
            result: of a frame that is later than the last; one without boxes is given back as it is.

        Returns:
            The same with `boxes.id`, int64 [N]: 1 or more, or NOBODY; without boxes that score less than conf and are nobody's.
        """
        if result.boxes is None:
            return result
        ids = self._named(result.boxes, result.frame)
        obb = None if result.obb is None else replace(result.obb, id=ids)
        named = replace(result, boxes=replace(result.boxes, id=ids), obb=obb)
        kept = (result.boxes.conf >= self.config.conf) | (ids > 0)
        return named if kept.all() else named[kept]

    def _named(self, boxes: Boxes, frame: Frame) -> Array:
        """The identity of each box, int64 [N]."""
        before, tracks = self._time_s, self._expected(boxes, frame)
        box_of = self._associate(tracks, boxes, before)
        rows = np.flatnonzero(box_of >= 0)
        tracks.found(rows, boxes[box_of[rows]], frame.time_s)
        stay = (box_of >= 0) | (tracks.ids > 0)
        free = np.isin(np.arange(len(boxes)), box_of, invert=True)
        begun = np.flatnonzero(free & (boxes.conf >= self.config.new))
        self._tracks = tracks[stay].joined(_Tracks.of(boxes[begun], frame.time_s))
        self._confirm(self._tracks)
        box_of = np.concatenate([box_of[stay], begun])
        ids = np.full(len(boxes), NOBODY, np.int64)
        ids[box_of[box_of >= 0]] = self._tracks.ids[box_of >= 0]
        return ids

    def _expected(self, boxes: Boxes, frame: Frame) -> _Tracks:
        """The tracks that are remembered, where they are by now."""
        passed = max(0.0, frame.time_s - self._time_s)
        tracks = self._tracks or _Tracks.of(boxes[:0], frame.time_s)
        unseen = tracks.seen < self._time_s
        if len(tracks) and frame.size != self._size:
            tracks.motion.enlarge(np.divide(frame.size, self._size))
        tracks.motion.move(passed, unseen=unseen)
        self._time_s, self._size = frame.time_s, frame.size
        return tracks[frame.time_s - tracks.seen <= self.config.max_lost_s]

    def _associate(self, tracks: _Tracks, boxes: Boxes, before: float) -> Array:
        """The box of each track, int64 [T], or -1; `before` is the time of the last frame."""
        config, likeness = self.config, overlaps(tracks.motion.boxes_xyxy, boxes.xyxy)
        likeness[tracks.motion.surprise(boxes.xyxy) > FAR] -= FARTHER
        if config.class_aware:
            likeness[tracks.cls[:, None] != boxes.cls] = 0
        confirmed, recent, high = tracks.ids > 0, tracks.seen >= before, boxes.conf >= config.high
        low = ~high & (boxes.conf >= config.track_low_thresh)
        stages = (
            (confirmed, high, config.match_thresh),
            (confirmed & recent, low, config.low_match_thresh),
            (~confirmed, high, config.new_match_thresh),
        )
        worth = np.where(recent, 1.0, ABSENT)[:, None]
        box_of, free = np.full(len(tracks), -1), np.ones(len(boxes), bool)
        for who, which, thresh in stages:
            rows, columns = np.flatnonzero(who & (box_of < 0)), np.flatnonzero(which & free)
            if len(rows) and len(columns):
                first, second = assign((likeness[np.ix_(rows, columns)] - (1 - thresh)) * worth[rows])
                box_of[rows[first]] = columns[second]
                free[columns[second]] = False
        return box_of

    def _confirm(self, tracks: _Tracks) -> None:
        ready = np.flatnonzero((tracks.ids < 0) & (tracks.hits >= self.config.confirm_frames))
        tracks.ids[ready] = self._issued + 1 + np.arange(len(ready))
        self._issued += len(ready)
