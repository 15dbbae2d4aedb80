"""Where frames come from: one file a URI scheme, each with `claims(uri)` and `open_source(uri, options)`.

In: a URI.  Out: Frames, or TIMEOUT, or END: three different things.
Next: pipeline.py, which reads each source in its own thread.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final, Literal, Protocol, runtime_checkable

from vedette.runtime.errors import SourceError, UsageError, redact
from vedette.runtime.frame import Frame
from vedette.runtime.plugins import load, names

if TYPE_CHECKING:
    from vedette.runtime.packets import Tap


class Nothing(Enum):
    """What read() returns when there is no frame."""

    TIMEOUT = "no frame yet"
    END = "no frame any more"


TIMEOUT: Final = Nothing.TIMEOUT
END: Final = Nothing.END
PICTURES = "images"  # asked first, since that imports least; no two kinds claim the same
Read = Frame | Literal[Nothing.TIMEOUT, Nothing.END]


@dataclass(frozen=True, slots=True)
class SourceOptions:
    """What the command line or a config may say about a source.

    Attributes:
        stream: the stream's name.
        stride: every stride-th frame is delivered; indices count all.
        open_timeout_s: how long one try to connect may take.
        read_timeout_s: silence of the network after which a camera has failed; FFmpeg notices after twice that.
        transport: of rtsp: tcp or udp.
        realtime: a file is played at its own rate, as a camera sends it.
        decoder: of what FFmpeg reads: nvdec is an NVIDIA GPU's, where it can, else software; nvv4l2 a Jetson's.
        loop: a file begins again at its end, for ever; its times and indices go on.
        tap: is handed every encoded packet, in the reader's thread; it must not wait.
    """

    stream: str = "cam0"
    stride: int = 1
    open_timeout_s: float = 3.5
    read_timeout_s: float = 2.0
    transport: Literal["tcp", "udp"] = "tcp"
    realtime: bool = False
    loop: bool = False
    decoder: Literal["software", "nvdec", "nvv4l2"] = "software"
    tap: "Tap | None" = None

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


@runtime_checkable
class Lasting(Source, Protocol):
    """A camera: when it breaks off, `again` is tried for ever, unless it says that it does not last."""

    lasting: bool

    def again(self) -> "Lasting":
        """A fresh, unopened source of the same address and options."""


def open_source(uri: str, options: SourceOptions = SourceOptions()) -> Source:
    """The source that a URI names; nothing is opened yet.

    Raises:
        SourceError: no scheme claims it.
        UsageError: PyAV is too old for the decoder that is asked for.
    """
    if options.decoder == "nvdec":
        from vedette.runtime.sources._nvdec import accelerator

        accelerator()
    package = __name__
    for name in sorted(names(package), key=lambda name: name != PICTURES):
        plugin = load(package, name)
        if plugin.claims(uri):
            source: Source = plugin.open_source(uri, options)
            return source
    raise SourceError(
        f"cannot tell what kind of source {re.sub(r'^.*:.*@', '***@', redact(uri), flags=re.DOTALL)!r} is",
        why="no such file or folder, and no scheme that is known: " + ", ".join(names(package)),
        cure="give a video, picture, folder, glob, camera number, /dev/videoN, or what begins with a scheme",
    )


def closed(uri: str) -> SourceError:
    """What read() raises after close()."""
    return SourceError(f"{uri} is closed", why="read after close", cure="open it again", code="closed")


def stream_names(count: int) -> Sequence[str]:
    """cam0, cam1 … in order."""
    return [f"cam{index}" for index in range(count)]
