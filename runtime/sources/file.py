"""A video by path or file:// URI, decoded by FFmpeg as fast as it is read."""

import logging
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING

from vedette.runtime.errors import SourceError, redact
from vedette.runtime.sources import END, Read, SourceOptions
from vedette.runtime.sources._decode import FrameReader, rate_of, video_stream
from vedette.runtime.sources._local import is_file, is_picture, local_path

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

logger = logging.getLogger(__name__)

# Containers that hold their pictures themselves. FFmpeg would also play a text file (tty), and playlists and
# descriptions that open other files and addresses (hls, concat, dash, sdp, image2): none of these is here.
CONTAINERS = (
    "mov,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,asf,ogg,mxf,nut,gif,apng,dv,dhav,ivf,obu,rm,wtv,yuv4mpegpipe,"
    "h261,h263,h264,hevc,vvc,av1,m4v,mjpeg,vc1"
)


def claims(uri: str) -> bool:
    """Any existing file that does not have a picture's suffix."""
    path = local_path(uri)
    return path is not None and is_file(path) and not is_picture(path)


def open_source(uri: str, options: SourceOptions) -> "VideoFile":
    path = local_path(uri)
    return VideoFile(uri if path is None else str(path), options)


class VideoFile:
    """Every stride-th frame of one video, upright as its metadata asks."""

    live = False
    frame_count: int | None = None

    def __init__(self, path: str, options: SourceOptions) -> None:
        self.uri = redact(path)
        self._path, self._options = path, options
        self._container: InputContainer | None = None
        self._reader: FrameReader | None = None
        self._closed = False

    def read(self, timeout_s: float = 1.0) -> Read:
        """The next frame or END. timeout_s is not used: a file always has its next frame."""
        from av.error import FFmpegError

        if self._closed:
            raise SourceError(f"{self.uri} is closed", why="read after close", cure="open it again")
        try:
            reader = self._reader or self._open()
            found = reader.read()
        except FFmpegError as error:
            raise self._unreadable(error.strerror or str(error)) from None
        if found is END:
            self._check(reader)
        return found

    def close(self) -> None:
        self._closed = True
        self._reader = None
        if self._container is not None:
            self._container.close()
            self._container = None

    def _open(self) -> FrameReader:
        import av

        # Absolute, so that no name is read as a protocol; the lists keep a file from opening anything else.
        only = {"protocol_whitelist": "file", "format_whitelist": CONTAINERS}
        self._container = av.open(str(Path(self._path).absolute()), container_options=only)
        stream = video_stream(self._container)
        if stream is None:
            raise self._unreadable("it holds no pictures, only sound or data")
        stream.thread_type = "AUTO"
        self.frame_count = _count(self._container, stream, self._options.stride)
        self._reader = FrameReader(self._container, stream, self._options, source=self._path)
        return self._reader

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
        )


def _count(container: "InputContainer", stream: "VideoStream", stride: int) -> int | None:
    """Frames that will be delivered, from what the header says."""
    frames = stream.frames
    if not frames and stream.duration and stream.time_base:
        frames = round(float(stream.duration * stream.time_base) * rate_of(stream))
    elif not frames and container.duration:
        frames = round(container.duration / 1_000_000 * rate_of(stream))
    return ceil(frames / stride) if frames > 0 else None
