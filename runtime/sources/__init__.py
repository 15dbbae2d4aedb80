"""Where frames come from: one file a URI scheme, each with `claims(uri)` and `open_source(uri, options)`.

In: a URI.  Out: Frames, or TIMEOUT, or END: three different things.
Next: pipeline.py, which reads each source in its own thread.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final, Literal, Protocol

from vedette.runtime.errors import SourceError, UsageError, redact
from vedette.runtime.frame import Frame
from vedette.runtime.plugins import load, names


class Nothing(Enum):
    """What read() returns when there is no frame."""

    TIMEOUT = "no frame yet"
    END = "no frame any more"


TIMEOUT: Final = Nothing.TIMEOUT
END: Final = Nothing.END
Read = Frame | Literal[Nothing.TIMEOUT, Nothing.END]


@dataclass(frozen=True, slots=True)
class SourceOptions:
    """What the command line may say about a source.

    Attributes:
        stream: the stream's name.
        stride: every stride-th frame is delivered; indices count all.
        connect_timeout_s: how long the first frame of a camera may take.
        read_timeout_s: silence after which a camera has failed.
    """

    stream: str = "cam0"
    stride: int = 1
    connect_timeout_s: float = 10.0
    read_timeout_s: float = 5.0

    def __post_init__(self) -> None:
        if self.stride < 1:
            raise UsageError(
                f"a stride of {self.stride} is out of range", why="it is 1 or more", cure="use 1, say"
            )


class Source(Protocol):
    """One stream of frames. Opened lazily by the first read; read and closed by one thread."""

    uri: str  # redacted
    live: bool  # frames come whether or not anyone reads

    @property
    def frame_count(self) -> int | None:
        """Frames that read() will deliver, where known; files know it after the first read."""

    def read(self, timeout_s: float = 1.0) -> Read:
        """The next frame, TIMEOUT or END.

        Raises:
            SourceError: it cannot be opened, or it failed for good.
        """

    def close(self) -> None:
        """Free the decoder; reading again is an error."""


def open_source(uri: str, options: SourceOptions = SourceOptions()) -> Source:
    """The source that a URI names; nothing is opened yet.

    Raises:
        SourceError: no scheme claims it.
    """
    package = __name__
    for name in names(package):
        plugin = load(package, name)
        if plugin.claims(uri):
            source: Source = plugin.open_source(uri, options)
            return source
    raise SourceError(
        f"cannot tell what kind of source {redact(uri)!r} is",
        why="no such file or folder, and no scheme that is known: " + ", ".join(names(package)),
        cure="give a video, picture, folder, glob, camera number, /dev/videoN, rtsp:// or synthetic: source",
    )


def stream_names(count: int) -> Sequence[str]:
    """cam0, cam1 … in order."""
    return [f"cam{index}" for index in range(count)]
