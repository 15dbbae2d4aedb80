"""The clips of one stream: from before a sighting until some time after the last one.

In: packets and sightings.  Out: files, each with a JSON beside it that says what was seen.
"""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from vedette.runtime.sinks._intake import CUT, Item
from vedette.runtime.sinks._ring import Ring
from vedette.runtime.sinks._stamps import TICKS, Stamps
from vedette.runtime.sinks._trigger import Sighting
from vedette.runtime.sinks._writer import File, Store, Writer

LAG = 10 * TICKS  # how far the models may be behind the camera before a clip ends without them


@dataclass(frozen=True, slots=True)
class Rolls:
    """In ticks: what is kept before and after a sighting, and at most in all."""

    pre: int
    post: int
    most: int


@dataclass(slots=True)
class _Sight:
    """A class over a whole clip."""

    score: float
    frames: int
    first: int  # ticks
    box_xyxy: tuple[float, float, float, float]


@dataclass(slots=True)
class _Story:
    """What is told of the clip at hand."""

    begin: int  # ticks
    until: int
    sights: dict[str, _Sight] = field(default_factory=dict)


class Clips:
    """One stream's. Packets and frames meet by the moment at which both were received.

    Attributes:
        complete: how many clips are.
    """

    def __init__(self, stream: str, store: Store, rolls: Rolls) -> None:
        self.complete = 0
        self._stream, self._store, self._rolls = stream, store, rolls
        self._writer = Writer(stream, store, begun=self._describe, finished=self._finished)
        self._ring, self._stamps = Ring(), Stamps()
        self._story: _Story | None = None
        self._newest = self._frames_at = self._ended = 0
        self._next = 0  # number of the packet that the clip goes on with

    @property
    def dropped(self) -> int:
        """Packets that no clip could have begun with."""
        return self._ring.dropped

    def take(self, item: Item) -> None:
        """The next packet, or the end of a connection."""
        if item is CUT:
            self.finish()
            self._ring.clear()
            self._stamps.restart()
            return
        stamp = self._stamps.place(item)
        self._newest = max(self._newest, stamp.pts)
        self._ring.add(item, stamp)
        self._advance()
        self._ring.trim(max(self._frames_at, self._newest - LAG) - self._rolls.pre)

    def seen(self, received_ns: int, sightings: Mapping[str, Sighting]) -> None:
        """A frame with what was seen in it, which may be nothing."""
        stamp = self._ring.at(received_ns)
        if stamp is None:
            return
        self._frames_at = max(self._frames_at, stamp.pts)
        if sightings:
            self._story = self._story or self._begin(stamp.pts)
            self._story.until = max(self._story.until, stamp.pts + self._rolls.post)
            self._tell(self._story, stamp.pts, sightings)
        self._advance()

    def finish(self) -> None:
        """End the clip at hand, if there is one."""
        if self._story is not None:
            self._ended = self._newest
            self._writer.finish()
            self._story = None

    def _begin(self, at: int) -> _Story:
        """A clip from before a moment; where the one before it ended later, from there."""
        key = self._ring.key_before(max(at - self._rolls.pre, self._ended))
        self._next = key.number if key else 0
        return _Story(begin=key.stamp.pts if key else at, until=at)

    def _advance(self) -> None:
        """Write what belongs to the clip and is there; end it when it is over."""
        story = self._story
        if story is None:
            return
        last = min(story.until, story.begin + self._rolls.most)
        for kept in self._ring.since(self._next):
            if kept.stamp.dts > last:
                break
            self._next = kept.number + 1
            self._writer.put(kept.packet, kept.stamp)
        if self._newest > last and (last < story.until or max(self._frames_at, self._newest - LAG) > last):
            self._ended = last
            self._writer.finish()
            self._story = None

    def _tell(self, story: _Story, at: int, sightings: Mapping[str, Sighting]) -> None:
        for label, sighting in sightings.items():
            sight = story.sights.setdefault(label, _Sight(0.0, 0, at, sighting.box_xyxy))
            sight.score, sight.frames = max(sight.score, round(sighting.score, 4)), sight.frames + 1

    def _finished(self, file: File) -> None:
        self.complete += 1
        self._describe(file)

    def _describe(self, file: File) -> None:
        """Write the JSON, whole or not at all; a kill leaves the one from the clip's beginning."""
        sights = self._story.sights if self._story is not None else {}
        document = {
            "stream": self._stream,
            "clip": file.path.name,
            "begin": _iso(file.began_ns),
            "end": _iso(file.began_ns + (file.end - file.begin) * 10**9 // TICKS),
            "classes": {label: _told(sight, file) for label, sight in sights.items()},
        }
        try:
            _write_whole(file.path.with_suffix(".json"), json.dumps(document, indent=1) + "\n")
        except OSError as error:
            self._store.disk.failed(error)


def _told(sight: _Sight, file: File) -> dict[str, Any]:
    return {
        "score": sight.score,
        "frames": sight.frames,
        "first_s": round((sight.first - file.begin) / TICKS, 3),
        "box_xyxy": list(sight.box_xyxy),
    }


def _iso(time_ns: int) -> str:
    return datetime.fromtimestamp(time_ns / 1e9, timezone.utc).isoformat(timespec="milliseconds")


def _write_whole(path: Path, text: str) -> None:
    part = path.with_suffix(".json.part")
    try:
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    except OSError:
        with suppress(OSError):
            part.unlink()
        raise
