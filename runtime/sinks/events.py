"""Clips of what was seen: some seconds before, some after, as the camera sent them, and a JSON that says what."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from vedette.runtime.errors import UsageError, redact
from vedette.runtime.frame import Frame
from vedette.runtime.packets import Tap
from vedette.runtime.results import Result
from vedette.runtime.sinks._archive import Archive
from vedette.runtime.sinks._clip import Clips, Rolls
from vedette.runtime.sinks._packets import PacketStreams
from vedette.runtime.sinks._stamps import TICKS
from vedette.runtime.sinks._trigger import WINDOW, Trigger
from vedette.runtime.sinks._writer import Store
from vedette.runtime.status import Event, SinkStatus


class EventClipsSink:
    """Writes FOLDER/STREAM/2026-11-23/STREAM-2026-11-23T06-15-00Z-event.mp4 and the same with .json, in UTC.

    A class sets it off that has a score of min_conf or more in min_frames of the stream's last 5 frames. The clip begins
    at the last key frame that is pre_roll_s before, or earlier, and ends post_roll_s after the class was last seen. Until
    then packets wait in memory, at most 64 MiB a stream. Streams without packets are encoded all the time, for the
    pre-roll.

    Args:
        folder: where everything goes; may hold other files too, which are never touched.
        classes: labels that count; empty for all.
        min_conf: with at least this score.
        min_frames: in so many of the last 5 frames.
        pre_roll_s: kept from before.
        post_roll_s: and after.
        max_s: of one clip; what goes on for longer is the next one's.
        keep_days: older clips are deleted.
        keep_bytes: the oldest clips are deleted while all together are larger.
        min_free_bytes: of the disk, as RecordingSink's.
        streams: who takes part; None for all.

    Raises:
        DiskError: the folder can never be written to.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        classes: Sequence[str] = (),
        min_conf: float = 0.5,
        min_frames: int = 3,
        pre_roll_s: float = 5.0,
        post_roll_s: float = 5.0,
        max_s: float = 120.0,
        keep_days: float | None = None,
        keep_bytes: int | None = None,
        min_free_bytes: int = 1_000_000_000,
        streams: Sequence[str] | None = None,
    ) -> None:
        if not 1 <= min_frames <= WINDOW:
            raise UsageError(
                f"min_frames of {min_frames} is out of range",
                why=f"it counts among the last {WINDOW} frames",
                cure="use 3, say",
            )
        self.name = redact(f"events {folder}")
        self._classes, self._min_conf, self._min_frames = tuple(classes), min_conf, min_frames
        self._rolls = Rolls(round(pre_roll_s * TICKS), round(post_roll_s * TICKS), round(max_s * TICKS))
        archive = Archive(Path(folder), kind="-event", keep_days=keep_days, keep_bytes=keep_bytes)
        self._store = Store(archive, min_free_bytes)
        self._streams = PacketStreams(streams)
        self._clips: dict[str, Clips] = {}
        self._triggers: dict[str, Trigger] = {}
        self._store.disk.make_folder()

    def tap(self, stream: str) -> Tap:
        """Where a reader's thread puts the packets of one stream; it never waits."""
        return self._streams.tap(stream)

    def event(self, event: Event) -> None:
        """A stream changed its state; any thread."""
        self._streams.event(event)

    def write(self, frame: Frame, results: Sequence[Result]) -> None:
        if not self._streams.takes(frame.stream):
            return
        self._streams.add_frame(frame)
        self.work()
        trigger = self._triggers.get(frame.stream)
        if trigger is None:
            trigger = Trigger(self._classes, min_conf=self._min_conf, min_frames=self._min_frames)
            self._triggers[frame.stream] = trigger
        self._of(frame.stream).seen(frame.received_ns, trigger.seen(results))

    def work(self) -> None:
        """Take the packets that came since; the writer's thread calls it also while no frame comes."""
        self._store.disk.ready()  # retention goes on while nothing happens
        for stream, items in self._streams.take():
            clips = self._of(stream)
            for item in items:
                clips.take(item)

    def close(self) -> None:
        self.work()
        for clips in list(self._clips.values()):
            clips.finish()

    def status(self) -> SinkStatus:
        """How it is; `written` counts complete clips. Any thread."""
        complete = sum(clips.complete for clips in list(self._clips.values()))
        lost = sum(clips.dropped for clips in list(self._clips.values()))
        status = self._streams.status(self.name, self._store)
        dropped = {**status.dropped, **({"no_room": lost} if lost else {})}
        return replace(status, written=complete, dropped=dropped)

    def _of(self, stream: str) -> Clips:
        if stream not in self._clips:
            self._clips[stream] = Clips(stream, self._store, self._rolls)
        return self._clips[stream]
