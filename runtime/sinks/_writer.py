"""One stream's packets into one file after the other; what a disk refuses pauses it.

In: packets with their times, in order.  Out: files in an Archive, each begun at a key frame.
"""

import logging
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from vedette.runtime.ffmpeg import load_ffmpeg
from vedette.runtime.packets import Encoding, Packet
from vedette.runtime.sinks._archive import Archive
from vedette.runtime.sinks._copy import Copy, suffix_of
from vedette.runtime.sinks._disk import Disk
from vedette.runtime.sinks._nal import UNITS, Layout, layout_of, parameter_sets
from vedette.runtime.sinks._stamps import TICKS, Stamp, step_of

log = logging.getLogger(__name__)


class Store:
    """Where all streams of one recorder are written.

    Attributes:
        written: packets in files.
        dropped: packets that are in none, by reason.
        open: the files that are being written.
    """

    def __init__(self, archive: Archive, min_free_bytes: int) -> None:
        self.archive = archive
        self.open: set[Path] = set()
        self.disk = Disk(archive, min_free_bytes, lambda: self.open)
        self.written = 0
        self.dropped: Counter[str] = Counter()


@dataclass(frozen=True, slots=True)
class File:
    """One file, begun or complete.

    Attributes:
        path: where it is.
        began_ns: time.time_ns() of its first packet.
        begin: when it begins, in ticks.
        end: when its last packet so far is shown.
    """

    path: Path
    began_ns: int
    begin: int
    end: int


def _nothing(_file: File) -> None:
    """What is done about a file unless something else is asked for."""


class Writer:
    """One stream's.

    Args:
        stream: names the files.
        store: where they go.
        begun: called with each new file.
        finished: called with each complete one.

    Attributes:
        file: the one at hand, if there is one.
    """

    def __init__(
        self,
        stream: str,
        store: Store,
        *,
        begun: Callable[[File], None] = _nothing,
        finished: Callable[[File], None] = _nothing,
    ) -> None:
        self.file: File | None = None
        self._stream, self._store, self._begun, self._finished = stream, store, begun, finished
        self._copy: Copy | None = None
        self._encoding: Encoding | None = None
        self._layout = Layout()
        self._sequence = b""

    def put(self, packet: Packet, stamp: Stamp) -> None:
        """Write a packet, into a new file where the one at hand cannot take it."""
        data = self._plain(packet)
        if self._copy is not None and not (self._fits(packet, data) and self._store.disk.ready()):
            self.finish()
        try:
            if self._copy is None:
                self._copy = self._open(packet, data, stamp)
            if self._copy is not None:
                self._write(self._copy, packet, data, stamp)
        except Exception as error:  # noqa: BLE001 whatever FFmpeg makes of one packet, the next is another
            self._refused(error)

    def finish(self) -> None:
        """Complete the file at hand, if there is one."""
        copy, file, self._copy, self.file = self._copy, self.file, None, None
        if copy is None or file is None:
            return
        complete = copy.close()
        self._store.open.discard(copy.path)
        if copy.failure is not None:
            self._store.disk.failed(copy.failure)
        if not complete and not plays(copy.path):
            self._store.archive.discard(copy.path)
            return
        if complete:
            self._store.disk.worked()
        self._finished(file)
        self._store.archive.finished(copy.path)
        self._store.disk.clean()

    def _open(self, packet: Packet, data: bytes, stamp: Stamp) -> Copy | None:
        """A new file if one can begin here and now; else the packet is counted."""
        disk = self._store.disk
        if not packet.key or not disk.ready():
            self._store.dropped["paused" if disk.code else "no_key_frame"] += 1
            return None
        began_ns = time.time_ns() - (time.monotonic_ns() - packet.received_ns)
        path = self._store.archive.new_path(self._stream, began_ns, suffix_of(packet.encoding.codec))
        self._store.open.add(path)
        try:
            copy = Copy(path, packet.encoding, self._layout.parameters, data, stamp)
        except BaseException:
            self._store.open.discard(path)
            self._store.archive.discard(path)
            raise
        self._sequence = self._sequence_of(packet, data)
        self.file = File(path, began_ns, stamp.pts, stamp.pts)
        self._begun(self.file)
        return copy

    def _write(self, copy: Copy, packet: Packet, data: bytes, stamp: Stamp) -> None:
        if not copy.add(data, stamp, key=packet.key, ticks=step_of(packet)):
            self._store.dropped["open_group"] += 1
            return
        self._store.written += 1
        if self.file is not None:
            self.file = replace(self.file, end=max(self.file.end, stamp.pts))
            if stamp.pts - self.file.begin >= TICKS:  # before, it may not have left FFmpeg's buffers
                self._store.disk.worked()

    def _refused(self, error: Exception) -> None:
        """Pause where it is the disk; else the packet is at fault, and the next key frame begins anew."""
        refusal = error if isinstance(error, OSError) else None
        if self._copy is not None:
            refusal = self._copy.failure or refusal
        self.finish()
        if refusal is not None:
            self._store.disk.failed(refusal)
        elif not self._store.dropped["refused"]:
            log.info("%s: the first packet that was not recorded: %s", self._stream, error)
        self._store.dropped["refused" if refusal is None else "paused"] += 1

    def _plain(self, packet: Packet) -> bytes:
        """The packet with start codes; ends the file if it cannot hold packets of this kind."""
        encoding, before = packet.encoding, self._encoding
        if encoding != before:
            layout = layout_of(encoding.codec, encoding.extradata)
            # Of a stream with start codes the sequences in it say more: see _fits.
            repeats = encoding.codec in UNITS and not layout.length_bytes and not self._layout.length_bytes
            if before is not None and not (repeats and encoding.codec == before.codec):
                self.finish()
            self._encoding, self._layout = encoding, layout
        return self._layout.plain(packet.data)

    def _fits(self, packet: Packet, data: bytes) -> bool:
        """Whether the file's header is right for it: cameras change their size without a word."""
        if not packet.key:
            return True
        sequence = self._sequence_of(packet, data)
        return not sequence or sequence == self._sequence

    def _sequence_of(self, packet: Packet, data: bytes) -> bytes:
        """The sequence parameter sets of a key frame, else those of its container."""
        codec = packet.encoding.codec
        found = parameter_sets(codec, data) or parameter_sets(codec, self._layout.parameters)
        return found.get("sequence", b"")


def plays(path: Path) -> bool:
    """Whether at least one packet can be read from a file."""
    load_ffmpeg()
    import av
    from av.error import FFmpegError

    try:
        with av.open(str(path.absolute())) as container:
            return next(container.demux(video=0)).size > 0
    except (OSError, FFmpegError, LookupError, StopIteration):
        return False
