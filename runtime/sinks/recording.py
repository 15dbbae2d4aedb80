"""Everything that the cameras sent, in files of a minute each: copied as it came, without encoding anything."""

from collections.abc import Sequence
from pathlib import Path

from vedette.runtime.errors import UsageError, redact
from vedette.runtime.frame import Frame
from vedette.runtime.packets import Packet, Tap
from vedette.runtime.results import Result
from vedette.runtime.sinks._archive import Archive
from vedette.runtime.sinks._intake import CUT, Item
from vedette.runtime.sinks._packets import PacketStreams
from vedette.runtime.sinks._stamps import TICKS, Stamp, Stamps
from vedette.runtime.sinks._writer import Store, Writer
from vedette.runtime.status import Event, SinkStatus

GAP_NS = 5 * 10**9  # after so much silence a new file begins


class RecordingSink:
    """Writes FOLDER/STREAM/2026-11-23/STREAM-2026-11-23T06-15-00Z.mp4, in UTC; an .mkv where MP4 cannot hold the codec.

    A new file begins at the first key frame after segment_s, and where a connection or the camera's encoding is new.
    Files play at every moment. Streams without packets (devices, pictures) are encoded from their frames. A disk
    without room pauses recording and nothing else: what has no place is counted, and it goes on by itself.

    Args:
        folder: where everything goes; may hold other files too, which are never touched.
        segment_s: length of a file.
        keep_days: older files are deleted.
        keep_bytes: the oldest files are deleted while all together are larger, over all streams.
        min_free_bytes: of the disk; the oldest files are deleted for it, and where that is not enough nothing is written.
        streams: who takes part; None for all.

    Raises:
        DiskError: the folder can never be written to.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        segment_s: float = 60.0,
        keep_days: float | None = None,
        keep_bytes: int | None = None,
        min_free_bytes: int = 1_000_000_000,
        streams: Sequence[str] | None = None,
    ) -> None:
        if segment_s <= 0:
            raise UsageError(
                f"a segment of {segment_s:g} s is out of range", why="it has a length", cure="use 60, say"
            )
        self.name = redact(f"recording {folder}")
        archive = Archive(Path(folder), keep_days=keep_days, keep_bytes=keep_bytes)
        self._store = Store(archive, min_free_bytes)
        self._segment = round(segment_s * TICKS)
        self._streams = PacketStreams(streams)
        self._recorders: dict[str, _Recorder] = {}
        self._store.disk.make_folder()

    def tap(self, stream: str) -> Tap:
        """Where a reader's thread puts the packets of one stream; it never waits."""
        return self._streams.tap(stream)

    def event(self, event: Event) -> None:
        """A stream changed its state; any thread."""
        self._streams.event(event)

    def write(self, frame: Frame, results: Sequence[Result]) -> None:
        self._streams.add_frame(frame)
        self.work()

    def work(self) -> None:
        """Write the packets that came since; the writer's thread calls it also while no frame comes."""
        self._store.disk.ready()  # retention goes on while nothing comes
        for stream, items in self._streams.take():
            recorder = self._recorders.setdefault(stream, _Recorder(stream, self._store, self._segment))
            for item in items:
                recorder.take(item)

    def close(self) -> None:
        self.work()
        for recorder in self._recorders.values():
            recorder.finish()

    def status(self) -> SinkStatus:
        """How it is; `written` counts packets. Any thread."""
        return self._streams.status(self.name, self._store)


class _Recorder:
    """One stream's files."""

    def __init__(self, stream: str, store: Store, segment: int) -> None:
        self._writer = Writer(stream, store)
        self._stamps = Stamps()
        self._segment = segment
        self._last_ns: int | None = None

    def take(self, item: Item) -> None:
        if item is CUT:
            self.finish()
            self._stamps.restart()
            return
        stamp = self._stamps.place(item)
        if item.key and self._ends(item, stamp):
            self.finish()
        self._last_ns = item.received_ns
        self._writer.put(item, stamp)

    def finish(self) -> None:
        self._writer.finish()

    def _ends(self, packet: Packet, stamp: Stamp) -> bool:
        """Whether a key frame begins a new file."""
        gap = self._last_ns is not None and packet.received_ns - self._last_ns > GAP_NS
        file = self._writer.file
        return gap or (file is not None and stamp.pts - file.begin >= self._segment)
