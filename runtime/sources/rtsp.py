"""A network camera by rtsp:// or rtsps://, over TCP, decoded by one thread.

FFmpeg waits for ever unless told otherwise, so every wait here has an end. Its messages hold the password and
are never shown.
"""

import time
from typing import TYPE_CHECKING

from vedette.runtime.errors import SourceError
from vedette.runtime.sources import END, Nothing, Read, SourceOptions
from vedette.runtime.sources._decode import FrameReader, video_stream

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.error import FFmpegError

PROTOCOLS = "rtsp,rtsps,rtp,srtp,udp,tcp,tls"
SLACK = 0.9  # FFmpeg's waits end a little early; its error for a time-out is not always the time-out's

_LOGIN = "check them; in an address, @ is written %40, / is written %2F and a space %20"
REFUSALS = {  # FFmpeg's error class: what, why, cure
    "HTTPUnauthorizedError": ("refused the user name or password", "it answered 401 Unauthorized", _LOGIN),
    "HTTPForbiddenError": ("refused the user name or password", "it answered 403 Forbidden", _LOGIN),
    "HTTPNotFoundError": (
        "has no stream of that name",
        "it answered 404 Not Found",
        "check the part of the address that follows the port",
    ),
    "ConnectionRefusedError": (
        "refused the connection",
        "nothing listens on that port",
        "check the address and the port, and that the camera is on",
    ),
}


def claims(uri: str) -> bool:
    return uri.lower().startswith(("rtsp://", "rtsps://"))


def open_source(uri: str, options: SourceOptions) -> "Camera":
    return Camera(uri, options)


class Camera:
    """One connection. Once read() has raised it is spent: who wants the camera back opens another."""

    live = True
    frame_count: int | None = None

    def __init__(self, uri: str, options: SourceOptions) -> None:
        scheme, _, rest = uri.partition("://")
        # Up to the last "@", and not by redact(): a space in a password would end what it takes for a URL.
        self.uri = f"{scheme}://***@{rest.rpartition('@')[2]}" if "@" in rest else uri
        self._secret_uri, self._options = uri, options
        self._container: InputContainer | None = None
        self._reader: FrameReader | None = None
        self._first_frame_by = 0.0  # time.monotonic()
        self._closed = False

    def read(self, timeout_s: float = 1.0) -> Read:
        """The next frame, or TIMEOUT if packets but no picture came for timeout_s. It never returns END.

        Blocks for up to twice the connect time-out in the first call (to connect, then to see what comes) and
        for up to twice the read time-out in the others.
        """
        from av.error import FFmpegError

        if self._closed:
            raise SourceError(f"{self.uri} is closed", why="read after close", cure="open it again")
        found: Read = END
        started = time.monotonic()
        try:
            reader = self._reader or self._open()
            found = reader.read(time.monotonic() + timeout_s)
            failure = self._check(found, reader)
        except FFmpegError as error:
            failure = self._failure(error, waited_s=time.monotonic() - started)
        # Not raised inside the except: FFmpeg's exception holds the password and would hang on ours.
        if failure is not None:
            self.close()
            raise failure
        return found

    def close(self) -> None:
        """Hang up. Only the thread that reads may call this: the decoder is not to be freed under it."""
        self._closed = True
        self._reader = None
        if self._container is not None:
            self._container.close()
            self._container = None

    def _open(self) -> FrameReader:
        import av

        options = self._options
        connect_s, read_s = options.connect_timeout_s, options.read_timeout_s
        self._first_frame_by = time.monotonic() + connect_s
        socket_us = round(max(connect_s, read_s) * 1e6)  # under FFmpeg's interrupt: ends what that cannot
        self._container = av.open(
            self._secret_uri,
            format="rtsp",
            options={"rtsp_transport": "tcp", "timeout": str(socket_us), "protocol_whitelist": PROTOCOLS},
            timeout=(connect_s, read_s),
        )
        stream = video_stream(self._container)
        if stream is None:
            raise self._error("sends no pictures", "it holds sound or data only", "name its video stream")
        # More would keep frames back, and FFmpeg's messages could not be told whose they are.
        stream.codec_context.thread_count = 1
        self._reader = FrameReader(self._container, stream, options, source=self.uri)
        return self._reader

    def _check(self, found: Read, reader: FrameReader) -> SourceError | None:
        """What is wrong although FFmpeg reported nothing."""
        if found is END:
            return self._error(
                "ended the stream",
                f"it hung up after {reader.decoded} frames",
                "check the camera and its network",
            )
        if isinstance(found, Nothing) and reader.decoded == 0 and time.monotonic() > self._first_frame_by:
            return self._error(
                f"sent no picture within {self._options.connect_timeout_s:g} s",
                f"packets arrive, but none of them completes a key frame ({reader.bad_packets} were damaged)",
                "shorten the camera's key-frame interval, or raise --connect-timeout",
            )
        return None

    def _failure(self, error: "FFmpegError", *, waited_s: float) -> SourceError:
        """FFmpeg's error in the user's words: by its class where that can be trusted, else by the clock."""
        known = REFUSALS.get(type(error).__name__)
        if known is not None:
            return self._error(*known)
        connected = self._reader is not None
        limit_s = self._options.read_timeout_s if connected else self._options.connect_timeout_s
        if waited_s < limit_s * SLACK:
            what, why = "failed" if connected else "cannot be opened", error.strerror or type(error).__name__
        elif connected:
            what, why = "went silent", f"no data for {waited_s:.1f} s"
        else:
            what, why = f"sent no picture within {limit_s:g} s", "it does not answer, or sends no key frame"
        return self._error(what, why, "check the camera, its address and its network, or raise the time-outs")

    def _error(self, what: str, why: str, cure: str) -> SourceError:
        return SourceError(f"{self.uri} {what}", why=why, cure=cure)
