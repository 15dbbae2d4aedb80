"""Which sink `--save` means: a picture or video file for one source, a folder for any number."""

from collections.abc import Mapping
from pathlib import Path

from vedette.runtime.errors import UsageError
from vedette.runtime.sinks import Sink
from vedette.runtime.sinks._encode import SUFFIXES as VIDEOS
from vedette.runtime.sinks.folder import FolderSink
from vedette.runtime.sinks.images import WRITTEN_SUFFIXES as PICTURES
from vedette.runtime.sinks.images import ImagesSink
from vedette.runtime.sinks.video import VideoSink
from vedette.runtime.sources import Source


def saver(target: str, sources: Mapping[str, Source]) -> Sink:
    """The sink for a --save target.

    Raises:
        UsageError: one file for several streams, or a suffix that is neither.
        DiskError: it cannot be written.
    """
    path = Path(target)
    if not path.suffix or target.endswith("/") or path.is_dir():
        return FolderSink(path)
    if path.suffix.lower() not in {*VIDEOS, *PICTURES}:
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
