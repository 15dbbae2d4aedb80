"""A folder: a video for each stream that has a rate, a picture for each frame of those that have none."""

from collections.abc import Sequence
from pathlib import Path

from vedette.runtime.frame import Frame
from vedette.runtime.results import Result
from vedette.runtime.sinks import Sink
from vedette.runtime.sinks._target import stem_of
from vedette.runtime.sinks.images import ImagesSink
from vedette.runtime.sinks.video import VideoSink


class FolderSink:
    """Names files after their sources; a second stream of the same name gets its own name added.

    Raises:
        DiskError: the folder cannot be written to.
    """

    def __init__(self, folder: str | Path) -> None:
        self._folder = Path(folder)
        self._pictures = ImagesSink(self._folder)
        self._videos: dict[str, VideoSink] = {}

    def write(self, frame: Frame, results: Sequence[Result]) -> None:
        sink: Sink = self._pictures if frame.rate is None else self._video(frame)
        sink.write(frame, results)

    def close(self) -> None:
        sinks: list[Sink] = [self._pictures, *self._videos.values()]
        for sink in sinks:
            sink.close()

    def _video(self, frame: Frame) -> VideoSink:
        if frame.stream not in self._videos:
            path = self._folder / f"{stem_of(frame)}.mp4"
            if path in {sink.path for sink in self._videos.values()}:
                path = path.with_stem(f"{path.stem}-{frame.stream}")
            self._videos[frame.stream] = VideoSink(path)
        return self._videos[frame.stream]
