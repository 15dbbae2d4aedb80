"""Records a camera and prints a line a frame: what signals.py kills.   python -m chaos.recorder URL FOLDER

FOLDER/recording gets the camera's packets, FOLDER/save.mp4 its annotated frames, as --save writes them.
"""

import sys
from pathlib import Path

from vedette.runtime.pipeline import Pipeline
from vedette.runtime.runner import NullRunner
from vedette.runtime.sinks._background import Background
from vedette.runtime.sinks.recording import RecordingSink
from vedette.runtime.sinks.video import VideoSink
from vedette.runtime.sources import SourceOptions, open_source


def record(url: str, folder: Path) -> None:
    recording = RecordingSink(folder / "recording", min_free_bytes=0)
    sinks = [
        Background(recording, lossless=False),
        Background(VideoSink(folder / "save.mp4"), lossless=False),
    ]
    source = open_source(url, SourceOptions(stream="yard", tap=recording.tap("yard")))
    for frame, _ in Pipeline({"yard": source}, [NullRunner()], sinks).run():
        sys.stdout.write(f"{frame.index}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    record(sys.argv[1], Path(sys.argv[2]))
