"""Which sink `--save` means: a picture or video file for one source, a folder for any number."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from vedette.runtime.errors import UsageError
from vedette.runtime.frame import Frame
from vedette.runtime.results import Result
from vedette.runtime.sinks import Sink
from vedette.runtime.sinks.images import ImagesSink
from vedette.runtime.sinks.video import VideoSink
from vedette.runtime.sources import Source

VIDEOS = {".mp4", ".mkv", ".mov", ".avi"}
PICTURES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"}


def saver(target: str, sources: Mapping[str, Source]) -> Sink:
    """The sink for a --save target.

    Raises:
        UsageError: one file for several streams, or a suffix that is neither.
        DiskError: it cannot be written.
    """
    path = Path(target)
    if not path.suffix or path.is_dir():
        return FolderSink(path)
    if path.suffix.lower() not in VIDEOS | PICTURES:
        raise UsageError(
            f"--save {target}: {path.suffix} is neither a video nor a picture",
            why=f"videos are {', '.join(sorted(VIDEOS))}; pictures {', '.join(sorted(PICTURES))}",
            cure="use out.mp4, out.jpg, or a folder",
        )
    if len(sources) > 1:
        raise UsageError(
            f"--save {target} is one file for {len(sources)} sources",
            why="each stream gets its own",
            cure="use a folder",
        )
    return VideoSink(path) if path.suffix.lower() in VIDEOS else ImagesSink(path)


class FolderSink:
    """A video per stream that has a rate, a picture per frame of those that have none."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._pictures = ImagesSink(folder)
        self._videos: dict[str, VideoSink] = {}

    def write(self, frame: Frame, results: Sequence[Result]) -> None:
        if frame.rate is None:
            self._pictures.write(frame, results)
            return
        if frame.stream not in self._videos:
            self._videos[frame.stream] = VideoSink(self._path(frame))
        self._videos[frame.stream].write(frame, results)

    def close(self) -> None:
        sinks: list[Sink] = [self._pictures, *self._videos.values()]
        for sink in sinks:
            sink.close()

    def _path(self, frame: Frame) -> Path:
        """Named after the file, or after the stream where there is none or the name is taken in this run."""
        stem = "" if "://" in frame.source else Path(frame.source).stem.strip(":")
        path = self._folder / f"{stem or frame.stream}.mp4"
        return (
            self._folder / f"{stem}-{frame.stream}.mp4"
            if path.name in {v.name for v in self._taken()}
            else path
        )

    def _taken(self) -> list[Path]:
        return [sink.path for sink in self._videos.values()]
