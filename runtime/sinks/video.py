"""An annotated video file: .mp4, .mov, .mkv or .avi by its suffix."""

from collections.abc import Sequence
from pathlib import Path

from vedette.runtime.draw import disk_error
from vedette.runtime.errors import UsageError
from vedette.runtime.ffmpeg import load_ffmpeg
from vedette.runtime.frame import Frame
from vedette.runtime.results import Result
from vedette.runtime.sinks._annotate import annotated
from vedette.runtime.sinks._encode import SUFFIXES, Encoder
from vedette.runtime.sinks._target import check_file, refuse_source

PICTURE_RATE = 1.0  # pictures have no rate; their sources space them one second apart


class VideoSink:
    """Writes every model's results onto one picture a frame, at the frames' own times.

    Raises:
        UsageError: no video format has that suffix.
        DiskError: the file cannot be written there.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if self.path.suffix.lower() not in SUFFIXES:
            raise UsageError(
                f"cannot save a video as {self.path.name}",
                why=f"{self.path.suffix!r} is no video format that is written here",
                cure=f"use one of {', '.join(SUFFIXES)}",
            )
        check_file(self.path)
        self._encoder: Encoder | None = None
        self._failed = False

    def write(self, frame: Frame, results: Sequence[Result]) -> None:
        load_ffmpeg()
        from av.error import FFmpegError

        image = annotated(frame, results)
        try:
            if self._encoder is None:
                refuse_source(self.path, frame, anywhere_in_folder=False)
                self._encoder = Encoder(self.path, frame.size, frame.rate or PICTURE_RATE)
            self._encoder.add(image, frame.time_s)
        except (OSError, FFmpegError) as error:
            self._failed = True
            raise self._disk_error(error) from None

    def close(self) -> None:
        """Complete the file. After a failed write it raises nothing more: what can be saved is."""
        load_ffmpeg()
        from av.error import FFmpegError

        encoder, self._encoder = self._encoder, None
        if encoder is None:
            return
        try:
            (encoder.abandon if self._failed else encoder.close)()
        except (OSError, FFmpegError) as error:
            if not self._failed:
                raise self._disk_error(error) from None

    def _disk_error(self, error: Exception) -> Exception:
        """FFmpeg's errors have the system's numbers, though not all are OSErrors."""
        number, text = getattr(error, "errno", None), getattr(error, "strerror", None)
        return disk_error(self.path, OSError(number or 0, text or str(error)))
