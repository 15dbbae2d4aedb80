"""A folder: a video for each stream that has a rate, a picture for each frame of those that have none."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from vedette.runtime.frame import Frame
from vedette.runtime.results import Result
from vedette.runtime.sinks import Sink
from vedette.runtime.sinks._target import stem_of
from vedette.runtime.sinks.images import ImagesSink
from vedette.runtime.sinks.video import VideoSink


class FolderSink:
    """Names videos after their sources, by stream; a name that an earlier stream has gets the stream's added.

    Args:
        folder: made if missing.
        sources: URI by stream, in the order in which names are given; others are named as they come.

    Raises:
        DiskError: the folder cannot be written to.
    """

    def __init__(self, folder: str | Path, sources: Mapping[str, str] | None = None) -> None:
        self._folder = Path(folder)
        self._pictures = ImagesSink(self._folder)
        self._videos: dict[str, VideoSink] = {}
        self._paths: dict[str, Path] = {}
        for stream, source in (sources or {}).items():
            self.path_of(source, stream)

    def write(self, frame: Frame, results: Sequence[Result]) -> None:
        if frame.rate is None:
            self._pictures.write(frame, results)
            return
        if frame.stream not in self._videos:
            self._videos[frame.stream] = VideoSink(self.path_of(frame.source, frame.stream))
        self._videos[frame.stream].write(frame, results)

    def close(self) -> None:
        sinks: list[Sink] = [self._pictures, *self._videos.values()]
        for sink in sinks:
            sink.close()

    def path_of(self, source: str, stream: str) -> Path:
        """Where a stream's video goes."""
        if stream not in self._paths:
            path = self._folder / f"{stem_of(source, stream)}.mp4"
            taken = path in self._paths.values()
            self._paths[stream] = path.with_name(f"{path.stem}-{stream}.mp4") if taken else path
        return self._paths[stream]
