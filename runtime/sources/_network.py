"""A connection to a camera or server, by whatever protocol: opened, read and given up in time.

In: an address and how its kind is opened (Access).  Out: Frames, or a SourceError with a code.
FFmpeg waits for ever unless told otherwise, so every wait here has an end. It would also open anything that an address
or a playlist names, so each kind of address has its list of protocols. Its messages hold the password and are never shown.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vedette.runtime.errors import SourceError, redact, remember_uri
from vedette.runtime.ffmpeg import load_ffmpeg
from vedette.runtime.frame import Frame
from vedette.runtime.sources import END, Read, SourceOptions, closed
from vedette.runtime.sources._clock import Pace
from vedette.runtime.sources._complaints import listen
from vedette.runtime.sources._decode import FrameReader, faults, video_stream
from vedette.runtime.sources._nvdec import opening

if TYPE_CHECKING:
    from av.container import InputContainer

TIME_OUTS = {
    "ExitError",
    "TimeoutError",
}  # FFmpeg's classes; an open time-out may also be an InvalidDataError
SLACK = 0.9  # FFmpeg's waits end a little early
OVER_S = 2.0  # a recording whose last frame is so close to its announced end is over

_LOGIN = "check them; in an address, @ is written %40, / is written %2F and a space %20"
_AWAY = "check the address and the port, and that the camera is on"
REFUSALS = {  # FFmpeg's error class: what, why, cure, code
    "HTTPUnauthorizedError": (
        "refused the user name or password",
        "it answered 401 Unauthorized",
        _LOGIN,
        "login",
    ),
    "HTTPForbiddenError": ("refused the user name or password", "it answered 403 Forbidden", _LOGIN, "login"),
    "HTTPNotFoundError": (
        "has no stream of that name",
        "it answered 404 Not Found",
        "check the part of the address that follows the port",
        "missing",
    ),
    "ConnectionRefusedError": ("refused the connection", "nothing listens on that port", _AWAY, "refused"),
    "ConnectionResetError": ("broke off the connection", "it was reset", _AWAY, "ended"),
    "BrokenPipeError": ("broke off the connection", "it was closed", _AWAY, "ended"),
    "ProtocolNotFoundError": (
        "leads to what may not be opened",
        "it, or a list that it names, wants another protocol than this kind of address may use",
        "give the address of the stream itself",
        "unreadable",
    ),
}


@dataclass(frozen=True, slots=True)
class Access:
    """How one kind of address is opened.

    Attributes:
        protocols: that FFmpeg may use for it, and for all that it leads to.
        formats: that it may take what comes for; None for those of `format`.
        format: what comes, where that is known.
        options: of FFmpeg.
        stored: it may be a recording, with an end.
        waits: how often FFmpeg waits for its first bytes: each may take that share of the open time-out.
    """

    protocols: str
    formats: str | None = None
    format: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    stored: bool = False
    waits: int = 1


class Connection:
    """One connection. Once read() has raised it is spent: again() makes another."""

    frame_count: int | None = None

    def __init__(
        self, uri: str, options: SourceOptions, access: Access, *, live: bool = True, lasting: bool = True
    ) -> None:
        """Take note of an address; nothing is opened.

        Args:
            uri: with user name and password, if any.
            options: what the user says.
            access: how to open it.
            live: it sends at its own rate; a recording that turns out to be one is then played at its rate.
            lasting: an end is no end, as far as can be told before it is open.
        """
        self.uri = _without_login(uri)
        self.live, self.lasting = live, lasting
        self._as_asked = {"live": live, "lasting": lasting}
        scheme, separator, rest = uri.partition("://")
        self._secret_uri = scheme.lower() + separator + rest  # FFmpeg knows small letters only
        self._options, self._access = options, access
        self._container: InputContainer | None = None
        self._reader: FrameReader | None = None
        self._duration_s: float | None = None
        self._started = 0.0  # the read that is going on, by time.monotonic()
        self._last_s = 0.0  # time of the last frame
        self._closed = self._over = False

    def read(self, timeout_s: float = 1.0) -> Read:
        """The next frame; TIMEOUT if packets but no picture came for timeout_s; END of a recording.

        Blocks for up to twice the open time-out in the first call (to connect, then to see what comes) and for up to
        twice the read time-out in the others.
        """
        if self._closed:
            raise closed(self.uri)
        if self._over:
            return END
        found: Read = END
        self._started = time.monotonic()
        try:
            reader = self._reader or self._open()
            found = reader.read(time.monotonic() + timeout_s)
            failure = self._ended(reader) if found is END else None
        except SourceError as error:
            failure = error
        except faults() as error:
            failure = self._failure(error)
        # Not raised inside the except: FFmpeg's exception holds the password and would hang on ours.
        if failure is not None:
            self.close()
            raise failure
        return self._noted(found)

    def again(self) -> "Connection":
        return Connection(self._secret_uri, self._options, self._access, **self._as_asked)

    def close(self) -> None:
        """Hang up. Only the thread that reads may call this: the decoder is not to be freed under it."""
        self._closed = True
        if self._reader is not None:
            self._reader.close()
            self._reader = None
        if self._container is not None:
            self._container.close()
            self._container = None

    def _noted(self, found: Read) -> Read:
        self._over = found is END
        if isinstance(found, Frame):
            self._last_s = found.time_s
        return found

    def _open(self) -> FrameReader:
        load_ffmpeg()
        import av

        options, access = self._options, self._access
        open_s, read_s = options.open_timeout_s, options.read_timeout_s
        limits = {"protocol_whitelist": access.protocols, "timeout": str(round(max(open_s, read_s) * 1e6))}
        if access.formats is not None:
            limits["format_whitelist"] = access.formats
        listen()
        # The time-out among the options is the socket's, and ends what FFmpeg's interrupt cannot.
        self._container = av.open(
            self._secret_uri,
            format=access.format,
            container_options={**access.options, **limits},
            timeout=(open_s / access.waits, read_s),
            metadata_errors="replace",
            **opening(options),
        )
        if time.monotonic() - self._started > open_s:  # it answered, and then sent nothing
            raise self._error(*self._late())
        stream = video_stream(self._container)
        if stream is None:
            raise self._error(
                "sends no pictures",
                "it holds sound or data only, or a codec that is not known",
                "name its video stream",
                "empty",
            )
        # More threads would keep frames back, and complaints could not be told from those of other cameras.
        stream.thread_type, stream.thread_count = "NONE", 1
        self._reader = FrameReader(
            self._container, stream, options, source=self.uri, live=self.live, watched=True, pace=self._pace()
        )
        return self._reader

    def _pace(self) -> Pace | None:
        """Note whether it is a recording after all."""
        duration = self._container.duration if self._container is not None and self._access.stored else None
        if duration is None or duration <= 0:
            return None
        self._duration_s = duration / 1_000_000
        self.lasting = False
        return Pace() if self.live else None

    def _ended(self, reader: FrameReader) -> SourceError | None:
        """What is wrong with an end, which FFmpeg reports for a recording's and for a broken connection alike."""
        if self._duration_s is not None and self._last_s > self._duration_s - OVER_S:
            return None
        if self._duration_s is None and not self.lasting and reader.decoded > 0:
            return None
        why = f"it hung up after {reader.decoded} frames"
        return self._error("ended the stream", why, "check the camera and its network", "ended")

    def _failure(self, error: Exception) -> SourceError:
        """FFmpeg's error in the user's words: by its class where that can be trusted, else by the clock."""
        name = type(error).__name__
        if name in REFUSALS:
            return self._error(*REFUSALS[name])
        options, reader = self._options, self._reader
        limit_s = options.open_timeout_s if reader is None else options.read_timeout_s
        waited_s = time.monotonic() - (self._started if reader is None else reader.heard_s)
        cure = "check the camera, its address and its network, or raise the time-outs"
        if name in TIME_OUTS or waited_s >= limit_s * SLACK:
            if reader is not None:
                return self._error(
                    "went silent", f"no data for {max(waited_s, limit_s):.1f} s", cure, "silent"
                )
            return self._error(*self._late())
        what, code = ("cannot be opened", "unreadable") if reader is None else ("broke off", "ended")
        return self._error(what, getattr(error, "strerror", None) or name, cure, code)

    def _late(self) -> tuple[str, str, str, str]:
        what = f"sent no picture within {self._options.open_timeout_s:g} s"
        return what, "it does not answer, or sends nothing", _AWAY, "timeout"

    def _error(self, what: str, why: str, cure: str, code: str) -> SourceError:
        return SourceError(f"{self.uri} {what}", why=why, cure=cure, code=code)


def _without_login(uri: str) -> str:
    """The address as it may be shown; its passwords are remembered as secrets.

    Up to the last "@", and not by redact() alone: a space in a password would end what that takes for a URL.
    """
    remember_uri(uri)
    scheme, _, rest = uri.partition("://")
    _, at, place = rest.rpartition("@")
    return redact(f"{scheme}://***@{place}" if at else uri)
