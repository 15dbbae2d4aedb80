"""The folder sink: what becomes a video, what a picture, and how they are named."""

from pathlib import Path

import numpy as np

from vedette.runtime.frame import Frame
from vedette.runtime.sinks.folder import FolderSink

PICTURE = (np.zeros((16, 16, 3), np.uint8),)


def names_after(folder: Path, *frames: Frame) -> list[str]:
    sink = FolderSink(folder)
    for frame in frames:
        sink.write(frame, [])
    sink.close()
    return sorted(path.name for path in folder.iterdir())


def test_streams_become_videos_and_pictures_stay_pictures(tmp_path: Path) -> None:
    assert names_after(
        tmp_path / "out",
        Frame(PICTURE, stream="cam0", source="a/street.avi", rate=25.0),
        Frame(PICTURE, stream="cam1", source="rtsp://***@host/1", rate=25.0),
        Frame(PICTURE, stream="cam2", source="/dev/video0", rate=25.0),
        Frame(PICTURE, stream="cam3", source="synthetic:16x16@5?frames=3", rate=5.0),
        Frame(PICTURE, stream="cam4", source="b/bus.png"),
    ) == ["bus.png", "cam1.mp4", "cam2.mp4", "cam3.mp4", "street.mp4"]


def test_two_videos_of_one_name_do_not_overwrite_each_other(tmp_path: Path) -> None:
    assert names_after(
        tmp_path / "out",
        Frame(PICTURE, stream="cam0", source="a/street.mp4", rate=25.0),
        Frame(PICTURE, stream="cam1", source="b/street.mp4", rate=25.0),
    ) == ["street-cam1.mp4", "street.mp4"]
