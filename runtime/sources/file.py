"""A video by path or file:// URI, decoded by FFmpeg as fast as it is read."""

import logging
import time
from math import ceil, inf
from pathlib import Path
from typing import TYPE_CHECKING

from vedette.runtime.errors import SourceError, redact
from vedette.runtime.ffmpeg import load_ffmpeg
from vedette.runtime.sources import END, Read, SourceOptions, closed
from vedette.runtime.sources._clock import Pace
from vedette.runtime.sources._decode import FrameReader, faults, rate_of, video_stream
from vedette.runtime.sources._local import CONTAINERS, is_file, is_picture, local_path
from vedette.runtime.sources._nvdec import is_asked, opening

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

logger = logging.getLogger(__name__)


def claims(uri: str) -> bool:
    """Any existing file that does not have a picture's suffix."""
    path = local_path(uri)
    return path is not None and is_file(path) and not is_picture(path)


def open_source(uri: str, options: SourceOptions) -> "VideoFile":
    path = local_path(uri)
    return VideoFile(uri if path is None else str(path), options)


class VideoFile:
    """Every stride-th frame of one video, upright as its metadata asks; once, or over and over if options loop."""

    frame_count: int | None = None

    def __init__(self, path: str, options: SourceOptions) -> None:
        self.uri = redact(path)
        self.live = options.realtime
        self._path, self._options = path, options
        self._container: InputContainer | None = None
        self._reader: FrameReader | None = None
        self._closed = False

    def read(self, timeout_s: float = 1.0) -> Read:
        """The next frame or END; at real time also TIMEOUT, if none is due within timeout_s."""
        if self._closed:
            raise closed(self.uri)
        deadline = time.monotonic() + timeout_s if self._options.realtime else inf
        try:
            reader = self._reader or self._begin()
            found = reader.read(deadline)
            if found is END and self._options.loop and reader.decoded > 0:
                self._rewind(reader)
                found = reader.read(deadline)
        except faults() as error:
            raise self._unreadable(getattr(error, "strerror", None) or str(error)) from None
        if found is END:
            self._check(reader)
        return found

    def close(self) -> None:
        self._closed = True
        if self._reader is not None:
            self._reader.close()
            self._reader = None
        if self._container is not None:
            self._container.close()
            self._container = None

    def __del__(self) -> None:
        self.close()

    def _begin(self) -> FrameReader:
        container, stream = self._open()
        options = self._options
        pace = Pace() if options.realtime else None
        self._reader = FrameReader(
            container, stream, options, source=self._path, watched=options.realtime, pace=pace
        )
        return self._reader

    def _rewind(self, reader: FrameReader) -> None:
        """Begin again: opened anew, since not every container can be wound back."""
        old = self._container
        reader.begin(*self._open())
        if old is not None:
            old.close()

    def _open(self) -> "tuple[InputContainer, VideoStream]":
        load_ffmpeg()
        import av

        # Absolute, so that no name is read as a protocol; the lists keep a file from opening anything else.
        only = {"protocol_whitelist": "file", "format_whitelist": CONTAINERS}
        self._container = av.open(
            str(Path(self._path).absolute()),
            container_options=only,
            metadata_errors="replace",
            **opening(self._options),
        )
        stream = video_stream(self._container)
        if stream is None:
            raise self._unreadable("it holds no pictures that FFmpeg can decode, only sound or data")
        # At real time, and on a GPU, one thread is enough, and its complaints can be heard.
        alone = self._options.realtime or is_asked(stream, self._options)
        stream.thread_type, stream.thread_count = ("NONE", 1) if alone else ("AUTO", 0)
        self.frame_count = (
            None if self._options.loop else _count(self._container, stream, self._options.stride)
        )
        return self._container, stream

    def _check(self, reader: FrameReader) -> None:
        if reader.decoded == 0:
            raise self._unreadable(
                f"none of its frames can be decoded ({reader.bad_packets} damaged packets)"
            )
        if reader.bad_packets:
            logger.warning("%s: %d damaged packets were skipped", self.uri, reader.bad_packets)

    def _unreadable(self, why: str) -> SourceError:
        return SourceError(
            f"{self._path} is not a video that FFmpeg can read",
            why=why,
            cure="check that it plays elsewhere and was copied whole, or convert it to .mp4",
            code="unreadable",
        )


def _count(container: "InputContainer", stream: "VideoStream", stride: int) -> int | None:
    """Frames that will be delivered, from what the header says."""
    frames = stream.frames
    if not frames and stream.duration and stream.time_base:
        frames = round(float(stream.duration * stream.time_base) * rate_of(stream))
    elif not frames and container.duration:
        frames = round(container.duration / 1_000_000 * rate_of(stream))
    return ceil(frames / stride) if frames > 0 else None
