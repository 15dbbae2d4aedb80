"""What recorders write: the packets of every stream, its camera's own or, where there are none, encoded frames.

In: packets in the readers' threads, frames in the writer's.  Out: one list of packets and cuts a stream.
"""

import logging
from collections.abc import Collection, Iterator

from vedette.runtime.frame import Frame
from vedette.runtime.packets import Packet, Tap
from vedette.runtime.sinks._copy import suffix_of
from vedette.runtime.sinks._from_frames import FrameEncoder
from vedette.runtime.sinks._intake import Intake, Item
from vedette.runtime.sinks._writer import Store
from vedette.runtime.status import Event, SinkStatus, State

log = logging.getLogger(__name__)


class PacketStreams:
    """Every stream of a recorder.

    Args:
        only: the streams that take part; None for all.
    """

    def __init__(self, only: Collection[str] | None = None) -> None:
        self._only = None if only is None else frozenset(only)
        self._intakes: dict[str, Intake] = {}
        self._encoders: dict[str, FrameEncoder] = {}
        self._tapped: set[str] = set()
        self._unwritable: set[str] = set()

    def takes(self, stream: str) -> bool:
        """Whether a stream takes part."""
        return self._only is None or stream in self._only

    def tap(self, stream: str) -> Tap:
        """Where a reader's thread puts the packets of one stream; it never waits."""
        if not self.takes(stream):
            return lambda _packet: None
        intake = self._intake(stream)

        def put(packet: Packet) -> None:
            if suffix_of(packet.encoding.codec):
                self._tapped.add(stream)
                intake.put(packet)
            elif stream not in self._unwritable:
                self._unwritable.add(stream)
                log.info("%s: %s is encoded anew, as no file holds it", stream, packet.encoding.codec)

        return put

    def event(self, event: Event) -> None:
        """A stream that is not live any more, or not yet again, begins a new file."""
        broken = {State.CONNECTING, State.BACKOFF, State.ENDED, State.FAILED}
        if event.state in broken and event.stream in self._intakes:
            self._intakes[event.stream].cut()

    def add_frame(self, frame: Frame) -> None:
        """Encode a frame if its stream has no packets. FFmpeg's errors pass."""
        if not self.takes(frame.stream) or frame.stream in self._tapped:
            return
        encoder = self._encoders.get(frame.stream)
        if encoder is None or encoder.size != frame.size:
            encoder = self._encoders[frame.stream] = FrameEncoder(frame.size, frame.rate)
        for packet in encoder.add(frame):
            self._intake(frame.stream).put(packet)

    def take(self) -> Iterator[tuple[str, list[Item]]]:
        """What came since, stream by stream."""
        for stream, intake in list(self._intakes.items()):
            if items := intake.take():
                yield stream, items

    def status(self, name: str, store: Store) -> SinkStatus:
        """How the recorder of these streams is; any thread."""
        full = sum(intake.dropped for intake in list(self._intakes.values()))
        code = store.disk.code
        dropped = {**store.dropped, **({"queue_full": full} if full else {})}
        return SinkStatus(name, "paused" if code else "writing", code, store.written, dropped)

    def _intake(self, stream: str) -> Intake:
        return self._intakes.setdefault(stream, Intake())
